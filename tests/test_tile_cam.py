"""Grad-CAM of whole tissue tiles, the drawn canvases, and light on a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from explainers import mil, read, render
from explainers.errors import ExplainError
from explainers.mil.tiles import load_tiles, tile_cam

TISSUE = Path(__file__).parent.parent / "assets/tissue"


def test_grad_cam_of_a_tile_is_that_of_its_gradient(lite0):
    pixels = read(TISSUE / "half.jpg").pixels[:224, -224:]
    found = tile_cam(lite0, pixels)
    weight, bias = load_tiles()
    x = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float() / 255
    maps = lite0.module.forward_features((x - lite0.mean) / lite0.std).detach().requires_grad_()
    logit = maps.mean((2, 3)) @ weight + bias
    (gradient,) = torch.autograd.grad(logit.sum(), maps)
    expected = (gradient.mean((2, 3), keepdim=True) * maps).sum(1)
    torch.testing.assert_close(found.values, expected.detach(), rtol=1e-4, atol=1e-5)
    assert float(found.probabilities[0]) == pytest.approx(logit.sigmoid().item(), abs=1e-4)


def test_another_network_or_missing_weights_are_refused(resnet18, tmp_path):
    with pytest.raises(ExplainError, match="EfficientNet-Lite0"):
        tile_cam(resnet18, np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(ExplainError, match="missing or damaged"):
        load_tiles(tmp_path / "tiles.safetensors")


def test_the_shipped_benign_drawing_reads_as_benign(lite0):
    *_, last = mil.attend(mil.load_amil(), lite0, read(TISSUE / "benign.jpg").pixels)
    assert last.probability < 0.5


def test_light_is_brightness_and_what_was_not_read_is_grey():
    picture = np.full((20, 40, 3), (200, 100, 50), np.uint8)
    light = np.array([[1.0, 0.5, 0.0, np.nan]])
    shown = render.lit(picture, light)
    assert shown[0, [0, 10, 20]].tolist() == [[200, 100, 50], [100, 50, 25], [0, 0, 0]]
    assert len(set(shown[0, 39].tolist())) == 1
    assert 0 < shown[0, 39, 0] < 100


def test_two_pictures_on_one_scale():
    attention, weighted = np.array([0.6, 0.4]), np.array([0.3, 0.04])
    for rule in ("percentile", "author"):
        lit = mil.brightness(weighted, rule, 0.0, strong=100, like=attention)
        assert lit == pytest.approx(weighted / 0.6)
