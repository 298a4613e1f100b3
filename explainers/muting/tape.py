"""A network written down as a short list of steps, each with its geometry.

One forward pass is recorded below autograd, by a dispatch mode (which belongs to one thread:
`torch.fx`'s symbolic tracer patches `nn.Module.__call__` for the whole process while it runs, and
stops at padding that depends on the input's size). The recorded operators are then lowered:
padding joins its convolution, BatchNorm is folded into it, an activation joins what it follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torch.utils.weak import WeakIdKeyDictionary

from ..early import Uncompiled
from .steps import Conv, Op, Pair, Ref, Step, conv_step, fold, packed

aten = torch.ops.aten

POINTWISE = frozenset(
    "relu hardtanh silu sigmoid hardswish hardsigmoid gelu leaky_relu elu tanh mish softplus"
    " clone detach alias add sub mul div".split()
)
RECURRENT = ("rnn", "lstm", "gru")  # their first state is of one photo; of more, memory is broken


class _Recorder(Uncompiled):
    def __init__(self, x: Tensor):
        super().__init__()
        self.ops: list[Op | None] = [None]
        self.index = WeakIdKeyDictionary({x: 0})  # no map is kept for it

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}

        def ref(a: Any) -> Any:
            return Ref(self.index[a]) if isinstance(a, Tensor) and a in self.index else a

        kept = tree_map(ref, (args, kwargs))
        if func is aten._local_scalar_dense.default and args[0] in self.index:
            raise ValueError("a number that Python reads may decide what is computed")
        if func._schema.is_mutable and self._shared(args[0]):
            raise ValueError("what is overwritten is seen under another name, too")
        out = func(*args, **kwargs)
        for item, each in enumerate(out if isinstance(out, tuple | list) else [out]):
            shape = each.shape if isinstance(each, Tensor) else torch.Size()
            op = Op(func, *kept, shape, item)
            if op.refs and isinstance(each, Tensor):
                self.index[each] = len(self.ops)
                self.ops.append(op)
        return out

    def _shared(self, written: Any) -> bool:
        """Do other tensors, which know nothing of it, lie in the same memory?"""
        if not isinstance(written, Tensor):
            return True
        place = written.untyped_storage().data_ptr()
        return any(
            each is not written and each.untyped_storage().data_ptr() == place
            for each in self.index
        )


@torch.no_grad()
def record(module: nn.Module, x: Tensor) -> list[Step | None]:
    """The steps that lead from x (1, 3, H, W) to the module's output, which is the last value.

    Steps refer to each other by their place in the list; place 0 is the input and holds None.
    """
    with _Recorder(x) as tape:
        out = module(x)
    if out not in tape.index:
        raise ValueError("the output is not a recorded tensor")
    if any(op and any(kind in op.name for kind in RECURRENT) for op in tape.ops):
        raise ValueError("a recurrent layer is no step for several photos")
    return _Lowering(tape.ops, tape.index[out], x.shape).steps


class _Lowering:
    """Turns recorded operators into steps, dropping what the output does not need."""

    def __init__(self, ops: list[Op | None], output: int, shape: torch.Size):
        self.ops, self.input_shape = ops, shape
        self.users: dict[int, int] = {}
        needed = {output}
        for i in range(output, 0, -1):
            if i in needed:
                needed.update(ops[i].refs)
                for r in ops[i].refs:
                    self.users[r] = self.users.get(r, 0) + 1
        self.steps: list[Step | None] = [None]
        self.place = {0: 0}  # recorded value -> step that makes it
        self.owner = {0: 0}  # step -> recorded value it ends with
        for i in range(1, output + 1):
            if i in needed:
                self._lower(i, ops[i])
        self.steps = [step and packed(step) for step in self.steps]

    def _lower(self, i: int, op: Op) -> None:
        if op.name == "constant_pad_nd" and self.users.get(i, 0) >= 1 and self._pads_conv(i):
            return  # joins the convolution that reads it
        last = len(self.steps) - 1
        alone = op.refs == (self.owner[last],) and self.users[self.owner[last]] == 1
        if alone and last and (joined := self._join(self.steps[last], op)):
            self.steps[last] = joined
        else:
            last += 1
            self.steps.append(self._step(op))
        self.place[i] = last
        self.owner[last] = i

    def _pads_conv(self, i: int) -> bool:
        op = self.ops[i]
        pads, value = op.args[1], op.args[2] if len(op.args) > 2 else 0.0
        users = [o for o in self.ops[1:] if i in o.refs]
        spatial = len(pads) == 4 and min(pads) >= 0 and value == 0
        return spatial and all(o.name == "convolution" for o in users)

    def _shape(self, value: int) -> torch.Size:
        return self.ops[value].shape if value else self.input_shape

    def _join(self, step: Step, op: Op) -> Step | None:
        """The step with a BatchNorm or an activation taken in, if it can be."""
        if step.act is not None or not step.local:
            return None
        if op.name == "native_batch_norm" and step.name == "convolution" and not op.args[5]:
            return fold(step, op, self._shape(self.owner[step.inputs[0]])[2:])
        if op.name in POINTWISE and len(op.refs) == 1 and (act := _pointwise(op, inplace=True)):
            return replace(step, act=act, act_op=op)
        return None

    def _step(self, op: Op) -> Step:
        if op.name == "convolution" and (step := self._conv(op)):
            return step
        inputs = tuple(self.place[r] for r in op.refs)
        flat = len(op.shape) == 4 and all(self._shape(r) == op.shape for r in op.refs)
        if flat and op.name in POINTWISE:
            if len(op.refs) == 1 and (act := _pointwise(op)):
                return _local(op, inputs, lambda xs: act(xs[0]))
            if len(op.refs) == 2 and isinstance(op.args[0], Ref) and isinstance(op.args[1], Ref):
                func = getattr(aten, op.name).Tensor
                return _local(op, inputs, lambda xs: func(xs[0], xs[1], **op.kwargs))
        if flat and op.name == "native_batch_norm" and not op.args[5]:
            weight, bias, mean, var = op.args[1:5]
            return _local(
                op,
                inputs,
                lambda xs: F.batch_norm(xs[0], mean, var, weight, bias, eps=op.args[7]),
            )
        if op.name == "cat" and len(op.shape) == 4 and (op.args[1:] or (0,))[0] in (1, -3):
            return _local(op, inputs, lambda xs: torch.cat(list(xs), 1))
        if op.name == "constant_pad_nd" and (step := self._pad(op)):
            return step
        if op.name in ("max_pool2d_with_indices", "avg_pool2d") and (step := self._pool(op)):
            return step
        return Step(op.name, inputs, op.shape, _whole(op))

    def _conv(self, op: Op) -> Step | None:
        source, weight, bias, stride, padding, dilation, transposed, _, groups = op.args
        if transposed or weight.ndim != 4 or any(isinstance(a, Ref) for a in op.args[1:3]):
            return None
        value, pads = source.index, [padding[1], padding[1], padding[0], padding[0]]
        if value not in self.place:  # a padding that joins
            pads = [a + b for a, b in zip(pads, self.ops[value].args[1], strict=True)]
            value = self.ops[value].args[0].index
        conv = Conv(weight, bias, tuple(stride), tuple(pads), tuple(dilation), groups)
        return conv_step((self.place[value],), op.shape, self._shape(value)[2:], conv)

    def _pad(self, op: Op) -> Step | None:
        pads, value = op.args[1], op.args[2] if len(op.args) > 2 else 0.0
        if len(op.shape) != 4 or len(pads) != 4 or min(pads) < 0:
            return None
        left, right, top, bottom = pads
        step = _local(op, (self.place[op.refs[0]],), lambda xs: xs[0].clone())
        around = {"before": (top, left), "after": (bottom, right), "fill": float(value)}
        return replace(step, run=_whole(op), **around)

    def _pool(self, op: Op) -> Step | None:
        """Max or average pooling, unless what an edge is divided by depends on where it lies."""
        kernel, stride, padding, *rest = [*op.args[1:], *(None,) * 5][:7]
        kernel, padding = _pair(kernel), _pair(padding or 0)
        stride = _pair(stride) if stride else kernel
        is_max = op.name.startswith("max")
        dilation = _pair(rest[0] or 1) if is_max and rest[0] else (1, 1)
        reach = tuple(d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
        sizes = zip(op.shape[2:], stride, reach, self._shape(op.refs[0])[2:], padding, strict=True)
        after = tuple(max(0, (o - 1) * s + r + 1 - h - p) for o, s, r, h, p in sizes)
        if is_max:
            patch = lambda xs: F.max_pool2d(xs[0], kernel, stride, 0, dilation)  # noqa: E731
        else:
            _, include, divisor = (*rest, None, None, None)[:3]
            uneven = any(a > p for a, p in zip(after, padding, strict=True))
            if divisor or uneven or (include is False and any(padding)):
                return None
            patch = lambda xs: F.avg_pool2d(xs[0], kernel, stride)  # noqa: E731
        return Step(
            op.name,
            (self.place[op.refs[0]],),
            op.shape,
            _whole(op),
            patch,
            reach,
            stride,
            padding,
            after,
            float("-inf") if is_max else 0.0,
            op.shape[1] * kernel[0] * kernel[1],
        )


def _pair(value: int | Sequence[int]) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _local(op: Op, inputs: tuple[int, ...], run: Callable) -> Step:
    return Step(op.name, inputs, op.shape, run, run, macs=op.shape[1])


def _pointwise(op: Op, inplace: bool = False) -> Callable[[Tensor], Tensor] | None:
    """The operator as a function of its one value; None if a constant beside it has a shape."""
    if op.name in ("clone", "detach", "alias"):
        return (lambda x: x) if inplace else torch.clone
    if not isinstance(op.args[0], Ref):
        return None
    rest = op.args[1:]
    for constant in rest:
        if isinstance(constant, Tensor) and constant.ndim and set(constant.shape[-2:]) != {1}:
            return None
    overload = op.func._overloadname
    packet = getattr(aten, op.name + "_", None) if inplace else None
    func = getattr(packet or getattr(aten, op.name), overload, None)
    return func and (lambda x: func(x, *rest, **op.kwargs))


def _whole(op: Op) -> Callable[[Sequence[Tensor]], Tensor]:
    """The operator on a batch: what it was recorded with for one photo, opened to N of them."""

    if op.name == "as_strided" and op.shape[2:] == (1, 1):  # global pooling tidies its strides
        return lambda xs: xs[0]

    def run(xs: Sequence[Tensor]) -> Tensor:
        values = iter(xs)
        n = xs[0].shape[0]
        args, kwargs = tree_map(
            lambda a: next(values) if isinstance(a, Ref) else a,
            (op.args, op.kwargs),
            is_leaf=lambda a: isinstance(a, Ref),
        )
        if op.func._schema.is_mutable:
            args = (args[0].clone(), *args[1:])
        if op.name in ("view", "_unsafe_view", "expand") and args[1] and args[1][0] == 1:
            reshape = torch.Tensor.expand if op.name == "expand" else torch.Tensor.reshape
            return reshape(args[0], [n, *args[1][1:]])
        if op.name == "native_group_norm":
            args = (*args[:3], n, *args[4:])
        out = op.func(*args, **kwargs)
        return out[op.item] if isinstance(out, tuple | list) else out

    return run
