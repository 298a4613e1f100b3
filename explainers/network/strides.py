"""Gradients of one photo in an order of memory that BatchNorm's own gradient reads right.

For a single photo, the stride between photos may be anything, and a reshape or a transposition
makes it what no memory format has. Where the input of a BatchNorm or InstanceNorm lies in one order
and the gradient that comes back to it in the other, torch 2.14 then reads one as the other: the
gradient towards the input belongs to other places, and nothing is raised.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .cuts import behind


def read_right(value: Tensor) -> None:
    """Have every BatchNorm behind a value be handed its gradient in plain channels_last memory,
    which is read right whatever its input lies in; costs a copy where it lies otherwise."""
    for node in behind(value):
        if "BatchNorm" in node.name():  # of InstanceNorm, too, and cuDNN's
            node.register_prehook(_in_order)


def _in_order(gradients: tuple[Any, ...]) -> tuple[Any, ...]:
    first, *rest = gradients  # behind it are those of the statistics
    return _channels_last(first), *rest


def _channels_last(gradient: Tensor | None) -> Tensor | None:
    """(N, C, h, w) in that memory, with a stride between photos as if there were more of them."""
    if gradient is None or gradient.ndim != 4:
        return gradient
    _, channels, height, width = gradient.shape
    if gradient.stride() == (channels * height * width, 1, channels * width, channels):
        return gradient
    by_place = gradient.permute(0, 2, 3, 1)
    return by_place.clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
