"""Work that is drawn as it grows: the browser pulls it, a slice at a time.

A tab's work is a generator of `Show`s. Its browser asks for a slice and, while it is looked at, for
the next; so work that was left, cancelled or superseded ends by itself, because nobody pulls it,
and what takes long never stands in front of what is quick.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from explainers import ExplainError, cores
from explainers.recent import memory
from explainers.room import Claim
from explainers.sizes import Apart, size

from ..server.limits import Rate
from .lanes import LEFT, PATIENCE, TOO_OFTEN, Busy, Lanes

SLICE = 0.25  # seconds of work between two pictures
PROMPT = 2  # slices that end with the first picture, however little it took
AWAY = 3.0  # seconds without a pull after which nobody seems to wait for it
MOST_BYTES = 128_000_000  # of work that nobody seems to wait for
IDLE = 60.0  # seconds that work which nobody pulls is kept, to be come back to
MOST = 200  # pieces of work kept at a time, over all visitors: all that wait, and those who left
SECONDS = 900  # of work that one piece may take in all; a setting overrides it
FULL = "Waiting for memory: {} ahead"
GONE = "This work has left our memory: start it again."


@dataclass(frozen=True)
class Show:
    """What changes on the page; what is not named stays as it is.

    places: HTML for places of the tab's markup, by name. data: for the tab's script, by name; a
    dict adds to the one before. done: share of slow work that is in it, below 1 while it goes on.
    words: beside the bar, such as the time left. settings: values for the tab's fields. state: for
    the page, such as {"targets": [281]} or {"tab": "muting"}. file: (name, bytes) to take away.
    soon: the next picture follows at once, so this one need not go alone.
    """

    places: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    done: float = 1.0
    words: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    file: tuple[str, bytes] | None = None
    soon: bool = False

    def then(self, later: Show) -> Show:
        """Both, the later one over the earlier."""
        data = dict(self.data)
        for name, value in later.data.items():
            before = data.get(name)
            both = isinstance(value, dict) and isinstance(before, dict)
            data[name] = {**before, **value} if both else value
        return Show(
            {**self.places, **later.places},
            data,
            later.done,
            later.words,
            {**self.settings, **later.settings},
            {**self.state, **later.state},
            later.file or self.file,
            later.soon,
        )


Work = Iterator["Show | None"]  # None: nothing new to see, but alive


@dataclass
class _Job:
    """pulls: how many wait for a slice of it just now, in line or while it is worked out. waits:
    the last one was sent away with a place in line. left: since this slice began, its visitor has
    asked for something else. elsewhere: in another tab, since its last pull, or for the same
    anew. bytes: that it keeps, measured now and then while nobody pulls it. stuck: the room that it
    can't go on without."""

    owner: tuple[str, str]
    work: Work
    slow: bool = False
    slices: int = 0
    spent: float = 0.0
    bytes: int | None = None
    left: bool = False
    elsewhere: bool = False
    pulls: int = 1
    waits: bool = False
    stuck: Claim | None = None
    used: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def away(self, now: float) -> float:
        """Seconds since anybody waited for it, 0 while somebody does."""
        return 0.0 if self.pulls else now - self.used

    def rests(self) -> bool:
        """Is it for nobody just now, and does nobody wait for its memory?"""
        return self.elsewhere and not memory.room.waiting

    def weigh(self) -> None:
        """Takes some milliseconds, so it is nothing to do while a visitor waits."""
        if self.bytes is None and self.lock.acquire(blocking=False):
            try:
                self.bytes = size(self.work)
            finally:
                self.lock.release()


class Jobs(Apart):
    """All work under way. One piece of each kind for each visitor: a new one ends the old one.
    A kind is a tab's key and what it does, with a space between.

    seconds: of work that one piece may take in all. lanes: what it waits in. rate: how often one
    visitor may start some.
    """

    def __init__(
        self, lanes: Lanes | None = None, seconds: float = SECONDS, rate: Rate | None = None
    ) -> None:
        self.lanes, self.seconds, self.rate = lanes or Lanes(), seconds, rate
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many pieces are under way, or were left lately."""
        with self._lock:
            return len(self._jobs)

    def start(self, owner: tuple[str, str], work: Work) -> tuple[Show, str | None]:
        """The first thing to see, and a ticket for what follows (None when that is all).

        What the visitor's other work is at just now gives way at its next step. owner: (visitor,
        kind of work). Raises Busy when too many wait, or he asks too often.
        """
        if self.rate is not None and (seconds := self.rate.wait(owner[0])):
            raise Busy(seconds, TOO_OFTEN)
        ticket, job = secrets.token_urlsafe(9), _Job(owner, work)
        with self._lock:
            old = [key for key, each in self._jobs.items() if each.owner == owner]
            left = [self._jobs.pop(key) for key in old]
            for each in [*left, *self._jobs.values()]:
                if each.owner[0] == owner[0]:
                    each.left = True
                    tab, other = (kind.split(" ")[0] for _, kind in (each.owner, owner))
                    each.elsewhere = each.owner == owner or tab != other
            left += self._idle()
            self._jobs[ticket] = job
        for each in left:
            _close(each)
        return self._slice(ticket, job)

    def more(self, ticket: str) -> tuple[Show, str | None]:
        """The next slice. Raises ExplainError when the work is gone."""
        with self._lock:
            job = self._jobs.get(ticket)
            if job is None:
                raise ExplainError(GONE)
            job.pulls, job.elsewhere = job.pulls + 1, False
        return self._slice(ticket, job)

    def pulled(self, lately: float) -> bool:
        """Has anybody pulled in the last seconds, and is not at the end?"""
        now = time.monotonic()
        with self._lock:
            return any(job.away(now) < lately for job in self._jobs.values())

    def stop(self, ticket: str) -> None:
        """Let go of it."""
        with self._lock:
            job = self._jobs.pop(ticket, None)
        if job is not None:
            _close(job)

    def tidy(self) -> None:
        """Let go of what was left for too long, or takes too much; to be called now and then."""
        with self._lock:
            away = list(self._away().values())
        for each in away:
            each.weigh()
        with self._lock:
            left = self._idle()
        for each in left:
            _close(each)

    def _away(self) -> dict[str, _Job]:
        """What nobody seems to wait for."""
        now = time.monotonic()
        return {
            key: each
            for key, each in self._jobs.items()
            if not each.pulls
            and (each.elsewhere or each.away(now) > (LEFT if each.waits else AWAY))
        }

    def _idle(self) -> list[_Job]:
        """What to let go of."""
        now = time.monotonic()
        idle = {key: each for key, each in self._jobs.items() if not each.pulls}
        over = [key for key, each in idle.items() if each.away(now) > IDLE]
        over += list(idle)[: max(0, len(self._jobs) - len(over) - MOST + 1)]
        held, most = 0, 0 if memory.room.waiting else MOST_BYTES
        for key, each in reversed(self._away().items()):  # the one left longest goes first
            held += each.bytes or 0
            if held > most:
                over.append(key)
        return [self._jobs.pop(key) for key in dict.fromkeys(over)]

    def _slice(self, ticket: str, job: _Job) -> tuple[Show, str | None]:
        job.bytes, job.left = None, False
        slow, new = job.slow, not job.slices
        lane = self.lanes.slow if slow else self.lanes.quick
        try:
            if ahead := job.stuck.wait(PATIENCE) if job.stuck is not None else 0:
                job.waits = True
                return Show(done=0.0, words=FULL.format(ahead)), ticket
            ways = {"slow": lambda: slow or job.left, "left": job.rests}
            with lane.turn(ticket, new=new, **ways) as ahead:
                job.waits = ahead > 0
                if ahead:
                    return Show(done=0.0, words=f"Waiting for its turn: {ahead} ahead"), ticket
                with job.lock:
                    shown, over = (Show(), False) if job.left else cores.compute(_pull, job)
                if not over and job.spent > self.seconds:
                    raise ExplainError(f"This took more than {self.seconds:.0f} s: ask for less.")
        except BaseException:
            self.stop(ticket)
            raise
        finally:
            with self._lock:
                job.pulls, job.used = job.pulls - 1, time.monotonic()
        with self._lock:
            if over:
                self._jobs.pop(ticket, None)
            elif ticket in self._jobs:
                self._jobs.move_to_end(ticket)
        return shown, None if over else ticket


def _pull(job: _Job) -> tuple[Show, bool]:
    """Work on for a slice: all that is new by then, and whether that was the end."""
    since, shown = time.monotonic(), None
    job.slices += 1
    while True:
        try:
            new = next(job.work)
        except StopIteration as end:
            new, over = end.value, True
        else:
            over = False
        if new is not None:
            shown = new if shown is None else shown.then(new)
            job.slow = new.done < 1 and not new.soon
        spent = time.monotonic() - since
        enough = spent > SLICE or (shown is not None and job.slices <= PROMPT)
        enough = enough and not (shown is not None and shown.soon)
        job.stuck = cores.stuck_on()
        if over or enough or job.left or job.stuck is not None:
            job.spent += spent
            return shown or Show(done=float(job.stuck is None)), over
        cores.give_way()


def _close(job: _Job) -> None:
    """End a generator, unless a slice of it runs just now: then nobody pulls the next one."""
    if job.lock.acquire(blocking=False):
        try:
            job.work.close()
        finally:
            job.lock.release()
