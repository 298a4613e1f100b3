"""The atlas: a tile depends on its unit alone, and silent units can be drawn."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from assets.make_atlas import sheet
from explainers.impressions.drawing import Drawing
from explainers.impressions.goals import Units, of_unit
from explainers.impressions.knobs import Knobs
from explainers.units import atlas
from explainers.units.reference import references
from explainers.units.strongest import Strongest
from tabs.impressions import TAB
from tabs.impressions import atlas as page
from tests import nets
from tests.desk import Desk


def drawn(network, goal, knobs):
    drawing = Drawing(network, goal, knobs)
    for _ in range(knobs.steps):
        drawing.step()
    return drawing.picture()


def test_many_units_at_once_are_drawn_as_each_alone(resnet18):
    knobs = Knobs(steps=3, size=48, start=32, crops=2)
    many = drawn(resnet18, Units("layer1", (3, 7, 9)), knobs)
    each = torch.cat([drawn(resnet18, of_unit(resnet18, "layer1", n), knobs) for n in (3, 7, 9)])
    assert torch.allclose(many, each, atol=2e-3)
    assert (each[0] - each[1]).abs().max() > 0.02


def test_a_unit_that_never_fires_can_be_driven():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    with torch.no_grad():
        module[0].bias.fill_(-9.0)
    network = nets.wrap(module, classes=2, size=32)
    knobs = Knobs(steps=12, size=32, start=32, tv=0, grey=0)
    first = Drawing(network, of_unit(network, network.last, 1), knobs).picture()
    assert (drawn(network, of_unit(network, network.last, 1), knobs) - first).abs().max() > 0.05


@pytest.fixture
def drawn_before(resnet18, tmp_path, monkeypatch):
    """An atlas of one layer, each tile of a grey of its own."""
    units = resnet18.maps["layer1"].channels
    tiles = np.repeat(np.arange(units, dtype=np.uint8), 8 * 8 * 3).reshape(units, 8, 8, 3)
    monkeypatch.setattr(atlas, "FOLDER", tmp_path)
    made = atlas.Sheet(resnet18.key, "layer1", units, 16, 8)
    Image.fromarray(sheet(tiles)).save(made.file, lossless=True)
    monkeypatch.setattr(atlas, "sheets", lambda: (made,))
    return made


def test_a_tile_is_that_of_its_unit(drawn_before):
    for unit in (0, 17, drawn_before.units - 1):
        tile = atlas.pixels(drawn_before.network, "layer1", unit)
        assert tile.shape == (8, 8, 3)
        assert (tile == unit).all()
    for layer, unit in (("layer1", -1), ("layer1", drawn_before.units), ("layer2", 0)):
        assert atlas.tile(drawn_before.network, layer, unit) is None
    assert atlas.tile("another", "layer1", 0) is None


def test_every_shipped_sheet_has_a_tile_for_each_unit():
    assert sum(each.units for each in atlas.sheets() if each.network == "alexnet") == 1152
    for each in atlas.sheets():
        size = Image.open(each.file).size
        assert size == (each.columns * each.side, each.rows * each.side)
        assert each.columns * (each.rows - 1) < each.units <= each.columns * each.rows
    assert sum(path.stat().st_size for path in atlas.FOLDER.iterdir()) < 12_000_000


@pytest.mark.slow
def test_the_page_shows_a_sheet_and_which_units_a_class_needs(resnet18, drawn_before, monkeypatch):
    monkeypatch.setattr(page, "STRONGEST", Strongest(lambda: references()[:8]))
    desk = Desk(TAB, resnet18)
    shown = desk.whole(desk.act("atlas"))["places"]["atlas"]
    link = f'href="?network={resnet18.key}&amp;layer=layer1&amp;unit='
    assert shown.count(link) == drawn_before.units
    asked = desk.whole(desk.act("atlas", needed="class 3"))["places"]["atlas"]
    assert "<b>class 3</b> needs most" in asked
    marked = re.findall(r'unit=(\d+)"[^>]*class="needed"', asked)
    first = re.findall(r'unit=(\d+)"', asked.partition("</ul>")[0])
    assert sorted(marked) == sorted(first)
    assert len(first) == 12
    other = desk.whole(desk.act("atlas", needed="class 4"))["places"]["atlas"]
    assert re.findall(r'unit=(\d+)"', other.partition("</ul>")[0]) != first


def test_a_network_without_sheets_has_no_atlas(resnet18):
    desk = Desk(TAB, resnet18)
    assert desk.whole(desk.act("atlas"))["places"]["atlas"] == ""
