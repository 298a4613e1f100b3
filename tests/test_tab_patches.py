"""The Patches tab without a browser: what is read, what waits for a button, and the lesson."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from explainers import Network
from explainers.settings import Settings
from explainers.zoo import Zoo
from tabs.parts.tab import Server
from tabs.parts.work import Jobs
from tabs.patches import TAB
from tabs.patches.bag import removal
from tabs.subject import Subject
from tests.desk import slices

CAT = {"photo": {"example": "cat.jpg"}, "visit": "me", "knows": True, "form": "lite0"}
PUPIL = {"pupil": "me", "seed": 0, "kind": "drawn", "crosses": 1, "bag": 1}


@pytest.fixture(scope="module")
def tab(lite0: Network) -> Server:
    zoo = Zoo(Settings(startup=()))
    zoo.get()
    return Server(TAB, Subject(zoo), Jobs())


def drained(tab: Server, answer: dict) -> dict[str, str]:
    """All places, in the end."""
    places: dict[str, str] = {}
    for each in slices(tab, answer):
        places |= each["places"]
    return places


def bag(places: dict[str, str]) -> dict:
    text = re.search(r'data-bag="([^"]*)"', places["bag"])[1]
    return json.loads(text.replace("&quot;", '"'))


@pytest.mark.slow
def test_a_photo_s_patches_are_pooled_and_another_class_costs_no_new_reading(
    tab: Server, lite0: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"large": 160}
    places = drained(tab, tab.ask(CAT | {"settings": settings}))
    found = bag(places)
    values = found["facts"][0][1]
    assert found["curve"][0] == max(values)  # pooled by the maximum
    more = sum(value > np.percentile(values, 95) for value in values)
    assert f"exceeded by {more} of {len(values)} patches" in places["bag"]
    assert "say <b>" in places["say"]
    monkeypatch.setattr("tabs.patches.patch_scores", None)  # what was read is not read again
    mean = drained(tab, tab.ask(CAT | {"settings": settings | {"pooling": "mean"}}))
    assert "all patches count alike" in mean["bag"]
    assert bag(mean)["curve"][0] == pytest.approx(sum(values) / len(values), rel=1e-2)
    other = drained(tab, tab.ask(CAT | {"settings": settings, "targets": [0, 281]}))
    assert [name for name, _ in bag(other)["facts"]] == ["tench", "tabby"]


def test_a_photo_that_is_one_patch_says_so_and_what_to_do(tab: Server) -> None:
    told = drained(tab, tab.ask(CAT | {"settings": {"large": 320}}))["bag"]
    assert "One patch, as large as this: choose smaller ones" in told
    assert "exceeded by" not in told


@pytest.mark.slow
def test_without_a_photo_it_is_tissue_and_says_what_it_is_not(tab: Server) -> None:
    places = drained(tab, tab.ask({"visit": "me", "form": "lite0"}))
    assert "Not your photo" in places["say"]
    assert "no diagnosis" in places["bag"]
    found = bag(places)
    attention, scores, weighted = (values for _, values in found["facts"])
    assert sum(attention) == pytest.approx(1, abs=1e-3)
    assert weighted[5] == pytest.approx(attention[5] * scores[5], rel=1e-2)
    assert min(found["boxes"][found["order"][0]][:2]) > 224  # malignant in the lower right corner
    mine = tab.ask({"visit": "me", "form": "lite0", "settings": {"source": "mine"}})
    assert "Drop a photo of tissue first" in tab.more(mine["more"])["problem"]


def test_many_patches_wait_for_a_button_grow_and_are_kept_when_left(tab: Server) -> None:
    asked = CAT | {"settings": {"source": "tissue", "overlap": 0.75}}
    places = drained(tab, tab.ask(asked))
    assert "Read 841 patches" in places["go"]
    assert places["bag"] == ""
    answer = tab.act(asked | {"act": "read"})
    while "bag" not in answer["places"]:
        answer = tab.more(answer["more"])
    assert re.search(r"\d+ of 841 patches", answer["work"]["words"])
    assert len(bag(answer["places"])["order"]) < 841
    again = drained(tab, tab.ask(asked))  # left in mid-run: what was read is still there
    assert re.search(r"\d+ of 841 patches were read", again["go"])
    assert bag(again)["order"]
    tiny = tab.ask(CAT | {"settings": {"source": "tissue", "overlap": 0.75, "small": 8}})
    assert "at most 2,000 can be read" in tiny["problem"]


@pytest.mark.slow
def test_the_lesson_grows_and_what_is_learned_reads_the_visitor_s_bag(tab: Server) -> None:
    untrained = tab.act(CAT | {"act": "own", "data": PUPIL | {"pupil": "nobody"}})
    assert "Train the network first" in untrained["places"]["own"]
    answer = tab.act(CAT | {"act": "learn", "data": PUPIL})
    for _ in range(3):
        answer = tab.more(answer["more"])
    assert answer["places"]["lesson"].count("<svg") == 3
    assert 0 < answer["work"]["done"] < 1
    tab.stop(answer["more"])
    told = tab.act(CAT | {"act": "own", "data": PUPIL})["places"]["own"]
    assert "A cross is in it" in told
    none = tab.act(CAT | {"act": "own", "data": PUPIL | {"crosses": 0}})["places"]["own"]
    assert "There is no cross" in none
    for wrong in ({"seed": -1}, {"seed": 2.5}, {"seed": "x"}):
        answer = tab.act(CAT | {"act": "learn", "data": PUPIL | wrong})
        assert "must be a whole number" in answer["problem"]


def test_the_curve_of_removal_ends_behind_its_last_change_and_says_what_it_does() -> None:
    falls = np.r_[np.linspace(0.9, 0.02, 20), np.full(181, 0.015)]
    shown = removal(falls, "Words.").replace("\N{NO-BREAK SPACE}", " ")
    assert 'max="23"' in shown  # the slider's and the curve's ends are the same
    assert ">23</text></svg>" in shown
    assert "Not drawn: 24 to 200 removed, where it stays near 1.5 %." in shown
    assert "90.0 % with all patches, 1.5 % without the top 23" in shown
    assert "on the way" not in shown
    late = np.r_[np.full(200, 0.5), 0.9]  # nothing is hidden that happens at the end
    assert 'max="200"' in removal(late, "")
    assert "Not drawn" not in removal(late, "")
    there = removal(np.r_[0.3, 0.8, 0.1, np.full(30, 0.2)], "").replace("\N{NO-BREAK SPACE}", " ")
    assert "30.0 % with all patches, 20.0 % without" in there
    assert "up to 80.0 % on the way, down to 10.0 % on the way" in there
    assert removal(np.ones(1), "") == ""
