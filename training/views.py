"""Views of photos for training: zoomed, shifted, mirrored, tinted, alone or four in a mosaic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from training import runs
from training.beliefs import FLOOR

STRIDE = 32  # pixels of a view for each cell
GREY = (124, 116, 104)


@dataclass(frozen=True)
class Recipe(runs.Recipe):
    """What a run on views needs to know besides."""

    size: int = 320  # of views, in pixels
    mosaics: float = 0.3  # share of the views


@dataclass(frozen=True)
class Photo:
    """pixels (H, W, 3) uint8, and beliefs (80, h, w): logits on a grid that covers them."""

    pixels: np.ndarray
    beliefs: np.ndarray


class Views(IterableDataset):
    """Endless batches of pixels (N, S, S, 3) uint8 and beliefs (N, 80, S / 32, S / 32)."""

    def __init__(self, photos: Sequence[Photo], recipe: Recipe, start: int) -> None:
        self.photos, self.recipe, self.start = photos, recipe, start
        self.odds = odds(photos)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = get_worker_info()
        others = [worker.id] if worker and worker.id else []  # each process makes views of its own
        rng = np.random.default_rng([self.recipe.seed, self.start, *others])
        while True:
            rows = [self._one(rng) for _ in range(self.recipe.batch)]
            pixels, wanted = (torch.from_numpy(np.stack(c)) for c in zip(*rows, strict=True))
            yield pixels, wanted

    def _one(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        count = 4 if rng.random() < self.recipe.mosaics else 1
        picked = rng.choice(len(self.photos), count, replace=False, p=self.odds)
        return view([self.photos[i] for i in picked], self.recipe.size, rng)


def odds(photos: Sequence[Photo]) -> np.ndarray:
    """How often each photo is shown: what is rare is shown more often."""
    best = np.stack([photo.beliefs.max((1, 2)) > 0 for photo in photos])
    rare = 1 / (best.sum(0) + 20)
    out = 1 + 30 * (best * rare).sum(1)
    return out / out.sum()


def view(
    photos: Sequence[Photo], size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A square of one photo or of four, pixels (size, size, 3) uint8, and what to believe of each
    of its cells, (80, size / 32, size / 32): the highest logit of the places in it."""
    if len(photos) == 1:
        windows, zoom = [(0, 0, size, size)], 1.1
    else:
        x, y = (int(v) for v in rng.uniform(0.35, 0.65, 2) * size)
        windows = [(0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)]
        zoom = 0.85
    pixels = np.empty((size, size, 3), np.uint8)
    fine = 2 * size // STRIDE
    places = np.full((len(photos[0].beliefs), fine, fine), FLOOR, np.float32)
    for photo, (x0, y0, x1, y1) in zip(photos, windows, strict=True):
        matrix = _placed(photo.pixels.shape[:2], (x1 - x0, y1 - y0), rng, zoom)
        pixels[y0:y1, x0:x1] = cv2.warpAffine(
            photo.pixels,
            matrix,
            (x1 - x0, y1 - y0),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=GREY,
        )
        _believe(places, photo, matrix, (x0, y0, x1, y1))
    cells = places.reshape(-1, fine // 2, 2, fine // 2, 2).max((2, 4))
    return _tint(pixels, rng), cells


def _placed(
    shape: Sequence[int], window: Sequence[int], rng: np.random.Generator, zoom: float
) -> np.ndarray:
    """A random (2, 3) matrix from pixels of a photo (tall, wide) to a window's (wide, tall)."""
    (tall, wide), (width, height) = shape, window
    both = zoom * max(width / wide, height / tall) * rng.uniform(0.65, 1.35)
    stretch = float(np.exp(rng.uniform(-0.2, 0.2)))
    sx, sy = both * stretch**0.5, both / stretch**0.5
    shift_x = rng.uniform(*sorted((0.0, width - sx * wide)))
    shift_y = rng.uniform(*sorted((0.0, height - sy * tall)))
    if rng.random() < 0.5:
        sx, shift_x = -sx, shift_x + sx * wide
    return np.array([[sx, 0, shift_x], [0, sy, shift_y]], np.float32)


def _believe(places: np.ndarray, photo: Photo, matrix: np.ndarray, window: Sequence[int]) -> None:
    """Write the photo's beliefs into those places (80, n, n) of a view that lie in its window."""
    x0, y0, x1, y1 = window
    step = STRIDE / 2
    centres = (np.arange(places.shape[1]) + 0.5) * step
    columns = np.flatnonzero((centres >= x0) & (centres < x1))
    rows = np.flatnonzero((centres >= y0) & (centres < y1))
    across = (centres[columns] - x0 - matrix[0, 2]) / matrix[0, 0]
    down = (centres[rows] - y0 - matrix[1, 2]) / matrix[1, 1]
    (tall, wide), (fine_tall, fine_wide) = photo.pixels.shape[:2], photo.beliefs.shape[1:]
    here, there = (across >= 0) & (across < wide), (down >= 0) & (down < tall)
    u = (across[here] / wide * fine_wide).astype(int)
    v = (down[there] / tall * fine_tall).astype(int)
    places[np.ix_(range(len(places)), rows[there], columns[here])] = photo.beliefs[:, v][:, :, u]


def _tint(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast and colour a little off, through one table for each channel."""
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.93, 1.07, 3)
    table = (np.arange(256)[:, None] - 128) * gain + 128 + rng.uniform(-20, 20)
    out = cv2.LUT(pixels, np.ascontiguousarray(table.clip(0, 255).astype(np.uint8)[None]))
    if rng.random() < 0.1:
        out = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return out
