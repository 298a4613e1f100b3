"""Where the page's questions are answered: in this process, or by the machines of a cluster.

The bar, the rail, each tab and the programming interface name a desk and what they want of it, and
get an answer; none of them learns who worked it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ..subject import Subject

Gauges = Mapping[str, tuple[str, Callable[[], float]]]


class Engine(Protocol):
    """Whoever answers. subject: the photos that visitors brought here, and the network with which
    the page is laid out."""

    subject: Subject

    def answer(self, desk: str, what: str, data: Any) -> dict[str, Any]:
        """What a desk says to one of the questions that it takes; `problem` is a sentence. Never
        raises."""
        ...

    def gauges(self) -> Gauges:
        """Numbers worth watching by name: what each is, and its value now."""
        ...

    def refuse(self) -> None:
        """Take nothing new from here on; what is under way may be pulled to its end."""
        ...

    def pulled(self, lately: float) -> bool:
        """Has anybody pulled in the last seconds, and is not at the end?"""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


def asked_of(engine: Engine, desk: str, names: Iterable[str]) -> list[Callable[[Any], Any]]:
    """Functions with those names for a component's script: each asks that desk."""

    def one(name: str) -> Callable[[Any], Any]:
        def ask(data: Any = None) -> dict[str, Any]:
            return engine.answer(desk, name, data)

        ask.__name__ = name
        return ask

    return [one(name) for name in names]
