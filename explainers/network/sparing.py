"""Layers that keep little for a gradient towards the input of a frozen network.

Autograd keeps what a convolution and a max pooling read, and what a rectifier hands over. Where no
weight wants a gradient, that of what they read needs its shape alone, and where the maxima and the
zeros were. Values and gradients are the same to the last bit.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .swaps import LEAN, Clamp, Swaps, clamps, relus

aten = torch.ops.aten
Pair = tuple[int, int]
LARGE = 2**22  # numbers in a map from which on memory counts more than a call's time


class Spare(Clamp):
    """A `Clamp` that keeps of a large result only where it lies at its ends, a byte a number."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float, inplace: bool) -> Tensor:
        y = Clamp.forward(ctx, x, low, high, inplace)
        if y.numel() >= LARGE:
            ctx.save_for_backward(y <= low, *([y >= high] if high < torch.inf else []))
        return y


class _Convolved(torch.autograd.Function):
    """conv2d of fixed weights."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:
        ctx.read, ctx.rest = _Like(x), rest
        ctx.save_for_backward(weight)
        return torch.conv2d(x, weight, bias, *rest)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (weight,), (*rest, groups) = ctx.saved_tensors, ctx.rest
        found, _, _ = aten.convolution_backward(
            gradient, ctx.read(), weight, None, *rest, False, (0, 0), groups, (True, False, False)
        )
        return found, *(None,) * 6


class _Pooled(torch.autograd.Function):
    """max_pool2d."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *rest: Any) -> Tensor:
        ctx.read, ctx.rest = _Like(x), rest
        y, places = aten.max_pool2d_with_indices(x, *rest)
        ctx.save_for_backward(places.int())
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        found = aten.max_pool2d_with_indices_backward(
            gradient, ctx.read(), *ctx.rest, places.long()
        )
        return found, *(None,) * 5


class _Like:
    """Makes a tensor of the same form; what it holds is nowhere read."""

    def __init__(self, x: Tensor) -> None:
        self.form, self.kind = (x.shape, x.stride()), {"dtype": x.dtype, "device": x.device}

    def __call__(self) -> Tensor:
        return torch.empty_strided(*self.form, **self.kind)


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair | str = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    fixed = not (weight.requires_grad or (bias is not None and bias.requires_grad))
    if not fixed or isinstance(padding, str) or not _worth(input):
        return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)
    pairs = map(_pair, (stride, padding, dilation))
    return _Convolved.apply(input, weight, bias, *pairs, groups)


def _max_pool2d(
    input: Tensor,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    if return_indices or not _worth(input):
        form = kernel_size, stride, padding, dilation, ceil_mode
        return F.max_pool2d(input, *form, return_indices=return_indices)
    pairs = map(_pair, (kernel_size, stride or kernel_size, padding, dilation))
    return _Pooled.apply(input, *pairs, ceil_mode)


def _worth(x: Tensor) -> bool:
    return x.requires_grad and x.ndim == 4 and x.numel() >= LARGE


def _pair(given: int | Pair) -> Pair:
    found = (given,) if isinstance(given, int) else tuple(given)
    return found if len(found) == 2 else (found[0], found[0])


#: The same values and gradients as all of them have by themselves.
SPARING: Swaps = {
    **LEAN,
    torch.conv2d: _conv2d,
    F.max_pool2d: _max_pool2d,
    torch.max_pool2d: _max_pool2d,
    **clamps(Spare),
    **relus(Spare),
}
