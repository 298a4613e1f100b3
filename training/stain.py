"""What a slide's stain and scanner do to a tile: shifting it at random, and taking it out again."""

from __future__ import annotations

import cv2
import numpy as np

# Optical density of haematoxylin, eosin and DAB in R, G, B (Ruifrok and Johnston 2001).
HED = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], dtype=np.float32)
UNMIX = np.linalg.inv(HED)
TISSUE = 90  # lightness in CIELAB above which a pixel is bare glass


def shift(tile: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """A tile (H, W, 3) uint8 as another laboratory might have stained and scanned it.

    Each stain's amount is scaled and offset in optical density, then hue (to 20 degrees at strength
    0.25), saturation, contrast and brightness are drawn: all uniform and in proportion to
    `strength`, 0.15 being a visible and 0.25 a gross change.
    """
    s = strength
    stains = -np.log((tile.astype(np.float32) + 1) / 256) @ UNMIX
    stains = stains * rng.uniform(1 - s, 1 + s, 3) + rng.uniform(-s, s, 3) * 0.2
    mixed = np.clip(256 * np.exp(-(stains @ HED)) - 1, 0, 255).astype(np.uint8)
    hsv = cv2.cvtColor(mixed, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-s, s) * 40) % 180  # OpenCV's hue is in 2 degrees
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(1 - 1.5 * s, 1 + 1.5 * s), 0, 255)
    rgb = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB).astype(np.float32)
    rgb = (rgb - 128) * rng.uniform(1 - s, 1 + s) + 128 + 128 * rng.uniform(-s, s)
    return np.clip(rgb, 0, 255).astype(np.uint8)


def tint(tile: np.ndarray) -> np.ndarray:
    """Mean and spread of the tissue's CIELAB values, (2, 3): what `match` carries over."""
    lab = cv2.cvtColor(tile.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    tissue = lab[lab[..., 0] < TISSUE]
    tissue = tissue if len(tissue) > tile.size / 300 else lab.reshape(-1, 3)
    return np.stack([tissue.mean(0), tissue.std(0)])


def match(tile: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The tile in the tint of `reference` (from `tint`); bare glass keeps its white.

    Reinhard et al. 2001, with mean and spread taken over tissue alone, so that a tile with a wide
    lumen is not tinted by its white.
    """
    lab = cv2.cvtColor(tile.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    mean, spread = tint(tile)
    matched = (lab - mean) / np.maximum(spread, 1) * reference[1] + reference[0]
    glass = np.clip((lab[..., :1] - TISSUE + 2) / 8, 0, 1)
    rgb = cv2.cvtColor((matched * (1 - glass) + lab * glass).astype(np.float32), cv2.COLOR_LAB2RGB)
    return np.clip(rgb * 255, 0, 255).astype(np.uint8)


def turn(patch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One of the eight turns and flips of a patch."""
    patch = np.rot90(patch, rng.integers(4))
    return patch[:, ::-1] if rng.integers(2) else patch
