"""Several sides timed turn and turn about, so that a busy moment hits all of them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from torch import Tensor

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Seconds = dict[str, list[float]]  # of each side, round by round


def in_turns(
    sides: Mapping[str, Callable[[], Any]], rounds: int, clock: Callable[[], float], warm: int = 0
) -> tuple[Seconds, dict[str, Any]]:
    """Every side once in each round, in a new order; returns their seconds and what each gave last.

    warm: rounds before these, which do not count.
    """
    order, results = random.Random(0), {}
    seconds: Seconds = {name: [] for name in sides}
    for number in range(-warm, rounds):
        for name in order.sample(list(sides), len(sides)):
            start = clock()
            results[name] = sides[name]()
            if number >= 0:
                seconds[name].append(clock() - start)
    return seconds, results


def ratio(seconds: Mapping[str, list[float]], one: str, other: str) -> float:
    """Median over the rounds of `one` in units of `other`."""
    return median(a / b for a, b in zip(seconds[one], seconds[other], strict=True))


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference between two tensors of one shape, as a share of the second one's range."""
    return float((ours - theirs).abs().max() / (theirs.max() - theirs.min()).clamp(min=1e-12))
