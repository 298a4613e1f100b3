"""The list of methods that the page, the tests and the benchmarks all read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from .explanation import Explanation, Question
from .network import Network

Family = Literal["cam", "gradient", "guided", "perturbation", "patches"]


class Run(Protocol):
    """A method: yields the explanation as it grows; a fast one yields once."""

    def __call__(self, question: Question, **options: Any) -> Iterator[Explanation]: ...


def _always(_network: Network) -> None:
    return None


@dataclass(frozen=True)
class Method:
    """One way to explain, and what a visitor should know of it.

    caption: one sentence on what to look for. paper: where it comes from. default: shown without
    being asked for. slow: takes many passes and streams. why_not(network): the reason, in one
    sentence, why the method is not defined for that network, or None.
    """

    key: str
    title: str
    family: Family
    caption: str
    paper: str
    run: Run
    default: bool = False
    slow: bool = False
    why_not: Callable[[Network], str | None] = _always

    @property
    def defaults(self) -> dict[str, Any]:
        """The options of `run` and what they are when not given."""
        given = inspect.signature(self.run).parameters.values()
        return {each.name: each.default for each in given if each.kind is each.KEYWORD_ONLY}


METHODS: dict[str, Method] = {}


def register(key: str, **facts: Any) -> Callable[[Run], Run]:
    """Decorator: add a method under `key`; `facts` are the other fields of `Method`."""

    def add(run: Run) -> Run:
        METHODS[key] = Method(key=key, run=run, **facts)
        return run

    return add
