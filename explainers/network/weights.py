"""The module whose weights a network explains: its own, or a copy that follows somebody else's.

Somebody else's module stays as it is: its modes, its hooks and what in it wants gradients.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import OptionError
from .borrowed import Apart, bare, copied


class OwnWeights:
    """`module` is nobody else's."""

    apart: AbstractContextManager[Any] = nullcontext()
    remarks: Mapping[str, str] = MappingProxyType({})

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __reduce__(self) -> tuple[Any, ...]:
        return OwnWeights, (self.module,)

    def follow(self) -> None:
        """Nothing to do: it is itself what is written to."""

    def age(self) -> int:
        """Another number as soon as weights and statistics were written to, or layers exchanged:
        older answers are others' then."""
        return hash((*_stamps(self.module), *_kinds(self.module)))


class FollowedWeights:
    """`module` is a copy of the original, as `copied` makes it; remarks: what to know of it by key.
    Raises ModelError for one that can't be copied."""

    def __init__(self, original: nn.Module, title: str) -> None:
        self.original = original = bare(original)
        self._title = title
        self.apart = Apart(original, title)
        self.module, self.remarks = copied(original, title)
        self._seen, self._kinds = _stamps(original), _kinds(original)
        self._changes = 0
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("apart", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.apart, self._lock = Apart(self.original, self._title), threading.Lock()
        self._seen = []  # of other tensors: all is taken over once more

    @torch.inference_mode(False)
    @torch.no_grad()
    def follow(self, closely: bool = False) -> None:
        """Take over the original's weights and statistics, if any was written to. closely: also by
        ways that torch does not count, such as `.data`. Raises OptionError when they are no longer
        as many, of other shapes, or in other layers."""
        with self._lock:
            now = _stamps(self.original)
            theirs, ours = list(_values(self.original)), list(_values(self.module))
            same = not closely or _kinds(self.original) == self._kinds
            if now == self._seen and same and not (closely and _differ(theirs, ours)):
                return
            if not same or [each.shape for each in theirs] != [each.shape for each in ours]:
                raise OptionError(
                    f"{self._title} has other layers than it had: make a new network of it."
                )
            for here, there in zip(ours, theirs, strict=True):  # all: BatchNorm's change unnoticed
                here.copy_(there)
            self._seen = now
            self._changes += 1

    def age(self) -> int:
        """How often there was anything to take over, by now."""
        self.follow(closely=True)
        return self._changes


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """All modules within, each once: as `modules()`, which takes five times as long."""
    seen, left = set(), [module]
    while left:
        part = left.pop()
        if part is not None and part not in seen:
            seen.add(part)
            left.extend(part._modules.values())
            yield part


def _values(module: nn.Module) -> Iterator[Tensor]:
    """All parameters and buffers, each once."""
    kept = (d for part in _parts(module) for d in (part._parameters, part._buffers))
    found = {id(value): value for each in kept for value in each.values() if value is not None}
    return iter(found.values())


def _kinds(module: nn.Module) -> list[type]:
    return [type(part) for part in _parts(module)]


def _differ(theirs: Sequence[Tensor], ours: Sequence[Tensor]) -> bool:
    return not all(torch.equal(a.to(b), b) for a, b in zip(theirs, ours, strict=True))


def _stamps(module: nn.Module) -> list[tuple[int, int, int]]:
    """Others as soon as a value is written to, or another one is put into its place."""
    return [(id(value), value.data_ptr(), _version(value)) for value in _values(module)]


def _version(value: Tensor) -> int:
    """How often it was written to, as far as torch counts that."""
    return 0 if value.is_inference() else value._version
