"""Every method on one photo and target, with its scores: what the page, the report and the command
line all show."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..api import ask, find, recall
from ..errors import ExplainError
from ..explanation import Explanation, Note, Question
from ..network import Frame, Network
from ..notes import describe
from ..registry import COSTS, METHODS, Method, offered
from .agreement import agreement
from .boxes import energy_inside, pointing
from .faithfulness import (
    BASELINES,
    DRAWS,
    SEED,
    STEPS,
    Scores,
    Steps,
    T,
    average,
    drawing,
    pieces,
    recall_orders,
    recall_score,
    same,
    scoring,
    shape,
)

FIRST = "gradcam"  # the name under which a map is shown that several methods share

#: name -> (title, is small good?): what methods can be sorted by.
SORTS: dict[str, tuple[str, bool]] = {
    "gain": ("Gain", False),
    "deletion": ("Deletion", True),
    "insertion": ("Insertion", False),
    "pointing": ("Pointing", False),
    "energy_inside": ("Energy inside", False),
    "seconds": ("Time", True),
}


def applicable(network: Network | None = None, *, slow: bool = False) -> list[str]:
    """Keys of all methods, or of a network's; those of hundreds of passes only if `slow`."""
    found = METHODS.values() if network is None else offered(network)
    return [each.key for each in found if slow or each.cost != "hundreds"]


class Round(NamedTuple):
    """One round of measuring: where the scores of maps and of random orders go, and how they are
    measured: baseline and steps."""

    scores: dict[str, Scores]
    orders: dict[bool, tuple[Scores, ...]]
    how: dict[str, Any]


@dataclass
class Comparison:
    """One question put to several methods, as the answers come in.

    maps, absent: method -> its map so far, or why it has none. scores: method -> its curves.
    orders: by grain (False: the layer's cells, True: pixels) what random orders score. again,
    orders_again: the same with the other baseline and half the steps. box: round the object, as
    fractions of the photo, or None. row: which of the question's targets. options: method -> its
    options, where they are not its own defaults.
    """

    question: Question
    methods: Sequence[str]
    baseline: str = "blur"
    steps: int = STEPS
    box: Frame | None = None
    row: int = 0
    seed: int = SEED
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    maps: dict[str, Explanation] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    scores: dict[str, Scores] = field(default_factory=dict)
    orders: dict[bool, tuple[Scores, ...]] = field(default_factory=dict)
    again: dict[str, Scores] = field(default_factory=dict)
    orders_again: dict[bool, tuple[Scores, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for method in self.methods:
            if reason := find(method).why_not(self.question):
                self.absent[method] = reason

    @property
    def target(self) -> int:
        """The class that is followed."""
        return self.question.targets[self.row]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the network's input."""
        return tuple(self.question.view.tensor.shape[2:])

    def finished(self) -> list[Explanation]:
        """The maps that are done, in the registry's order."""
        return [each for each in self._found() if each.done >= 1]

    def _found(self) -> list[Explanation]:
        return [self.maps[method] for method in METHODS if method in self.maps]

    def draw(
        self, waits: Sequence[int] = (0, 1, 2), among: Sequence[str] | None = None
    ) -> Iterator[str]:
        """Ask the methods, quick ones first; yields the method whose map is new or has grown.

        waits: which to ask: 0 those of one pass, 1 those of some dozens, 2 those of hundreds.
        among: only these of the methods.
        """
        asked = self.methods if among is None else among
        todo = [METHODS[m] for m in METHODS if m in asked and m not in self.absent]
        for method in sorted(todo, key=wait):
            if wait(method) in waits:
                yield from self._draw(method)

    def recall(self) -> None:
        """Take up the maps and scores that are known already; nothing is computed."""
        for method in self.methods:
            known = None
            if method not in self.absent:
                known = recall(self.question, method, **self.options.get(method, {}))
            if known is not None:
                self.maps[method] = known
        for scores, orders, how in self._rounds():
            for each in self.finished():
                if found := recall_score(self.question, each, self.row, **how):
                    scores[each.method] = found
                about = {"pixels": each.per_pixel, "seed": self.seed, **how}
                if drawn := recall_orders(self.question, self.target, **about):
                    orders[each.per_pixel] = drawn

    def _rounds(self) -> list[Round]:
        """Where both rounds of measuring put what they find, and how they measure."""
        other = next(name for name in BASELINES if name != self.baseline)
        coarse = max(2, self.steps // 2)
        return [
            Round(self.scores, self.orders, {"baseline": self.baseline, "steps": self.steps}),
            Round(self.again, self.orders_again, {"baseline": other, "steps": coarse}),
        ]

    def pieces(self) -> tuple[int, int]:
        """How often `measure` yields for one map, and how often `repeat` does."""
        one, other = (1 + pieces(self.question, each.how["steps"]) for each in self._rounds())
        return one, other

    def _draw(self, method: Method) -> Iterator[str]:
        try:
            for explanation in ask(self.question, method.key, **self.options.get(method.key, {})):
                self.maps[method.key] = explanation
                yield method.key
        except ExplainError as error:
            self.maps.pop(method.key, None)
            self.absent[method.key] = str(error)
            yield method.key

    def measure(self, among: Sequence[str] | None = None) -> Iterator[str]:
        """Both curves of every finished map (of those named), and of random orders of its grain.

        Yields the method that is being measured, every few passes of the network.
        """
        yield from self._measure(self._rounds()[0], among)

    def repeat(self, among: Sequence[str] | None = None) -> Iterator[str]:
        """`measure` with the other baseline and half the steps: what changes is noise."""
        yield from self._measure(self._rounds()[1], among)

    def _measure(self, into: Round, among: Sequence[str] | None) -> Iterator[str]:
        scores, orders, how = into
        for each in self.finished():
            method, pixels = each.method, each.per_pixel
            if among is not None and method not in among:
                continue
            if method not in scores:
                work = scoring(self.question, each, self.row, **how)
                scores[method] = yield from _naming(method, work)
                yield method
            if pixels not in orders:
                work = drawing(self.question, self.target, pixels=pixels, seed=self.seed, **how)
                orders[pixels] = yield from _naming(method, work)
                yield method

    @property
    def complete(self) -> bool:
        """Is every map that can be had there, and measured twice?"""
        asked = [method for method in self.methods if method not in self.absent]
        done = {each.method: each.per_pixel for each in self.finished()}
        return all(
            m in done and m in each.scores and done[m] in each.orders
            for m in asked
            for each in self._rounds()
        )

    def twins(self) -> dict[str, list[str]]:
        """Method -> others that give the same map: one for each map, in the registry's order."""
        groups: list[tuple[Any, list[str]]] = []
        for each in self.finished():
            form = None if each.per_pixel else shape(each, self.row)
            near = (names for known, names in groups if known is not None and same(known, form))
            alike = None if form is None else next(near, None)
            if alike is None:
                groups.append((form, [each.method]))
            else:
                alike.append(each.method)
        first = [FIRST if FIRST in names else names[0] for _, names in groups]
        return {
            one: [name for name in names if name != one]
            for one, (_, names) in zip(first, groups, strict=True)
        }

    @property
    def floors(self) -> dict[bool, Scores]:
        """By grain, the mean of what random orders score."""
        return {pixels: average(found) for pixels, found in self.orders.items()}

    def notes(self, method: str) -> list[Note]:
        """When not to trust that map of the class that is followed."""
        return [note for note in self.maps[method].notes if note.row == self.row]

    def words(self, method: str) -> str:
        """That map in words, for those who can't see it."""
        return describe(self.maps[method], self.row)

    def floor_of(self, method: str) -> Scores | None:
        """The floor of that map's grain, if it is known."""
        return self.floors.get(self.maps[method].per_pixel) if method in self.maps else None

    def figures(self, method: str) -> dict[str, Any]:
        """All numbers of one map; None where there is none (yet)."""
        found, scores, base = self.maps[method], self.scores.get(method), self.floor_of(method)
        box = self.box
        gain = scores and base and scores.gain - base.gain
        return {
            "gain": gain,
            "deletion": scores and scores.deletion.area,
            "insertion": scores and scores.insertion.area,
            "deletion_floor": base and base.deletion.area,
            "insertion_floor": base and base.insertion.area,
            "pointing": None if box is None else pointing(found, box, self.row),
            "energy_inside": box and energy_inside(found, box, self.size, self.row),
            "seconds": found.seconds,
        }

    def sorted(self, by: str | None = None) -> list[str]:
        """Methods, the best first; those without that number last; None keeps the registry's."""
        keys = [method for method in METHODS if method in self.methods]
        if by not in SORTS:
            return keys
        values = {key: self.figures(key)[by] for key in keys if key in self.maps}
        sign = 1 if SORTS[by][1] else -1
        known = sorted(
            (k for k in keys if values.get(k) is not None), key=lambda k: sign * values[k]
        )
        return [*known, *(key for key in keys if key not in known)]

    def agreement(self, among: Sequence[str] | None = None) -> tuple[list[str], list[list[float]]]:
        """Methods that are done (of those named), and the rank correlation of each with each."""
        done = [each for each in self.finished() if among is None or each.method in among]
        return [each.method for each in done], agreement(done, self.size, self.row)

    def settings(self) -> dict[str, Any]:
        """All that it takes to compute this again, JSON-ready; nothing about the photo's file."""
        asked, network = self.question, self.question.network
        against = asked.against
        return {
            "network": {"key": network.key, "title": network.title, "licence": network.licence},
            "target": {"index": self.target, "name": network.labels[self.target]},
            "against": None
            if against is None
            else {"index": against, "name": network.labels[against]},
            "layer": asked.layer,
            "frame": list(asked.view.frame),
            "input": list(self.size),
            "baseline": self.baseline,
            "steps": self.steps,
            "box": None if self.box is None else list(self.box),
            "seed": self.seed,
            "random_orders": DRAWS,
        }


def _naming(method: str, work: Steps[T]) -> Generator[str, None, T]:
    """Work in steps, which says at each what it is about."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
        yield method


def wait(method: Method) -> int:
    """0, 1 or 2: a method of one pass, of some dozens, of hundreds."""
    return COSTS.index(method.cost)
