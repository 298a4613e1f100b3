"""A small detector's opinion: which classes of COCO it sees, and where, from grids of three sizes.

NanoDet-g without its boxes (https://github.com/RangiLyu/nanodet, Apache-2.0), and with ReLUs in
place of leaky ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (32, 64, 128, 256)  # channels that each stage starts with; it hands on twice as many
PAIRS = (1, 2, 2, 3)  # of convolutions in each stage
NECK = 128  # channels of the grids that the classes are read from
LOWEST = -5.0  # logit; what is lower is no opinion


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3 x 3 with a ReLU; numbers of channels."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.ReLU())


class Stage(nn.Module):
    """Pairs of convolutions, and past them what came in."""

    def __init__(self, width: int, pairs: int, stride: int) -> None:
        super().__init__()
        half = width // 2
        self.first = convolution(width, width, stride)
        self.pairs = nn.ModuleList(
            nn.ModuleList([convolution(width, half), convolution(half, half)]) for _ in range(pairs)
        )
        self.last = convolution(width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = past = self.first(x)
        for one, two in self.pairs:
            x = one(x)
            x = torch.cat([two(x), x], 1)
        return torch.cat([self.last(x), past], 1)


class Nano(nn.Module):
    """Pixels (N, 3, H, W) in -1..1 -> for each cell of a grid how far each class's logit is above
    LOWEST, (N, classes, h, w), the highest of all places in the cell; zeros where it is below."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = convolution(3, WIDTHS[0], 2)
        self.halve = nn.MaxPool2d(3, 2, 1)
        strides = (1, 2, 2, 2)
        self.stages = nn.ModuleList(map(Stage, WIDTHS, PAIRS, strides))
        self.narrow = nn.ModuleList(nn.Conv2d(2 * width, NECK, 1) for width in WIDTHS[1:])
        self.read = nn.ModuleList(convolution(NECK, NECK) for _ in self.narrow)
        self.classify = nn.ModuleList(nn.Conv2d(NECK, classes, 1) for _ in self.narrow)
        self.opinion = nn.ReLU()

    def grids(self, x: Tensor) -> list[Tensor]:
        """What the classes are read from, at 8, 16 and 32 pixels a cell: (N, NECK, h, w) each."""
        maps = [self.halve(self.stem(x))]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        fine, middle, coarse = (
            narrow(last) for narrow, last in zip(self.narrow, maps[-3:], strict=True)
        )
        middle = middle + _resized(coarse, middle.shape[2:])
        fine = fine + _resized(middle, fine.shape[2:])
        middle = middle + _resized(fine, middle.shape[2:])
        return [fine, middle, coarse + _resized(middle, coarse.shape[2:])]

    def logits(self, grids: Sequence[Tensor]) -> list[Tensor]:
        """Of the classes, read from the three grids: (N, classes, h, w) each."""
        levels = zip(self.read, self.classify, grids, strict=True)
        return [classify(read(grid)) for read, classify, grid in levels]

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        levels = self.logits(self.grids(x))
        pooled = [F.adaptive_max_pool2d(level, tuple(size)) for level in levels]
        return self.opinion(torch.maximum(torch.maximum(*pooled[:2]), pooled[2]) - LOWEST)


def _resized(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)
