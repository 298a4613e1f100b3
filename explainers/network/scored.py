"""Functions of a network's output in the place of its classes, so that every method explains them.

    fn(output) -> scalar

`output` is what the module hands over for one photo, a batch of one; it may be anything. A number
that hangs on the input by autograd serves every method, any other number those that only compare
scores (muting windows, RISE, patches).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from ..errors import ExplainError, OptionError, reason, sized
from .outputs import whole
from .recording import passing

Function = Callable[[Any], Any]


class Scored(nn.Module):
    """A module that answers with the functions' values (N, functions) of another one's output.

    That one is neither copied nor changed, and its parts keep their names.
    """

    def __init__(self, module: nn.Module, functions: Sequence[Function]) -> None:
        super().__init__()
        self.module, self.functions, self.training = module, tuple(functions), False

    def get_submodule(self, target: str) -> nn.Module:
        return self.module.get_submodule(target) if target else self

    def forward(self, x: Tensor) -> Tensor:
        with whole():
            output = self.module(x.clone())  # which it may overwrite
            each = [output] if len(x) == 1 else apart(output, len(x))
            if each is None:
                each = [self.module(one.clone()) for one in x.split(1)]
        return torch.stack([self._values(one, x) for one in each])

    def _values(self, output: Any, x: Tensor) -> Tensor:
        values = []
        for column, function in enumerate(self.functions):
            value = value_of(function, output)
            if not value.requires_grad and (current := passing.get()) is not None:
                current.recording.fixed.add(column)
            values.append(value.reshape(()).to(x))
        return torch.stack(values)


def apart(output: Any, count: int) -> list[Any] | None:
    """A batch's output as outputs of one photo each; None where it can't be told which is whose.

    As in a list of as many things as there are photos: one for each, or several of all of them.
    """
    if _listed(output, count):
        return None
    if dataclasses.is_dataclass(output) and not isinstance(output, dict):
        fields = {each.name: getattr(output, each.name) for each in dataclasses.fields(output)}
        parts = apart(fields, count)
        return parts and [dataclasses.replace(output, **part) for part in parts]
    leaves, how = tree_flatten(output)
    tensors = [each for each in leaves if isinstance(each, Tensor)]
    if tensors and all(each.ndim and len(each) == count for each in tensors):
        return [
            tree_unflatten(
                [each[i : i + 1] if isinstance(each, Tensor) else each for each in leaves], how
            )
            for i in range(count)
        ]
    return None


def _listed(output: Any, count: int) -> bool:
    """Is there a list in it of that length, or a tuple of other things than tensors?"""
    if isinstance(output, Mapping):
        return any(_listed(each, count) for each in output.values())
    if not isinstance(output, list | tuple):
        return False
    things = isinstance(output, list) or not all(isinstance(each, Tensor) for each in output)
    return (things and len(output) == count) or any(_listed(each, count) for each in output)


@torch.no_grad()
def told_apart(module: nn.Module, probe: Tensor) -> bool:
    """Is each part of a batch's output what the module hands over for that photo alone?"""
    photos = torch.cat([probe, 2 * probe.flip(3) + 1])
    with whole():
        parts = apart(module(photos.clone()), 2)
        if parts is None:  # then they are asked for one by one
            return True
        alone = [module(each.clone()) for each in photos.split(1)]
    pairs = zip(tree_leaves(parts), tree_leaves(alone), strict=False)
    return all(
        one.shape == other.shape and torch.allclose(one.float(), other.float(), 1e-3, 1e-3)
        for one, other in pairs
        if isinstance(one, Tensor) and isinstance(other, Tensor)
    )


def value_of(function: Function, output: Any) -> Tensor:
    """The function's value as a tensor of one element; raises OptionError for any other."""
    name = name_of(function)
    try:
        value = function(output)
        value = value if isinstance(value, Tensor) else torch.as_tensor(float(value), device="cpu")
    except ExplainError:
        raise
    except Exception as error:
        shape = getattr(output, "shape", ())
        what = f"{type(output).__name__}{f' of {sized(shape)}' if len(shape) else ''}"
        raise OptionError(
            f"The target function {name} fails on the network’s output, a {what} "
            f"({reason(error)}): give one that makes a number of it."
        ) from error
    if value.numel() != 1 or value.is_complex():
        what, remedy = f"{value.numel()} numbers", "their mean, or one of them"
        if value.is_complex():
            what, remedy = "complex numbers", "their size, or a part of them"
        raise OptionError(
            f"The target function {name} hands over {what} where one is needed: take {remedy}."
        )
    return value.float()


def name_of(function: Function) -> str:
    """What a function is called where classes have names."""
    name = getattr(function, "label", "") or getattr(function, "__name__", "")
    return name if name and name != "<lambda>" else "of one’s own"
