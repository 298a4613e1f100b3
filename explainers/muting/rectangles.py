"""Rectangles cut out of maps and put back: a window each, at all rows times all columns."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import torch
from torch import Tensor

Starts = tuple[np.ndarray, int]  # of rectangles along an axis, and their length


def gather(source: Tensor, rows: Starts, cols: Starts) -> Tensor:
    """Rectangles of one map (H, W, C) at all (row starts, length) x (column starts, length)."""
    (tops, height), (lefts, width) = rows, cols
    rows_of, cols_of, channels = source.stride()
    views = source.as_strided(
        (source.shape[0] - height + 1, source.shape[1] - width + 1, height, width, source.shape[2]),
        (rows_of, cols_of, rows_of, cols_of, channels),
    )
    at = torch.as_tensor(tops, device="cpu")[:, None], torch.as_tensor(lefts, device="cpu")[None, :]
    return views[at]


def _runs(offsets: np.ndarray) -> list[tuple[slice, int]]:
    """Neighbours with equal offsets, as (slice of windows, offset)."""
    runs, at = [], 0
    for offset, same in groupby(offsets.tolist()):
        n = len(list(same))
        runs.append((slice(at, at + n), offset))
        at += n
    return runs


def _overlap(offset: int, length: int, room: int) -> tuple[slice, slice]:
    """Where a span put at `offset` into `room` lands, and which part of it that is."""
    start, stop = max(offset, 0), max(min(offset + length, room), max(offset, 0))
    return slice(start, stop), slice(start - offset, stop - offset)


def paste(into: Tensor, patch: Tensor, down: np.ndarray, right: np.ndarray) -> None:
    """Write patches (rows, columns, h, w, C) into maps (rows, columns, H, W, C), those of each
    window at its own offsets down (rows,) and right (columns,), cropping what sticks out."""
    for rows, y in _runs(down):
        to_y, from_y = _overlap(y, patch.shape[2], into.shape[2])
        for cols, x in _runs(right):
            to_x, from_x = _overlap(x, patch.shape[3], into.shape[3])
            into[rows, cols, to_y, to_x] = patch[rows, cols, from_y, from_x]


def nchw(patches: Tensor) -> Tensor:
    """Patches (rows, columns, h, w, C) as a batch (rows * columns, C, h, w)."""
    return patches.flatten(0, 1).permute(0, 3, 1, 2)


def nhwc(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    """The other way round, for so many rows and columns."""
    return maps.permute(0, 2, 3, 1).unflatten(0, shape)
