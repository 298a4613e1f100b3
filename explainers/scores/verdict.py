"""Which map to believe, and how sure that is: scores without their noise are not a ranking.

Each map is measured twice, with missing pixels filled in two ways, and so are the random orders.
What the two have in common is about the map; what changes from one map to the next is noise. The
spread of those changes, pooled over maps of one grain, gives the least significant difference
(Fisher, "The Design of Experiments", 1935): smaller differences in gain are ties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from ..registry import METHODS
from .comparison import Comparison
from .faithfulness import BASELINES, Scores

# Student's t, two-sided 95 %, by degrees of freedom; for more than ten the last.
STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
FEW = 3  # names in a sentence before it counts instead


@dataclass(frozen=True)
class Verdict:
    """order: methods by their gain, the best first, one for each map. gains: method -> its gain.
    noise: the smallest difference in gain that is no tie. best: those that tie with the first;
    none if one of these is weak. weak: those no better than a random order.
    """

    order: tuple[str, ...]
    gains: dict[str, float]
    noise: float
    best: tuple[str, ...]
    weak: tuple[str, ...]


def verdict(comparison: Comparison) -> Verdict | None:
    """None until every map is there and measured twice, and where there is no map."""
    ones = list(comparison.twins())
    if not comparison.complete or not ones:
        return None
    gains = {one: float(comparison.figures(one)["gain"]) for one in ones}
    order = sorted(ones, key=lambda one: -gains[one])
    bound = noise(comparison)
    weak = [one for one in order if gains[one] <= bound]
    best = [one for one in order if gains[order[0]] - gains[one] <= bound]
    if set(best) & set(weak):  # a tie with what says nothing
        best = []
    return Verdict(tuple(order), gains, bound, tuple(best), tuple(weak))


def noise(comparison: Comparison) -> float:
    """The smallest difference in gain that a repetition would not make by chance, in 19 of 20
    cases; needs what `measure` and `repeat` find."""
    squares, freedom = 0.0, 0
    for pixels, orders in comparison.orders.items():
        ones = [one for one in comparison.twins() if comparison.maps[one].per_pixel == pixels]
        changes = [_change(comparison.scores[one], comparison.again[one]) for one in ones]
        changes += map(_change, orders, comparison.orders_again[pixels])
        squares += float(np.square(np.array(changes) - np.mean(changes)).sum())
        freedom += len(changes) - 1
    return student(freedom) * sqrt(squares / freedom)


def student(freedom: int) -> float:
    """How many standard errors a difference may have by chance, in 19 of 20 cases."""
    return STUDENT[min(freedom, len(STUDENT)) - 1]


def _change(first: Scores, second: Scores) -> float:
    return first.gain - second.gain


def lines(found: Verdict, baseline: str) -> list[str]:
    """The verdict as three sentences: whom to believe, whom to doubt, how sure that is."""
    return [_believe(found), _doubt(found), _sure(found, baseline)]


def _believe(found: Verdict) -> str:
    best, order, gains = found.best, found.order, found.gains
    if order[0] in found.weak:
        return "Believe none of them here: no map clearly beats a random order of pixels."
    if not best:
        return (
            f"Believe none for sure: {_names(order[:1])} gains most ({signed(gains[order[0]])}), "
            "but ties with maps that do no better than a random order of pixels."
        )
    if len(order) == 1:
        gain = signed(gains[best[0]])
        return f"{_names(best)} does better than a random order of pixels ({gain})."
    if len(best) == 1:
        return (
            f"Believe {_names(best)} first: the network’s own answers support it best (gain "
            f"{signed(gains[best[0]])}; next: {_names(order[1:2])}, {signed(gains[order[1]])})."
        )
    low, high = (signed(gains[each]) for each in (best[-1], best[0]))
    span = f"gain {low}" if low == high else f"gain {low} to {high}"
    if len(best) == len(order):
        return f"A tie: the network’s own answers support all maps about equally ({span})."
    return f"A tie at the top: {_names(best)} ({span})."


def signed(gain: float) -> str:
    """A gain as it is read: with a sign, which is no minus for what rounds to nought."""
    return f"{gain:+z.2f}".replace("-", "−")


def _doubt(found: Verdict) -> str:
    order, gains = found.order, found.gains
    if found.weak and order[0] not in found.weak:
        return f"Doubt {_names(found.weak)}: no better than a random order of pixels here."
    if found.weak:
        return "The photo with holes may be too strange for the network, or the class too unsure."
    last = order[-1]
    if last in found.best:
        return "Every map does better than a random order of pixels."
    return (
        f"All do better than a random order of pixels; {_names([last])} gains least "
        f"({signed(gains[last])})."
    )


def _sure(found: Verdict, baseline: str) -> str:
    other = next(words for name, words in BASELINES.items() if name != baseline)
    return (
        f"Differences up to {found.noise:.2f} count as ties: so much changes (19 times of 20) when "
        f"all is measured again with {other} for {BASELINES[baseline]}."
    )


def _names(methods: Sequence[str]) -> str:
    titles = [METHODS[each].title for each in methods]
    if len(titles) > FEW:
        return f"{', '.join(titles[:FEW])} and {len(titles) - FEW} more"
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"
