"""Waiting for what happens elsewhere, however long a busy machine takes for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(ask: Callable[[], T], enough: Callable[[T], object] = bool, seconds: float = 60) -> T:
    """The answer, asked for again until it is enough."""
    late = time.monotonic() + seconds
    while not enough(answer := ask()):
        assert time.monotonic() < late, answer
        time.sleep(0.1)
    return answer
