"""Which part of a photo an input covers, from pictures whose every pixel says where it is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .frame import Frame, share, shown

STRAIGHT = 0.02  # of the photo's side: how far a pixel may lie from where a crop would have it
EDGE = 0.003  # of the photo's side: what lies nearer to its border is the border
LINES = 17  # rows, and columns, on which the photo is looked for: more than 1 / PADDED
PLACES = 200  # of a row, at most
STEPS = (2, 4, 8)  # parts of a row between two places of the photo that lie on one line
LEAST = 0.02  # of the photo's side that an input covers
MOSTLY = 0.95  # as long as the longest is about as long
PADDED = 1 / 16  # of the input is photo, or the rest of it is too much


def located(across: Tensor, down: Tensor) -> Frame | None:
    """The frame of an input, or None where no part of the photo is seen straight in it.

    across, down: (C, H, W), how far along the photo's width and height, 0..1, each pixel says that
    it comes from; of padding NaN, infinite, or anything.
    """
    across, down = (
        torch.where(said.isfinite(), said, torch.nan).double() for said in (across, down)
    )
    for find in (_whole, _span):  # few are padded, and looking for the photo takes ten times longer
        spans = find(across, 2), find(down, 1)
        if spans[0] is not None and spans[1] is not None:
            frame = spans[0][0], spans[1][0], spans[0][1], spans[1][1]
            if share(frame) >= PADDED and _straight(across, down, frame):
                return frame
    return None


def _straight(across: Tensor, down: Tensor, frame: Frame) -> bool:
    """Does each pixel come from where the frame has it?"""
    rows, columns = inside(frame, *across.shape[1:])
    for said, (first, last), axis in ((across, frame[::2], 2), (down, frame[1::2], 1)):
        line = first + _places(said.shape[axis]) * (last - first)
        line = line[columns] if axis == 2 else line[rows][:, None]
        gap = (said[:, rows, columns] - line).abs()
        if not gap.numel() or not bool((gap <= STRAIGHT).all()):
            return False
    return True


def inside(frame: Frame, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of an input that are photo, but for the border: resampling bends there."""
    rows, columns = shown(frame, height, width)
    return _inner(rows), _inner(columns)


def _whole(said: Tensor, axis: int) -> tuple[float, float] | None:
    """First and last edge of an input along an axis if all of it is photo."""
    inner = _inner(slice(0, said.shape[axis]))
    values = said.movedim(axis, 0).flatten(1).mean(1)[inner].numpy()
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    return _edges(_places(said.shape[axis])[inner].numpy(), values)


def _span(said: Tensor, axis: int) -> tuple[float, float] | None:
    """First and last edge along an axis, of the longest piece of the photo on any of some lines."""
    lines = said.nanmean(0).movedim(axis - 1, -1)
    chosen = torch.linspace(0, len(lines) - 1, min(LINES, len(lines))).long()
    found = [each for line in lines[chosen] if (each := _piece(line.numpy())) is not None]
    if not found:
        return None
    most = max(length for length, *_ in found)
    pieces = np.array([(a, b) for length, a, b in found if length >= MOSTLY * most])
    first, last = np.median(pieces, 0)
    return _snapped(float(first)), _snapped(float(last))


def _piece(line: np.ndarray) -> tuple[int, float, float] | None:
    """(pixels, first edge, last edge) of the longest piece of a line (n,) that is straight.

    Mirrored pieces, as of padding that reflects, count for less than the photo between them.
    """
    count = len(line)
    at = np.unique(np.linspace(0, count - 1, min(count, PLACES)).round().astype(int))
    x, y = (at + 0.5) / count, line[at]
    best: tuple[float, np.ndarray] | None = None
    for step in {max(1, len(x) // parts) for parts in STEPS}:
        slopes = (y[step:] - y[:-step]) / (x[step:] - x[:-step])
        gaps = np.abs(y[:-step, None] + slopes[:, None] * (x - x[:-step, None]) - y)
        near = (gaps <= STRAIGHT / 2) & (np.abs(slopes) >= LEAST)[:, None]
        off = np.abs(np.where(near, x - 0.5, 0).sum(1)) / np.maximum(near.sum(1), 1)
        length = near.sum(1) * np.where(slopes > 0, 1.0, MOSTLY) * (1 - off / 10)
        if not len(length):
            continue
        first = int(length.argmax())
        if best is None or length[first] > best[0]:
            best = float(length[first]), near[first]
    if best is None or best[1].sum() < 3:
        return None
    inner = best[1].nonzero()[0][_inner(slice(0, int(best[1].sum())))]
    edges = _edges(x[inner], y[inner]) if len(inner) > 1 else None
    return None if edges is None else (int(best[1].sum()), *edges)


def _edges(x: np.ndarray, y: np.ndarray) -> tuple[float, float] | None:
    """What the straight line through y is at 0 and at 1."""
    slope, first = np.polyfit(x, y, 1)
    edges = _snapped(float(first)), _snapped(float(first + slope))
    return edges if abs(edges[1] - edges[0]) >= LEAST else None


def _places(count: int) -> Tensor:
    return (torch.arange(count) + 0.5).double() / count


def _inner(whole: slice) -> slice:
    """All but a tenth at each end."""
    edge = (whole.stop - whole.start) // 10
    return slice(whole.start + edge, whole.stop - edge)


def _snapped(edge: float) -> float:
    return next((float(border) for border in (0, 1) if abs(edge - border) <= EDGE), edge)
