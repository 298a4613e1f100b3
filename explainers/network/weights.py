"""The module whose weights a network explains: its own, or a copy that follows somebody else's.

Somebody else's module stays as it is: its modes, its hooks and what in it wants gradients.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
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
        parts = (held for each in module.modules() for held in (each._parameters, each._buffers))
        self._held = [held for held in parts if held]

    def __reduce__(self) -> tuple[Any, ...]:
        return OwnWeights, (self.module,)

    def follow(self) -> None:
        """Nothing to do: it is itself what is written to."""

    def age(self) -> int:
        """How often weights and statistics were written to: older answers are others' then."""
        values = (value for held in self._held for value in held.values() if value is not None)
        return sum(_version(value) for value in values)


class FollowedWeights:
    """`module` is a copy of the original, as `copied` makes it; remarks: what to know of it by key.
    Raises ModelError for one that can't be copied."""

    def __init__(self, original: nn.Module, title: str) -> None:
        self.original = original = bare(original)
        self._title = title
        self.apart = Apart(original, title)
        self.module, self.remarks = copied(original, title)
        self._seen = _stamps(original)
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
    def follow(self) -> None:
        """Take over the original's weights and statistics, if any was written to. Raises
        OptionError when they are no longer as many, or of other shapes."""
        with self._lock:
            now = _stamps(self.original)
            if now == self._seen:
                return
            theirs, ours = list(_values(self.original)), list(_values(self.module))
            if [each.shape for each in theirs] != [each.shape for each in ours]:
                raise OptionError(
                    f"{self._title} has other layers than it had: make a new network of it."
                )
            for here, there in zip(ours, theirs, strict=True):  # all: BatchNorm's change unnoticed
                here.copy_(there)
            self._seen = now
            self._changes += 1

    def age(self) -> int:
        """How often there was anything to take over, by now."""
        self.follow()
        return self._changes


def _values(module: nn.Module) -> Iterator[Tensor]:
    return chain(module.parameters(), module.buffers())


def _stamps(module: nn.Module) -> list[tuple[int, int, int]]:
    """Others as soon as a value is written to, or another one is put into its place."""
    return [(id(value), value.data_ptr(), _version(value)) for value in _values(module)]


def _version(value: Tensor) -> int:
    """How often it was written to, as far as torch counts that."""
    return 0 if value.is_inference() else value._version
