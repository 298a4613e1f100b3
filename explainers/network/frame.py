"""Where on a photo a network's input lies, and from the one to the other and back.

All places are fractions: of the photo, or of the input. What a transform pads a photo with lies off
the photo, below 0 or above 1; of a mirrored photo left is greater than right, or top than bottom.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Frame = tuple[float, float, float, float]  # (left, top, right, bottom) of the input on the photo

ALL: Frame = (0.0, 0.0, 1.0, 1.0)
HAIR = 1e-6  # of a cell: what rounding leaves of one


def on_photo(place: tuple[float, float], frame: Sequence[float]) -> tuple[float, float]:
    """A place (x, y) of the input as one of the photo; of the padding, the nearest to it."""
    x, y, *_ = part((*place, *place), frame)
    return x, y


def part(box: Sequence[float], frame: Sequence[float]) -> Frame:
    """What the photo has of a box of the input."""
    left, right = _ordered(*(frame[0] + box[i] * (frame[2] - frame[0]) for i in (0, 2)))
    top, bottom = _ordered(*(frame[1] + box[i] * (frame[3] - frame[1]) for i in (1, 3)))
    return left, top, right, bottom


def seen(frame: Sequence[float]) -> Frame:
    """What of the photo the input shows."""
    return part(ALL, frame)


def in_input(box: Sequence[float], frame: Sequence[float]) -> Frame:
    """Where in the input a box of the photo lies, as far as it does."""
    left, right = _ordered(*((box[i] - frame[0]) / (frame[2] - frame[0]) for i in (0, 2)))
    top, bottom = _ordered(*((box[i] - frame[1]) / (frame[3] - frame[1]) for i in (1, 3)))
    return left, top, right, bottom


def share(frame: Sequence[float]) -> float:
    """How much of the input is photo, and no padding."""
    left, top, right, bottom = in_input(ALL, frame)
    return (right - left) * (bottom - top)


def shown(frame: Sequence[float], rows: int, columns: int) -> tuple[slice, slice]:
    """Of a grid over the input, the rows and the columns of which the photo has a part."""
    left, top, right, bottom = in_input(ALL, frame)
    return _slice(top, bottom, rows), _slice(left, right, columns)


def upright(frame: Sequence[float]) -> tuple[int, int]:
    """The steps, 1 or -1, of rows and columns that undo the mirroring."""
    return (1 if frame[1] < frame[3] else -1), (1 if frame[0] < frame[2] else -1)


def as_photo(values: np.ndarray, frame: Sequence[float]) -> np.ndarray:
    """Values (…, h, w) over the input, but for the padding, and as the photo is turned."""
    down, across = upright(frame)
    rows, columns = shown(frame, *values.shape[-2:])
    return np.ascontiguousarray(values[..., rows, columns][..., ::down, ::across])


def edges(frame: Sequence[float], size: tuple[int, int]) -> list[list[int]]:
    """Where the input lies on a picture of the photo of that size (W, H), or beyond it, in pixels:
    left and right, top and bottom."""
    at = [round(place * side) for place, side in zip(frame, size * 2, strict=True)]
    return [sorted(at[::2]), sorted(at[1::2])]


def as_mask(given: Any) -> Tensor:
    """A mask from any library, on whichever device, as a tensor of the processor's."""
    if isinstance(given, Tensor):
        return given.detach().cpu()
    return torch.as_tensor(np.asarray(given), device="cpu")


def cut(picture: Tensor, frame: Sequence[float]) -> Tensor:
    """A picture (h, w) of the photo as the input sees it, with zeros where that is padded."""
    height, width = picture.shape
    (left, right), (top, bottom) = edges(frame, (width, height))
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    picture = F.pad(picture, (-left, right - width, -top, bottom - height))
    mirrored = [axis for axis, step in enumerate(upright(frame)) if step < 0]
    return picture.flip(mirrored) if mirrored else picture


def _ordered(first: float, second: float) -> tuple[float, float]:
    """Both in order, and within 0..1."""
    low, high = sorted((min(max(first, 0.0), 1.0), min(max(second, 0.0), 1.0)))
    return low, high


def _slice(low: float, high: float, cells: int) -> slice:
    first = min(math.floor(low * cells + HAIR), cells - 1)
    return slice(first, max(math.ceil(high * cells - HAIR), first + 1))
