"""Two networks, one photo: maps on one scale, and whom the deletion curve favours."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from explainers import Explanation, render
from explainers.errors import OptionError
from explainers.photo import read
from explainers.scores.faithfulness import Curve, Scores
from explainers.scores.pair import support

PHOTO = read(np.full((60, 80, 3), 128, np.uint8))


def explained(values: torch.Tensor, method: str = "gradcam", **more) -> Explanation:
    chances = torch.tensor([0.5, 0.5])
    facts = {"targets": (0,), "logits": chances, "probabilities": chances, "layer": "last"}
    return Explanation(method, values[None], **{**facts, "frame": (0, 0, 1, 1), **more})


def test_a_finer_grid_is_not_paler_and_a_planted_change_is_where_it_was_planted():
    coarse = torch.zeros(3, 4)
    coarse[1, 1] = 1.0
    fine = coarse.repeat_interleave(2, 0).repeat_interleave(2, 1) / 4  # as many logits in all
    pair = render.pair(PHOTO, explained(coarse), explained(fine))
    middle = (30, 30)  # inside that cell
    assert pair.before[middle] == pytest.approx(12, rel=0.1)
    assert pair.after[middle] == pytest.approx(12, rel=0.1)
    moved = coarse.clone()
    moved[2, 3] = 2.0
    pair = render.pair(PHOTO, explained(coarse), explained(moved))
    assert pair.top == pytest.approx(24, rel=0.05)
    (x, y), _ = pair.moved
    assert x > 0.75
    assert y > 0.66
    before, after, change = pair.drawn()
    assert np.ptp(after.astype(int), axis=2)[50, 70] > np.ptp(before.astype(int), axis=2)[50, 70]
    red, _, blue = change[50, 70].astype(int)
    assert red > blue + 100  # gained: orange
    lost = render.pair(PHOTO, explained(moved), explained(coarse)).drawn()[2]
    red, _, blue = lost[50, 70].astype(int)
    assert blue > red + 60


def test_mean_scores_are_as_they_are_and_what_a_network_never_saw_has_no_change():
    values = torch.full((3, 4), 0.25)
    values[0, 0] = 0.75
    left = explained(values, "occlusion")
    right = explained(torch.ones(6, 8), "occlusion")
    assert render.pair(PHOTO, left, right).top == 1
    half = explained(values, "occlusion", frame=(0, 0, 0.5, 1))
    pair = render.pair(PHOTO, half, right)
    assert np.isnan(pair.change[:, 40:]).all()
    assert np.isfinite(pair.change[:, :40]).all()
    assert (pair.drawn()[0][:, 40:] < 80).all()  # dimmed
    with pytest.raises(OptionError, match="one method"):
        render.pair(PHOTO, left, explained(values))


def curves(*left: float) -> list[Scores]:
    """Scores whose deletion keeps that share of a start of 0.5."""
    fractions = (0.0, 1.0)
    flat = Curve(fractions, (0.5, 0.5))
    return [Scores(Curve(fractions, (0.5, 0.5 * (2 * each - 1))), flat) for each in left]


def side(score: float, again: float) -> SimpleNamespace:
    pair = curves(score, again)
    return SimpleNamespace(
        maps={"gradcam": SimpleNamespace(per_pixel=False)},
        scores={"gradcam": pair[0]},
        again={"gradcam": pair[1]},
        orders={False: curves(0.81, 0.79)},
        orders_again={False: curves(0.80, 0.80)},
    )


def test_the_deletion_curve_favours_who_falls_sooner_beyond_noise():
    found = support(side(0.7, 0.7), side(0.4, 0.41), "gradcam")
    assert found.leads == pytest.approx((0.1, 0.4))
    assert found.best == 1
    assert not found.weak
    tie = support(side(0.7, 0.7), side(0.69, 0.69), "gradcam")
    assert tie.best is None
    assert support(side(0.8, 0.8), side(0.3, 0.3), "gradcam").weak == [0]
    noisy = support(side(0.7, 0.3), side(0.4, 0.8), "gradcam")
    assert noisy.best is None  # a repetition changes more than that
    half = side(0.7, 0.7)
    half.again = {}
    assert support(half, side(0.4, 0.4), "gradcam") is None
