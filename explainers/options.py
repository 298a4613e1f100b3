"""What a method can be told: read from its signature, checked in one place.

A method's options are its keyword-only arguments. Their annotations say what may be given:

    def rise(question, *, masks: Annotated[int, Within(1, 100_000)] = 4000, …

`int` takes whole numbers, `float` any finite number, `str` words, `bool` yes or no; `X | None`
takes None as well; a `Literal` or `OneOf` lists all that can be chosen.
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from .errors import OptionError


@dataclass(frozen=True)
class Within:
    """A number from `low` to `high`, both included unless `inside`."""

    low: float
    high: float
    inside: bool = False

    def __contains__(self, value: float) -> bool:
        if self.inside:
            return self.low < value < self.high
        return self.low <= value <= self.high


@dataclass(frozen=True)
class OneOf:
    """One of these words."""

    words: Collection[str]


Seed = Annotated[int, Within(0, 2**63 - 1)]  # of what a method draws at random


@dataclass(frozen=True)
class Option:
    """One option. kind: int, float, str, bool, or None where anything goes; empty: None is fine."""

    name: str
    default: Any
    kind: type | None = None
    limit: Within | OneOf | None = None
    empty: bool = False

    def checked(self, title: str, value: Any) -> Any:
        """The value as a plain Python one; raises OptionError that says what can be given."""
        if (value is None and self.empty) or self.kind is None:
            return value
        if isinstance(value, np.generic):
            value = value.item()
        if self.kind is float and type(value) is int and abs(value) < 2**53:
            value = float(value)
        fine = type(value) is self.kind  # so that True is not taken for 1
        fine = fine and (self.kind is not float or math.isfinite(value))
        if isinstance(self.limit, Within):
            fine = fine and value in self.limit
        elif self.limit is not None:
            fine = fine and value in self.limit.words
        if not fine:
            raise OptionError(
                f"{title} takes {self._possible()} as “{self.name}”: {self._advice()}"
            )
        return value

    def _possible(self) -> str:
        if isinstance(self.limit, OneOf):
            return ", ".join(self.limit.words)
        what = {int: "a whole number", float: "a number", str: "a word", bool: "yes or no"}[
            self.kind
        ]
        if self.limit is None:
            return what
        between = "between" if self.limit.inside else "from"
        to = "and" if self.limit.inside else "to"
        return f"{what} {between} {self.limit.low:,} {to} {self.limit.high:,}"

    def _advice(self) -> str:
        if isinstance(self.limit, OneOf):
            return "choose one of them."
        return "choose one in between." if self.limit else "give it one."


def index_in(value: Any, count: int) -> int | None:
    """A whole number from 0 to `count` - 1, also as JSON and numpy have it; None for all else."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value < count:
        return None
    return int(value) if value == int(value) else None


def described(run: Callable[..., Any]) -> dict[str, Option]:
    """The options of a method, by name."""
    given = inspect.signature(run).parameters.values()
    hints = get_type_hints(inspect.unwrap(run), include_extras=True)
    return {
        each.name: Option(each.name, each.default, **_read(hints.get(each.name)))
        for each in given
        if each.kind is each.KEYWORD_ONLY
    }


def _read(hint: Any) -> dict[str, Any]:
    """Kind and limit out of an annotation."""
    facts: dict[str, Any] = {}
    if get_origin(hint) is Annotated:
        limits = [each for each in hint.__metadata__ if isinstance(each, Within | OneOf)]
        facts = {"limit": limits[0]} if limits else {}
        hint = hint.__origin__
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [each for each in get_args(hint) if each is not type(None)]
        facts["empty"] = type(None) in get_args(hint)
        if len(kinds) != 1:
            return facts
        return facts | _read(kinds[0])
    if get_origin(hint) is Literal:
        return {"limit": OneOf(get_args(hint)), "kind": str, **facts}
    return facts | ({"kind": hint} if hint in (int, float, str, bool) else {})


def complete(title: str, known: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a method: those given, checked, and the defaults of the others.

    Raises OptionError for a name that is none of them, and for a value that is not possible.
    """
    for name in given:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise OptionError(f"{title} has no option “{str(name)[:40]}”: {takes}.")
    return {
        name: option.checked(title, given[name]) if name in given else option.default
        for name, option in known.items()
    }
