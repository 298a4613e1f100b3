"""The Muting tab without a browser: what its acts answer, as a browser would get it."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from explainers import Network, explain
from explainers.muting import incremental, mute, plan, sweep
from explainers.muting.incremental import Incremental
from explainers.room import Room
from tabs.muting import TAB, windows
from tabs.parts import work
from tabs.parts.tab import Server, markup
from tabs.programs import Programs
from tests.desk import serving, slices

CAT = {"photo": {"example": "cat.jpg"}, "visit": "me", "knows": True, "targets": [3]}
SMALL = {"window": 16, "stride": 8}  # for a network that sees 64 pixels


@pytest.fixture
def page(resnet18: Network) -> Server:
    return serving(TAB, resnet18)


def ask(server: Server, question: dict[str, Any] = CAT, **settings: Any) -> list[dict[str, Any]]:
    form = server.subject.zoo.get().key  # the browser has this network's widgets
    return slices(server, server.ask({**question, "form": form, "settings": SMALL | settings}))


def act(
    server: Server, name: str, data: Any = None, question: dict[str, Any] = CAT, **settings: Any
) -> list[dict[str, Any]]:
    form = server.subject.zoo.get().key
    asked = {**question, "form": form, "settings": SMALL | settings, "act": name, "data": data}
    return slices(server, server.act(asked))


def last(answers: list[dict[str, Any]], kind: str, name: str) -> Any:
    """The last that was said of a place or of data."""
    for each in answers:
        assert not each.get("problem"), each["problem"]
    return [each[kind][name] for each in answers if name in each[kind]][-1]


def runs(mask: np.ndarray) -> dict[str, Any]:
    """A mask as the brush sends it."""
    flat = np.concatenate([[False], mask.ravel(), [not mask.ravel()[-1]]])
    edges = np.flatnonzero(np.diff(flat))
    found = np.diff(np.concatenate([[0], edges])).tolist()
    return {"width": mask.shape[1], "height": mask.shape[0], "runs": found, "turn": 7}


def view(server: Server):
    return server.subject.asked(CAT).question().view


# ---- the brush ----


@pytest.mark.parametrize("keep", [False, True])
def test_the_bars_are_what_the_network_says_of_the_painted_photo(page, resnet18, keep) -> None:
    x = view(page).tensor
    mask = np.zeros(x.shape[2:], bool)
    mask[10:40, 5:30] = True
    before = last(ask(page), "data", "brush")
    answer = last(act(page, "paint", runs(mask) | {"keep": keep}), "data", "answer")
    grey = ((0.5 - resnet18.mean) / resnet18.std)[None]
    covered = torch.where(torch.from_numpy(mask ^ keep), grey, x)
    chances = resnet18.logits(covered)[0].softmax(-1)
    rows = [row["index"] for row in before["rows"]]
    assert len(rows) == len(set(rows)) >= 5
    assert 3 in rows
    assert answer["after"] == pytest.approx(chances[rows].tolist(), abs=1e-5)
    assert answer["winner"]["index"] == int(chances.argmax())
    assert answer["target"] == pytest.approx(float(chances[3]), abs=1e-5)
    assert answer["share"] == pytest.approx(float((mask ^ keep).mean()))
    assert answer["turn"] == 7
    plain = resnet18.logits(x)[0].softmax(-1)
    assert [row["before"] for row in before["rows"]] == pytest.approx(
        plain[rows].tolist(), abs=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("baseline", ["grey", "black", "mean", "blur", "noise"])
def test_what_is_painted_with_is_what_the_network_gets(page, resnet18, baseline) -> None:
    fill = last(ask(page, baseline=baseline), "data", "brush")["fill"]
    with Image.open(io.BytesIO(base64.b64decode(fill.split(",")[1]))) as image:
        pixels = np.asarray(image.convert("RGB"), float)
    muting = next(mute(resnet18, view(page), window=16, stride=16, baseline=baseline))
    gets = (muting.fill[0] * resnet18.std + resnet18.mean).permute(1, 2, 0).numpy() * 255
    assert np.abs(pixels - gets).max() < 1
    assert (pixels.size == 3) == (baseline in ("grey", "black", "mean"))


@pytest.mark.parametrize(
    "bad",
    [
        None,
        {"width": 4, "height": 2, "runs": [3, 2]},
        {"width": 4, "height": 2, "runs": [9, -1]},
        {"width": 4, "height": 2, "runs": [0] * 10**6},
        {"width": 10**6, "height": 10**6, "runs": [10**12]},
        {"width": 4, "height": 2, "runs": ["8"]},
        {"width": True, "height": 8, "runs": [8]},
    ],
)
def test_a_mask_is_taken_only_if_it_is_whole(page, bad) -> None:
    assert "paint once more" in act(page, "paint", bad)[-1]["problem"]


def test_nothing_painted_is_said_and_not_answered(page) -> None:
    said = act(page, "paint", runs(np.zeros((8, 8), bool)))[-1]
    assert "brush over a part" in said["problem"]


# ---- windows ----


def test_the_brush_is_there_before_any_window_was_tried(page, monkeypatch) -> None:
    fail = lambda *_, **__: pytest.fail("a window came first")  # noqa: E731
    monkeypatch.setattr(windows, "mute_in_steps", fail)
    answer = page.ask({**CAT, "form": "resnet18", "settings": {"window": 20}})
    assert answer["data"]["brush"]["rows"]
    assert "class 3" in answer["places"]["say"]


@pytest.mark.slow
def test_a_coarse_look_by_itself_then_every_place_on_demand(page, resnet18) -> None:
    first = ask(page)
    told = last(first, "data", "windows")
    assert told["stride"] == 16
    assert not told["complete"]
    assert "A first look" in last(first, "places", "looked")
    fine = act(page, "sweep")
    finer = last(fine, "data", "windows")
    assert finer["complete"]
    assert finer["stride"] == 8
    assert len(finer["down"]) * len(finer["across"]) == finer["places"] == told["places"]
    assert "exact" in last(fine, "places", "looked")
    assert last(fine, "places", "maps") != last(first, "places", "maps")
    *_, muting = mute(resnet18, view(page), **SMALL)  # what is pointed at is what was computed
    shape = len(finer["down"]), len(finer["across"])
    after = np.frombuffer(base64.b64decode(finer["after"]), "<u2").reshape(*shape, -1) / 65535
    ranks = np.frombuffer(base64.b64decode(finer["ranks"]), "<i2").reshape(shape)
    for column, row in enumerate(finer["rows"]):
        ours = muting.position_scores(row["index"]).numpy()
        assert np.abs(after[..., column] - ours).max() < 1e-4
    winners = np.array([each["index"] for each in finer["winners"]])
    assert (winners[ranks] == muting.most_likely().numpy()).all()
    row, col = finer["peak"]
    assert float(muting.position_scores(3, "logit")[row, col]) == pytest.approx(
        float(muting.position_scores(3, "logit").min())
    )


def test_another_class_is_drawn_from_the_same_scores(page, monkeypatch) -> None:
    first = ask(page)
    monkeypatch.setattr(windows, "mute_in_steps", lambda *_, **__: pytest.fail("computed again"))
    other = ask(page, {**CAT, "targets": [5]})
    assert last(other, "places", "maps") != last(first, "places", "maps")
    assert "class 5" in last(other, "places", "maps")
    shown = last(ask(page, score="probability"), "places", "maps")
    assert shown != last(first, "places", "maps")
    assert "points of percent" in shown


def test_a_first_class_to_contrast_with_is_not_forgotten(page) -> None:
    asked = {**CAT, "targets": [3, 5], "against": 0}
    maps = last(ask(page, asked), "places", "maps")
    assert maps.count("<h4>class 3, and not class 0 ") == 1
    assert maps.count("<h4>class 5, and not class 0 ") == 1
    assert maps.count("speaks against it") == 4  # the legend of a map that has two sides
    assert maps.count("The most likely label by place") == 1
    risen = last(act(page, "rise", question=asked, masks=16), "places", "rise")
    assert "class 3, and not class 0" in risen
    rows = last(ask(page, asked), "data", "brush")["rows"]
    assert {3, 5, 0} <= {row["index"] for row in rows}
    assert {row["index"] for row in rows if row["chosen"]} == {3, 5}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"window": 5000}, "goes from 1 to 4096"),
        ({"window": 4000}, "larger than the photo"),
        ({"stride": 17}, "leave gaps"),
        ({"stride": 2}, "goes from 4"),
        ({"seed": -1}, "goes from 0"),
        ({"seed": 0.5}, "whole number"),
        ({"baseline": "plaid"}, "one of the values offered"),
        ({"window": "many"}, "one of the values offered"),
    ],
)
def test_what_can_not_be_is_said_in_a_sentence(page, settings, words) -> None:
    said = ask(page, **settings)[-1]["problem"]
    assert words in said
    assert said.count(".") == 1
    assert said.endswith(".")


@pytest.mark.slow
def test_what_is_half_done_stays_and_is_never_less_than_before(page, monkeypatch) -> None:
    asked = {**CAT, "photo": {"example": "espresso.jpg"}}
    coarse = last(ask(page, asked, stride=4), "data", "windows")
    monkeypatch.setattr(sweep, "MANY", 2)  # the first passes know less than is known already
    monkeypatch.setattr(windows, "OFTEN", 0.0)
    monkeypatch.setattr(work, "SLICE", 0.0)
    form = {"form": "resnet18", "settings": SMALL | {"stride": 4}, "act": "sweep"}
    answer = page.act({**asked, **form})
    seen = []
    while answer.get("more") and len(seen) < 3:
        seen += [answer["data"]["windows"]] if "windows" in answer["data"] else []
        answer = page.more(answer["more"])
    places = len(coarse["down"]) * len(coarse["across"])
    known = [(np.frombuffer(base64.b64decode(each["ranks"]), "<i2") >= 0).sum() for each in seen]
    assert known
    assert min(known) >= places
    page.stop(answer["more"])
    again = last(ask(page, asked, stride=4), "data", "windows")
    assert (np.frombuffer(base64.b64decode(again["ranks"]), "<i2") >= 0).sum() >= max(known)


@pytest.mark.slow
def test_a_run_that_was_left_goes_on_for_another_class(page, monkeypatch) -> None:
    """Windows do not depend on the class: what is known of them is read anew, and none is tried
    twice."""
    tried = []
    real = Incremental.scores

    def counted(self, *args):
        for found in real(self, *args):
            if found is not None:  # None: a layer further
                tried.append(len(found[1].flatten(0, 1)))
            yield found

    monkeypatch.setattr(Incremental, "scores", counted)
    monkeypatch.setattr(plan, "WORK", 1e7)  # many small lots
    monkeypatch.setattr(work, "SLICE", 0.0)
    asked = {**CAT, "photo": {"example": "tripod.jpg"}}
    form = {"form": "resnet18", "settings": SMALL | {"stride": 12}, "act": "sweep"}
    answer = page.act({**asked, **form})
    while len(tried) < 3:
        answer = page.more(answer["more"])
    page.stop(answer["more"])
    known = sum(tried)
    other = {**asked, "targets": [4]}
    shown = last(ask(page, other, stride=12), "data", "windows")
    assert (np.frombuffer(base64.b64decode(shown["ranks"]), "<i2") >= 0).sum() >= known
    assert not shown["complete"]
    shown = last(act(page, "sweep", question=other, stride=12), "data", "windows")
    assert shown["complete"]
    assert sum(tried) == shown["places"]
    whole = list(
        mute(
            page.subject.zoo.get(), page.subject.asked(other).question().view, window=16, stride=12
        )
    )[-1]
    after = np.frombuffer(base64.b64decode(shown["after"]), "<u2")
    chances = page.subject.zoo.get().probabilities(whole.logits)[..., 4].flatten()
    row = next(i for i, each in enumerate(shown["rows"]) if each["index"] == 4)
    assert after.reshape(len(chances), -1)[:, row] / 65535 == pytest.approx(
        chances.numpy(), abs=1e-4
    )


def test_sweeps_that_have_no_room_beside_each_other_come_one_after_the_other(
    page, resnet18, monkeypatch
) -> None:
    monkeypatch.setattr(incremental.results, "room", Room(lambda: 1))
    monkeypatch.setattr(work, "SLICE", 0.0)
    monkeypatch.setattr(work, "PATIENCE", 0.0)
    asked = {**CAT, "photo": {"example": "rocket.jpg"}, "form": "resnet18"}
    one = page.ask({**asked, "settings": SMALL})
    while not incremental.results.room.held:
        one = page.more(one["more"])
    program = Programs(page.subject.zoo, page.jobs)
    photo = page.subject.photo({"example": "espresso.jpg"})
    given = {"network": "resnet18", "photo": photo, "method": "occlusion"}
    two = program.explain(given | {"target": "", "against": ""})
    for _ in range(3):
        two = program.more(two["more"])
    assert two["work"]["words"] == work.FULL.format(1)
    assert last(slices(page, one), "data", "windows")["down"]
    while "more" in two:
        two = program.more(two["more"])
    alone = explain(resnet18, photo, method="occlusion")
    assert two["about"]["peak"] == pytest.approx(
        dict(zip("xy", alone.peak(), strict=True)), abs=1e-3
    )


# ---- the smallest region ----


def test_the_search_shows_the_region_and_what_the_network_says_without_it(page, resnet18) -> None:
    first = int(resnet18.logits(view(page).tensor)[0].argmax())
    asked = {**CAT, "targets": [first]}
    answers = act(page, "flip", question=asked)
    found = last(answers, "data", "flip")
    assert found["done"] == 1
    height, width = view(page).tensor.shape[2:]
    mask = np.zeros((height, width), bool)
    for left, top, right, bottom in found["boxes"]:
        rows = slice(round(top * height), round(bottom * height))
        mask[rows, round(left * width) : round(right * width)] = True
    assert found["share"] == pytest.approx(float(mask.mean()), abs=1e-6)
    painted = last(act(page, "paint", runs(mask), question=asked), "data", "answer")
    assert painted["after"] == pytest.approx(found["after"], abs=1e-4)
    assert found["flipped"] == (painted["winner"]["index"] != first)
    said = last(answers, "places", "flip")
    assert ("no longer" in said) == found["flipped"]


def test_a_class_that_is_not_decided_for_is_said_beside_the_button(page, resnet18) -> None:
    least = int(resnet18.logits(view(page).tensor)[0].argmin())
    answers = act(page, "flip", question={**CAT, "targets": [least]})
    assert "does not decide for this class" in last(answers, "places", "flip")


# ---- RISE, downloads, the page itself ----


@pytest.mark.slow
def test_rise_settles_or_says_that_it_did_not(page) -> None:
    answers = act(page, "rise", question={**CAT, "targets": [0, 3]}, masks=32)
    assert "All 32 masks are used" in last(answers, "places", "risen")
    assert last(answers, "places", "rise").count("<figure>") == 2
    settled = act(page, "rise", masks=4000, tolerance=90)
    assert "Settled after" in last(settled, "places", "risen")
    assert "goes from 1 to 8000" in act(page, "rise", masks=0)[-1]["problem"]


def test_maps_are_taken_away_as_picture_and_as_numbers(page) -> None:
    ask(page)
    sheet, raw = (act(page, name)[-1]["file"] for name in ("png", "npz"))
    with Image.open(io.BytesIO(base64.b64decode(sheet["data"]))) as image:
        assert image.width > 4 * 300
    arrays = np.load(io.BytesIO(base64.b64decode(raw["data"])))
    assert arrays["occlusion"].shape[1:] == tuple(view(page).tensor.shape[2:])


def test_answers_to_the_old_question_leave_with_it(page) -> None:
    body = markup(TAB, page.subject)
    for place in ("rise", "risen", "flip"):
        assert re.search(rf'data-place="{place}" data-passing', body)
    for name in ("", "flip", "sweep", "rise"):  # each slow work has a bar where it is looked at
        assert body.count(f'data-work="{name}"') == 1
    assert body.index("data-flip") < body.index('data-place="maps"') < body.index("data-rise")


def test_a_network_of_several_classes_is_judged_by_its_own_bound(
    page, resnet18, monkeypatch
) -> None:
    monkeypatch.setattr(resnet18, "head", "sigmoid")
    monkeypatch.setattr(resnet18, "thresholds", (0.5,) * 3 + (0.25,) + (0.5,) * 16)
    target = last(ask(page), "data", "brush")["target"]
    assert target["bound"] == 0.25
    assert target["name"] == "class 3"
