"""The same work asked for by several at a time is done once, and all of them see it grow."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Generic, TypeVar

from . import cores

T = TypeVar("T")

_flights: weakref.WeakValueDictionary[Hashable, _Flight] = weakref.WeakValueDictionary()
_lock = threading.Lock()


class _Flight(Generic[T]):
    """One generator; whoever pulls takes it a step further, for all."""

    def __init__(self, steps: Iterator[T]) -> None:
        self._steps = steps
        self._lock = threading.Lock()
        self._count = 0
        self._last: T | None = None
        self._over = False
        self.failed = False

    def after(self, seen: int) -> tuple[int, T | None]:
        """How many steps there are, and the newest value, worked for unless another has by now.

        As many as were `seen` means that nothing follows. What fails is raised where it was worked
        for; the others find `failed`.
        """
        with cores.held(self._lock):
            if self._count == seen and not self._over:
                try:
                    self._last = next(self._steps)
                    self._count += 1
                except StopIteration:
                    self._over = True
                except BaseException:
                    self._over = self.failed = True
                    raise
            return self._count, self._last


def together(key: Hashable, begin: Callable[[], Iterator[T]]) -> Iterator[T]:
    """What `begin()` yields; those who ask with an equal key meanwhile share one run of it.

    Each sees the newest value, and may miss some that were overtaken, never the last one. The work
    goes on while anybody pulls, and ends when the last one has let go. If it fails, it fails for
    one, and the others begin anew.
    """
    with _lock:
        flight: _Flight[Any] | None = _flights.get(key)
        if flight is None or flight.failed:
            flight = _flights[key] = _Flight(begin())
    seen = 0
    while True:
        before = seen
        seen, value = flight.after(seen)
        if seen == before:
            break
        yield value
    if flight.failed:
        yield from together(key, begin)
