"""Small pieces of HTML. Every text that comes from outside is escaped here."""

from __future__ import annotations

import base64
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


def card(network: str, layer: str, unit: int, inside: str, attributes: str = "") -> str:
    """A link to a unit's card; `inside` and `attributes` are HTML."""
    where = escape(urlencode({"network": network, "layer": layer, "unit": unit}))
    return (
        f'<a href="?{where}" data-layer="{escape(layer)}" data-unit="{unit}" {attributes}>'
        f"{inside}</a>"
    )


def notice(text: str, kind: str = "note") -> str:
    """A sentence; kind "problem" is announced by screen readers at once."""
    if not text:
        return ""
    role = "alert" if kind == "problem" else "status"
    return f'<p class="notice {kind}" role="{role}">{escape(text)}</p>'


def details(summary: str, body: str) -> str:
    """A line that opens; `body` is HTML made here."""
    return f'<details class="details"><summary>{escape(summary)}</summary>{body}</details>'


def left(seconds: float, done: float) -> str:
    """Time left, in words, when `done` of the work took that many seconds."""
    if done <= 0:
        return "starting"
    rest = seconds * (1 - done) / done
    return "nearly there" if rest < 1.5 else f"about {rest:.0f} s left"


def legend(colourmap: str, signed: bool, ends: tuple[str, str] | None = None) -> str:
    """What the colours of the maps mean; ends: what the lowest and the highest mean."""
    ramp = ", ".join(render.stops(colourmap, signed))
    usual = ("speaks against it", "speaks for it") if signed else ("nothing", "strongest")
    low, high = map(escape, ends or usual)
    return (
        f'<span class="legend"><span>{low}</span><span class="ramp" role="img" aria-label="Colours '
        f'from {low} to {high}" style="background:linear-gradient(to right,{ramp})"></span>'
        f"<span>{high}</span></span>"
    )


def place(x: float, y: float) -> str:
    """A point of the photo in words, for those who can't see the map."""
    column = ("left", "centre", "right")[min(2, int(x * 3))]
    row = ("top", "middle", "bottom")[min(2, int(y * 3))]
    return "centre" if (row, column) == ("middle", "centre") else f"{row} {column}"


def logit(word: str = "logit") -> str:
    """That word, which says what it means."""
    return term(word, "The network’s own score of a class, before all scores become probabilities.")


def term(word: str, meaning: str) -> str:
    """A word of the field that says in one sentence what it means, to whoever points at it."""
    return f'<abbr class="term" tabindex="0" title="{escape(meaning)}">{escape(word)}</abbr>'
