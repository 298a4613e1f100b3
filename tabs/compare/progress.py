"""How much of a comparison is done, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Sequence

from explainers import METHODS
from explainers.registry import COSTS
from explainers.scores.comparison import Comparison
from explainers.scores.faithfulness import DRAWS

from ..parts.pace import Pace
from .sides import Side

# How many short steps of work a map takes, by its cost.
STEPS = dict(zip(COSTS, (1, 15, 60), strict=True))
PIXELS = ("gradient", "guided")  # families whose maps are as fine as the photo


class Progress:
    """How much is done of what was not known before, and how long the rest takes."""

    def __init__(self, sides: Sequence[Side], measures: bool) -> None:
        self._todo: dict[tuple[int, str], int] = {}
        self._maps: dict[tuple[int, str], float] = {}
        self._steps, self._pace, self._measures = 0, Pace(), 0
        for number, side in enumerate(sides):
            found = side.found
            names = [name for name in found.methods if name not in found.absent]
            new = [name for name in names if name not in found.maps]
            self._todo |= {(number, name): STEPS[METHODS[name].cost] for name in new}
            if measures:
                self._measures += _measures(found, names)

    @property
    def done(self) -> float:
        drawn = sum(steps * self._maps.get(which, 0.0) for which, steps in self._todo.items())
        total = sum(self._todo.values()) + self._measures
        return min((drawn + self._steps) / max(total, 1), 0.99)

    def drawn(self, number: int, name: str, share: float) -> None:
        self._maps[number, name] = share

    def has(self, number: int, name: str) -> bool:
        return self._maps.get((number, name)) == 1

    def step(self) -> None:
        self._steps += 1

    def words(self, doing: str) -> str:
        return f"{doing}: {self._pace.words(self.done)}"


def _measures(found: Comparison, names: Sequence[str]) -> int:
    """Steps that both rounds of measuring take for what has no score yet."""
    doubles = {name for twins in found.twins().values() for name in twins}
    grains = {METHODS[name].family in PIXELS for name in names}  # random orders: as coarse, as fine
    steps = 0
    once, again = found.pieces()
    for each, scores, orders in (
        (once, found.scores, found.orders),
        (again, found.again, found.orders_again),
    ):
        steps += each * len(set(names) - doubles - scores.keys())
        steps += each * DRAWS * len(grains - orders.keys())
    return steps
