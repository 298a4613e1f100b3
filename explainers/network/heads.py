"""Heads of our own that read a class from its places, as well as from their average."""

from __future__ import annotations

from torch import Tensor, nn


class SpatialHead(nn.Module):
    """A 1 x 1 convolution to one logit per class and cell, pooled so that place matters.

    The pool is half the cells' average and half their peak, the log of the sum of exponentials: a
    class may speak from one place, or a little from everywhere. The peak's gradient is a softmax
    over the cells; so the pool's gradient sums to one, and Grad-CAM times the number of cells is
    the class's cell logits less their bias: CAM (Zhou et al. 2016) is exact here, as it is behind a
    global average.
    """

    def __init__(self, channels: int, classes: int, sharpness: float = 2.0) -> None:
        super().__init__()
        self.cells = nn.Conv2d(channels, classes, 1)
        self.sharpness = sharpness

    def forward(self, maps: Tensor) -> Tensor:
        """maps (N, C, h, w) -> logits (N, classes)."""
        return self.pool(self.cells(maps))

    def pool(self, cells: Tensor) -> Tensor:
        """Cell logits (N, classes, h, w) -> (N, classes)."""
        return (self.peak(cells) + cells.mean((2, 3))) / 2

    def peak(self, cells: Tensor) -> Tensor:
        """Cell logits (N, classes, h, w) -> (N, classes), mostly the surest cell's."""
        return (self.sharpness * cells).flatten(2).logsumexp(-1) / self.sharpness
