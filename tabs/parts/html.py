"""Small pieces of HTML. Every text that comes from outside is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from explainers import Network, render


def data_url(data: bytes, kind: str) -> str:
    """A picture inside the page itself: no file is written, nothing can be fetched by others."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def percent(probability: float) -> str:
    """A probability as people read it, never rounded to an untrue 0 or 100."""
    if probability < 0.0005:
        return "<0.1 %"
    if 0.9995 <= probability < 1:
        return ">99.9 %"
    return f"{probability:.1%}".replace("%", " %")


def chip(
    index: int, label: str, probability: float, pressed: bool, bound: float | None = None
) -> str:
    """A class: its bar, a button that makes it the target, and one that adds it as another row.

    bound: the probability from which on the class counts as seen, marked on the bar.
    """
    name, chance = escape(label), percent(probability)
    verb, sign, hint = ("Remove", "−", "this row") if pressed else ("Add", "+", "as another row")
    add = (
        f'<button type="button" class="chip-add" data-class="{index}" data-add="1" '
        f'aria-label="{verb} {name}" title="{verb} {hint}">{sign}</button>'
    )
    mark = ""
    if bound is not None:
        words = f"counts as seen from {percent(bound)} on"
        mark = f'<span class="chip-mark" style="left:{bound:.2%}" title="{words}"></span>'
    return (
        f'<li class="chip{" chip-on" if pressed else ""}">'
        f'<button type="button" class="chip-main" data-class="{index}" aria-pressed='
        f'"{str(pressed).lower()}" title="Explain “{name}” alone">'
        f'<span class="chip-bar" style="width:{probability:.2%}"></span>{mark}'
        f'<span class="chip-name">{name}</span><span class="chip-value">{chance}</span></button>'
        f"{add}</li>"
    )


def unseen(network: Network, target: int, chance: float) -> str:
    """What to say of a class that a multi-label network does not see; empty if it does."""
    bound = network.thresholds[target]
    if network.head == "softmax" or chance >= bound:
        return ""
    return (
        f"{network.title} does not see it here ({percent(chance)}, and it takes {percent(bound)}): "
        "the map shows what comes nearest."
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


def progress(done: float, text: str) -> str:
    """A bar with words under it, such as the time left."""
    return (
        f'<div class="progress"><progress max="1" value="{done:.3f}" aria-label="{escape(text)}">'
        f"</progress><span>{escape(text)}</span></div>"
    )


def left(seconds: float, done: float) -> str:
    """Time left, in words, when `done` of the work took that many seconds."""
    if done <= 0:
        return "starting"
    rest = seconds * (1 - done) / done
    return "nearly there" if rest < 1.5 else f"about {rest:.0f} s left"


def legend(colourmap: str, signed: bool) -> str:
    """What the colours of the maps mean."""
    ramp = ", ".join(render.stops(colourmap, signed))
    low, high = ("speaks against it", "speaks for it") if signed else ("nothing", "strongest")
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


def strip(items: Sequence[tuple[str, str, bytes]]) -> str:
    """Examples to start from: (file name, alternative text, JPEG) each a button."""
    buttons = "".join(
        f'<button type="button" data-name="{escape(name)}" aria-label="Use the example: '
        f'{escape(alt)}" title="{escape(alt)}"><img alt="" src="{data_url(data, "jpeg")}"></button>'
        for name, alt, data in items
    )
    return f'<div class="strip" role="group" aria-label="Example photos">{buttons}</div>'


def term(word: str, meaning: str) -> str:
    """A word of the field that says in one sentence what it means, to whoever points at it."""
    return f'<abbr class="term" tabindex="0" title="{escape(meaning)}">{escape(word)}</abbr>'
