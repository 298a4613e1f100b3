"""How many bytes a value keeps alive: tensors with their graphs, arrays, bytes, nested records."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from functools import cache, partial
from itertools import chain
from types import FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any

import numpy as np
from torch import Tensor, nn

LARGE = 1024  # bytes from which on a piece is known by its address, so that sharing shows
NONE: frozenset[int] = frozenset()


class Apart:
    """What has a bound of its own, so that it does not count where something else refers to it."""


class Owner(Apart):
    """What results are made from and leave with, such as a network."""


def pieces(value: Any, apart_from: Set[int] = NONE) -> tuple[dict[int, int], int]:
    """The large pieces of memory that `value` keeps alive, address -> bytes, and the sum of the
    small ones. What lies at the addresses `apart_from`, and what hangs on it, is left out."""
    large: dict[int, int] = {}
    small, seen, todo = 0, set(apart_from), [value]
    while todo:
        each = todo.pop()
        own, parts = _way(type(each))
        if own is None:
            continue
        held = own(each)
        if held is not None:
            address, size = held
            if address in seen:
                continue
            seen.add(address)
            if size >= LARGE:
                large[address] = size
            else:
                small += size
        if parts is not None:
            todo += parts(each)
    return large, small


def size(value: Any) -> int:
    """Bytes that `value` keeps alive; what is shared inside of it counts once."""
    large, small = pieces(value)
    return sum(large.values()) + small


def belongings(owner: Any) -> frozenset[int]:
    """The addresses of all that an owner or a module holds itself."""
    parts = vars(owner).values() if isinstance(owner, Owner) else [owner]
    return frozenset(address for part in parts for address in pieces(part)[0])


Own = Callable[[Any], tuple[int, int] | None]
Parts = Callable[[Any], Iterable[Any]]


@cache
def _way(kind: type) -> tuple[Own | None, Parts | None]:
    """How values of this type are weighed: address and bytes of what one is by itself (None: its
    memory is another's), and what it refers to. Neither is looked at of what stands apart."""
    if issubclass(kind, Apart):
        return None, None
    if issubclass(kind, Tensor):
        return _storage, _graph
    if issubclass(kind, np.ndarray):
        return _buffer, _base
    return _itself, _parts(kind)


def _itself(value: Any) -> tuple[int, int]:
    return id(value), sys.getsizeof(value)


def _storage(value: Tensor) -> tuple[int, int]:
    try:
        storage = value.untyped_storage()
        return storage.data_ptr() or id(value), storage.nbytes()
    except (NotImplementedError, RuntimeError):  # prepared for a library, in its own layout
        return id(value), value.numel() * value.element_size()


def _buffer(value: np.ndarray) -> tuple[int, int] | None:
    if isinstance(value.base, Tensor | bytes | np.ndarray):  # that is the memory
        return None
    return value.__array_interface__["data"][0], value.nbytes


def _graph(value: Tensor) -> Iterable[Any]:
    return () if value.grad_fn is None else _saved(value.grad_fn)


def _base(value: np.ndarray) -> Iterable[Any]:
    return () if value.base is None else (value.base,)


def _parts(kind: type) -> Parts | None:
    """What values of this type refer to, as far as that is memory of its own."""
    for family, parts in _PARTS:
        if issubclass(kind, family):
            return parts
    slots = getattr(kind, "__slots__", ())
    if "__call__" in dir(kind) or issubclass(kind, ModuleType):  # these refer to all the program
        return None
    if not slots and not kind.__dictoffset__:  # numbers, strings
        return None

    def fields(value: Any) -> Iterable[Any]:
        yield from getattr(value, "__dict__", {}).values()
        for name in slots:
            yield getattr(value, name, None)

    return fields


def _closure(value: FunctionType) -> Iterable[Any]:
    for cell in value.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # an empty cell
            continue
    yield value.__defaults__


_PARTS: tuple[tuple[Any, Parts], ...] = (
    (Mapping, lambda value: chain(value.keys(), value.values())),
    ((list, tuple, Set), iter),
    (partial, lambda value: (value.func, value.args, value.keywords)),
    (MethodType, lambda value: (value.__self__,)),
    (FunctionType, _closure),
    (GeneratorType, gc.get_referents),  # all that it goes on with, also inside of its loops
    (nn.Module, lambda value: chain(value.parameters(), value.buffers())),
)


def _saved(root: Any) -> Iterator[Tensor]:
    """The tensors that a graph keeps for its backward pass."""
    seen, todo = {root}, [root]
    while todo:
        node = todo.pop()
        for name in _names(type(node)):
            try:
                found = getattr(node, name)
            except RuntimeError:  # freed, or changed in place since
                continue
            for each in found if isinstance(found, list | tuple) else [found]:
                if isinstance(each, Tensor):
                    yield each.detach()
        for after, _ in node.next_functions:
            if after is not None and after not in seen:
                seen.add(after)
                todo.append(after)


@cache
def _names(kind: type) -> tuple[str, ...]:
    """Where a kind of node keeps tensors."""
    known = ("saved_tensors", "variable")
    return tuple(name for name in dir(kind) if name.startswith("_saved_") or name in known)
