"""Waiting for what happens elsewhere, however long a busy machine takes for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def until(ask: Callable[[], T], enough: Callable[[T], object] = bool, seconds: float = 60) -> T:
    """The answer, asked for again until it is enough."""
    late = time.monotonic() + seconds
    while not enough(answer := ask()):
        assert time.monotonic() < late, answer
        time.sleep(0.1)
    return answer


def run(work: Coroutine[Any, Any, T]) -> T:
    """To its end, in a thread: a browser of other tests may have a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
