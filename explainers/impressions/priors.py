"""What is known of natural pictures: neighbours are alike, and so are a layer's statistics."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


def total_variation(pictures: Tensor) -> Tensor:
    """Mean over pixels and colours of |difference to the right| + |difference downwards|.

    pictures: (N, C, H, W) -> (N,). Borders have no neighbour, and add nothing.
    """
    across = (pictures[..., :, 1:] - pictures[..., :, :-1]).abs().flatten(1).sum(1)
    down = (pictures[..., 1:, :] - pictures[..., :-1, :]).abs().flatten(1).sum(1)
    return (across + down) / pictures[0].numel()


class BatchNormPrior(TorchFunctionMode):
    """While it is entered, notes how far each BatchNorm's input is from its training statistics.

    As in DeepInversion (Yin et al. 2020), but in units of the training deviation, so that layers
    count alike. No module is touched. every, phase: only each `every`-th layer counts, counted
    from `phase`, which saves time.
    """

    def __init__(self, every: int = 1, phase: int = 0) -> None:
        super().__init__()
        self.every, self.met, self.apart = every, -phase, []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        named: dict[str, Any] = kwargs or {}
        if func is F.batch_norm:
            if self.met % self.every == 0:
                mean = args[1] if len(args) > 1 else named["running_mean"]
                variance = args[2] if len(args) > 2 else named["running_var"]
                self.apart.append(distance(args[0], mean, variance))
            self.met += 1
        return func(*args, **named)

    def value(self) -> Tensor | None:
        """Mean distance of the layers met, or None where the network has no BatchNorm."""
        return torch.stack(self.apart).mean() if self.apart else None


def distance(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """How far the channels of x (N, C, H, W) are from that mean and variance (C,): the mean of
    ((m - mean) / deviation)² + (s / deviation - 1)²."""
    deviation = variance.clamp(min=1e-6).sqrt()
    spread, centre = torch.var_mean(x, (0, 2, 3), correction=0)
    apart = ((centre - mean) / deviation).square()
    return (apart + ((spread + 1e-6).sqrt() / deviation - 1).square()).mean()
