"""Cutting a picture into patches of one size, and laying numbers back where the patches were."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np

from ..errors import OptionError

MAX_PATCHES = 2000
MIN_PATCH = 8
MIN_SIDE = 16
MAX_OVERLAP = 0.75


@dataclass(frozen=True)
class Grid:
    """Patches of a picture, row by row.

    `boxes` is (N, 4) int, (x0, y0, x1, y1) in pixels, the right and lower ends exclusive.
    """

    pixels: np.ndarray
    boxes: np.ndarray
    rows: int
    columns: int
    patch: int
    overlap: float

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the picture in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @cached_property
    def patches(self) -> tuple[np.ndarray, ...]:
        """N views of the picture, each (h, w, 3) uint8, in the order of `boxes`."""
        return tuple(self.pixels[y0:y1, x0:x1] for x0, y0, x1, y1 in self.boxes)

    def at(self, x: float, y: float) -> int:
        """The patch whose centre is nearest to pixel (x, y): what a click there means."""
        centres = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2
        return int(np.square(centres - (x, y)).sum(1).argmin())


def cut(pixels: np.ndarray, patch: int = 56, overlap: float = 0.0) -> Grid:
    """Cut a picture (H, W, 3) into patches of about `patch` px, `overlap` in 0 to 0.75 of a side.

    Without overlap the picture is shared out evenly, so that each pixel is in exactly one patch and
    none is a sliver: sides differ from `patch` by what it takes, and from each other by one pixel.
    With overlap every patch has the size asked for, and the steps shrink until the last one ends at
    the border. A side shorter than `patch` is one patch long. Raises OptionError outside the limits
    (a side under 16 px, more than 2000 patches).
    """
    height, width = pixels.shape[:2]
    _check(width, height, patch, overlap)
    columns, rows = _spans(width, patch, overlap), _spans(height, patch, overlap)
    if len(columns) * len(rows) > MAX_PATCHES:
        raise OptionError(_too_many(width, height, patch, overlap, len(columns) * len(rows)))
    boxes = np.array([(x0, y0, x1, y1) for y0, y1 in rows for x0, x1 in columns], dtype=int)
    return Grid(pixels, boxes, len(rows), len(columns), patch, overlap)


def stitch(values: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Lay one number a patch over the picture of `size` (width, height): (H, W) float32.

    A pixel under several patches gets their mean; a pixel under none (values may cover the first
    few boxes only, while they stream in) is NaN.
    """
    width, height = size
    total, count = np.zeros((2, height, width))
    for value, (x0, y0, x1, y1) in zip(values, boxes, strict=False):
        total[y0:y1, x0:x1] += value
        count[y0:y1, x0:x1] += 1
    with np.errstate(invalid="ignore"):
        return (total / count).astype(np.float32)


def _check(width: int, height: int, patch: int, overlap: float) -> None:
    if min(width, height) < MIN_SIDE:
        raise OptionError(
            f"The picture is {width} × {height} pixels, too small to cut into patches: "
            f"choose one of at least {MIN_SIDE} × {MIN_SIDE}."
        )
    if patch < MIN_PATCH:
        raise OptionError(f"A patch of {patch} pixels shows nothing: choose {MIN_PATCH} or more.")
    if not 0 <= overlap <= MAX_OVERLAP:
        raise OptionError(f"The overlap must lie between 0 and {MAX_OVERLAP} of a patch’s side.")


def _spans(length: int, patch: int, overlap: float) -> list[tuple[int, int]]:
    """Where the patches along one side begin and end."""
    if overlap == 0:
        edges = np.linspace(0, length, max(1, round(length / patch)) + 1).round().astype(int)
        return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    patch = min(patch, length)
    step = max(1.0, patch * (1 - overlap))
    starts = np.linspace(0, length - patch, ceil((length - patch) / step - 1e-9) + 1).round()
    return [(int(start), int(start) + patch) for start in starts]


def _too_many(width: int, height: int, patch: int, overlap: float, count: int) -> str:
    enough = next(
        p
        for p in range(patch + 1, max(width, height) + 1)
        if len(_spans(width, p, overlap)) * len(_spans(height, p, overlap)) <= MAX_PATCHES
    )
    return (
        f"Patches of {patch} pixels make {count:,} of them here, and at most {MAX_PATCHES:,} can "
        f"be read: choose patches of {enough} pixels or more, or less overlap."
    )
