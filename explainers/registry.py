"""The list of methods that the page, the tests and the benchmarks all read."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args

import torch

from . import notes, options
from .errors import OptionError
from .explanation import Explanation, Question
from .network import Network, View
from .network.frame import ALL

Family = Literal["cam", "attention", "gradient", "guided", "perturbation", "patches"]
Cost = Literal["one pass", "dozens", "hundreds"]
COSTS = get_args(Cost)  # cheapest first


class Run(Protocol):
    """A method: yields the explanation as it grows; a fast one yields once."""

    def __call__(self, question: Question, **options: Any) -> Iterator[Explanation]: ...


def _always(_question: Question) -> None:
    return None


@dataclass(frozen=True)
class Method:
    """One way to explain, and what a visitor should know of it.

    family: what kind of map it is; nothing else follows from it. caption: one sentence on what to
    look for. paper: where it comes from. cost: how many forward passes it takes, the dearest unless
    it says otherwise, since those of hundreds are never run without being asked for. default: shown
    without being asked for, which only a method of one pass can be. home: the tab that shows it
    closely. place: where it stands in every list, the lowest first. class_dependent: False where
    another class gives nearly the same map. sums: True where values add up over the places, so that
    those of a finer grid are smaller. why_not(question): the reason, in one sentence, why
    the method is not defined for that network, view and layer, or None. suits(network): is it
    offered for that network at all? The others say why not where they are asked for by name.
    """

    key: str
    title: str
    family: Family
    caption: str
    paper: str
    run: Run
    cost: Cost = "hundreds"
    default: bool = False
    home: str = "maps"
    place: int = 1000
    class_dependent: bool = True
    sums: bool = False
    why_not: Callable[[Question], str | None] = _always
    suits: Callable[[Network], bool] = lambda _network: True

    def __post_init__(self) -> None:
        if self.cost not in COSTS:
            raise OptionError(f"The cost of “{self.key}” is one of {', '.join(COSTS)}.")
        if self.default and self.cost != COSTS[0]:
            raise OptionError(
                f"“{self.key}” takes {self.cost} of passes, too many to be shown without being "
                "asked for: leave out default, or say that its cost is one pass."
            )

    @property
    def slow(self) -> bool:
        """Does it take many passes, and stream?"""
        return self.cost != COSTS[0]

    def defined(self, network: Network) -> bool:
        """Is it defined for that network, at its own layer?"""
        size = network.size
        view = View(torch.zeros(1, 3, size, size, device="cpu"), ALL, "")
        return self.why_not(Question(network, view, (0,), network.last)) is None

    @property
    def defaults(self) -> dict[str, Any]:
        """The options of `run` and what they are when not given."""
        return {each.name: each.default for each in self.options.values()}

    @functools.cached_property
    def options(self) -> dict[str, options.Option]:
        """What `run` can be told besides the question, by name."""
        return options.described(self.run)

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All options for a run: those given, checked, and the defaults of the others.

        Raises OptionError for a name that is none of them, and for a value that is not possible.
        """
        return options.complete(self.title, self.options, given)


def offered(network: Network) -> list[Method]:
    """The methods that may be had for a network of its kind, in their order."""
    return [method for method in METHODS.values() if method.suits(network)]


def opening(network: Network) -> list[str]:
    """The methods that are shown for a network without being asked for.

    For a transformer, those alone that it can have: the page would open with reasons otherwise.
    """
    shown = [method for method in offered(network) if method.default]
    return [each.key for each in shown if not network.attends or each.defined(network)]


#: Told of every map that is finished, and of its network.
listeners: list[Callable[[Explanation, Any], None]] = []

#: Every method by its key, in the order of `place`.
METHODS: dict[str, Method] = {}


def _exactly(pieces: Iterator[Explanation], device: str) -> Iterator[Explanation]:
    """The same, each piece computed in float32 though its caller may compute in less."""
    while True:
        with torch.autocast(device, enabled=False), torch.autocast("cpu", enabled=False):
            found = next(pieces, None)
        if found is None:
            return
        yield found


def register(key: str, **facts: Any) -> Callable[[Run], Run]:
    """Decorator: add a method under `key`; `facts` are the other fields of `Method`.

    The method is handed its options checked and complete. What it yields is given its title and
    those options (where it names a value itself, such as one that it chose, that one stays), and
    the finished map its notes, behind those of the method's own. Raises OptionError for a key that
    is taken, an unknown cost, or a slow method by default.
    """

    def add(run: Run) -> Run:
        if key in METHODS:
            raise OptionError(f"There is a method “{key}” already: choose another key.")

        @functools.wraps(run)
        def checked(question: Question, **given: Any) -> Iterator[Explanation]:
            chosen = method.complete(given)
            for found in _exactly(run(question, **chosen), question.network.device.type):
                told = chosen | dict(found.options)
                found = replace(found, title=method.title, options=told)
                if found.done >= 1:
                    said = (
                        *found.notes,
                        *notes.of(found, question.network),
                        *notes.of_question(question, found.layer, method.family),
                    )
                    found = replace(found, notes=said)
                    for heard in listeners:
                        heard(found, question.network)
                yield found

        method = METHODS[key] = Method(key=key, run=checked, **facts)
        in_order = sorted(METHODS.values(), key=lambda method: method.place)
        METHODS.clear()
        METHODS.update((method.key, method) for method in in_order)
        return checked

    return add
