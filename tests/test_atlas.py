"""The atlas: a tile depends on its unit alone, and silent units can be drawn."""

from __future__ import annotations

import torch
from torch import nn

from explainers.impressions.drawing import Drawing
from explainers.impressions.goals import Units, of_unit
from explainers.impressions.knobs import Knobs
from tests import nets


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
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    with torch.no_grad():
        module[0].bias.fill_(-9.0)
    network = nets.wrap(module, classes=2, size=32)
    knobs = Knobs(steps=4, size=32, start=32, tv=0, grey=0)
    first = Drawing(network, of_unit(network, network.last, 1), knobs).picture()
    assert (drawn(network, of_unit(network, network.last, 1), knobs) - first).abs().max() > 0.05
