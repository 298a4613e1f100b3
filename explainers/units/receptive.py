"""Receptive fields: which pixels a place in a layer can see at all.

Followed through the network operation by operation, as in Araujo et al. 2019, *Computing receptive
fields of convolutional neural networks*, so that branches, dense connections and paddings that
depend on the input's size need no special case.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from ..network import Frame, Network
from ..network.frame import part
from ..network.shapes import Uncomputed
from ..recent import Recent


@dataclass(frozen=True)
class Axis:
    """Cell i sees the pixels start + i * jump up to start + i * jump + size - 1."""

    start: int = 0
    size: int = 1
    jump: int = 1

    def slide(self, kernel: int, stride: int, padding: int, dilation: int = 1) -> Axis:
        """What a cell sees behind a window that slides over this axis."""
        return Axis(
            self.start - padding * self.jump,
            self.size + (kernel - 1) * dilation * self.jump,
            self.jump * stride,
        )

    def join(self, other: Axis) -> Axis:
        """What a cell sees that reads both, as behind a sum or a concatenation."""
        for one in (self, other):
            if not one.jump:  # it sees everything, wherever it is
                return one
        start = min(self.start, other.start)
        end = max(self.start + self.size, other.start + other.size)
        return Axis(start, end - start, max(self.jump, other.jump))

    def span(self, cell: int, length: int) -> tuple[int, int]:
        """First pixel and the one behind the last that `cell` sees of `length` pixels."""
        first = self.start + cell * self.jump
        return min(max(first, 0), length - 1), max(min(first + self.size, length), 1)


@dataclass(frozen=True)
class Field:
    """The receptive fields of a layer's cells for an input of height x width pixels."""

    y: Axis
    x: Axis
    height: int
    width: int

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in pixels of the input, cut at its border."""
        top, bottom = self.y.span(row, self.height)
        left, right = self.x.span(column, self.width)
        return left, top, right, bottom


def on_photo(box: Sequence[float], size: tuple[int, int], frame: Frame) -> Frame:
    """What the photo has of a box in pixels of the input of that (width, height), in fractions."""
    return part([at / side for at, side in zip(box, size * 2, strict=True)], frame)


Axes = tuple[Axis, Axis]

_WINDOWS = {  # where each operation keeps kernel, stride, padding and dilation; None: all ones
    "max_pool2d_with_indices": (1, 2, 3, 4),
    "max_pool2d": (1, 2, 3, 4),
    "avg_pool2d": (1, 2, 3, None),
}
_EVERYWHERE = frozenset("adaptive_avg_pool2d _adaptive_avg_pool2d bmm baddbmm".split())
_REDUCTIONS = frozenset("mean sum amax amin max min logsumexp std var var_mean".split())


def _pair(value: Any, default: Sequence[int]) -> list[int]:
    if value is None or (isinstance(value, list | tuple) and not value):
        return list(default)
    pair = [value] if isinstance(value, int) else list(value)
    return pair * 2 if len(pair) == 1 else pair


class _Follow(Uncomputed):
    """Notes the receptive field of every tensor that stems from the input."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.axes: Any = WeakTensorKeyDictionary()
        self.axes[x] = (Axis(), Axis())
        self.whole: Axes = (Axis(0, x.shape[2], 0), Axis(0, x.shape[3], 0))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = super().__torch_dispatch__(func, types, args, kwargs)
        sources = [tensor for tensor in _tensors(args) if tensor in self.axes]
        if sources:
            shape = next((tensor.shape for tensor in _tensors([out])), ())
            seen = self._behind(func.overloadpacket.__name__, args, sources, shape)
            for tensor in _tensors(out if isinstance(out, tuple | list) else (out,)):
                self.axes[tensor] = seen
        return out

    def _behind(self, name: str, args: tuple, sources: list[Tensor], shape: Sequence[int]) -> Axes:
        before, *others = (self._spread(tensor, shape) for tensor in sources)
        for other in others:
            before = tuple(a.join(b) for a, b in zip(before, other, strict=True))
        if name == "convolution":
            kernel, stride, padding, dilation = list(args[1].shape[2:]), *args[3:6]
        elif name in _WINDOWS:
            places = _WINDOWS[name]
            got = [args[p] if p is not None and p < len(args) else None for p in places]
            kernel = _pair(got[0], (1, 1))
            stride, padding = _pair(got[1], kernel), _pair(got[2], (0, 0))
            dilation = _pair(got[3], (1, 1))
        elif name == "constant_pad_nd":
            left, _, top, *_ = [*args[1], 0, 0, 0, 0]
            kernel, stride, padding, dilation = (1, 1), (1, 1), (top, left), (1, 1)
        elif name in ("mm", "addmm"):  # rows are places, but where there is one alone
            return before if len(args[name == "addmm"]) > 1 else self.whole
        elif name in _EVERYWHERE or "attention" in name:
            return self.whole
        elif name == "adaptive_max_pool2d":
            pairs = zip(before, self.whole, shape[2:], strict=True)
            return tuple(whole if cells == 1 else axis for axis, whole, cells in pairs)
        elif name in _REDUCTIONS:
            return self._reduced(before, args)
        else:
            return before
        if len(kernel) != 2:  # along the channels of what is pooled already
            return self.whole
        windows = zip(before, kernel, stride, padding, dilation, strict=True)
        return tuple(axis.slide(k, s, p, d) for axis, k, s, p, d in windows)

    def _spread(self, source: Tensor, shape: Sequence[int]) -> Axes:
        """What a cell sees of `source`; one row or column that is read by many goes to them all."""
        axes = self.axes[source]
        if source.ndim != 4 or len(shape) != 4:
            return axes
        spread = (source.shape[i] == 1 < shape[i] for i in (2, 3))
        return tuple(
            whole if wide else axis
            for axis, whole, wide in zip(axes, self.whole, spread, strict=True)
        )

    def _reduced(self, before: Axes, args: tuple) -> Axes:
        """Behind a mean or maximum over some axes; over channels alone, places stay theirs."""
        source = args[0]
        over = args[1] if len(args) > 1 else None
        over = [over] if isinstance(over, int) else over
        if source.ndim != 4 or not over:
            return self.whole
        gone = {axis % 4 for axis in over}
        pairs = zip(before, self.whole, (2, 3), strict=True)
        return tuple(whole if place in gone else axis for axis, whole, place in pairs)


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


_recent: Recent[tuple[Any, ...], dict[str, Field]] = Recent()


def fields(network: Network, height: int, width: int) -> dict[str, Field]:
    """The receptive field of every layer in `network.maps`, for inputs of that size in pixels.

    One pass of zeros through the network, remembered. A gate that sees the whole photo, as in
    squeeze-and-excitation, makes it the receptive field of all that follows.
    """
    key = (network.serial, height, width)

    def find() -> dict[str, Field]:
        shape = (1, len(network.mean), height, width)
        x = torch.zeros(shape, dtype=torch.float32, device=network.device)
        with torch.no_grad(), _Follow(x) as follow:
            tapped = network.record(x, tuple(network.maps), gradients=False).activations
            pairs = {name: follow.axes[value] for name, value in tapped.items()}
        return {name: Field(y, x, height, width) for name, (y, x) in pairs.items()}

    return _recent.found(key, find, of=network)


def field(network: Network, layer: str, height: int, width: int) -> Field:
    """The receptive field of one layer of `network`."""
    return fields(network, height, width)[layer]
