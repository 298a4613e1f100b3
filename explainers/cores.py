"""How the processor's cores are shared among requests: all of it is decided here.

A request computes on its own threads. Alone it has half of the cores; the more there are at work,
the fewer each has, down to one: threads of two requests that wait for each other on the same cores
make both slow.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from .settings import Settings

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # what a container may have: "200000 100000" is two cores


def count() -> int:
    """The cores that this process may use: fewer than the machine has, inside a container."""
    usable = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
    try:
        quota, period = QUOTA.read_text().split()
        usable = min(usable, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no such file, or "max": no limit
        pass
    return max(1, usable)


class Cores:
    """The cores of this machine, shared by turns.

    cores: how many there are. threads: on how many one request computes whatever others do; 0
    leaves it to their number. quick, slow: how many requests of either kind may be at work at a
    time; on a GPU one of each, since they would only share its time.
    """

    def __init__(self, cores: int | None = None, threads: int = 0, *, gpu: bool = False) -> None:
        self.cores = cores or count()
        self.threads = threads
        self.quick = 1 if gpu else self.cores
        self.slow = 1 if gpu else max(1, self.cores // 2)
        self._working = 0
        self._lock = threading.Lock()

    def each(self, working: int) -> int:
        """The threads of one request when so many are at work."""
        return self.threads or max(1, min(self.cores // 2, self.cores // max(1, working)))

    @contextmanager
    def turn(self) -> Iterator[int]:
        """Compute on one's share, in this thread, until the end of the block."""
        with self._lock:
            self._working += 1
            mine = self.each(self._working)
        if torch.get_num_threads() != mine:  # each thread has a number of its own
            torch.set_num_threads(mine)
        try:
            yield mine
        finally:
            with self._lock:
                self._working -= 1


shared = Cores()


def share(settings: Settings, cores: int | None = None) -> int:
    """Share the cores as the settings say, from now on; returns the threads of one alone.

    cores: those that are ours, where other processes have the rest.
    """
    global shared
    gpu = settings.torch_device.startswith("cuda")
    shared = Cores(cores, settings.threads, gpu=gpu)
    alone = shared.each(1)
    torch.set_num_threads(alone)
    return alone
