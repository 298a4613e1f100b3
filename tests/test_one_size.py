"""A network that takes inputs of one size alone, maybe no square, where others are shown others."""

from __future__ import annotations

import cv2
import pytest
import torch
from torch import nn

from explainers import Network, Photo, impressions
from explainers.errors import OptionError
from explainers.impressions import goals, impression
from explainers.impressions.knobs import Knobs
from explainers.mil.scores import patch_scores
from tests import nets


def flattens(height: int, width: int) -> nn.Module:
    """Takes inputs of that size alone."""
    trunk = nn.Sequential(nn.Conv2d(3, 6, 3, 4, 1), nn.ReLU(), nn.Flatten())
    return trunk.append(nn.Linear(6 * (height // 4) * (width // 4), 4))


def last(network: Network, goal: goals.Goal, knobs: Knobs) -> impression.Impression:
    *_, found = impressions.draw(network, [goal], knobs)
    return found[0]


def test_a_network_of_one_size_is_drawn_for_at_that_size(resnet18: Network):
    network = nets.wrap(flattens(64, 64), classes=4)
    for goal in (goals.of_class(network, 3), goals.of_unit(network, network.last, 2)):
        drawn = last(network, goal, Knobs(steps=2, start=32))
        assert drawn.values.shape == (3, 64, 64)
        with pytest.raises(OptionError, match="64 by 64 pixels alone, and this would be a square"):
            last(network, goal, Knobs(steps=2, size=48, start=32))
    wide = nets.wrap(flattens(48, 96), classes=4, size=(48, 96))
    with pytest.raises(OptionError, match=r"96 by 48 pixels alone.*: choose another network"):
        last(wide, goals.of_class(wide, 3), Knobs(steps=2))
    assert impression.as_input(wide, drawn.values[None]).shape == (1, 3, 48, 96)
    assert impression.as_input(resnet18, drawn.values[None]).shape[2:] == (resnet18.size,) * 2


def test_patches_are_shown_to_it_at_that_size(photo: Photo):
    wide = nets.wrap(flattens(48, 96), classes=4, size=(48, 96))
    *_, found = patch_scores(wide, photo.pixels, 1, 112)
    corner = cv2.resize(found.grid.patches[0], (96, 48), interpolation=cv2.INTER_AREA)
    with torch.no_grad():
        x = wide.normalised(torch.tensor(corner / 255, dtype=torch.float32).permute(2, 0, 1)[None])
        theirs = wide.module(x).softmax(1)[0]
    assert found.all_probabilities[0] == pytest.approx(theirs.numpy(), abs=1e-5)
