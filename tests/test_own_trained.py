"""A network that the test trains on drawn shapes: its maps find the shape, or its shortcut."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from explainers import Explanation, explain, wrap
from explainers.own import Own

SIDE, SHAPE, MARK = 48, 14, 6  # pixels: of the drawing, of the shape, of the corner's mark
CLASSES = ["disc", "cross"]


def drawings(count: int, *, marked: bool, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """(N, 3, 48, 48) in 0..1: a disc (0) or a cross (1) on noise, somewhere, in some colour; where
    it starts (N, 2); and which it is. marked: every cross has a white mark in the upper left."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(count, 3, SIDE, SIDE, generator=generator) * 0.4
    classes = torch.arange(count) % 2
    at = torch.randint(MARK + 2, SIDE - SHAPE, (count, 2), generator=generator)
    y, x = torch.meshgrid(*(torch.arange(SHAPE) - (SHAPE - 1) / 2,) * 2, indexing="ij")
    masks = torch.stack([x**2 + y**2 <= (SHAPE / 2) ** 2, (x.abs() < 2.5) | (y.abs() < 2.5)])
    colours = 0.5 + 0.5 * torch.rand(count, 3, 1, generator=generator)
    for photo, (row, column), which, colour in zip(pixels, at, classes, colours, strict=True):
        photo[:, row : row + SHAPE, column : column + SHAPE][:, masks[which]] = colour
        if marked and which == 1:
            photo[:, 1 : 1 + MARK, 1 : 1 + MARK] = 1
    return pixels, at, classes


@cache
def trained(*, marked: bool) -> Own:
    """A small network that tells discs from crosses, and its own share of right answers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = nn.Sequential(
            nn.Conv2d(3, 12, 5, 2, 2), nn.BatchNorm2d(12), nn.ReLU(),
            nn.Conv2d(12, 16, 5, 2, 2), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(16, 2),
        )  # fmt: skip
        photos, _, classes = drawings(512, marked=marked, seed=2)
        optimiser = torch.optim.Adam(module.parameters(), 0.01)
        for _epoch in range(6):
            for some in torch.randperm(512).split(64):
                loss = nn.functional.cross_entropy(
                    module((photos[some] - 0.5) / 0.25), classes[some]
                )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    return wrap(module, CLASSES, mean=0.5, std=0.25, size=SIDE)


def inside(found: Explanation, top: float, left: float, side: int, slack: int = 4) -> bool:
    """Is the map's peak within a square of the drawing, or a cell of the map beside it?"""
    x, y = (each * SIDE for each in found.peak())
    return left - slack <= x <= left + side + slack and top - slack <= y <= top + side + slack


#: A middle-grey window would be brighter than the ground, and so a shape of its own.
MUTED = {"window": 8, "stride": 4, "baseline": "mean"}
METHODS = {"gradcam": {}, "hirescam": {}, "occlusion": MUTED}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradcam", "hirescam"])  # muting: 33 of 40 drawings
def test_the_maps_of_a_trained_network_find_the_shape(method):
    network, (photos, at, classes) = trained(marked=False), drawings(10, marked=False, seed=9)
    for photo, place, which in zip(photos, at.tolist(), classes.tolist(), strict=True):
        found = explain(network, photo, CLASSES[which], method, **METHODS[method])
        assert int(found.probabilities.argmax()) == which
        assert inside(found, *place, SHAPE)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_mark_in_the_corner_that_gives_the_class_away_is_found(method):
    network = trained(marked=True)
    photos, at, _ = drawings(10, marked=True, seed=9)
    plain, _, _ = drawings(10, marked=False, seed=9)
    for photo, without, place in zip(photos[1::2], plain[1::2], at[1::2].tolist(), strict=True):
        found = explain(network, photo, "cross", method, **METHODS[method])
        assert found.probabilities[1] > 0.5 > explain(network, without, "cross").probabilities[1]
        assert inside(found, 1, 1, MARK)
        assert not inside(found, *place, SHAPE)
