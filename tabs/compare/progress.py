"""How much of a comparison is done, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Sequence

from explainers import METHODS
from explainers.registry import COSTS
from explainers.scores.faithfulness import DRAWS

from ..parts.pace import Pace
from .sides import Side

# How many short steps of work a map takes by its cost, how many its scores, and their repetition.
STEPS = dict(zip(COSTS, (1, 15, 60), strict=True))
MEASURED, REPEATED = 7, 4
PIXELS = ("gradient", "guided")  # families whose maps are as fine as the photo


class Progress:
    """How much of the work of all sides is done, and how long the rest takes."""

    def __init__(self, sides: Sequence[Side], measures: bool) -> None:
        each = MEASURED + REPEATED if measures else 0
        self.total = 0
        for side in sides:
            found = side.found
            methods = [METHODS[name] for name in found.methods if name not in found.absent]
            grains = {method.family in PIXELS for method in methods}
            self.total += DRAWS * each * len(grains)  # random orders, as coarse and as fine
            doubles = sum(map(len, found.twins().values()))
            self.total += sum(STEPS[method.cost] for method in methods)
            self.total += each * (len(methods) - doubles)
        self._maps: dict[tuple[int, str], float] = {}
        self._steps, self._pace = 0, Pace()

    @property
    def done(self) -> float:
        drawn = sum(STEPS[METHODS[name].cost] * v for (_, name), v in self._maps.items())
        return min((drawn + self._steps) / max(self.total, 1), 0.99)

    def drawn(self, number: int, name: str, share: float) -> None:
        self._maps[number, name] = share

    def has(self, number: int, name: str) -> bool:
        return self._maps.get((number, name)) == 1

    def step(self) -> None:
        self._steps += 1

    def words(self, doing: str) -> str:
        return f"{doing}: {self._pace.words(self.done)}"
