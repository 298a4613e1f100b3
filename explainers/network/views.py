"""A photo as one network sees it: brought to its size, cut, and normalised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import OptionError
from .frame import ALL, Frame
from .layout import Size
from .recipe import Recipe

if TYPE_CHECKING:
    from ..photo import Photo

Framing = Literal["whole", "crop"]

LONGEST = 4  # a photo longer than 4:1 is squeezed to 4:1, which bounds time and memory
UNPLACED = {
    "place": "Which part of the photo the network’s own transform takes could not be found, so the "
    "map is one of what the network saw, and may lie elsewhere on the photo."
}
GRID = 32  # sides are multiples of the usual total stride, so that map cells tile the photo exactly


@dataclass(frozen=True)
class View:
    """A photo as one network sees it.

    tensor: (1, C, H, W) float32, normalised for the network.
    frame: (left, top, right, bottom) of what the tensor covers, as fractions of the photo, beyond
    0..1 where that was padded and the greater one first where it was mirrored (`network.frame`).
    key: identifies photo, framing and network; equal keys have equal tensors.
    framing: how the photo was cut, or None for an input that was handed over ready-made.
    placed: False where it is not known which part of the photo that is: `frame` is all of what the
    network saw then.
    remarks: what to know of it, key -> sentence.
    photo_size: (height, width) of that photo, None where it is not known.
    """

    tensor: Tensor
    frame: Frame
    key: str
    framing: Framing | None = None
    placed: bool = True
    remarks: Mapping[str, str] = field(default_factory=dict)
    photo_size: Size | None = None


def framed(
    photo: Photo, recipe: Recipe, shape: Size, framing: Framing, any_size: bool, title: str
) -> tuple[Tensor, Frame]:
    """The pixels (1, C, H, W) in 0..1 of an input, and the part of the photo that they cover; see
    `Network.prepare`.

    shape: the network's own size. Raises OptionError for a photo of other channels.
    """
    layers = _layers(photo, len(recipe.mean), title)
    box = photo.width, photo.height
    cut = (0, 0, 0, 0)
    if framing == "whole":
        width, height = _whole(box, shape, any_size)
        frame = ALL
    else:
        width, height = _enlarged(box, shape, recipe)
        left, top = _centre(width, shape[1]), _centre(height, shape[0])
        cut = (left, top, left + shape[1], top + shape[0])
        frame = (left / width, top / height, cut[2] / width, cut[3] / height)
    how = Image.Resampling[recipe.interpolation.upper()]
    found = [each.resize((width, height), how) for each in layers]
    values = np.dstack([np.asarray(each, np.float32) for each in found])
    if framing == "crop":
        mean = np.array(recipe.mean)
        mean = mean if photo.bands is not None else (255 * mean).round()
        values = _cut(values, cut, mean if recipe.crop_mode == "border" else 0.0)
    pixels = torch.from_numpy(values)
    pixels = pixels / 255 if photo.bands is None else pixels
    return pixels.permute(2, 0, 1)[None], frame


def placed(tensor: Tensor, frame: Frame | None, key: str, framing: Framing, size: Size) -> View:
    """The view of an input (1, C, H, W); without a frame it shows what the network saw."""
    if frame is None:
        return View(tensor, ALL, key, framing, False, UNPLACED, size)
    return View(tensor, frame, key, framing, photo_size=size)


def _layers(photo: Photo, channels: int, title: str) -> Sequence[Image.Image]:
    """The photo as one picture of colours, or as one for each of its bands."""
    bands = photo.bands
    if bands is None and channels == 3:
        return [Image.fromarray(photo.pixels)]
    if bands is None or bands.shape[2] != channels:
        raise OptionError(
            f"{title} takes {channels} channels, and this photo has "
            f"{3 if bands is None else bands.shape[2]}: give it as an array of height × width × "
            f"{channels}."
        )
    return [Image.fromarray(np.ascontiguousarray(bands[..., i])) for i in range(channels)]


def _whole(box: tuple[int, int], shape: Size, any_size: bool) -> tuple[int, int]:
    """(width, height) that all of a photo of size `box` is brought to."""
    if not any_size:
        return shape[1], shape[0]
    side = min(shape)
    scale = side / min(box)
    fit = [min(round(s * scale / GRID) * GRID, LONGEST * side) for s in box]
    width, height = (side if s == min(box) else f for s, f in zip(box, fit, strict=True))
    return width, height


def _centre(side: int, cut: int) -> int:
    """Where what is cut out of the centre begins: before the photo where it is longer than that,
    as timm's `center_crop_or_pad` has it."""
    return -((cut - side) // 2) if cut > side else round((side - cut) / 2)


def _cut(values: np.ndarray, box: tuple[int, int, int, int], fill: Any) -> np.ndarray:
    """A box (left, top, right, bottom) of values (H, W, C), filled where it goes beyond them."""
    left, top, right, bottom = box
    made = np.full((bottom - top, right - left, values.shape[2]), fill, np.float32)
    x, y = max(left, 0), max(top, 0)
    part = values[y:bottom, x:right]
    made[y - top : y - top + part.shape[0], x - left : x - left + part.shape[1]] = part
    return made


def _enlarged(box: tuple[int, int], shape: Size, recipe: Recipe) -> tuple[int, int]:
    """(width, height) of the whole photo, of which the centre is cut out."""
    wanted = int(shape[1] / recipe.crop_pct), int(shape[0] / recipe.crop_pct)
    if recipe.crop_mode == "squash":
        return wanted
    if recipe.crop_mode == "center" and shape[0] == shape[1]:
        width, height = (wanted[0] if s == min(box) else int(wanted[0] * s / min(box)) for s in box)
        return width, height
    ratios = [s / side for s, side in zip(box, wanted, strict=True)]
    ratio = max(ratios) if recipe.crop_mode == "border" else min(ratios)
    return max(1, round(box[0] / ratio)), max(1, round(box[1] / ratio))


def noise(shape: Sequence[int], seed: int = 0) -> Tensor:
    """Normal noise of that shape, the same each time."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32, device="cpu")
