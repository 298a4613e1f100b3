"""Heads of our own that read a class from its places, as well as from their average."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


class SpatialHead(nn.Module):
    """A 1 x 1 convolution to one logit per class and cell, pooled so that place matters.

    The pool is partly the cells' average and partly their peak, the log of the sum of exponentials:
    a class may speak from one place, or a little from everywhere. The peak's gradient is a softmax
    over the cells; so the pool's gradient sums to one, and Grad-CAM times the number of cells is
    the class's cell logits less their bias: CAM (Zhou et al. 2016) is exact here, as it is behind a
    global average.
    """

    def __init__(
        self, channels: int, classes: int, sharpness: float = 2.0, average: float = 0.5
    ) -> None:
        """average: its share of the pool."""
        super().__init__()
        self.cells = nn.Conv2d(channels, classes, 1)
        self.sharpness, self.average = sharpness, average

    def forward(self, maps: Tensor) -> Tensor:
        """maps (N, C, h, w) -> logits (N, classes)."""
        return self.pool(self.places(maps))

    def places(self, maps: Tensor) -> Tensor:
        """maps (N, C, h, w) -> cell logits (N, classes, h, w)."""
        return self.cells(maps)

    @property
    def cam_weights(self) -> Tensor:
        """(classes, C): what each map counts for each class, over all places."""
        return self.cells.weight.detach().flatten(1)

    def pool(self, cells: Tensor) -> Tensor:
        """Cell logits (N, classes, h, w) -> (N, classes)."""
        return self.peak(cells).lerp(cells.mean((2, 3)), self.average)

    def peak(self, cells: Tensor) -> Tensor:
        """Cell logits (N, classes, h, w) -> (N, classes), mostly the surest cell's."""
        return (self.sharpness * cells).flatten(2).logsumexp(-1) / self.sharpness


class ContextHead(SpatialHead):
    """A `SpatialHead` on the last of its maps, to which the average of the first ones adds the
    company that a class keeps: a fork's place is seen in the last maps, the kitchen in the first.

    The average's gradient is the same in all places, so CAM over both kinds of maps stays exact.
    """

    def __init__(
        self,
        context: int,
        channels: int,
        classes: int,
        sharpness: float = 2.0,
        average: float = 0.5,
    ) -> None:
        """context, channels: how many maps of each kind there are, in this order."""
        super().__init__(channels, classes, sharpness, average)
        self.around = nn.Linear(context, classes, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        around = maps[:, : self.around.in_features].mean((2, 3))
        return super().forward(maps) + self.around(around)

    def places(self, maps: Tensor) -> Tensor:
        return self.cells(maps[:, self.around.in_features :])

    @property
    def cam_weights(self) -> Tensor:
        return torch.cat([self.around.weight.detach(), super().cam_weights], 1)


@dataclass(frozen=True)
class HeadWeights:
    """Where to read a head's weights (classes, C), so that they are those of now: a module may be
    trained on, and its copy has others.

    name: of a `SpatialHead`, or of a tensor that a module holds, (C, classes) if `turned`.
    fixed: the weights themselves, where there are none to be learned.
    """

    name: str = ""
    turned: bool = False
    fixed: Tensor | None = None

    @classmethod
    def seen(cls, weights: Tensor, module: nn.Module) -> HeadWeights | None:
        """Of weights (classes, C) by which a module was seen to multiply; None if they were
        computed in the pass, which may come to others in the next one."""
        for path, part in module.named_modules():
            for name in _holds(part):
                held = getattr(part, name)
                if not isinstance(held, Tensor) or held.numel() != weights.numel():
                    continue
                for turned in (False, True):
                    found = cls(f"{path}.{name}".lstrip("."), turned)
                    if held.ndim > 1 and torch.equal(found.of(module).float(), weights):
                        return found
        return None

    def of(self, module: nn.Module) -> Tensor:
        """(classes, C), without a graph."""
        if self.fixed is not None:
            return self.fixed
        path, _, name = self.name.rpartition(".")
        held = getattr(module.get_submodule(path), name)
        if isinstance(held, SpatialHead):
            return held.cam_weights
        flat = held.detach().flatten(1)
        return flat.T if self.turned else flat


def _holds(part: nn.Module) -> list[str]:
    """Names of what may be a tensor of it: also those that are computed anew when asked for, and
    those that a hook leaves behind."""
    return [*part._parameters, *part._buffers, *getattr(part, "parametrizations", ()), *vars(part)]
