"""Who may compute when: what is quick never waits behind what takes long, and nobody is passed.

Work waits in one of two lanes. Whoever does not get a turn in time is told how many are ahead, and
keeps that place when coming again; when too many wait, newcomers are told when to come again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from explainers import ExplainError, cores

PATIENCE = 0.8  # seconds that a visitor waits before being told
AWAY = 0.3  # seconds after which a place that nobody stands at is passed; it keeps its number
LEFT = 5.0  # seconds after which a place in the lane that nobody stands at is given away
WAITING = 64  # in each lane; a setting overrides it
TOO_OFTEN = "That is more than one visitor may ask"


class Busy(ExplainError):
    """Too many wait. seconds: after which to come again."""

    def __init__(self, seconds: int, sentence: str = "") -> None:
        sentence = sentence or "Many people are asking just now"
        super().__init__(f"{sentence}: try again in {seconds} s.")
        self.seconds = seconds


class Closing(ExplainError):
    """The server is about to stop."""

    def __init__(self) -> None:
        super().__init__("The page is about to restart: try again in a minute.")


class _Place:
    """In line. since: when it was left; inf while somebody stands there. left: is that for nobody?
    called: told when it is his turn; that all who wait wake each time holds up those at work."""

    def __init__(self, lock: threading.Lock, left: Callable[[], bool]) -> None:
        self.since, self.left, self.called = math.inf, left, threading.Condition(lock)


class Lane:
    """So many at a time; the others wait in the order in which they came. hand: the threads that
    compute for all of them."""

    def __init__(
        self, width: int, most: int = WAITING, hand: ThreadPoolExecutor | None = None
    ) -> None:
        self.width, self.most, self._hand = width, most, hand
        self.closed = False
        self._free = width
        self._places: dict[Hashable, _Place] = {}  # in order
        self._lock = threading.Lock()
        self._took = 0.1  # seconds of a turn, lately

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        with self._lock:
            return len(self._places)

    @contextmanager
    def turn(
        self,
        who: Hashable,
        patience: float | None = None,
        *,
        new: bool = True,
        slow: Callable[[], bool] = bool,
        left: Callable[[], bool] = bool,
    ) -> Iterator[int]:
        """Yields 0 when it is one's turn, or one's place in the lane when patience is over.

        who: keeps its place, if it comes again soon. slow, left: asked now and then whether this
        gives way to what is quick, and whether it is for nobody: then it stands still for a while,
        unless somebody waits for its turn. Raises Busy for a new one when too many wait, and
        Closing when the server is about to stop.
        """
        place = self._wait(who, PATIENCE if patience is None else patience, new, left)
        if place:
            yield place
            return
        start = time.monotonic()
        try:
            with cores.shared.turn(slow, self._hand, lambda: left() and not self._wanted()):
                yield 0
        finally:
            with self._lock:
                self._took += 0.1 * (time.monotonic() - start - self._took)
                self._free += 1
                self._call()

    def _wanted(self) -> bool:
        """Does anybody wait for a turn whose work is for somebody?"""
        with self._lock:
            here = [each for each in self._places.values() if each.since == math.inf]
            return not all(each.left() for each in here)

    def _wait(self, who: Hashable, patience: float, new: bool, left: Callable[[], bool]) -> int:
        until = time.monotonic() + patience
        with self._lock:
            self._clear()
            if new and self.closed:
                raise Closing
            if new and who not in self._places and len(self._places) >= self.most:
                raise Busy(self._seconds())
            while True:
                self._clear()
                place = self._places.setdefault(who, _Place(self._lock, left))
                place.since, place.left = math.inf, left
                if self._free and self._next() == who:
                    del self._places[who]
                    self._free -= 1
                    self._call()  # the next one may go, too
                    return 0
                rest = until - time.monotonic()
                if rest <= 0:
                    place.since = time.monotonic()
                    return 1 + list(self._places).index(who)
                place.called.wait(min(rest, AWAY))  # whoever is first may not come back

    def _next(self) -> Hashable:
        """Whose turn it is: the first who stands there, or did so just now."""
        away = time.monotonic() - AWAY
        return next((who for who, place in self._places.items() if place.since >= away), None)

    def _clear(self) -> None:
        """Give the places away that were left."""
        late = time.monotonic() - LEFT
        left = [who for who, place in self._places.items() if place.since < late]
        for who in left:
            del self._places[who]
        if left:
            self._call()

    def _call(self) -> None:
        """Wake whose turn it is, if there is one to be had."""
        who = self._next() if self._free else None
        if who is not None:
            self._places[who].called.notify_all()

    def _seconds(self) -> int:
        return max(1, math.ceil(len(self._places) * self._took / self.width))


class Lanes:
    """The two lanes of a server."""

    def __init__(self, most: int = WAITING) -> None:
        home = cores.shared
        self.quick = Lane(home.quick, most, home.hands["quick"])
        self.slow = Lane(home.slow, most, home.hands["slow"])

    def close(self) -> None:
        """Take nothing new; what is under way goes on."""
        self.quick.closed = self.slow.closed = True
