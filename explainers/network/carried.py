"""Networks that are pickled or copied, to go to another process or stand beside themselves."""

from __future__ import annotations

import copy
import io
import pickle
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..errors import ModelError, reason
from .borrowed import computed
from .recording import serials

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def new_serial() -> str:
    """What tells a network from all others, also from those of other processes, whose views and
    questions may come here."""
    return uuid4().hex


class _Bare(pickle.Pickler):
    """Pickles all but tensors and what asks for it, which are kept in `apart`."""

    def __init__(self, file: io.BytesIO, asks: Any, protocol: int) -> None:
        super().__init__(file, protocol)
        self._asks = asks
        self.apart: dict[str, Any] = {}

    def persistent_id(self, value: Any) -> str | None:
        if not isinstance(value, Tensor) and value is not self._asks:
            return None
        key = str(id(value))
        self.apart[key] = value
        return key


class _Dressed(pickle.Unpickler):
    """Reads that with what was kept apart, and tensors without the graph that they hang on."""

    def __init__(self, file: io.BytesIO, apart: dict[str, Any]) -> None:
        super().__init__(file)
        self._apart = apart

    def persistent_load(self, key: str) -> Any:
        value = self._apart[key]
        return value.detach() if _hangs(value) else value


def _hangs(value: Any) -> bool:
    """Is it a tensor that was computed from others, as modules keep what they saw last?"""
    return isinstance(value, Tensor) and not value.is_leaf


class Carried:
    """A network that can be pickled and copied deeply, with all that it was told and the module
    that it follows, if any: a network of its own then, with taps and a memory of its own, that
    gives equal maps.

    A shallow copy shares the module and its taps. Raises ModelError for one that can't be.
    """

    title: str
    serial: str
    device: torch.device
    module: nn.Module
    memory: torch.memory_format
    _taps: dict[str, RemovableHandle]
    _weights: Any
    _handles: tuple[RemovableHandle, ...] | list[RemovableHandle] = ()
    _taps_of: Any = None
    _source: nn.Module | None = None
    _aspect = ""
    _install: Callable[[], None]

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in vars(self).items() if name != "_release"}
        return kept | {"memory": str(self.memory)}  # torch.save can't keep the thing itself

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.memory = getattr(torch, state["memory"].removeprefix("torch."))
        self.device = next(self.module.parameters()).device  # `torch.load` may move it
        if self._taps_of is not None:
            self.serial, self._taps = self._taps_of.serial, self._taps_of._taps
            self._aspect = f"/{next(serials)}"
            return
        there = self.module._forward_hooks.keys() | self.module._forward_pre_hooks.keys()
        if not there.issuperset(each.id for each in self._handles):
            raise ModelError(
                f"{self.title} loses its hooks when it is copied or pickled, as graphs of torch.fx "
                "do: do that with the module, and wrap it there."
            )
        self.serial = new_serial()
        for tap in self._taps.values():
            tap.remove()
        self._install()

    def __reduce_ex__(self, protocol: Any) -> Any:
        try:
            state = self._ungraphed(protocol)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"{self.title} can’t be pickled ({_ADDRESS.sub('', reason(error, 200))}): let all "
                "functions and classes of it be a file’s own (def, not lambda), or pickle its "
                "module and wrap it there."
            ) from error
        how, what, _, *rest = super().__reduce_ex__(protocol)
        return how, what, state, *rest

    def _ungraphed(self, protocol: int) -> dict[str, Any]:
        """The state, of which no tensor hangs on others: these can't go to another process."""
        state, file = self.__getstate__(), io.BytesIO()
        bare = _Bare(file, self, protocol)
        bare.dump(state)
        if not any(map(_hangs, bare.apart.values())):
            return state
        file.seek(0)
        return _Dressed(file, bare.apart).load()

    def __copy__(self) -> Any:
        made = type(self).__new__(type(self))
        made.__dict__.update(vars(self))
        made._taps_of = self._taps_of or self  # which go with it
        return made

    @torch.inference_mode(False)
    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        for module in (self.module, self._source, getattr(self._weights, "original", None)):
            memo |= computed(module) if module is not None else {}
        made = memo[id(self)] = type(self).__new__(type(self))
        try:
            state = copy.deepcopy(self.__getstate__(), memo)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"{self.title} can’t be copied ({_ADDRESS.sub('', reason(error))}): copy its "
                "module your own way, and wrap it there."
            ) from error
        made.__setstate__(state)
        return made
