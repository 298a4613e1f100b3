"""The page's process has a swift allocator where there is one, else few arenas, and gives back."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
import threading

import pytest

from tabs import allocator
from tabs.allocator import ARENAS

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")

HEAPS = """
import ctypes, sys, threading
{first}
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
met = threading.Barrier({threads})

def work():
    libc.malloc(1000)
    met.wait()

threads = [threading.Thread(target=work) for _ in range({threads})]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_stats()
"""
SET = "import runpy; sys.modules['tabs.page'] = type(sys)('page'); "
SET += "sys.modules['tabs.page'].launch = None; runpy.run_path('app.py')"


def arenas(first: str, **environment: str) -> int:
    clean = {k: v for k, v in os.environ.items() if k not in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")}
    ran = subprocess.run(
        [sys.executable, "-c", HEAPS.format(first=first, threads=4 * ARENAS)],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stderr.count("Arena ")


@glibc
def test_threads_share_a_few_arenas_unless_the_environment_says_otherwise():
    assert arenas("") > ARENAS
    assert arenas(SET) == ARENAS
    assert arenas(SET, MALLOC_ARENA_MAX="2") == 2


LAYERS = """
import ctypes, resource
import tabs
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def layers():
    for size in range(10_000_000, 30_000_000, 2_000_000):
        place = ctypes.c_void_p(libc.malloc(size))
        libc.memset(place, 1, size)
        libc.free(place)

faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
layers()
before = faults()
layers()
print(faults() - before)
"""


@glibc
def test_what_one_layer_frees_serves_the_next_one_unless_the_environment_says_otherwise():
    def faults(**environment: str) -> int:
        ran = [sys.executable, "-c", LAYERS]
        env = {**os.environ, **environment}
        return int(subprocess.run(ran, env=env, capture_output=True, text=True, check=True).stdout)

    assert faults() < 1000
    assert faults(MALLOC_TRIM_THRESHOLD_="131072") > 10_000


HOLES = """
import ctypes, os
from tabs import allocator
from tabs.allocator import Trim

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
now = [0.0]
spared = []
trim = Trim(lambda: now[0], spare=spared.append)
before = resident()
left = []

def work():
    blocks = [(libc.malloc(100_000), libc.malloc(100)) for _ in range(500)]
    left.append(blocks)
    for large, _ in blocks:
        ctypes.memset(large, 1, 100_000)
    for large, _ in blocks:
        libc.free(ctypes.c_void_p(large))

work()
trim()
idle = resident()
now[0] = 5.0
trim()
busy = resident()
trim()
after = resident()
work()
allocator.LYING = 20e6
trim()
small = resident()
allocator.LARGE = 0
trim()
large = resident()
work()
now[0] += 0.7
trim()
amid = resident()
trim()
calm = resident()
work()
now[0] += 0.2
assert not spared
allocator.FULL = allocator.AMPLE = 1e6
trim()
full = resident()
assert len(spared) == 1 and abs(spared[0] + 1e6 - full) < 1e6, (spared, full)
print(*(each - before for each in (idle, busy, after, small, large, amid, calm, full)))
"""


@glibc
def test_what_is_free_between_blocks_in_use_is_given_back_after_work_or_where_memory_is_large():
    ran = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    idle, busy, after, small, large, amid, calm, full = map(int, ran.stdout.split())
    assert idle > 45_000_000
    assert busy > 45_000_000  # amid work it would stand in the way
    assert after < 10_000_000
    assert small > 45_000_000
    assert large < 10_000_000
    assert amid > 45_000_000
    assert calm < 15_000_000
    assert full < 20_000_000  # and results were asked to spare what is too much


def test_an_allocator_in_glibc_s_place_is_asked_to_give_back_as_well(monkeypatch):
    now, asked, mine = [0.0], [], threading.get_ident()

    def called(function: str, *_: int) -> None:
        if threading.get_ident() == mine:  # and not of a page that another test has opened
            asked.append(function)

    monkeypatch.setattr(allocator, "_libc", called)
    monkeypatch.setattr(allocator, "resident_bytes", lambda: 10**9)  # whatever this process has
    trim = allocator.Trim(lambda: now[0])
    now[0] = 5.0
    trim()  # amid work
    trim()
    assert asked == ["malloc_trim", "MallocExtension_ReleaseFreeMemory"]


BEGUN = """
import sys
from pathlib import Path
from tabs import allocator, command

allocator.TCMALLOC = {library!r}
command.main = lambda: print("tcmalloc" in Path("/proc/self/maps").read_text(), sys.argv[1]) or 3
command.process()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is put in its place")
def test_the_command_begins_anew_with_tcmalloc_where_it_is_installed_unless_told_otherwise():
    def begun(library: str = allocator.TCMALLOC, **environment: str) -> str:
        clean = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"} | environment
        program = [sys.executable, "-c", BEGUN.format(library=library), "photo 1.png"]
        ran = subprocess.run(program, env=clean, capture_output=True, text=True)
        assert (ran.returncode, ran.stderr) == (3, "")
        return ran.stdout

    assert begun("libnowhere.so.4") == begun(LD_PRELOAD="") == "False photo 1.png\n"
    try:
        ctypes.CDLL(allocator.TCMALLOC)
    except OSError:
        lacks = "there is no libtcmalloc_minimal.so.4 (Debian: libtcmalloc-minimal4)"
        pytest.fail(lacks) if os.environ.get("CI") else pytest.skip(lacks)
    assert begun() == "True photo 1.png\n"


SHAPES = """
import ctypes
from tabs import allocator
import torch

class Malloc(ctypes.Structure):
    _fields_ = [(f"f{i}", ctypes.c_size_t) for i in range(10)]

used = ctypes.CDLL(None).mallinfo2
used.restype = Malloc
torch.set_num_threads(1)
weight = torch.randn(8, 8, 3, 3)
photo = torch.randn(1, 8, 16, 1000)
for width in range(8, 608):
    torch.conv2d(photo[..., :width], weight, padding=1)
    if width == 207:
        before = used().f7
print(used().f7 - before)

def of_files():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssFile"))

found, loaded = torch.conv2d(photo, weight), of_files()
allocator.unread()
left = of_files()
assert torch.equal(torch.conv2d(photo, weight), found)
print(loaded * 1000, left * 1000)
"""


@pytest.mark.slow
@glibc
def test_what_is_prepared_for_shapes_of_photos_soon_grows_no_more_and_what_was_loaded_is_let_go():
    ran = [sys.executable, "-c", SHAPES]
    told = subprocess.run(ran, capture_output=True, text=True, check=True).stdout
    grown, loaded, left = map(int, told.split())
    assert grown < 10e6  # 3 MB; 22 without a bound of ours
    assert left < 0.3 * loaded
