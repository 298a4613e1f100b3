"""The page's process, however many threads it has, keeps to two of glibc's arenas."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

HEAPS = """
import ctypes, sys, threading
{first}
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
met = threading.Barrier(12)

def work():
    libc.malloc(1000)
    met.wait()

threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_stats()
"""
SET = "import runpy; sys.modules['tabs.page'] = type(sys)('page'); "
SET += "sys.modules['tabs.page'].launch = None; runpy.run_path('app.py')"


def arenas(first: str, **environment: str) -> int:
    clean = {k: v for k, v in os.environ.items() if k not in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")}
    ran = subprocess.run(
        [sys.executable, "-c", HEAPS.format(first=first)],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stderr.count("Arena ")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_threads_share_two_arenas_unless_the_environment_says_otherwise():
    assert arenas("") > 2
    assert arenas(SET) == 2
    assert arenas(SET, MALLOC_ARENA_MAX="4") == 4
