"""Muting windows of a photo: which pixels does a class need?

Occlusion sensitivity: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks",
ECCV 2014, section 4.2, with its three maps: the drop of a class's score, the score, and the most
likely class, by position of the window. All classes are scored at once. Windows and averages are
those of captum's `Occlusion`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..errors import OptionError
from ..network import Frame, Network, View
from ..photo.bands import bands
from .incremental import Interval

Score = Literal["logit", "probability"]
Position = tuple[int, int]


@dataclass(frozen=True)
class Change:
    """Probabilities (classes,) of the photo, and of the photo with something muted."""

    before: Tensor
    after: Tensor

    def top(self, count: int = 5) -> list[tuple[int, float, float]]:
        """(class, before, after) of the likeliest before, and of the new first one."""
        count = min(count, len(self.before))
        classes = self.before.topk(count).indices.tolist()
        winner = int(self.after.argmax())
        classes += [winner] if winner not in classes else []
        return [(c, float(self.before[c]), float(self.after[c])) for c in classes]


@dataclass(frozen=True)
class Muting:
    """Scores of one photo with windows of it muted, as far as they are computed.

    rows, cols: the windows' intervals [start, stop) in pixels of the input, down and across.
    logits: (rows, cols, classes), NaN where not computed yet; known: (rows, cols). before: logits
    (classes,) of the unmuted photo. frame: the part of the photo that the input covers, as
    fractions. done: 0 to 1; seconds: spent so far. note: what to know of how it was computed, or
    None. The rest answers questions; nothing is computed again for them.
    """

    network: Network
    view: View
    fill: Tensor
    window: int
    stride: int
    baseline: str
    rows: tuple[Interval, ...]
    cols: tuple[Interval, ...]
    logits: Tensor
    known: Tensor
    before: Tensor
    done: float
    seconds: float
    note: str | None = None

    @property
    def frame(self) -> Frame:
        return self.view.frame

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the network's input in pixels."""
        return tuple(self.view.tensor.shape[2:])

    def position_scores(self, target: int, score: Score = "probability") -> Tensor:
        """(rows, cols): the target's score with each window muted; NaN where not known yet."""
        return self._scores(self.logits, target, score)

    def drop(self, target: int, score: Score = "logit") -> Tensor:
        """(H, W): by how much the score falls, averaged over the windows that cover each pixel.

        0 where no known window covers it: see `covered`.
        """
        falls = self._scores(self.before, target, score) - self.position_scores(target, score)
        return self._averaged(torch.where(self.known, falls.double(), 0.0))

    @property
    def count(self) -> int:
        """How many positions are known."""
        return int(self.known.sum())

    @property
    def covered(self) -> Tensor:
        """bool (H, W): the pixels that at least one known window has muted."""
        return self._averaged(self.known.double()) > 0.5

    def most_likely(self) -> Tensor:
        """(rows, cols): the class that wins with each window muted; -1 where not known yet."""
        return torch.where(self.known, self.logits.nan_to_num(0.0).argmax(-1), -1)

    def filled(self, grid: Tensor) -> Tensor:
        """A grid (rows, cols, …) of this result, every gap taking its nearest known value."""
        at = self.known.nonzero()
        if not len(at) or bool(self.known.all()):
            return grid
        every = torch.ones_like(self.known).nonzero()
        nearest = torch.cdist(every.float(), at.float()).argmin(1)
        return grid[tuple(at[nearest].T)].reshape(grid.shape)

    def guessed(self) -> Muting:
        """The same with every gap answered as its nearest known window: to draw while it runs."""
        if bool(self.known.all()) or not bool(self.known.any()):
            return self
        return replace(self, logits=self.filled(self.logits), known=torch.ones_like(self.known))

    def at(self, y: float, x: float) -> Position | None:
        """The known window (row, col) whose centre is nearest to a pixel (y, x) of the input."""
        at = self.known.nonzero()
        if not len(at):
            return None
        centres = torch.stack(
            [self._centres(self.rows)[at[:, 0]], self._centres(self.cols)[at[:, 1]]]
        )
        nearest = (centres - torch.tensor([[y], [x]], device="cpu")).square().sum(0).argmin()
        return tuple(at[nearest].tolist())

    def change(self, position: Position) -> Change:
        """Probabilities before and after muting the window at (row, col)."""
        return Change(
            self.network.probabilities(self.before),
            self.network.probabilities(self.logits[position]),
        )

    def top(self, position: Position, count: int = 5) -> list[tuple[int, float, float]]:
        """(class, probability before, after) of the likeliest classes: see `Change.top`."""
        return self.change(position).top(count)

    def mask(self, positions: Sequence[Position]) -> Tensor:
        """bool (H, W): the pixels within these windows."""
        mask = torch.zeros(self.size, dtype=torch.bool, device="cpu")
        for row, col in positions:
            mask[slice(*self.rows[row]), slice(*self.cols[col])] = True
        return mask

    def _scores(self, logits: Tensor, target: int, score: Score) -> Tensor:
        if score not in ("logit", "probability"):
            raise OptionError("The score is either “logit” or “probability”.")
        target = self.network.resolve(target)
        if score == "probability":
            logits = self.network.probabilities(logits)
        return logits[..., target]

    def _averaged(self, values: Tensor) -> Tensor:
        """Sum and count of the windows over each pixel, from their four corners."""
        height, width = self.size
        corners = torch.zeros(2, height + 1, width + 1, dtype=torch.float64, device="cpu")
        rows, cols = torch.tensor(self.rows, device="cpu"), torch.tensor(self.cols, device="cpu")
        both = torch.stack([values * self.known, self.known.double()])
        for r, c, sign in ((0, 0, 1), (0, 1, -1), (1, 0, -1), (1, 1, 1)):
            at = rows[:, r, None].expand(self.known.shape), cols[None, :, c].expand_as(self.known)
            for plane, value in zip(corners, both, strict=True):
                plane.index_put_(at, sign * value, accumulate=True)
        total, count = corners.cumsum(1).cumsum(2)[:, :height, :width]
        return (total / count.round().clamp(min=1)).float()

    @staticmethod
    def _centres(intervals: tuple[Interval, ...]) -> Tensor:
        return torch.tensor(intervals, dtype=torch.float32, device="cpu").mean(1)


def to_pixels(network: Network, x: Tensor) -> np.ndarray:
    """An input (1, C, H, W) as a picture, uint8 (H, W, 3)."""
    pixels = network.pixels(x)[0]
    if len(pixels) != 3:
        return bands(pixels, len(pixels)).pixels
    return (pixels * 255).round().byte().permute(1, 2, 0).numpy()
