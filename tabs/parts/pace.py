"""How long slow work will take, in words, judged by this machine while it works."""

from __future__ import annotations

import time
from collections.abc import Callable

MEASURED = 0.3  # seconds of work before anything is said
SPARE = 1.1  # promise a little more than it looks like: what comes later is rarely cheaper


class Pace:
    """Time left, measured from the first call on; what it says never grows.

    `words(done)` takes the share of the work that is done, 0 to 1, and is to be called often.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun: tuple[float, float] | None = None  # when, and what was done by then
        self._said = float("inf")

    def left(self, done: float) -> float | None:
        """Seconds, or None before enough of the work is measured."""
        now = self._clock()
        if self._begun is None:
            self._begun = now, done
        since, before = self._begun
        if now - since < MEASURED or done <= before:
            return None if self._said == float("inf") else self._said
        rest = SPARE * (now - since) * (1 - done) / (done - before)
        self._said = min(self._said, rest)
        return self._said

    def words(self, done: float) -> str:
        """“about 20 s left”."""
        left = self.left(done)
        return "measuring how long it takes" if left is None else spoken(left)


class Often:
    """True when so many seconds have gone by since it last was, and the first time: then another
    picture of what grows is worth drawing."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._last = float("-inf")

    def __call__(self) -> bool:
        now = self._clock()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


def spoken(seconds: float) -> str:
    """Time left as people say it."""
    if seconds < 1.5:
        return "nearly there"
    return f"about {span(seconds)} left"


def took(seconds: float) -> str:
    """What something took, as it was measured."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def span(seconds: float) -> str:
    """A length of time, rounded up so that nobody waits longer than was said."""
    if seconds < 10:
        return f"{max(1, -(-seconds // 1)):.0f} s"
    if seconds < 90:
        return f"{-(-seconds // 5) * 5:.0f} s"
    return f"{-(-seconds // 60):.0f} min"
