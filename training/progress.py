"""A line that says how far a long run is."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

EVERY = 60.0  # seconds between lines where nobody watches

Thing = TypeVar("Thing")
_said: dict[str, float] = {}


def progress(what: str, share: float, start: float, note: str = "") -> None:
    """Print a bar, the share done and the minutes left; start: `time.perf_counter()` then.

    On a terminal one line is drawn anew; elsewhere there is a line now and then, and at the end.
    """
    now = time.perf_counter()
    watched = sys.stdout.isatty()
    if not watched and share < 1 and now - max(_said.get(what, 0.0), start) < EVERY:
        return
    _said[what] = now
    left = (now - start) / max(share, 1e-9) * (1 - share)
    bar = f"{what} [{'#' * int(30 * share):<30}] {share:4.0%}, {left / 60:.1f} min left {note}"
    end = "" if watched and share < 1 else "\n"
    print(f"\r{bar}\033[K" if watched else bar, end=end, flush=True)


def each(things: Sequence[Thing], what: str) -> Iterator[Thing]:
    """The things, with a bar for them."""
    start = time.perf_counter()
    for number, thing in enumerate(things, 1):
        yield thing
        progress(what, number / len(things), start)
