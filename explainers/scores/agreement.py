"""How alike two maps are: the rank correlation of their values."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from ..explanation import Explanation
from .faithfulness import strength

SHARES = 28  # cells along the shorter side at which maps of one photo are compared


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's, of maps of one shape: 1 for the same order, 0 for none, -1 for the reverse; 0 if
    either is constant."""
    a, b = (_average_ranks(each.flatten()) for each in (a, b))
    a, b = a - a.mean(), b - b.mean()
    spread = float(a.norm() * b.norm())
    return float(a @ b) / spread if spread else 0.0


def _average_ranks(values: Tensor) -> Tensor:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, count = values.unique(return_inverse=True, return_counts=True)
    return (count.cumsum(0) - (count - 1) / 2).double()[inverse]


def agreement(
    explanations: Sequence[Explanation], size: tuple[int, int], row: int = 0
) -> list[list[float]]:
    """Rank correlation of each map with each, on cells of about 1/28 of the shorter side.

    size: (H, W) of the input. Cells, since maps of single pixels and of large blobs can only be
    compared at a scale that both have.
    """
    scale = SHARES / min(size)
    cells = tuple(max(1, round(side * scale)) for side in size)
    pooled = [
        F.interpolate(strength(each, row, size)[None, None], cells, mode="area")[0, 0]
        for each in explanations
    ]
    return [[rank_correlation(a, b) for b in pooled] for a in pooled]
