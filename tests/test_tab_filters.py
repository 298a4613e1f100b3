"""The Filters tab without a browser: all filters, one of them, and Gabors against chance."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from html import unescape
from typing import Any

import numpy as np
import pytest
from PIL import Image

from explainers import Network, OptionError, filters
from explainers.filters import gabor
from explainers.filters.census import traits
from explainers.zoo.catalogue import CATALOGUE
from tabs.filters import TAB, gabors
from tests import nets
from tests.desk import Desk, refused

CAT = {"photo": {"example": "cat.jpg"}}


@pytest.fixture(autouse=True)
def few_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few random filters are quicker than 200."""
    compare = gabor.compare
    monkeypatch.setattr(gabor, "compare", lambda values: compare(values, count=6))


@pytest.fixture(scope="module")
def alexnet() -> Network:
    """Its shape, with weights of no meaning."""
    return nets.like(next(each for each in CATALOGUE if each.key == "alexnet"))


def tiles(places: dict[str, str]) -> dict[str, Any]:
    return json.loads(unescape(re.search('data-tiles="(.*?)"', places["grid"])[1]))


@pytest.mark.slow
def test_all_filters_and_one_of_them_come_in_the_first_answer(resnet18) -> None:
    desk = Desk(TAB, resnet18, **CAT)
    first = desk.ask(filter="5")
    assert tiles(first["places"])["order"] == list(range(64))
    assert tiles(first["places"])["chosen"] == 5
    assert "<b>Filter 5</b>" in first["places"]["closer"]
    assert "On the photo" in first["places"]["closer"]
    assert first["data"]["chosen"] == {
        "network": "resnet18", "layer": "conv1", "filter": 5, "first": True, "drawable": True
    }  # fmt: skip
    assert "gabor" not in first["places"]  # what takes longer does not hold up what is quick
    whole = desk.whole(first)
    assert "of 64 are Gabor filters" in whole["places"]["gabor"]


def test_without_a_photo_filters_are_shown_and_the_photo_is_asked_for(resnet18) -> None:
    first = Desk(TAB, resnet18).ask()
    assert tiles(first["places"])["order"]
    assert "On the photo" not in first["places"]["closer"]
    assert "Drop a photo" in first["places"]["closer"]


def test_another_filter_is_shown_closely_and_nothing_else_moves(resnet18) -> None:
    desk = Desk(TAB, resnet18, **CAT)
    desk.whole(desk.ask())
    shown = desk.whole(desk.act("pick", {"filter": 0}))
    other = desk.whole(desk.act("pick", {"filter": 63}))
    assert "<b>Filter 63</b>" in other["places"]["closer"]
    assert "grid" not in other["places"]
    assert shown["places"]["gabor"] != other["places"]["gabor"]


@pytest.mark.parametrize("wrong", [64, -1, 0.5, "0", True, None, [1], 1e300])
def test_a_filter_that_is_not_there_is_refused_in_a_sentence(resnet18, wrong: Any) -> None:
    assert "0 to 63" in refused(Desk(TAB, resnet18, **CAT).act("pick", {"filter": wrong}))


def test_deeper_filters_are_shown_by_their_slices_strongest_first(resnet18) -> None:
    desk = Desk(TAB, resnet18, **CAT)
    name = "layer1.0.conv1"
    whole = desk.whole(desk.ask(layer=name, filter="3"))
    kernels = filters.weights(resnet18, name).numpy()
    best = [channel for channel, *_ in filters.slices(kernels, 3, 256)]
    assert tiles(whole["places"])["order"] == best
    assert f"Unit {best[0]}<" in whole["places"]["closer"]
    assert "first convolution" in whole["places"]["gabor"]
    other = desk.whole(desk.act("pick", {"filter": 4}, layer=name))
    assert tiles(other["places"])["order"] != best


def test_a_depthwise_filter_reads_one_unit(lite0) -> None:
    desk = Desk(TAB, lite0, **CAT)
    places = desk.whole(desk.ask(layer="blocks.1.0.conv_dw"))["places"]
    assert "reads one unit, not colours" in places["say"]
    assert "this one unit alone" in places["closer"]


def test_a_filter_of_a_larger_layer_is_not_looked_for_in_a_smaller_one(resnet18) -> None:
    answer = Desk(TAB, resnet18).ask(filter="64", layer="conv1")
    assert answer["settings"] == {"filter": 0, "layer": "conv1"}


def test_filters_are_sorted_as_asked(resnet18) -> None:
    desk = Desk(TAB, resnet18)
    kernels = filters.weights(resnet18, "conv1").numpy()
    for by in ("orientation", "frequency"):
        assert tiles(desk.ask(by=by)["places"])["order"] == filters.order(kernels, by)


def test_fitting_goes_a_step_at_a_time_and_finds_what_it_finds_at_once() -> None:
    kernels = np.random.default_rng(11).normal(size=(5, 3, 5, 5)).astype(np.float32)
    *shares, found = gabor.compare(kernels)
    assert len(shares) == 5 + 6 + 6
    assert shares == sorted(shares)
    assert [each.r2 for each in found.fits] == [each.r2 for each in gabor.scores(kernels)]
    noise = sorted(each.r2 for each in gabor.scores(gabor.noise(5, count=6)))
    np.testing.assert_array_equal(found.null, noise)
    others = sorted(each.r2 for each in gabor.scores(gabor.shuffled(kernels, 6)))
    np.testing.assert_array_equal(found.shuffled, others)
    assert list(gabor.compare(kernels)) == [found]  # what was found is not looked for again
    with pytest.raises(OptionError, match="square"):
        list(gabor.compare(np.zeros((2, 3, 3, 5), np.float32)))


def test_no_claim_is_made_for_small_kernels_and_terms_are_explained() -> None:
    kernels = np.random.default_rng(12).normal(size=(4, 3, 3, 3)).astype(np.float32)
    *_, found = gabor.compare(kernels)
    said = gabors.verdict(found, traits(kernels, found.fits), 3)
    assert "No such claim can be made here" in said
    assert re.search('title="R squared: [^"]+">R²</abbr>', said)
    card = gabors.card(filters.separate(kernels[0]), found.fits[0], found.null)
    assert f"{found.fits[0].wavelength:.1f} pixels" in card
    for null, reach in ((np.zeros(9), "none of 9"), (np.array([0.0, 1.0]), "1 of 2")):
        assert f"which {reach} <abbr" in gabors.card(
            filters.separate(kernels[0]), found.fits[0], null
        )


@pytest.mark.slow
def test_the_tab_leads_with_alexnet_whatever_network_is_asked_about(resnet18, alexnet) -> None:
    desk = Desk(TAB, resnet18, others=[alexnet], **CAT)
    first = desk.ask()
    assert first["data"]["chosen"]["network"] == "alexnet"
    assert "On the photo" in first["places"]["closer"]
    whole = desk.whole(first)
    assert "of 64 are Gabor filters" in whole["places"]["gabor"]
    beside = whole["places"]["beside"]
    assert "resnet18: 64 filters of 7 × 7" in beside
    assert 'data-layer="conv1"' in beside
    own = desk.ask(layer="conv1")
    assert own["data"]["chosen"]["network"] == "resnet18"
    assert "AlexNet: 64 filters of 11 × 11" in desk.whole(own)["places"]["beside"]


@pytest.mark.slow
def test_beside_it_small_kernels_say_why_nothing_can_be_claimed(lite0, alexnet) -> None:
    desk = Desk(TAB, lite0, others=[alexnet, vgg16_coco()])
    beside = desk.whole(desk.ask())["places"]["beside"]
    assert "VGG-16: 64 filters of 3 × 3" in beside
    assert "EfficientNet-Lite0: 32 filters of 3 × 3" in beside
    assert beside.count("No such claim can be made here: kernels of 3 × 3 are too small") == 2


def vgg16_coco() -> Network:
    return nets.like(next(each for each in CATALOGUE if each.key == "vgg16-coco"))


@pytest.mark.slow
def test_a_picture_and_the_numbers_can_be_taken_away(resnet18, alexnet) -> None:
    desk = Desk(TAB, resnet18, others=[alexnet])
    picture, table = (desk.act(name)["file"] for name in ("picture", "numbers"))
    assert picture["name"] == "filters-alexnet.png"
    assert Image.open(io.BytesIO(base64.b64decode(picture["data"]))).size == (1600, 900)
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(table["data"]).decode())))
    assert [int(row["filter"]) for row in rows] == list(range(64))
    fits = gabor.scores(filters.weights(alexnet, "conv1.0").numpy())
    assert [float(row["r2"]) for row in rows] == pytest.approx([e.r2 for e in fits], rel=1e-3)
    assert "first" in refused(desk.act("numbers", layer="layer1.0.conv1"))
