"""Which part of a photo an input covers, from pictures whose every pixel says where it is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .frame import Frame, share, shown

Edges = tuple[float, float]  # first and last of an axis

STRAIGHT = 0.02  # of the photo's side: how far a pixel may lie from where a crop would have it
EDGE = 0.003  # of the photo's side: what lies nearer to its border is the border
LINES = 17  # rows, and columns, on which the photo is looked for: more than 1 / PADDED
PLACES = 200  # of a row, at most
STEPS = (2, 4, 8, 16, 32)  # parts of a row between two places of the photo that lie on one line
LEAST = 0.02  # of the photo's side that an input covers
FEWEST = 8  # pixels of an input that a photo is long and high, to be told from its copies
MOSTLY = 0.95  # as long as the longest is about as long
ASIDE, ASTRAY = 0.1, 0.5  # what a piece counts less for each side of the input that it lies off
PADDED = 1 / 10  # of the input is photo, or the rest of it is too much


def located(across: Tensor, down: Tensor, like: Frame | None = None) -> Frame | None:
    """The frame of an input, or None where no part of the photo is seen straight in it.

    across, down: (C, H, W), how far along the photo's width and height, 0..1, each pixel says that
    it comes from; of padding NaN, infinite, or anything. like: the frame of a photo that is less
    long: of a long one's copies, as padding that reflects or repeats makes them, one lies so, too.
    """
    across, down = (
        torch.where(said.isfinite(), said, torch.nan).double() for said in (across, down)
    )
    for find in (_whole, _span):  # few are padded, and looking for the photo takes ten times longer
        spans = find(across, 2, like and like[::2]), find(down, 1, like and like[1::2])
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


def _whole(said: Tensor, axis: int, _like: Edges | None) -> Edges | None:
    """First and last edge of an input along an axis if all of it is photo."""
    inner = _inner(slice(0, said.shape[axis]))
    values = said.movedim(axis, 0).flatten(1).mean(1)[inner].numpy()
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    return _edges(_places(said.shape[axis])[inner].numpy(), values)


def _span(said: Tensor, axis: int, like: Edges | None) -> Edges | None:
    """First and last edge along an axis, of the longest piece of the photo on any of some lines."""
    lines = said.nanmean(0).movedim(axis - 1, -1)
    chosen = torch.linspace(0, len(lines) - 1, min(LINES, len(lines)), device="cpu").long()
    found = [each for line in lines[chosen] if (each := _piece(line.numpy(), like))]
    if not found:
        return None
    most = max(length for length, *_ in found)
    pieces = np.array([(a, b) for length, a, b in found if length >= MOSTLY * most])
    first, last = np.median(pieces, 0)
    return _snapped(float(first)), _snapped(float(last))


def _piece(line: np.ndarray, like: Edges | None) -> tuple[int, float, float] | None:
    """(pixels, first edge, last edge) of the longest piece of a line (n,) that is straight.

    Pieces that are mirrored, or lie elsewhere between the borders, count for less: padding reflects
    the photo between them, or repeats it.
    """
    count, (before, way) = len(line), _lies(like)
    less = ASIDE if like is None else ASTRAY
    at = np.unique(np.linspace(0, count - 1, min(count, PLACES)).round().astype(int))
    x, y = (at + 0.5) / count, line[at]
    best: tuple[float, np.ndarray] | None = None
    for step in {max(1, len(x) // parts) for parts in STEPS}:
        slopes = (y[step:] - y[:-step]) / (x[step:] - x[:-step])
        gaps = np.abs(y[:-step, None] + slopes[:, None] * (x - x[:-step, None]) - y)
        near = gaps <= STRAIGHT / 2
        pixels = near.sum(1)
        near &= (np.abs(slopes) * pixels >= 2 * STRAIGHT * len(x))[:, None]  # not one colour
        if not near.any():
            continue
        pixels, share = near.sum(1), near.mean(1)
        middle = (near * x).sum(1) / np.maximum(pixels, 1)
        off = np.abs(middle - share / 2 - before * (1 - share))
        length = pixels * np.where(slopes * way > 0, 1.0, MOSTLY) * (1 - less * off)
        first = int(length.argmax())
        if best is None or length[first] > best[0]:
            best = float(length[first]), near[first]
    if best is None or best[1].sum() < FEWEST:
        return None
    inner = best[1].nonzero()[0][_inner(slice(0, int(best[1].sum())))]
    edges = _edges(x[inner], y[inner]) if len(inner) > 1 else None
    return None if edges is None else (int(best[1].sum()), *edges)


def _lies(like: Edges | None) -> tuple[float, int]:
    """How much of the padding along an axis lies before the photo, and 1, or -1 of a mirrored one;
    in the middle and upright where nothing is known."""
    if like is None:
        return 0.5, 1
    first, last = like
    begins = min(max(min(-first / (last - first), (1 - first) / (last - first)), 0.0), 1.0)
    around = 1 - min(abs(1 / (last - first)), 1.0)
    return min(begins / around, 1.0) if around > EDGE else 0.5, 1 if first < last else -1


def _edges(x: np.ndarray, y: np.ndarray) -> Edges | None:
    """What the straight line through y is at 0 and at 1."""
    slope, first = np.polyfit(x, y, 1)
    edges = _snapped(float(first)), _snapped(float(first + slope))
    return edges if abs(edges[1] - edges[0]) >= LEAST else None


def _places(count: int) -> Tensor:
    return (torch.arange(count, device="cpu") + 0.5).double() / count


def _inner(whole: slice) -> slice:
    """All but a tenth at each end."""
    edge = (whole.stop - whole.start) // 10
    return slice(whole.start + edge, whole.stop - edge)


def _snapped(edge: float) -> float:
    return next((float(border) for border in (0, 1) if abs(edge - border) <= EDGE), edge)
