"""All channels of a layer as one picture's worth of numbers; `render` gives them colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from ..errors import OptionError

Per = Literal["layer", "channel"]

STRONG = 99.8  # per cent of a layer's values stay below full brightness


@dataclass(frozen=True)
class Mosaic:
    """Tiles in rows, left to right.

    values: (rows * pitch_y, columns * pitch_x) float32 in -1..1, NaN between and behind the tiles;
    of colour filters (..., 3).
    tile: (height, width) of a tile; gap: pixels behind it; order: the channel in each place.
    """

    values: np.ndarray
    order: tuple[int, ...]
    columns: int
    tile: tuple[int, int]
    gap: int
    signed: bool

    @property
    def rows(self) -> int:
        return math.ceil(len(self.order) / self.columns)

    def corner(self, place: int) -> tuple[int, int]:
        """(top, left) of the tile in that place."""
        row, column = divmod(place, self.columns)
        return row * (self.tile[0] + self.gap), column * (self.tile[1] + self.gap)


def strengths(
    values: np.ndarray, per: Per = "layer", gain: float = 1.0, gamma: float = 1.0
) -> np.ndarray:
    """Activations (C, h, w) scaled to -1..1: sign(v) (gain |v| / top) ** gamma, clipped.

    per: "layer" has one `top` for all channels, so that they stay comparable (a high percentile:
    one glaring place must not darken the rest); "channel" has each channel's own maximum.
    """
    if per not in ("layer", "channel"):
        raise OptionError("Brightness is set per layer or per channel: choose one of them.")
    if not (0.1 <= gain <= 20 and 0.1 <= gamma <= 5):
        raise OptionError("The gain goes from 0.1 to 20 and the gamma from 0.1 to 5.")
    size = np.abs(values)
    if per == "channel":
        top = size.max(axis=(1, 2), keepdims=True)
    else:
        top = np.percentile(size[size > 0], STRONG) if (size > 0).any() else 0.0
    scaled = np.minimum(size * (gain / np.maximum(top, 1e-12)), 1)
    if gamma != 1:
        scaled = scaled**gamma
    return np.copysign(scaled, values).astype(np.float32)


def fit(height: int, width: int, side: int) -> tuple[int, int]:
    """(height, width) of a tile whose longer side is about `side`: whole cells where they fit."""
    longest = max(height, width)
    if longest <= side:
        return height * (side // longest), width * (side // longest)
    return max(1, round(height * side / longest)), max(1, round(width * side / longest))


def mosaic(
    values: np.ndarray,
    order: Sequence[int],
    width: int,
    *,
    side: int = 26,
    per: Per = "layer",
    gain: float = 1.0,
    gamma: float = 1.0,
) -> Mosaic:
    """Lay out activations (C, h, w) in a sheet at most `width` pixels wide.

    side: smallest longer side of a tile; few channels get larger tiles. Cells are repeated, never
    blurred; maps larger than their tile are averaged down.
    """
    scaled = strengths(values, per, gain, gamma)[list(order)]
    return _laid(scaled, order, width, side, bool((values < 0).any()))


def kernels(values: np.ndarray, order: Sequence[int], width: int, *, shared: bool) -> Mosaic:
    """Filters (F, 3, h, w) of colours as a sheet whose values are (..., 3), zero being grey.

    shared: one scale for all filters, so that strong and weak ones can be told apart.
    """
    size = np.abs(values)
    top = size.max() if shared else size.max(axis=(1, 2, 3), keepdims=True)
    scaled = (values / np.maximum(top, 1e-12)).astype(np.float32)[list(order)]
    colours = [_laid(scaled[:, c], order, width, 44, True) for c in range(3)]
    return replace(colours[0], values=np.stack([each.values for each in colours], axis=2))


def _laid(scaled: np.ndarray, order: Sequence[int], width: int, side: int, signed: bool) -> Mosaic:
    count, height, wide = scaled.shape
    longest = max(height, wide)
    least = longest * math.ceil(side / longest) if longest < side else side
    columns = max(1, min(count, width // (least + 1)))
    if columns * columns > count:  # few channels: about as many rows as columns, all of them full
        square = max(1, math.ceil(math.sqrt(count)))
        near = range(square, min(columns, 2 * square - 2) + 1)
        columns = next((each for each in near if count % each == 0), square)
    gap = 2 if width // columns >= max(40, least + 2) else 1  # never at the tiles' cost
    tile = fit(height, wide, min(width // columns - gap, 224))
    rows = math.ceil(count / columns)
    tiles = np.full((rows * columns, tile[0] + gap, tile[1] + gap), np.nan, dtype=np.float32)
    tiles[:count, :-gap, :-gap] = _enlarged(scaled, tile)
    sheet = tiles.reshape(rows, columns, *tiles.shape[1:]).transpose(0, 2, 1, 3)
    sheet = sheet.reshape(rows * tiles.shape[1], columns * tiles.shape[2])
    return Mosaic(sheet, tuple(order), columns, tile, gap, signed)


def _enlarged(scaled: np.ndarray, tile: tuple[int, int]) -> np.ndarray:
    height, width = scaled.shape[1:]
    if tile[0] >= height and tile[1] >= width:
        return scaled.repeat(tile[0] // height, axis=1).repeat(tile[1] // width, axis=2)
    return np.stack(
        [cv2.resize(each, (tile[1], tile[0]), interpolation=cv2.INTER_AREA) for each in scaled]
    )
