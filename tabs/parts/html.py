"""Small pieces of HTML. Every text that comes from outside is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from urllib.parse import urlencode

from explainers import render


def data_url(data: bytes, kind: str) -> str:
    """A picture inside the page itself: no file is written, nothing can be fetched by others."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def percent(probability: float) -> str:
    """A probability as people read it, never rounded to an untrue 0 or 100."""
    if probability < 0.0005:
        return "<0.1\N{NO-BREAK SPACE}%"
    if 0.9995 <= probability < 1:
        return ">99.9\N{NO-BREAK SPACE}%"
    return f"{probability:.1%}".replace("%", "\N{NO-BREAK SPACE}%")


def whole_percent(share: float) -> str:
    """A share, rounded to whole per cent."""
    return f"{share:.0%}".replace("%", "\N{NO-BREAK SPACE}%")


def card(network: str, layer: str, unit: int, inside: str, attributes: str = "") -> str:
    """A link to a unit's card; `inside` and `attributes` are HTML."""
    where = escape(urlencode({"network": network, "layer": layer, "unit": unit}))
    return (
        f'<a href="?{where}" data-layer="{escape(layer)}" data-unit="{unit}" {attributes}>'
        f"{inside}</a>"
    )


def notice(text: str) -> str:
    """A sentence that screen readers announce; nothing for an empty one."""
    return f'<p class="notice note" role="status">{escape(text)}</p>' if text else ""


def listed(names: Sequence[str]) -> str:
    """“a”, “a and b”, “a, b and c”; names are HTML made here."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def details(summary: str, body: str) -> str:
    """A line that opens; `body` is HTML made here."""
    return f'<details class="details"><summary>{escape(summary)}</summary>{body}</details>'


def scale(stops: Sequence[str], low: str, high: str, words: str = "") -> str:
    """Colours in a row, and what the first and the last mean; words: for a screen reader."""
    low, high = escape(low), escape(high)
    words = escape(words) or f"Colours from {low} to {high}"
    return (
        f'<span class="legend"><span>{low}</span><span class="ramp" role="img" '
        f'aria-label="{words}" style="background:linear-gradient(to right,{", ".join(stops)})">'
        f"</span><span>{high}</span></span>"
    )


def legend(colourmap: str, signed: bool, ends: tuple[str, str] | None = None) -> str:
    """What the colours of the maps mean; ends: what the lowest and the highest mean."""
    usual = ("speaks against it", "speaks for it") if signed else ("nothing", "strongest")
    return scale(render.stops(colourmap, signed), *(ends or usual))


def why(words: str, question: str = "Why?") -> str:
    """A button that answers a question by a sentence, to whoever points at it."""
    words = escape(words)
    return (
        f'<button type="button" class="why" data-words="{words}" aria-label="{escape(question)} '
        f'{words}">?</button>'
    )


def logit(word: str = "logit") -> str:
    """That word, which says what it means."""
    return term(word, "The network’s own score of a class, before all scores become probabilities.")


def unit(word: str = "unit") -> str:
    """That word, which says what it means."""
    return term(
        word,
        "One detector of a layer, also called a channel: it looks for the same thing at every "
        "place of the photo.",
    )


def term(word: str, meaning: str) -> str:
    """A word of the field that says in one sentence what it means, to whoever points at it."""
    return f'<abbr class="term" tabindex="0" title="{escape(meaning)}">{escape(word)}</abbr>'
