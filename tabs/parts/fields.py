"""A tab's settings: one declaration each gives the widget, its place in a link, and the check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import Any

from explainers import ExplainError, Network

from . import html

Choices = Sequence[tuple[str, str]]  # (title, value)
LONGEST = 300  # characters of a value


@dataclass(frozen=True, kw_only=True)
class Field:
    """One setting. key: its name in links ("maps.layer") and for `draw`. help: one sentence, shown
    on demand. here: the browser alone acts on it, and nothing is asked when it changes. home: its
    tab's key, which the tab sets.
    """

    key: str
    label: str
    default: Any = None
    help: str = ""
    here: bool = False
    home: str = ""

    @property
    def id(self) -> str:
        """Of its widget on the page; without it a label would be that of the “?” inside it."""
        return f"field-{self.home}-{self.key}"

    def first(self, network: Network) -> Any:
        """Its value before anybody chooses."""
        return self.default(network) if callable(self.default) else self.default

    def read(self, given: Any, network: Network) -> Any:
        """The checked value of what a browser or link says; raises ExplainError."""
        raise TypeError

    def control(self, value: Any, network: Network) -> str:
        """The widget's own HTML."""
        raise TypeError

    def html(self, value: Any, network: Network) -> str:
        """Widget and label, as the form shows them."""
        return (
            f'<label class="field {type(self).__name__.lower()}" for="{self.id}"><span>'
            f"{self._title()}</span>{self.control(value, network)}</label>"
        )

    def _title(self) -> str:
        why = f" {html.why(self.help, f'What is {self.label}?')}" if self.help else ""
        return f'<span id="{self.id}-title">{escape(self.label)}</span>{why}'

    def _facts(self, network: Network) -> str:
        plain = self.first(network)
        plain = ",".join(plain) if isinstance(plain, list | tuple) else plain
        here = " data-here" if self.here else ""
        first = escape(str("" if plain is None else plain))
        named = f' aria-labelledby="{self.id}-title"'  # without the words of the “?” beside it
        return f'id="{self.id}" name="{self.key}" data-first="{first}"{here}{named}'

    def _wrong(self) -> ExplainError:
        return ExplainError(f"“{self.label}” can’t be that: choose one of the values offered.")


@dataclass(frozen=True, kw_only=True)
class Choice(Field):
    """One of several. choices: (title, value) pairs, or what gives them for a network."""

    choices: Choices | Callable[[Network], Choices] = ()

    def offered(self, network: Network) -> Choices:
        return self.choices(network) if callable(self.choices) else self.choices

    def read(self, given: Any, network: Network) -> str:
        if given in [value for _, value in self.offered(network)]:
            return given
        raise self._wrong()

    def control(self, value: Any, network: Network) -> str:
        options = "".join(
            f'<option value="{escape(each)}"{" selected" if each == value else ""}>'
            f"{escape(title)}</option>"
            for title, each in self.offered(network)
        )
        return f"<select {self._facts(network)}>{options}</select>"


@dataclass(frozen=True, kw_only=True)
class Many(Choice):
    """Any number of several."""

    def read(self, given: Any, network: Network) -> list[str]:
        chosen = given.split(",") if isinstance(given, str) else given
        values = [value for _, value in self.offered(network)]
        if not isinstance(chosen, list) or not set(map(str, chosen)) <= {*values, ""}:
            raise self._wrong()
        return [value for value in values if value in chosen]

    def control(self, value: Any, network: Network) -> str:
        return "".join(
            f'<label><input type="checkbox" value="{escape(each)}"'
            f"{' checked' if each in (value or ()) else ''}>{escape(title)}</label>"
            for title, each in self.offered(network)
        )

    def html(self, value: Any, network: Network) -> str:
        return (
            f'<fieldset class="field many" {self._facts(network)}><legend>{self._title()}</legend>'
            f"{self.control(value, network)}</fieldset>"
        )


@dataclass(frozen=True, kw_only=True)
class Number(Field):
    """A number; whole unless `step` is a fraction. slides: shown as a slider."""

    low: float
    high: float
    step: float = 1
    slides: bool = False

    def read(self, given: Any, network: Network) -> float | int:
        try:
            number = float(given)
        except (TypeError, ValueError):
            raise self._wrong() from None
        if isinstance(given, bool) or not isfinite(number) or not self.low <= number <= self.high:
            raise ExplainError(f"“{self.label}” goes from {self.low:g} to {self.high:g}.")
        if self.step % 1:
            return number
        if number % 1:
            raise ExplainError(f"“{self.label}” must be a whole number.")
        return int(number)

    def control(self, value: Any, network: Network) -> str:
        kind = "range" if self.slides else "number"
        return (
            f'<input type="{kind}" {self._facts(network)} min="{self.low:g}" max="{self.high:g}" '
            f'step="{self.step:g}" value="{value:g}">'
        )


@dataclass(frozen=True, kw_only=True)
class Switch(Field):
    """On or off."""

    default: Any = False

    def read(self, given: Any, network: Network) -> bool:
        known = {True: True, False: False, "True": True, "False": False}
        known |= {"true": True, "false": False}
        if isinstance(given, bool | str) and given in known:
            return known[given]
        raise self._wrong()

    def control(self, value: Any, network: Network) -> str:
        return f'<input type="checkbox" {self._facts(network)}{" checked" if value else ""}>'


@dataclass(frozen=True, kw_only=True)
class Text(Field):
    """A few words."""

    default: Any = ""
    hint: str = ""

    def read(self, given: Any, network: Network) -> str:
        if not isinstance(given, str) or len(given) > LONGEST:
            raise self._wrong()
        return given.strip()

    def control(self, value: Any, network: Network) -> str:
        return (
            f'<input type="text" {self._facts(network)} maxlength="{LONGEST}" '
            f'placeholder="{escape(self.hint)}" value="{escape(str(value))}">'
        )


def read(
    fields: Sequence[Field], given: Any, network: Network
) -> tuple[dict[str, Any], list[ExplainError]]:
    """Every field's value, the first one where nothing or nonsense was given, and what is wrong.

    What belongs to another network, such as its layers, counts as nothing given: the form that
    comes with the answer shows what is used instead.
    """
    given = given if isinstance(given, Mapping) else {}
    values: dict[str, Any] = {}
    problems: list[ExplainError] = []
    for each in fields:
        values[each.key] = each.first(network)
        if given.get(each.key) is None:
            continue
        try:
            values[each.key] = each.read(given[each.key], network)
        except ExplainError as error:
            problems.append(error)
    return values, problems


def form(fields: Sequence[Field], values: Mapping[str, Any], network: Network) -> str:
    """All widgets, in order."""
    return "".join(each.html(values[each.key], network) for each in fields)
