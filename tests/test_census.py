"""What a layer's filters are tuned to, and AlexNet's real ones: Gabor filters, beyond chance."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from explainers.filters import gabor
from explainers.filters.census import arranged, census, table, traits
from explainers.zoo.first import first_kernels

ANGLES = (20, 65, 110, 155)


def filters() -> np.ndarray:
    """Four black and white Gabors, a coloured one, a blob, and noise: (7, 3, 11, 11)."""
    params = [[np.radians(a), 4, 2.5, 2.5, 0, 0] for a in ANGLES]
    params += [[np.radians(90), 8, 3, 3, 0, 0], [0, 60, 1.5, 1.5, 0, 0]]
    even, odd = gabor.waves(np.array(params, float), 11)
    planes = (even + 0.3 * odd).reshape(-1, 1, 11, 11)
    colours = np.array([[1, 1, 1]] * 4 + [[1, -0.5, -0.5], [1, 1, 1]], float)[:, :, None, None]
    noise = np.random.default_rng(3).normal(size=(1, 3, 11, 11))
    return np.concatenate([planes * colours, noise]).astype(np.float32)


def test_orientation_frequency_and_colour_of_each_filter_and_of_all() -> None:
    kernels = filters()
    found = traits(kernels, gabor.scores(kernels))
    assert [each.gabor for each in found] == [True] * 6 + [False]
    assert [each.oriented for each in found[:6]] == [True] * 5 + [False]
    assert [each.coloured for each in found[:6]] == [False] * 4 + [True, False]
    for each, angle in zip(found, (*ANGLES, 90), strict=False):
        assert abs(each.orientation - angle) < 6
    assert [each.frequency for each in found[:5]] == pytest.approx([0.25] * 4 + [0.125], abs=0.03)
    seen = census(found)
    assert (seen.gabors, seen.oriented, seen.coloured) == (6, 5, 1)
    assert seen.gap == pytest.approx(45, abs=8)
    assert arranged(found) == [0, 1, 4, 2, 3, 5, 6]
    assert census(found[5:]).gap == 180


def test_the_table_has_a_row_for_each_filter_with_its_ranks_in_chance() -> None:
    kernels = filters()
    *_, compared = gabor.compare(kernels, count=8)
    found = traits(kernels, compared.fits)
    rows = list(csv.DictReader(io.StringIO(table(found, compared))))
    assert [row["gabor"] for row in rows] == ["1"] * 6 + ["0"]
    assert [float(row["r2"]) for row in rows] == pytest.approx([e.r2 for e in found], rel=1e-3)
    assert float(rows[0]["rank_random"]) == 1
    assert float(rows[6]["rank_random"]) == np.mean(compared.null < found[6].r2)


def test_shuffling_keeps_a_filters_values_and_colours_and_loses_its_shape() -> None:
    kernels = filters()[:6]
    mixed = gabor.shuffled(kernels, count=9)
    assert mixed.shape == (9, 3, 11, 11)
    for i, each in enumerate(mixed):
        pixels, before = (set(map(tuple, k.reshape(3, -1).T)) for k in (each, kernels[i % 6]))
        assert pixels == before
    assert max(each.r2 for each in gabor.scores(mixed)) < 0.6


@pytest.mark.slow
def test_most_of_alexnets_filters_are_gabor_filters_and_none_of_chance() -> None:
    kernels = first_kernels("alexnet")
    assert kernels.shape == (64, 3, 11, 11)
    *_, found = gabor.compare(kernels, count=24)
    result = gabor.verdict(found.fits, found.null, 11, found.shuffled)
    assert result.claim
    assert result.good > 32
    assert (result.lucky, result.tried) == (0, 48)
    seen = census(traits(kernels, found.fits))
    assert seen.gap < 20  # all round
    assert 0 < seen.coloured < seen.gabors / 2
