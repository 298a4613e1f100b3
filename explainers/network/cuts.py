"""Where values may pass and a gradient does not: behind detach(), .data, no_grad() and such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from .swaps import Clamp

READ = frozenset("detach detach_ numpy __array__ item __float__ tolist".split())


def cuts(function: Any, args: Sequence[Any]) -> bool:
    """Does this call take a value away from the gradient?"""
    if function is torch._C._set_grad_enabled:
        return not any(args) and torch.is_grad_enabled()
    name = getattr(function, "__name__", "")
    if name not in READ and function != Tensor.data.__get__:
        return False
    return any(isinstance(each, Tensor) and each.requires_grad for each in args)


def says_its_own(logits: Tensor) -> bool:
    """Does an `autograd.Function` of somebody else's say what a gradient on its way is?"""
    met: set[Any] = set()
    ahead = [logits.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in met:
            continue
        if isinstance(node, BackwardCFunction) and type(node)._forward_cls is not Clamp:
            return True
        met.add(node)
        ahead += [each for each, _ in node.next_functions]
    return False
