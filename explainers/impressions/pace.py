"""How long a drawing takes on this machine: measured, and corrected while it is drawn."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from ..network import Network
from ..recent import Recent
from .drawing import Drawing
from .goals import Goal, Unit
from .knobs import Knobs

TRIED = 2  # steps timed of each size, after one that warms up
TRUST = 0.15  # of the whole: so much work weighs as much as what was measured before
HASTE = 3.0  # seconds that the time left may fall in one second: a lucky moment says little
PAUSE = 1.0  # seconds between two looks of whoever draws: what is above was no work

_known: Recent[tuple, float] = Recent()


def _key(network: Network, goal: Goal, knobs: Knobs, size: int) -> tuple:
    until = goal.layer if isinstance(goal, Unit) else ""
    every = knobs.every if knobs.statistics else 0
    return network.key, until, size, every, knobs.canvas


def step(network: Network, goal: Goal, knobs: Knobs, size: int) -> float | None:
    """Seconds that a step of one copy takes at that side in pixels, or None before `measure`."""
    return _known.get(_key(network, goal, knobs, size))


def measure(network: Network, goal: Goal, knobs: Knobs) -> Iterator[None]:
    """Take a few steps of each size that nobody timed yet; stops after each of them."""
    for size in dict.fromkeys(knobs.sizes(network)):
        if step(network, goal, knobs, size) is not None:
            continue
        drawing = Drawing(network, goal, replace(knobs, size=size, start=size, crops=1))
        seconds = []
        for _ in range(1 + TRIED):
            start = time.perf_counter()
            drawing.step()
            seconds.append(time.perf_counter() - start)
            yield
        _known.keep(_key(network, goal, knobs, size), sum(seconds[1:]) / TRIED, of=network)


@dataclass(frozen=True)
class Course:
    """The way through drawings side by side. planned: of each, seconds until it has taken 0, 1, 2,
    … steps."""

    planned: tuple[tuple[float, ...], ...]

    @property
    def seconds(self) -> float:
        """Of all of them."""
        return sum(each[-1] for each in self.planned)

    def reached(self, drawings: Sequence[Drawing]) -> float:
        """Seconds that were planned for what is drawn by now."""
        both = zip(self.planned, drawings, strict=True)
        return sum(each[drawing.taken] for each, drawing in both)


def course(network: Network, goals: Sequence[Goal], knobs: Knobs) -> Course:
    """What is to be expected; by the number of pixels where nothing was measured."""
    sizes = knobs.sizes(network)
    planned = []
    for goal in goals:
        cost = {size: step(network, goal, knobs, size) or _rough(size) for size in set(sizes)}
        steps = (knobs.crops * cost[knobs.side(sizes, taken)] for taken in range(knobs.steps))
        planned.append((0.0, *accumulate(steps)))
    return Course(tuple(planned))


def _rough(size: int) -> float:
    return 0.02 + 0.07 * (size / 224) ** 2


def learn(network: Network, goals: Sequence[Goal], knobs: Knobs, factor: float) -> None:
    """A drawing took that many times as long as planned: the next one is planned so."""
    for goal in dict.fromkeys(goals):
        for size in dict.fromkeys(knobs.sizes(network)):
            if (known := step(network, goal, knobs, size)) is not None:
                _known.keep(_key(network, goal, knobs, size), known * factor, of=network)


class Clock:
    """Seconds of work so far and still to come. What is still to come never grows.

    Whoever draws may pause as long as he likes between two pictures: that is not counted.
    """

    def __init__(self, course: Course) -> None:
        self.course, self.spent, self.left = course, 0.0, course.seconds
        self._last = time.perf_counter()

    def tick(self, planned: float, *, away: bool = False) -> None:
        """So much of what was planned is done. away: the time since the last tick was spent
        elsewhere, and counts only if it was short."""
        now = time.perf_counter()
        gap = now - self._last
        gap = min(gap, PAUSE) if away else gap
        self._last, self.spent = now, self.spent + gap
        whole = self.course.seconds
        trust = TRUST * whole
        rest = max(whole - planned, 0.0) * (self.spent + trust) / (planned + trust)
        self.left = min(self.left, max(rest, self.left - HASTE * gap))
