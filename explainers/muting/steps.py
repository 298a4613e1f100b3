"""One step of a network and its geometry, and convolutions in the form that runs fastest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_leaves

from . import winograd

Pair = tuple[int, int]


class Ref(NamedTuple):
    """Stands for a recorded value among an operator's arguments."""

    index: int


@dataclass(frozen=True)
class Op:
    """One recorded operator; its value's index is its place on the tape (0 is the input).

    item: which of its results the value is, where it hands over several.
    """

    func: Callable
    args: tuple
    kwargs: dict
    shape: torch.Size
    item: int = 0

    @property
    def name(self) -> str:
        return self.func.overloadpacket.__name__.rstrip("_")

    @property
    def refs(self) -> tuple[int, ...]:
        leaves = tree_leaves((self.args, self.kwargs), is_leaf=lambda a: isinstance(a, Ref))
        return tuple(leaf.index for leaf in leaves if isinstance(leaf, Ref))


class Conv(NamedTuple):
    """A convolution's weights (K, C / groups, kh, kw) and settings; pads as F.pad takes them."""

    weight: Tensor
    bias: Tensor | None
    stride: Pair
    pads: tuple[int, int, int, int]
    dilation: Pair
    groups: int


@dataclass(frozen=True)
class Step:
    """`run(inputs)` maps whole maps (N, C, H, W); `patch(inputs)` contexts that need no padding.

    Output row r of a local step reads the rows r*stride ... r*stride + reach of its inputs padded
    with `before` and `after` rows (then columns) of `fill`. A step that is not local may read
    anything, and has no `patch`.
    """

    name: str
    inputs: tuple[int, ...]
    shape: torch.Size
    run: Callable[[Sequence[Tensor]], Tensor]
    patch: Callable[[Sequence[Tensor]], Tensor] | None = None
    reach: Pair = (0, 0)
    stride: Pair = (1, 1)
    before: Pair = (0, 0)
    after: Pair = (0, 0)
    fill: float = 0.0
    macs: int = 0  # multiply-adds for one position of the output map
    act: Callable[[Tensor], Tensor] | None = None  # in place, on the step's fresh output
    act_op: Op | None = None
    conv: Conv | None = None

    def whole(self, inputs: Sequence[Tensor]) -> Tensor:
        """What it makes of whole maps, with its activation."""
        return self._finished(self.run(inputs))

    def part(self, contexts: Sequence[Tensor]) -> Tensor:
        """What it makes of contexts, with its activation."""
        return self._finished(self.patch(contexts))

    def _finished(self, out: Tensor) -> Tensor:
        return self.act(out) if self.act else out

    @property
    def local(self) -> bool:
        return self.patch is not None

    @property
    def size(self) -> Pair:
        return (self.shape[2], self.shape[3]) if len(self.shape) == 4 else (1, 1)


def conv_step(inputs: tuple[int, ...], shape: torch.Size, size: Pair, conv: Conv) -> Step:
    """A convolution of maps of `size` (height, width), whose output has that `shape`."""
    weight, bias, stride, (left, right, top, bottom), dilation, groups = conv
    kernel = tuple(weight.shape[2:])
    reach = tuple(d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    # A fully connected layer in disguise is much faster as one, and its weights are not copied.
    dense = kernel == tuple(size) and not any(conv.pads) and groups == 1
    if not dense:
        weight = weight.contiguous(memory_format=torch.channels_last)

    def patch(xs: Sequence[Tensor], padding: Pair = (0, 0)) -> Tensor:
        return F.conv2d(xs[0], weight, bias, stride, padding, dilation, groups)

    def connected(xs: Sequence[Tensor]) -> Tensor:
        order = (0, 2, 3, 1) if weight.stride(1) == 1 else (0, 1, 2, 3)
        flat = (t.permute(order).flatten(1) for t in (xs[0], weight))
        return F.linear(*flat, bias)[:, :, None, None]

    run = connected if dense else _padding(patch, conv.pads)
    return Step(
        "convolution",
        inputs,
        shape,
        run,
        patch,
        reach,
        tuple(stride),
        (top, left),
        (bottom, right),
        macs=weight.numel(),
        conv=None if dense else conv,
    )


def _padding(patch: Callable, pads: tuple[int, int, int, int]) -> Callable:
    left, right, top, bottom = pads
    if left == right and top == bottom:
        return lambda xs: patch(xs, (top, left))
    return lambda xs: patch([F.pad(xs[0], pads)])


def packed(step: Step) -> Step:
    """The convolution in the form that runs fastest on a CPU.

    That is Winograd's algorithm for 3 x 3 over many channels, else oneDNN with weights in its own
    order and the activation within (torch.compile's operators): a plain call reorders the weights
    every time, which costs as much as a small batch of patches.
    """
    if step.conv is None or not _can_pack(step.conv.weight):
        return step
    weight, bias, stride, pads, dilation, groups = step.conv
    plain = (stride, dilation, groups) == ((1, 1), (1, 1), 1)
    if plain and weight.shape[2:] == (3, 3) and min(weight.shape[:2]) >= winograd.WORTH:
        fast = winograd.Winograd(weight, bias).convolved
        return replace(
            step,
            run=lambda xs: fast(
                F.pad(xs[0].permute(0, 2, 3, 1), (0, 0, *pads)).permute(0, 3, 1, 2)
            ),
            patch=lambda xs: fast(xs[0]),
            conv=None,
        )

    def reordered(weight: Tensor) -> Tensor:
        return torch._C._nn.mkldnn_reorder_conv2d_weight(
            weight.contiguous().to_mkldnn(), (0, 0), stride, dilation, groups, None
        )

    even = _even(weight, pads, groups) if dilation == (1, 1) else None
    order = reordered(weight)
    attr, scalars, act = "none", [], step.act
    if step.act_op is not None and step.act_op.name in ("relu", "hardtanh"):
        attr, act = step.act_op.name, None
        limits = [*step.act_op.args[1:], *(-1.0, 1.0)[len(step.act_op.args) - 1 :]]
        scalars = limits if attr == "hardtanh" else []
    op = torch.ops.mkldnn._convolution_pointwise

    def patch(xs: Sequence[Tensor], padding: Pair = (0, 0), weight: Tensor = order) -> Tensor:
        return op(xs[0], weight, bias, padding, stride, dilation, groups, attr, scalars, "")

    run = _padding(patch, pads)
    if even is not None:
        wide, padding = reordered(even), (pads[3], pads[1])
        run = lambda xs: patch(xs, padding, wide)  # noqa: E731
    return replace(step, run=run, patch=patch, act=act, act_op=None, conv=None)


def _even(weight: Tensor, pads: tuple[int, int, int, int], groups: int) -> Tensor | None:
    """A depthwise kernel with zeros before it, where that makes uneven padding even.

    The map then need not be copied to be padded, which takes longer than the convolution itself.
    """
    left, right, top, bottom = pads
    more = right - left, bottom - top
    if groups != weight.shape[0] or not any(more) or not all(n in (0, 1) for n in more):
        return None
    return F.pad(weight, (more[0], 0, more[1], 0))


def _can_pack(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and hasattr(torch._C._nn, "mkldnn_reorder_conv2d_weight")
    )


def fold(step: Step, norm: Op, size: Pair) -> Step:
    """The convolution with the BatchNorm that follows it in its weights (private copies)."""
    _, gamma, beta, mean, var, _, _, eps = norm.args
    scale = torch.rsqrt(var + eps) * (1.0 if gamma is None else gamma)
    bias = (0 if step.conv.bias is None else step.conv.bias) - mean
    weight = step.conv.weight * scale[:, None, None, None]
    bias = bias * scale + (0 if beta is None else beta)
    return conv_step(step.inputs, norm.shape, size, step.conv._replace(weight=weight, bias=bias))
