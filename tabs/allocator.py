"""How the process gets its memory; to be called before it has threads."""

from __future__ import annotations

import ctypes
import os

ARENAS = 2
M_ARENA_MAX = -8  # malloc.h
CHOSEN = ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")


def few_arenas() -> bool:
    """Let all threads share two of glibc's arenas, as MALLOC_ARENA_MAX=2 would.

    By default there are up to eight for each core, and each keeps what its threads once needed for
    their largest tensors: a server grows by a third of a gigabyte with every visitor. Returns False
    where there is no glibc, or where the environment says how many there are to be.
    """
    if any(name in os.environ for name in CHOSEN):
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS))
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
