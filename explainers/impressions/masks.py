"""Where the object is: the largest blob of a smoothed saliency map, as a soft mask."""

from __future__ import annotations

import cv2
import numpy as np

LEVEL = 0.35  # of the maximum: what is salient
SMOOTH = 0.05  # of the side: standard deviation of the blur before the threshold
SOFT = 0.04  # of the side: of the blur of the mask's edge


def blurred(saliency: np.ndarray, share: float) -> np.ndarray:
    """(H, W) smoothed with a Gaussian whose deviation is that share of the longer side."""
    sigma = max(share * max(saliency.shape), 0.3)
    return cv2.GaussianBlur(saliency.astype(np.float32), (0, 0), sigma)


def salient(saliency: np.ndarray) -> np.ndarray:
    """(H, W) bool: where the smoothed saliency is above `LEVEL` of its maximum."""
    smooth = blurred(saliency, SMOOTH)
    return smooth > LEVEL * max(float(smooth.max()), 1e-12)


def largest(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: the largest connected part (8 neighbours) of a mask; all False if it is."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2:
        return np.zeros_like(mask, dtype=bool)
    return labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())


def soft(saliency: np.ndarray) -> np.ndarray:
    """(H, W) float32 in 0..1: the largest salient part with a soft edge; ones where there is
    no saliency at all."""
    if not saliency.max() > 0:
        return np.ones(saliency.shape, np.float32)
    return blurred(largest(salient(saliency)), SOFT)


def concentration(saliency: np.ndarray) -> float:
    """The share of all saliency (H, W) that lies in its largest salient part: 1 for one object."""
    total = float(saliency.sum())
    return float(saliency[largest(salient(saliency))].sum()) / total if total > 0 else 0.0
