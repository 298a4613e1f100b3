"""Where values may pass and a gradient does not: behind detach(), .data, no_grad() and such."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from .swaps import Clamp

_OPERATORS = "GeneratedBackwardFor_torchvision_"  # deformable convolutions, and none rectifies
COMPARISONS = frozenset(
    "gt ge lt le greater less greater_equal less_equal sign heaviside abs absolute".split()
)
PAIRS = frozenset("max min maximum minimum fmax fmin".split())  # of one tensor some reduce it
READ = frozenset("detach detach_ numpy __array__ item __float__ tolist".split())
STEPS = frozenset("round floor ceil trunc fix sign floor_divide".split())  # whose slope is nil


def cuts(function: Any, args: Sequence[Any]) -> bool:
    """Does this call take a value away from the gradient?"""
    if function is torch._C._set_grad_enabled:
        return not any(args) and torch.is_grad_enabled()
    name = getattr(function, "__name__", "")
    if not {name, name.strip("_")} & (READ | STEPS) and function != Tensor.data.__get__:
        return False
    return any(isinstance(each, Tensor) and each.requires_grad for each in args)


def behind(logits: Tensor) -> Iterator[Any]:
    """The nodes that the gradient of the logits goes through, each once."""
    met: set[Any] = set()
    ahead = [logits.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in met:
            continue
        met.add(node)
        yield node
        ahead += [each for each, _ in node.next_functions]


def says_its_own(node: Any) -> bool:
    """Does an `autograd.Function` of somebody else's say what a gradient on its way is?"""
    return isinstance(node, BackwardCFunction) and type(node)._forward_cls is not Clamp


def unseen(node: Any) -> str:
    """What computes there that no function mode sees a rectifier in, though it may be one."""
    if node.name().startswith(_OPERATORS):
        return ""
    if says_its_own(node):
        return f"an autograd.Function ({type(node)._forward_cls.__name__})"
    if node.name().startswith("Threshold"):  # at another value than 0
        return "threshold"
    return "TorchScript" if node.name().startswith(("torch::jit", "Relu", "Hardtanh")) else ""


def compares(function: Any, args: Sequence[Any]) -> bool:
    """Does this call tell larger numbers of a gradient's way from smaller ones, as a rectifier that
    is written by hand does: x * (x > 0), torch.maximum(x, 0), torch.maximum(x, x / 8), x + abs(x)?

    The largest of several maps is none, as it is none of several places.
    """
    name = getattr(function, "__name__", "").strip("_")
    tensors = [each for each in args if isinstance(each, Tensor)]
    way = [each for each in tensors if each.requires_grad and each.ndim > 1]
    if name not in PAIRS:
        return name in COMPARISONS and bool(way)
    return len(tensors) > 1 and bool(way) and (len(way) < 2 or _of_one(*way[:2]))


def _of_one(one: Tensor, other: Tensor) -> bool:
    """Is one of them made of the other in one step?"""
    a, b = one.grad_fn, other.grad_fn
    made = [(node, of) for of, node in ((a, b), (b, a)) if node is not None and of is not None]
    return a is b or any(of is each for node, of in made for each, _ in node.next_functions)
