"""Pictures of other than three channels, such as near infrared beside red, green and blue."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from PIL import Image

from ..errors import PhotoError, sized
from .arrays import as_array
from .depth import INSTRUMENTS
from .reading import DIM, MAX_SIDE, MIN_SIDE, Photo

WHITE = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0, np.dtype(np.bool_): 1.0}
#: What their highest value is not below, unless they are dark or have another white.
BRIGHT = {np.dtype(np.uint8): DIM, np.dtype(np.uint16): INSTRUMENTS[-1]}


def bands(source: Any, channels: int) -> Photo:
    """A `Photo` of an array or tensor (H, W, C) or (C, H, W), or of a Pillow image of C bands.

    uint8, uint16 and booleans are brought to 0..1, floats are taken as they are. Raises PhotoError.
    """
    notes: list[str] = []
    found = _floats(as_array(source, notes), notes)
    if found.ndim == 3 and found.shape[2] != channels == found.shape[0]:
        found = np.moveaxis(found, 0, 2)
    if found.ndim != 3 or found.shape[2] != channels:
        raise PhotoError(
            f"An array of {sized(found.shape)} is no picture of {channels} channels; give one of "
            f"height × width × {channels}, or {channels} × height × width."
        )
    if min(found.shape[:2]) < MIN_SIDE:
        raise PhotoError(f"The picture is too small: each side has {MIN_SIDE} pixels at least.")
    if not np.isfinite(found).all():
        raise PhotoError("The array holds NaN or infinite values; replace them and try again.")
    height, width = found.shape[:2]
    scale = min(1.0, MAX_SIDE / max(height, width))
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        layers = (Image.fromarray(np.ascontiguousarray(found[..., i])) for i in range(channels))
        found = np.dstack([np.asarray(each.resize(size, Image.Resampling.BOX)) for each in layers])
    content = np.ascontiguousarray(found, np.float32).tobytes()
    digest = hashlib.sha256(repr(found.shape).encode() + content).hexdigest()
    kept = np.frombuffer(content, np.float32).reshape(found.shape)
    return Photo(_glimpse(kept), digest, (width, height), tuple(notes), bands=kept)


def _floats(found: np.ndarray, notes: list[str]) -> np.ndarray:
    if np.issubdtype(found.dtype, np.floating):
        return found.astype(np.float32)
    if found.dtype not in WHITE:
        raise PhotoError(
            f"An array of {found.dtype} names no white of its own; give uint8, uint16 or floats."
        )
    white, high = WHITE[found.dtype], found.max(initial=0)
    if high < BRIGHT.get(found.dtype, 0):
        notes.append(
            f"Its highest value is {high}, and {white:.0f} was taken for white: if they have "
            "another one, as reflectances and 12 bits do, give floats that were divided by it."
        )
    return found.astype(np.float32) / np.float32(white)


def _glimpse(found: np.ndarray) -> np.ndarray:
    """What people can see of it: its first three channels as colours, or its first one in grey."""
    shown = found[..., :3] if found.shape[2] >= 3 else found[..., :1].repeat(3, 2)
    low, high = float(shown.min()), float(shown.max())
    if low < 0 or high > 1:
        shown = (shown - low) / max(high - low, 1e-12)
    content = np.rint(shown * 255).astype(np.uint8).tobytes()
    return np.frombuffer(content, np.uint8).reshape(shown.shape)
