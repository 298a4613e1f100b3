"""Cards as the server answers them: every unit and class has one, and nothing else has."""

from __future__ import annotations

import re

import pytest

from explainers.units.reference import references
from explainers.units.wiring import Link, confused
from tabs.cards import TAB, links
from tests.desk import Desk

pytestmark = pytest.mark.usefixtures("few_photos")


@pytest.fixture
def desk(resnet18) -> Desk:
    return Desk(TAB, resnet18, photo={"example": "cat.jpg"})


@pytest.mark.slow
def test_a_units_card_tells_all_that_is_known_of_it(desk, resnet18, few_photos) -> None:
    first = desk.ask(layer="layer3", unit="7")
    assert "Unit</abbr> 7</b>" in first["places"]["say"]  # at once, with the photo
    assert "<img" in first["places"]["photo"]
    assert first["settings"] == {"layer": "layer3", "unit": "7", "class": ""}
    places = desk.whole(first)["places"]
    assert "problem" not in places
    assert "Channel" not in "".join(places.values())
    assert "data-draw" in places["drawing"]
    best = few_photos.known(resnet18)["layer3"].best(7, 4)
    named = [references()[each.photo].title for each in best if each.peak > 0]
    assert re.findall('<figure title="([^"]*)"', places["best"]) == named
    assert places["best"].count("unit-dot") == len(named)
    before, behind, classes = places["wired"].split("<section>")[1:]
    assert 'data-layer="layer2"' in before
    assert 'data-layer="layer4"' in behind
    assert "data-class=" in classes
    near = re.findall(r'href="([^"]*)"', places["near"])
    assert near
    assert all(
        re.fullmatch(r"\?network=resnet18&amp;layer=layer3&amp;unit=\d+", each) for each in near
    )


def test_a_class_that_gains_without_a_unit_has_a_bar_as_well(resnet18) -> None:
    shown = links.classes(resnet18, [Link(None, 1, 0.2), Link(None, 2, -0.4)])
    bars = re.findall(r'bar-length( rises)?" style="width:([\d.]+)%', shown)
    assert bars == [("", "50.0"), (" rises", "100.0")]


@pytest.mark.slow
def test_a_classs_card_by_name_or_number(desk, resnet18, few_photos) -> None:
    name = resnet18.labels[3]
    places = desk.whole(desk.ask(**{"class": "3"}))["places"]
    assert name in places["say"]
    assert "Chance on your photo" in places["where"]
    assert places["wired"].count("<a href") == 6
    with_it = confused(few_photos.answers(resnet18).logits, 3, 1)[0][0]
    assert f'data-class="{resnet18.labels[with_it]}"' in places["near"]
    assert desk.whole(desk.ask(**{"class": name}))["places"]["say"] == places["say"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"layer": "layer3", "unit": "96"}, "0 to 95"),
        ({"layer": "layer3", "unit": "-1"}, "0 to 95"),
        ({"layer": "layer3", "unit": "½"}, "0 to 95"),
        ({"layer": "conv5", "unit": "1"}, "no layer “conv5”"),
        ({"layer": "fc", "unit": "1"}, "no layer “fc”"),
        ({"layer": "<b>", "unit": "1"}, "&lt;b&gt;"),
        ({"class": "unicorn"}, "unicorn"),
        ({"class": "99999"}, "class"),
    ],
)
def test_what_there_is_not_gets_a_sentence(desk, settings, words) -> None:
    places = desk.whole(desk.ask(**settings))["places"]
    assert words in places["problem"]
    assert places["problem"].endswith(".")
    assert places["best"] == places["wired"] == ""


def test_a_card_without_a_photo_or_a_number(resnet18) -> None:
    shown = Desk(TAB, resnet18).whole(Desk(TAB, resnet18).ask(layer="layer4", unit="1"))
    assert "Drop a photo" in shown["places"]["photo"]
    desk = Desk(TAB, resnet18, photo={"example": "cat.jpg"})
    chosen = desk.ask(layer="layer4")["settings"]["unit"]
    assert 0 <= int(chosen) < resnet18.maps["layer4"].channels


@pytest.mark.slow
def test_a_card_draws_when_it_is_asked(desk, monkeypatch) -> None:
    from tabs.cards import drawing

    monkeypatch.setattr(drawing, "KNOBS", drawing.impressions.knobs.Knobs(steps=3, size=64))
    drawn = desk.whole(desk.act("draw", {"layer": "layer2", "channel": 5}))["places"]["drawing"]
    assert drawn.count("<img") == 1
    assert desk.whole(desk.ask(layer="layer2", unit="5"))["places"]["drawing"] == drawn
    both = desk.whole(desk.act("draw", {"class": 2}))["places"]["drawing"]
    assert both.count("<img") == 2
    assert "0 to 79" in desk.act("draw", {"layer": "layer2", "channel": 80})["problem"]
