"""Raw, signed maps as strengths that can be coloured."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from ..explanation import Explanation

Scale = Literal["each", "shared"]
STRONG = 99.5  # per cent: a few glaring pixels must not darken all others


def signed(explanation: Explanation) -> bool:
    """Contrastive maps show both signs; others show evidence for the class only."""
    return explanation.against is not None and not explanation.per_pixel


def heat(explanation: Explanation, scale: Scale = "each") -> np.ndarray:
    """Strengths (K, h, w) in 0..1, or -1..1 for a contrastive map.

    Maps lose what speaks against the class (the ReLU of the Grad-CAM paper); per-pixel values
    become the largest magnitude over the colours. scale: "each" map by its own maximum, or
    "shared" by the largest of them all, so that classes can be compared.
    """
    values = explanation.values.numpy()
    if explanation.per_pixel:
        values = np.abs(values).max(axis=1)
        top = np.percentile(values, STRONG, axis=(1, 2))
    else:
        values = values if signed(explanation) else np.maximum(values, 0)
        top = np.abs(values).max(axis=(1, 2))
    if scale == "shared":
        top = np.full_like(top, top.max())
    return np.clip(values / np.maximum(top, 1e-12)[:, None, None], -1, 1)


def from_lowest(explanation: Explanation) -> Explanation:
    """Maps without a zero of their own, such as RISE's mean scores, from their lowest value on."""
    if signed(explanation):
        return explanation
    lowest = explanation.values.flatten(1).amin(1)[:, None, None]
    return replace(explanation, values=explanation.values - lowest)


def strongest(explanation: Explanation, row: int) -> float:
    """The magnitude at which one map is drawn at full strength."""
    values = explanation.values[row].numpy()
    if explanation.per_pixel:
        return float(np.percentile(np.abs(values), STRONG))
    values = values if signed(explanation) else np.maximum(values, 0)
    return float(np.abs(values).max())


def see_through(share: np.ndarray) -> np.ndarray:
    """Opacity 0..1 of strengths -1..1 laid over a photo: weak places are nearly see-through."""
    return 0.08 + 0.92 * np.abs(share) ** 0.8
