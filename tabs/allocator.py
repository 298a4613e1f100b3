"""How the process gets its memory, and gives it back."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ARENAS = 2 + min(os.cpu_count() or 1, 14)  # for the threads that compute, and two for all others;
# a container may have two cores of a machine's hundred
HEAP = 64 * 2**20  # bytes: the most that one piece of an arena has, but for the first arena
HELD = 128 * 2**20  # bytes that lie free at an arena's end before glibc gives them back by itself
SINGLE = 32 * 2**20  # bytes from which on a piece is the system's own: the most that glibc takes
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8  # malloc.h
PREPARED = {  # for shapes of inputs: by oneDNN, and once more by each thread that computes
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256",
    "LRU_CACHE_CAPACITY": "64",
}
TCMALLOC = "libtcmalloc_minimal.so.4"  # as it is called wherever it is installed
QUIET = "TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD"  # bytes from which on it tells the log of a piece
CHOSEN = ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")
CHOSEN_HELD = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
SMAPS = Path("/proc/self/smaps")
MAPPED = re.compile(  # a library's pages: from, to, rights, and kB that are not as in its file
    r"^([0-9a-f]+)-([0-9a-f]+) (\S+) .* /\S*\.so[.\d]*\n(?:\w+: .*\n)*?Anonymous: +(\d+) kB", re.M
)
DONTNEED = 4  # madvise's
OFTEN = 0.5  # seconds between looks
LARGE = 1.75e9  # bytes in memory from which on it is given back after LYING more
LYING = 64e6
MUCH = 200e6  # the same amid work
FULL = 2.0e9  # bytes from which on nobody waits for a pause: large work adds up within a second
AMPLE = LARGE  # above which results make way: a pass of VGG-16 takes half a gigabyte more
SOON = 0.1  # seconds between looks from there on, since one pass may take as much within OFTEN
LULL = 0.3  # seconds that a look waits for a moment in which nobody waits for a quick answer
WORK = 0.5  # seconds of the processor's time that leave enough to give back
CALM = 0.1  # seconds of it between two looks, up to which nobody is in a hurry


def preloaded() -> None:
    """Start the process anew with tcmalloc in glibc's place where the machine has it: a tenth more
    maps of the same cores.

    It can't take that place later, so this is to be called before anything is begun. Whatever the
    environment says of LD_PRELOAD, be it nothing, goes before.
    """
    if sys.platform != "linux" or not sys.executable or "LD_PRELOAD" in os.environ:
        return
    try:
        ctypes.CDLL(TCMALLOC)
    except OSError:
        return
    sys.stdout.flush()
    environment = {QUIET: str(2**62), **os.environ, "LD_PRELOAD": TCMALLOC}
    os.execve(sys.executable, sys.orig_argv, environment)


def few_arenas() -> bool:
    """Let all threads share a few of glibc's arenas, as MALLOC_ARENA_MAX would: four on two cores.

    By default there are up to eight for each core, and each keeps what its threads once needed for
    their largest tensors: a server grew by a third of a gigabyte with every visitor. With fewer
    than compute, they wait for each other. To be called before there are threads. Returns False
    where there is no glibc, or where the environment says how many there are to be.
    """
    if any(name in os.environ for name in CHOSEN):
        return False
    return bool(_libc("mallopt", M_ARENA_MAX, ARENAS))


def hold_some() -> bool:
    """Keep what was freed at an arena's end until there is much of it: `Trim` gives it back.

    By default it goes at once and comes again with the network's next layer, page by page, each
    filled with zeros: 4 to 8 ms of a core for one map of Lite0, more the more threads compute. An
    arena's pieces go and come as a whole, too, wherever layers pass the end of one.
    Returns as `few_arenas` does.
    """
    if any(name in os.environ for name in CHOSEN_HELD):
        return False
    kept = ((M_TRIM_THRESHOLD, HELD), (M_TOP_PAD, HEAP), (M_MMAP_THRESHOLD, SINGLE))
    return all(_libc("mallopt", *each) for each in kept)


def few_prepared() -> None:
    """Have less kept of what was prepared for shapes of inputs that are seldom met again.

    By default 1024 pieces of each of two kinds, one of them in each thread: photos of many shapes
    make a server grow by 200 MB in its first quarter of an hour. To be called before torch is
    imported; what the environment says goes before.
    """
    for name, most in PREPARED.items():
        os.environ.setdefault(name, most)


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


def unread() -> None:
    """Let go of what was read of libraries while they were loaded: a third of a gigabyte, much of
    it CUDA's and triton's, which is not looked at again. What is, comes back from the file."""
    try:
        told = SMAPS.read_text()
    except OSError:
        return
    for start, end, rights, size in MAPPED.findall(told):
        if "w" not in rights and not int(size):
            at = int(start, 16)
            _libc("madvise", ctypes.c_void_p(at), ctypes.c_size_t(int(end, 16) - at), DONTNEED)


class Trim:
    """Gives free memory back after work; does nothing where there is neither glibc nor tcmalloc.

    glibc keeps what lies free between blocks in use: a third of a gigabyte after sixty visitors,
    and as much again after one large pass. So it is given back when some work is done, and while
    the process is large also where it has grown. Amid work all who want memory stand still for it
    and take the same again, so there it waits until much has come or the process is full.
    tidy: lets go of what is not needed, before each look. lull: waits until nobody waits for a
    quick answer, so many seconds at the most. spare: lets go of so many bytes of results, where
    the process is large all the same.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.process_time,
        tidy: Callable[[], object] = lambda: None,
        lull: Callable[[float], object] = lambda _: None,
        spare: Callable[[int], object] = lambda _: None,
    ) -> None:
        self.clock, self.tidy, self.lull, self.spare = clock, tidy, lull, spare
        self.before, self.seen, self.least = clock(), clock(), math.inf

    def __call__(self) -> None:
        now, resident = self.clock(), resident_bytes()
        amid = now - self.seen > CALM and resident < FULL
        grown = resident > max(LARGE, self.least + (MUCH if amid else LYING))
        if grown or (not amid and now - self.before >= WORK):
            _give_back()
            if (over := int(resident_bytes() - AMPLE)) > 0:
                self.spare(over)
                _give_back()
            self.before, self.least = self.clock(), resident_bytes()
        self.seen, self.least = self.clock(), min(self.least, resident)

    def keep(self, seconds: float = OFTEN) -> threading.Event:
        """Look every few seconds, in a thread of its own, until the event is set."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(SOON if (full := resident_bytes() >= FULL) else seconds):
                if not full:
                    self.lull(LULL)
                self.tidy()
                self()

        threading.Thread(target=watch, name="trim", daemon=True).start()
        return over


def resident_bytes() -> float:
    """What the process has in memory; 0 where that is not to be known."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0.0


def _give_back() -> None:
    """What is free goes back to the system, from tcmalloc too where that was put in glibc's place
    (LD_PRELOAD)."""
    _libc("malloc_trim", 0)
    _libc("MallocExtension_ReleaseFreeMemory")


def _libc(function: str, *given: Any) -> Any:
    try:
        return getattr(ctypes.CDLL(None), function)(*given)
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return 0
