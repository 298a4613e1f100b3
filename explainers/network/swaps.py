"""Functions of a forward pass exchanged for others of the same value, with no module touched.

A torch function mode sees every call of one thread, so two visitors can't meet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, addcmul
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode

Swaps = Mapping[Any, Callable[..., Any]]


class Swapped(TorchFunctionMode):
    """While it is entered, `swaps` maps each function to the one that is called instead."""

    def __init__(self, swaps: Swaps) -> None:
        super().__init__()
        self.swaps = swaps

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return self.swaps.get(func, func)(*args, **(kwargs or {}))


class Clamp(torch.autograd.Function):
    """clamp(x, low, high) with the usual gradient, also in place.

    For its gradient it keeps its result, where autograd would first copy an input that is about to
    be overwritten.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float, inplace: bool) -> Tensor:
        y = x.clamp_(low, high) if inplace else x.clamp(low, high)
        if inplace:
            ctx.mark_dirty(x)
        ctx.low, ctx.high = low, high
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return passed(ctx, gradient, ctx.high), None, None, None


def passed(ctx: Any, gradient: Tensor, high: float) -> Tensor:
    """The gradient of a `Clamp` where its result is below `high`: exactly where its input was.

    What was kept is the result, or where it lies at its low end and at its high one, if it has one.
    """
    y, *rest = ctx.saved_tensors
    if y.dtype != torch.bool:
        return torch.ops.aten.hardtanh_backward(gradient, y, ctx.low, high)
    return torch.where(y.logical_or(*rest) if rest and high < torch.inf else y, 0.0, gradient)


def clamps(rule: type[Clamp]) -> Swaps:
    """ReLU6 and hardtanh as `rule` has them; from another low than 0 they are no rectifiers."""

    def hardtanh(
        input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
    ) -> Tensor:
        chosen = Clamp if min_val else rule
        return chosen.apply(input, float(min_val), float(max_val), inplace)

    def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
        return hardtanh(input, min_val, max_val, True)

    def relu6(input: Tensor, inplace: bool = False) -> Tensor:
        return hardtanh(input, 0.0, 6.0, inplace)

    return {F.relu6: relu6, F.hardtanh: hardtanh, F.hardtanh_: hardtanh_}


class Unbounded(TorchFunctionMode):
    """Notes while a pass runs what each ReLU6 or hardtanh was before its upper bound, as long as
    somebody keeps what it made: of all of them that would be as large as the network's maps."""

    def __init__(self) -> None:
        super().__init__()
        self._before: dict[int, tuple[StorageWeakRef, torch.Size, Tensor, float]] = {}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        bound = _upper(func, args, kwargs or {})
        if bound is None:
            return func(*args, **(kwargs or {}))
        x = args[0] if args else kwargs["input"]
        raw = x.clone()  # which the call may overwrite
        y = func(*args, **(kwargs or {}))
        self._before = {at: each for at, each in self._before.items() if not each[0].expired()}
        self._before[y.data_ptr()] = StorageWeakRef(y.untyped_storage()), y.shape, raw, bound
        return y

    def of(self, activation: Tensor) -> tuple[Tensor, float]:
        """(what the activation was before its bound, rectified as ever; the bound), or itself and
        infinity where it has none."""
        found = self._before.get(activation.data_ptr())
        if found is None or found[0].expired() or found[1] != activation.shape:
            return activation, torch.inf
        _, _, raw, bound = found
        return torch.where(activation < bound, activation, raw), bound


def _upper(function: Any, args: Sequence[Any], named: Mapping[str, Any]) -> float | None:
    """Where a call of a bounded rectifier ends; None if it is none."""
    if function is F.relu6:
        return 6.0
    if function not in (F.hardtanh, F.hardtanh_):
        return None
    return float(args[2] if len(args) > 2 else named.get("max_val", 1.0))


def relus(rule: type[Clamp]) -> Swaps:
    """ReLU in every way that it is written, as `rule` has it."""

    def relu(input: Tensor, inplace: bool = False) -> Tensor:
        return rule.apply(input, 0.0, torch.inf, inplace)

    def relu_(input: Tensor) -> Tensor:
        return relu(input, True)

    def clamped(function: Any) -> Callable[..., Tensor]:
        def call(input: Tensor, *args: Any, **named: Any) -> Tensor:
            high = rectified_to(function, args, named)
            if high is None:
                return function(input, *args, **named)
            inplace = function.__name__.endswith("_") or True in (*args[2:], named.get("inplace"))
            return rule.apply(input, 0.0, high, inplace)

        return call

    swapped = {F.relu: relu, torch.relu: relu, Tensor.relu: relu}
    swapped |= {torch.relu_: relu_, Tensor.relu_: relu_}
    aten = torch.ops.aten  # as in graphs that torch.fx or torch.export made
    swapped |= {aten.relu: relu, aten.relu.default: relu}
    swapped |= {aten.relu_: relu_, aten.relu_.default: relu_}
    functions = (getattr(owner, name, None) for name in _CLAMPS for owner in (torch, Tensor, F))
    return swapped | {function: clamped(function) for function in functions if function}


_CLAMPS = ("clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_", "threshold", "threshold_")


def rectified_to(function: Any, args: Sequence[Any], named: Mapping[str, Any]) -> float | None:
    """Where a rectifier that is written as a clamp or threshold ends; None if it is none.

    args: those behind the input.
    """
    name = getattr(function, "__name__", "").strip("_")
    if name not in _CLAMPS:
        return None
    low, high = (*args, None, None)[:2]
    if name == "threshold":
        at, value = named.get("threshold", low), named.get("value", high)
        return torch.inf if at == value == 0 else None
    low, high = named.get("min", low), named.get("max", high)
    if not isinstance(low, int | float) or not isinstance(high, int | float | None) or low != 0:
        return None
    return torch.inf if high is None else float(high) if high > 0 else None


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`F.batch_norm`, which for frozen statistics is one multiplication, forward and back."""
    if training or running_mean is None or running_var is None:
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    scale = (running_var + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -running_mean * scale
    shift = shift if bias is None else shift + bias
    shape = (1, -1, *(1,) * (input.ndim - 2))
    return addcmul(shift.view(shape), input, scale.view(shape))


#: The same values and gradients; towards the input of EfficientNet-Lite0 in less time.
LEAN: Swaps = {F.batch_norm: batch_norm, **clamps(Clamp)}


class Overwritten(saved_tensors_hooks):
    """Notes while a pass runs whether what its gradient needs is changed in place later on.

    Autograd would refuse the gradient of such a pass; with `copied`, it has one.
    """

    def __init__(self) -> None:
        self._kept: list[tuple[Tensor, int]] = []
        self._changed = False
        super().__init__(self._keep, _same)

    def _keep(self, tensor: Tensor) -> Tensor:
        kept = tensor.detach()  # with its graph, it and what holds it would never leave
        self._kept.append((kept, tensor._version))
        return kept

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        self._changed = any(tensor._version != version for tensor, version in self._kept)
        self._kept.clear()

    def __bool__(self) -> bool:
        return self._changed


def copied() -> saved_tensors_hooks:
    """While it is entered, what a gradient needs is kept as a copy, which nothing overwrites."""
    return saved_tensors_hooks(Tensor.clone, _same)


def _same(tensor: Tensor) -> Tensor:
    return tensor
