"""Views of photos, many at once and made where the network is: `views.py` makes them one by one on
a processor, and a GPU that learns from a thousand a second would wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.beliefs import FLOOR
from training.views import GREY, Photo, Recipe, odds

STRIDE = 16  # pixels of a view for each cell of what is believed
ROOM = 32  # cells of beliefs, at most, along a photo


class Warps:
    """All photos on a device, and endless batches of views of them.

    A batch is pixels (N, S, S, 3) in 0..255, float32, and beliefs (N, 80, S / 16, S / 16). Photos
    are padded to one square canvas in grey, beliefs with the lowest logit that matters.
    """

    def __init__(self, photos: Sequence[Photo], recipe: Recipe, start: int, device: str) -> None:
        self.recipe, self.device = recipe, device
        self.odds, self.rng = odds(photos), np.random.default_rng([recipe.seed, start])
        self.room = max(max(photo.pixels.shape[:2]) for photo in photos)
        self.shapes = np.array([photo.pixels.shape[1::-1] for photo in photos], np.float32)
        self.grids = np.array([photo.beliefs.shape[:0:-1] for photo in photos], np.float32)
        grey = torch.tensor(GREY, dtype=torch.uint8)[:, None, None]
        self.pixels = grey.expand(len(photos), 3, self.room, self.room).contiguous()
        self.beliefs = torch.full((len(photos), len(photos[0].beliefs), ROOM, ROOM), FLOOR).half()
        for n, photo in enumerate(photos):
            (tall, wide), (rows, columns) = photo.pixels.shape[:2], photo.beliefs.shape[1:]
            self.pixels[n, :, :tall, :wide] = torch.from_numpy(photo.pixels).permute(2, 0, 1)
            self.beliefs[n, :, :rows, :columns] = torch.from_numpy(photo.beliefs)
        self.pixels, self.beliefs = self.pixels.to(device), self.beliefs.to(device)
        self.grey = grey.float().to(device)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Views of `size` pixels, a share of them made of four photos each."""
        fours = round(self.recipe.mosaics * self.recipe.batch)
        whole = np.full((self.recipe.batch - fours, 2), float(size))
        x, wanted = self._window(whole * 0, whole, size, 1.1)
        if fours:
            four = self._four(self.rng.uniform(0.35, 0.65, (fours, 2)) * size, size)
            x, wanted = torch.cat([x, four[0]]), torch.cat([wanted, four[1]])
        mixed = self._there(self.rng.permutation(len(x)))
        return self._tinted(x[mixed]).permute(0, 2, 3, 1), wanted[mixed]

    def _four(self, cut: np.ndarray, size: int) -> tuple[Tensor, Tensor]:
        """Views of four photos that meet at `cut` (n, 2)."""
        x = wanted = None
        for which in product((0, 1), (0, 1)):
            low, high = cut * which, np.where(which, size, cut)
            parts = self._window(low, high, size, 0.85)
            if x is None:
                x, wanted = parts
            for all_of_it, part in zip((x, wanted), parts, strict=True):
                inside = self._inside(low, high, size, part.shape[-1])
                all_of_it.copy_(torch.where(inside, part, all_of_it))
        return x, wanted

    def _window(
        self, low: np.ndarray, high: np.ndarray, size: int, zoom: float
    ) -> tuple[Tensor, Tensor]:
        """Pixels (n, 3, size, size) and beliefs (n, 80, …) of a photo each, placed into the window
        from `low` to `high` (n, 2) and about `zoom` times as large as it takes to fill it."""
        rng, count = self.rng, len(low)
        picked = rng.choice(len(self.odds), count, p=self.odds)
        shape, room = self.shapes[picked], high - low
        both = zoom * (room / shape).max(1) * rng.uniform(0.65, 1.35, count)
        stretch = np.exp(rng.uniform(-0.1, 0.1, count))
        scale = both[:, None] * np.stack([stretch, 1 / stretch], 1)
        shift = low + (room - scale * shape) * rng.random((count, 2))
        flip, rows = self._there(rng.random(count) < 0.5), self._there(picked)
        cells = self._there(self.grids[picked] / shape)[:, None, None]
        scale, shift, shape = (self._there(each) for each in (scale, shift, shape))
        bounds = shape[:, None, None]
        placed = self._grid(scale, shift, shape, flip, size, size)
        canvas = self.pixels[rows].float()
        if zoom < 1:  # photos a good deal smaller than they are: without aliasing
            canvas = F.avg_pool2d(canvas, 2)
        pixels = F.grid_sample(
            canvas, placed * (2 / self.room) - 1, padding_mode="border", align_corners=False
        )
        outside = ((placed < 0) | (placed >= bounds)).any(-1)[:, None]
        pixels = torch.where(outside, self.grey, pixels)
        placed = self._grid(scale, shift, shape, flip, size, size // STRIDE)
        outside = ((placed < 0) | (placed >= bounds)).any(-1)[:, None]
        logits = F.grid_sample(
            self.beliefs[rows].float(),
            placed * cells * (2 / ROOM) - 1,
            mode="nearest",
            padding_mode="border",
            align_corners=False,
        )
        return pixels, logits.masked_fill(outside, FLOOR)

    def _grid(
        self,
        scale: Tensor,
        shift: Tensor,
        shape: Tensor,
        flip: Tensor,
        size: int,
        cells: int,
    ) -> Tensor:
        """(n, cells, cells, 2): which pixel of its photo the middle of each cell of a view shows,
        from the left and from the top."""
        placed = (self._middles(size, cells) - shift[..., None]) / scale[..., None]
        across, down = placed.unbind(1)
        across = torch.where(flip[:, None], shape[:, :1] - across, across)
        return torch.stack(torch.broadcast_tensors(across[:, None, :], down[:, :, None]), -1)

    def _middles(self, size: int, cells: int) -> Tensor:
        """(cells,): where the middles of a view's cells are."""
        return (torch.arange(cells, device=self.device) + 0.5) * (size / cells)

    def _inside(self, low: np.ndarray, high: np.ndarray, size: int, cells: int) -> Tensor:
        """(n, 1, cells, cells): which cells of a view have their middle in a window."""
        middle = self._middles(size, cells)
        low, high = (self._there(bound)[..., None] for bound in (low, high))
        across, down = ((middle >= low) & (middle < high)).unbind(1)
        return down[:, None, :, None] & across[:, None, None, :]

    def _there(self, values: np.ndarray) -> Tensor:
        """Where the photos are; float32 in place of float64."""
        values = values.astype(np.float32) if values.dtype == np.float64 else values
        return torch.from_numpy(values).to(self.device, non_blocking=True)

    def _tinted(self, x: Tensor) -> Tensor:
        """Brightness, contrast and colour a little off; a tenth without colour."""
        rng, count = self.rng, len(x)
        gain = rng.uniform(0.75, 1.25, (count, 1)) * rng.uniform(0.93, 1.07, (count, 3))
        gain, light = (
            self._there(each)[:, :, None, None] for each in (gain, rng.uniform(-20, 20, (count, 1)))
        )
        x = ((x - 128) * gain + 128 + light).clamp(0, 255)
        grey = self._there(rng.random(count) < 0.1)[:, None, None, None]
        return torch.where(grey, x.mean(1, keepdim=True), x)
