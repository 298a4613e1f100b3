"""Logits read off whatever a module hands over, and that itself for those who ask for it whole.

A classifier hands over (N, classes), and nothing is to be done. Others squeeze that, or answer for
every place (a segmentation), or with a dictionary: a hook on the module makes logits of it, except
for functions as targets, which are given what was handed over as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ..errors import ModelError

_whole: ContextVar[bool] = ContextVar("whole", default=False)

Reading = Callable[[Any], Tensor]


@contextmanager
def whole() -> Iterator[None]:
    """While it is entered, modules hand over their output as it is."""
    token = _whole.set(True)
    try:
        yield
    finally:
        _whole.reset(token)


def squeezed(output: Tensor) -> Tensor:
    """Logits (N, classes) of an output that is so already, that was squeezed, or that has a logit
    for each place (N, classes, h, w), which are averaged."""
    if output.ndim < 2:  # of one photo
        return output.reshape(1, -1)
    if output.ndim == 4:
        return output.mean((2, 3))
    return output


def both_ways(output: Tensor) -> Tensor:
    """One logit z as two, -z and z: against it and for it, each with a sigmoid of its own."""
    logit = squeezed(output).reshape(-1, 1)
    return torch.cat([-logit, logit], 1)


def gist(output: Any) -> Tensor:
    """(1, 1): the mean of all numbers in any output, which shows whether two outputs differ."""
    leaves = [each for each in tree_leaves(output) if isinstance(each, Tensor) and each.numel()]
    means = [each.float().mean() for each in leaves if not each.is_complex()]
    return torch.stack(means).mean().reshape(1, 1) if means else torch.zeros(1, 1, device="cpu")


@dataclass(frozen=True)
class OfBatch:
    """A forward hook that makes logits by `read` of what a module hands over."""

    read: Reading

    def __call__(self, _module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor | None:
        if _whole.get():
            return None
        count = len(inputs[0])
        if isinstance(output, Tensor) and output.ndim == 1:  # squeezed: (N,), or (classes,) of one
            output = output.reshape(count, -1)
        return self.read(output)


@dataclass(frozen=True)
class Picked:
    """A forward hook that hands over what the function `output` picks out."""

    output: Reading
    title: str

    def __call__(self, _module: nn.Module, _inputs: object, found: Any) -> Tensor:
        kind = type(found).__name__
        try:
            picked = self.output(found)
        except Exception as error:
            raise ModelError(
                f"The output function of {self.title} fails on a {kind}: give one that picks the "
                "logits out of it."
            ) from error
        if picked is None:  # which a hook must not hand on: the output would stay as it is
            raise ModelError(
                f"The output function of {self.title} finds None in a {kind}: give one that picks "
                "the logits out of it."
            )
        return picked
