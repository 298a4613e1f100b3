"""Mosaics: their tiles, scales and colours."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from explainers import OptionError, render
from explainers.units.mosaic import mosaic, strengths


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (5, 3), (16, 4), (32, 8), (112, 14)])
def test_few_channels_fill_about_a_square_without_a_gap(count, columns):
    assert mosaic(np.zeros((count, 9, 9)), range(count), 640).columns == columns


@pytest.mark.slow
@pytest.mark.parametrize("count", [7, 200, 672])
def test_a_finger_finds_every_tile(count):
    for cells in range(1, 60):
        sheet = mosaic(np.zeros((count, max(1, cells * 2 // 3), cells)), range(count), 640)
        assert max(sheet.tile) >= 26
        assert sheet.values.shape[1] <= 640


def test_a_layer_has_one_scale_and_a_channel_its_own():
    values = np.zeros((3, 10, 10), np.float32)
    values[0, 0, 0], values[1, 2, 2], values[2, 5, 5] = 4, 2, -1
    one = strengths(values, "layer")
    assert one[0, 0, 0] == 1
    assert one[1, 2, 2] == pytest.approx(0.5, abs=0.01)
    assert one[2, 5, 5] == pytest.approx(-0.25, abs=0.01)
    each = strengths(values, "channel")
    assert [each[0, 0, 0], each[1, 2, 2], each[2, 5, 5]] == [1, 1, -1]
    bright = strengths(values, "layer", gain=2, gamma=0.5)
    assert bright[2, 5, 5] == pytest.approx(-np.sqrt(0.5), abs=0.01)
    for wrong in ({"per": "photo"}, {"gain": 0}, {"gamma": 99}, {"gain": float("nan")}):
        with pytest.raises(OptionError):
            strengths(values, **wrong)


def test_colours_of_a_mosaic_tell_sign_strength_and_border():
    shown = render.tones(np.array([0, 0.5, 1, -1, np.nan]), signed=True).astype(int)
    nothing, half, most, against, crack = shown
    assert nothing.max() < 8
    assert nothing.sum() < half.sum() < most.sum()
    assert most[0] > most[2]
    assert against[2] > against[0]
    assert not (crack == nothing).all()


def test_a_mosaic_with_a_palette_has_the_same_colours():
    values = np.random.default_rng(4).uniform(-1, 1, (40, 50)).astype(np.float32)
    values[::7] = np.nan
    for signed in (True, False):
        given = values if signed else np.abs(values)
        file = render.indexed_png(*render.indexed(given, signed))
        shown = np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).astype(int)
        assert np.abs(shown - render.tones(given, signed)).max() <= (3 if signed else 0)
        assert len(file) < given.size + 1500  # the palette
