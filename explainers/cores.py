"""How the processor's cores are shared among requests: all of it is decided here.

A request computes on its own threads. Alone it has half of the cores; the more there are at work,
the fewer each has, down to one: threads of two requests that wait for each other on the same cores
make both slow. Where cores are few, slow work stands still between two layers of its network while
quick work needs them, and a while longer once it was left: who left it looks at something else by
now, which his browser draws, often on these very cores.

However many ask, all of one kind is computed by as many threads as may be at work at a time. What a
thread frees then serves its own next layer: among more of them memory falls into pieces of many
sizes, which costs a tenth of what the processor can do. On a GPU it is one thread, and requests
take turns: cuDNN plans each convolution anew for each thread, 2.5 s for one map on an H100 that
takes 0.02 s from then on.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any, TypeVar

import torch

from .settings import Settings

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # what a container may have: "200000 100000" is two cores
STILL = 0.5  # seconds that one turn stands still at the most, so that slow work comes to its end
AGAIN = 0.02  # seconds after which it is asked again whether what was left has to go on
T = TypeVar("T")


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


class Turn:
    """One request at work. threads: how many it has. slow: does it come behind quick ones just
    now? left: is it for nobody just now, and in nobody's way? hand: the threads that compute for
    it, if not its own. waits: for what another is at. stands: seconds that it may still stand
    still. stuck: what it can't go on without, such as room for its maps."""

    def __init__(
        self,
        home: Cores,
        threads: int,
        slow: Callable[[], bool],
        hand: ThreadPoolExecutor | None,
        left: Callable[[], bool],
    ) -> None:
        self.home, self.threads, self.slow, self.hand = home, threads, slow, hand
        self.left = left
        self.waits, self.stands = False, STILL
        self.stuck: Any = None


class Cores:
    """The cores of this machine, shared by turns.

    cores: how many there are. threads: on how many one request computes whatever others do; 0
    leaves it to their number. quick, slow: how many requests of either kind may be at work at a
    time; on a GPU one of each, since they would only share its time.
    """

    def __init__(self, cores: int | None = None, threads: int = 0, *, gpu: bool = False) -> None:
        self.cores = cores or count()
        self.threads = threads
        self.gpu = gpu
        self.quick = 1 if gpu else max(2, self.cores)
        self.slow = 1 if gpu else max(1, self.cores // 2)
        self.hands = {
            name: ThreadPoolExecutor(width, name, initializer=_is_hand)
            for name, width in (("quick", self.quick), ("slow", self.slow))
        }
        self.readers = None if gpu else self.hands["quick"]  # one who reads would take a GPU's time
        self._working: list[Turn] = []
        self._change = threading.Condition()

    def each(self, working: int) -> int:
        """The threads of one request when so many are at work."""
        return self.threads or max(1, min(self.cores // 2, self.cores // max(1, working)))

    @contextmanager
    def turn(
        self,
        slow: Callable[[], bool] = bool,
        hand: ThreadPoolExecutor | None = None,
        left: Callable[[], bool] = bool,
    ) -> Iterator[int]:
        """Compute on one's share until the end of the block: in this thread, and what is handed to
        `compute` in that of `hand`, if there is one.

        slow, left: asked now and then whether this comes behind what is quick, and whether it is
        for nobody, and in nobody's way.
        """
        with self._change:
            mine = Turn(self, self.each(len(self._working) + 1), slow, hand, left)
            self._working.append(mine)
        try:
            with _at(mine):
                yield mine.threads
        finally:
            with self._change:
                self._working.remove(mine)
                self._change.notify_all()

    def stand(self, turn: Turn) -> None:
        """Wait while quick work needs the cores, or this was left."""
        since = time.monotonic()
        with self._change:
            while (rests := self._rests(turn)) or self._pressed():
                left = since + turn.stands - time.monotonic()
                if left <= 0:
                    break
                self._change.wait(min(left, AGAIN) if rests else left)
        turn.stands -= time.monotonic() - since

    def lull(self, seconds: float) -> bool:
        """Wait until no quick work is in need of the cores, so long at the most; has it come?"""
        with self._change:
            return self._change.wait_for(lambda: not self._pressed(), seconds)

    def _pressed(self) -> bool:
        """Is so much quick work under way that slow work would be in its way?"""
        quick = sum(not (each.waits or each.slow()) for each in self._working)
        return quick >= max(1, self.quick // 2)

    def _rests(self, turn: Turn) -> bool:
        """Was it left, and does nobody wait for what it is at?"""
        return turn.left() and not any(each.waits for each in self._working)

    def wait(self, turn: Turn, waits: bool) -> None:
        """Nobody need stand still for one who waits for another's work, which may be slow."""
        with self._change:
            turn.waits = waits
            self._change.notify_all()


class _Here(threading.local):
    """What this thread is at. hand: does it compute for others?"""

    turn: Turn | None = None
    hand = False


_here = _Here()


def _is_hand() -> None:
    _here.hand = True


@contextmanager
def _at(turn: Turn) -> Iterator[None]:
    """This thread is at work for that turn."""
    if torch.get_num_threads() != turn.threads:  # each thread has a number of its own
        torch.set_num_threads(turn.threads)
    before, _here.turn = _here.turn, turn
    try:
        yield
    finally:
        _here.turn = before


def compute(work: Callable[..., T], *given: Any) -> T:
    """work(*given), where this thread's turn has it computed."""
    turn = _here.turn
    if turn is None or turn.hand is None:
        return work(*given)

    def there() -> T:
        with _at(turn):
            return work(*given)

    return turn.hand.submit(copy_context().run, there).result()


def take_in(work: Callable[..., T], *given: Any) -> T:
    """work(*given), which reads what somebody brought, in the threads of quick work, if there are
    any that read: a turn is not waited for."""
    if shared.readers is None or _here.hand or at_work():
        return work(*given)
    return shared.readers.submit(copy_context().run, work, *given).result()


def give_way(*_: Any) -> None:
    """Slow work stands still here while quick work needs the cores, a while at the most. For all
    others it does nothing."""
    turn = _here.turn
    if turn is not None and turn.slow():
        turn.home.stand(turn)


def give_way_at(output: Any) -> None:
    """The same at what a layer hands over: now, and when its gradient comes by."""
    if _here.turn is None:
        return
    give_way()
    if isinstance(output, torch.Tensor) and output.requires_grad:
        output.register_hook(give_way)


def at_work() -> bool:
    """Has somebody given this thread a turn, who can wait for it?"""
    return _here.turn is not None


def stuck(on: Any) -> bool:
    """Tell whoever gave this turn what it can't go on without; is there anybody to tell?"""
    if _here.turn is not None:
        _here.turn.stuck = on
    return at_work()


def stuck_on() -> Any:
    """What this turn was found to be stuck on since this was asked last, or None."""
    turn, on = _here.turn, None
    if turn is not None:
        on, turn.stuck = turn.stuck, None
    return on


@contextmanager
def held(lock: Any) -> Iterator[None]:
    """Hold the lock of work that several may need, which slow work may have begun."""
    if not lock.acquire(blocking=False):
        turn = _here.turn
        if turn is None:
            lock.acquire()
        else:
            turn.home.wait(turn, True)
            try:
                lock.acquire()
            finally:
                turn.home.wait(turn, False)
    try:
        yield
    finally:
        lock.release()


shared = Cores()


def share(settings: Settings, cores: int | None = None) -> int:
    """Share the cores as the settings say, from now on; returns the threads of one alone.

    cores: those that are ours, where other processes have the rest.
    """
    global shared
    gpu = torch.device(settings.torch_device).type != "cpu"
    shared = Cores(cores, settings.threads, gpu=gpu)
    alone = shared.each(1)
    torch.set_num_threads(alone)
    return alone
