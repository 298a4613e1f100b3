"""How many bytes a value keeps alive: tensors with their graphs, arrays, bytes, nested records."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Mapping, Set
from functools import cache, partial
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
        if isinstance(each, Apart):
            continue
        for address, size in _own(each):
            if address in seen:
                break
            seen.add(address)
            if size >= LARGE:
                large[address] = size
            else:
                small += size
        else:
            todo += _parts(each)
    return large, small


def size(value: Any) -> int:
    """Bytes that `value` keeps alive; what is shared inside of it counts once."""
    large, small = pieces(value)
    return sum(large.values()) + small


def belongings(owner: Any) -> frozenset[int]:
    """The addresses of all that an owner or a module holds itself."""
    parts = vars(owner).values() if isinstance(owner, Owner) else [owner]
    return frozenset(address for part in parts for address in pieces(part)[0])


def _own(value: Any) -> Iterator[tuple[int, int]]:
    """Address and bytes of what the value itself is, without what it refers to."""
    if isinstance(value, Tensor):
        try:
            storage = value.untyped_storage()
            yield storage.data_ptr() or id(value), storage.nbytes()
        except (NotImplementedError, RuntimeError):  # prepared for a library, in its own layout
            yield id(value), value.numel() * value.element_size()
    elif isinstance(value, np.ndarray):
        if not isinstance(value.base, Tensor | bytes | np.ndarray):  # else its base is the memory
            yield value.__array_interface__["data"][0], value.nbytes
    else:
        yield id(value), sys.getsizeof(value)


def _parts(value: Any) -> Iterator[Any]:
    """What the value refers to, as far as that is memory of its own."""
    if isinstance(value, Tensor):
        if value.grad_fn is not None:
            yield from _saved(value.grad_fn)
    elif isinstance(value, np.ndarray):
        yield from [] if value.base is None else [value.base]
    elif isinstance(value, Mapping):
        yield from value.keys()
        yield from value.values()
    elif isinstance(value, list | tuple | Set):
        yield from value
    elif isinstance(value, partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, MethodType):
        yield value.__self__
    elif isinstance(value, FunctionType):
        for cell in value.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # an empty cell
                continue
        yield value.__defaults__
    elif isinstance(value, GeneratorType):  # all that it goes on with, also inside of its loops
        yield from gc.get_referents(value)
    elif isinstance(value, nn.Module):
        yield from value.parameters()
        yield from value.buffers()
    elif not (callable(value) or isinstance(value, ModuleType)):  # these refer to all the program
        yield from getattr(value, "__dict__", {}).values()
        for name in getattr(type(value), "__slots__", ()):
            yield getattr(value, name, None)


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
