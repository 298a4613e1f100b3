"""Room for large work, such as the maps of a sweep: what is held for as long as it is under way.

Many sweeps can be under way at a time, a slice of each after the other, and each holds its maps
between its slices. So all of them have a bound together, and who finds no room waits in line.
Whoever gave the turn does the waiting (`cores.stuck`): a turn that is held meanwhile may be what
others need to come to their end. Work that nobody gave a turn goes on at once.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Generator

from . import cores
from .sizes import Apart

OFTEN = 0.25  # seconds between looks at what may have ended without a word


class Claim(Apart):
    """Bytes that some work holds, or waits for, as long as this object lives."""

    def __init__(self, home: Room, size: int) -> None:
        self._home, self.size, self.granted = home, size, False

    def wait(self, seconds: float) -> int:
        """Wait for room, so long at the most; how many there are before it then, itself included: 0
        where it has room."""
        return self._home.wait(self, seconds)


class Room(Apart):
    """Claims in the order of their coming, at most `limit` bytes of them granted; safe for threads.

    A claim of more than that counts as all of it, and is granted alone. A later one passes the
    first that waits only where that isn't held up by it.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._claims: list[weakref.ref[Claim]] = []
        self._change = threading.Condition()

    @property
    def held(self) -> int:
        """Bytes of what was granted."""
        with self._change:
            return sum(each.size for each in self._settled() if each.granted)

    @property
    def waiting(self) -> int:
        """How many wait for room."""
        with self._change:
            return sum(not each.granted for each in self._settled())

    def claim(self, size: int, *, at_once: bool = False) -> Claim:
        """Ask for so many bytes; at_once: they are held, whoever else holds some."""
        claim = Claim(self, size)
        with self._change:
            claim.granted = at_once
            self._claims.append(weakref.ref(claim, self._left))
            self._settled()
        return claim

    def wait(self, claim: Claim, seconds: float) -> int:
        """How many are before that claim after so long at the most, itself included."""
        until = time.monotonic() + seconds
        with self._change:
            while True:
                line = [each for each in self._settled() if not each.granted]
                left = until - time.monotonic()
                if claim.granted or left <= 0:
                    return 0 if claim.granted else 1 + line.index(claim)
                del line  # or nobody could leave it
                self._change.wait(min(left, OFTEN))

    def _settled(self) -> list[Claim]:
        """All claims, after those for which there is room were granted."""
        claims = [claim for each in self._claims if (claim := each()) is not None]
        self._claims = [each for each in self._claims if each() is not None]
        limit = self._limit()
        free = limit - sum(min(each.size, limit) for each in claims if each.granted)
        first, passed = 0, 0  # bytes that the first one in line wants; of those that came after it
        for each in claims:
            size = min(each.size, limit)
            if not each.granted and size <= free and (not first or first + passed + size <= limit):
                each.granted, free = True, free - size
                self._change.notify_all()
            if each.granted:
                passed += size if first else 0
            else:
                first = first or max(1, size)
        return claims

    def _left(self, _: object) -> None:  # anywhere, even amid our own work: no lock is waited for
        if self._change.acquire(blocking=False):
            try:
                self._change.notify_all()
            finally:
                self._change.release()

    def take(self, size: int) -> Generator[None, None, Claim]:
        """Returns the claim once there is room; yields while there is none."""
        claim = self.claim(size, at_once=not cores.at_work())
        while not claim.granted and cores.stuck(claim):
            yield
        return claim
