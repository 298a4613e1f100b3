"""Kernels, their colour, orientation and frequency; Gabors that are, and chance that is not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from explainers import OptionError, filters
from explainers.filters import gabor
from explainers.units import mosaic
from tests import nets


def wave(angle: float, frequency: float, size: int = 11, phase: float = 0.3) -> np.ndarray:
    """A plane whose stripes change along `angle` (degrees, counterclockwise)."""
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    turn = np.radians(angle)
    return np.cos(2 * np.pi * frequency * (columns * np.cos(turn) - rows * np.sin(turn)) + phase)


def synthetic(count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Gabor planes of every phase, and their orientations in degrees."""
    random = np.random.default_rng(seed)
    params = np.stack(
        [
            random.uniform(0, np.pi, count),
            random.uniform(2.5, size, count),
            random.uniform(size / 6, size / 3, count),
            random.uniform(size / 6, size / 2.5, count),
            random.uniform(-size / 7, size / 7, count),
            random.uniform(-size / 7, size / 7, count),
        ],
        1,
    )
    even, odd = gabor.waves(params, size)
    phase = random.uniform(0, 2 * np.pi, (count, 1))
    planes = (np.cos(phase) * even + np.sin(phase) * odd).reshape(count, size, size)
    return planes, np.degrees(params[:, 0])


def apart(a: float, b: float) -> float:
    """Degrees between two orientations."""
    return abs((a - b + 90) % 180 - 90)


@pytest.mark.slow
@pytest.mark.parametrize("size", [7, 11])
def test_synthetic_gabors_are_recovered(size):
    planes, angles = synthetic(24, size, seed=5)
    for plane, angle, found in zip(planes, angles, gabor.fit(planes), strict=True):
        assert found.r2 > 0.99
        assert apart(found.orientation, angle) < 3
        spread = ((plane - plane.mean()) ** 2).sum()
        assert 1 - ((plane - found.plane) ** 2).sum() / spread == pytest.approx(found.r2)


def test_the_scores_of_colour_filters_are_those_of_their_planes():
    planes, angles = synthetic(4, 7, seed=6)
    colour = np.array([0.2, -0.7, 0.5])[:, None, None]
    kernels = (colour * planes[:, None]).astype(np.float32)
    for angle, found in zip(angles, gabor.scores(kernels), strict=True):
        assert found.r2 > 0.99
        assert apart(found.orientation, angle) < 3


@cache
def null(size, count=80, seed=0):
    """Sorted R squared of random filters."""
    return np.sort([each.r2 for each in gabor.scores(gabor.noise(size, 3, count, seed), seed)])


@pytest.mark.slow
def test_chance_is_high_for_small_kernels_and_known_for_each_size():
    three, seven = null(3), null(7)
    assert np.median(three) > 0.75
    assert 0.2 < np.median(seven) < 0.45
    assert np.percentile(seven, 95) < 0.6
    some = [null.__wrapped__(7, 40, seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(some[0], some[1])
    assert not np.array_equal(some[0], some[2])
    assert np.median(some[2]) == pytest.approx(np.median(seven), abs=0.06)


@pytest.mark.slow
def test_a_claim_needs_large_kernels_and_more_than_chance():
    planes, _ = synthetic(20, 7, seed=7)
    noise = np.random.default_rng(8).normal(size=(40, 7, 7))
    chance = null(7)
    found = gabor.verdict(gabor.fit(planes), chance, 7)
    assert found.claim
    assert found.above == 20
    assert gabor.verdict(gabor.fit(noise), chance, 7).above <= 8
    small = gabor.fit(np.random.default_rng(9).normal(size=(8, 3, 3)))
    assert not gabor.verdict(small, null(3), 3).claim
    with pytest.raises(OptionError, match="square"):
        gabor.fit(np.zeros((1, 3, 5)))
    flat = gabor.fit(np.zeros((1, 7, 7)))[0]
    assert np.isfinite([flat.r2, flat.orientation]).all()


def test_colour_and_plane_by_singular_values():
    plane = wave(30, 0.2, 7)
    colour = np.array([0.8, 0.6, 0.0])
    parts = filters.separate(colour[:, None, None] * plane)
    assert parts.share == pytest.approx(1)
    np.testing.assert_allclose(parts.colour, colour, atol=1e-6)
    np.testing.assert_allclose(parts.plane, plane, atol=1e-6)
    kernel = np.zeros((3, 2, 2))
    kernel[0, 0, 0], kernel[1, 1, 1] = 2, 1  # two products: energies 4 and 1
    assert filters.separate(kernel).share == pytest.approx(0.8)


@pytest.mark.parametrize("angle", [0, 30, 45, 90, 120, 165])
@pytest.mark.parametrize("frequency", [0.15, 0.3])
def test_orientation_and_frequency(angle, frequency):
    found, cycles = filters.tuning(wave(angle, frequency, 15))
    assert apart(found, angle) < 6
    assert cycles == pytest.approx(frequency, abs=0.03)


def test_sorting():
    angles, sizes = [90, 0, 45, 135], [0.1, 0.4, 0.3, 0.2]
    planes = [wave(a, f, 15) for a, f in zip(angles, sizes, strict=True)]
    kernels = np.stack([np.stack([plane] * 3) for plane in planes])
    assert filters.order(kernels, "index") == [0, 1, 2, 3]
    assert filters.order(kernels, "frequency") == [0, 3, 2, 1]
    found = filters.order(kernels, "orientation")
    assert found[1:] == [2, 0, 3] or found[:3] == [2, 0, 3]  # 0 degrees is also 180
    with pytest.raises(OptionError):
        filters.order(kernels, "beauty")


def test_the_response_is_the_convolution(resnet18, photo):
    view = resnet18.prepare(photo)
    conv = next(iter(filters.convolutions(resnet18).values()))
    assert (conv.first, conv.kernel, conv.filters) == (True, (7, 7), 64)
    kernel = filters.weights(resnet18, conv.name)[5:6]
    expected = torch.nn.functional.conv2d(view.tensor, kernel, stride=2, padding=3)[0, 0]
    found = filters.response(resnet18, view, conv, 5)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    deeper = list(filters.convolutions(resnet18).values())[3]
    with pytest.raises(OptionError, match="first convolution"):
        filters.response(resnet18, view, deeper, 0)
    with pytest.raises(OptionError, match="0 to 63"):
        filters.response(resnet18, view, conv, 64)


def test_slices_come_strongest_first(resnet18):
    name, conv = list(filters.convolutions(resnet18).items())[6]
    kernels = filters.weights(resnet18, name).numpy()
    found = filters.slices(kernels, 4, 10)
    norms = np.linalg.norm(kernels[4].reshape(conv.inputs, -1), axis=1)
    assert [each[0] for each in found] == np.argsort(-norms)[:10].tolist()
    np.testing.assert_array_equal(found[0][1], kernels[4, found[0][0]])
    energy = np.sort(norms**2)[::-1]
    half = filters.half(kernels, 4)
    assert energy[:half].sum() >= energy.sum() / 2 > energy[: half - 1].sum()


def test_which_channel_a_depthwise_filter_reads(lite0):
    known = filters.convolutions(lite0)
    depthwise = next(conv for conv in known.values() if conv.inputs == 1)
    assert filters.first_input(lite0, depthwise, 7) == 7
    first = next(iter(known.values()))
    assert first.first
    assert first.kernel == (3, 3)


def test_the_grid_of_filters_shows_their_weights():
    kernels = np.random.default_rng(3).normal(size=(6, 3, 7, 7)).astype(np.float32)
    kernels[2] *= 0.1
    order = [5, 2, 0, 1, 3, 4]
    for shared in (False, True):
        sheet = mosaic.kernels(kernels, order, 400, shared=shared)
        for place, index in enumerate(order):
            top, left = sheet.corner(place)
            step = sheet.tile[0] // 7
            tile = sheet.values[
                top : top + sheet.tile[0] : step, left : left + sheet.tile[1] : step
            ]
            scale = np.abs(kernels).max() if shared else np.abs(kernels[index]).max()
            np.testing.assert_allclose(tile, kernels[index].transpose(1, 2, 0) / scale, atol=1e-6)


@nets.each_network
def test_every_networks_convolutions_can_be_listed(entry):
    found = filters.convolutions(nets.like(entry))
    assert next(iter(found.values())).first
    assert {conv.inputs for conv in found.values() if conv.first} == {3}
