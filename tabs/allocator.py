"""How the process gets its memory, and gives it back."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

ARENAS = 2
M_ARENA_MAX = -8  # malloc.h
CHOSEN = ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")
OFTEN = 0.5  # seconds between looks
LARGE = 1.9e9  # bytes in memory from which on no more than LYING may lie there free
LYING = 64e6
WORK = 0.5  # seconds of the processor's time that leave enough to give back
SHARE = 0.02  # of the processor's time that giving back may take


def few_arenas() -> bool:
    """Let all threads share two of glibc's arenas, as MALLOC_ARENA_MAX=2 would.

    By default there are up to eight for each core, and each keeps what its threads once needed for
    their largest tensors: a server grows by a third of a gigabyte with every visitor. To be called
    before there are threads. Returns False where there is no glibc, or where the environment says
    how many there are to be.
    """
    if any(name in os.environ for name in CHOSEN):
        return False
    return bool(_glibc("mallopt", M_ARENA_MAX, ARENAS))


@contextmanager
def lasting() -> Iterator[None]:
    """What is made in the block stays until the end, as modules do: meanwhile nothing is searched
    for cycles, a fifth of the time that importing takes, and no later search goes through it."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Held(ctypes.Structure):
    """glibc's `struct mallinfo2`, in bytes; of interest are uordblks and hblkhd, what is in use."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
        .split()
    ]  # fmt: skip


class Trim:
    """Gives free memory back after work; does nothing where there is no glibc.

    glibc keeps what lies free between blocks in use: a third of a gigabyte after sixty visitors,
    and as much again after one large pass. So it is given back after some work, and at the next
    look while the process is large: giving back costs the next work what it takes to get it again.
    tidy: lets go of what is not needed, before each look.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.process_time,
        tidy: Callable[[], object] = lambda: None,
    ) -> None:
        self.clock, self.tidy = clock, tidy
        self.before, self.enough, self.least = clock(), WORK, math.inf

    def __call__(self) -> None:
        resident, unused = process_bytes()
        lies = resident > LARGE and unused > self.least + LYING
        if lies or self.clock() - self.before >= self.enough:
            start = time.thread_time()
            _glibc("malloc_trim", 0)
            self.enough = max(WORK, (time.thread_time() - start) / SHARE)
            self.before, self.least = self.clock(), process_bytes()[1]
        self.least = min(self.least, unused)

    def keep(self, seconds: float = OFTEN) -> threading.Event:
        """Look every few seconds, in a thread of its own, until the event is set."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(seconds):
                self.tidy()
                self()

        threading.Thread(target=watch, name="trim", daemon=True).start()
        return over


def process_bytes() -> tuple[float, float]:
    """What the process has in memory, and how much of it is not in use as far as glibc knows: what
    lies free, and what never was its own, such as libraries. Zeros where that is not to be known.
    """
    try:
        info = ctypes.CDLL(None).mallinfo2
        info.restype = Held
        held = info()
        with open("/proc/self/statm") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, TypeError, ValueError):
        return 0.0, 0.0
    return resident, resident - held.uordblks - held.hblkhd


def _glibc(function: str, *numbers: int) -> Any:
    try:
        return getattr(ctypes.CDLL(None), function)(*numbers)
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return 0
