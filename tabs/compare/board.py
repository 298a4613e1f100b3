"""The pieces of the Compare tab as HTML: verdict, cards, scores, agreement.

What changes while one waits has a slot, `data-slot="side:method:what"`, that the browser fills.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from explainers import METHODS, Explanation, notes, render
from explainers.render import plots
from explainers.render.report import MEANING, shown_as
from explainers.scores.comparison import SORTS
from explainers.scores.verdict import Verdict, lines, signed

from ..parts import html
from ..parts.pace import took
from ..parts.tab import Settings
from .sides import Side, opening

CARD = 320  # pixels on the longer side of a map
COLUMNS = ("gain", "deletion", "insertion", "pointing", "energy_inside", "seconds")
HELP = {
    "gain": "Insertion minus deletion, minus the same of a random order: how much sooner the class "
    "goes and comes when pixels follow this map. Near zero, the map says nothing.",
    "deletion": "Pixels leave the photo, the strongest of the map first: the mean probability of "
    "the class meanwhile. Small is good.",
    "insertion": "Pixels enter an empty photo, the strongest of the map first: the mean "
    "probability of the class meanwhile. Large is good.",
    "pointing": "Is the map’s strongest place inside your box?",
    "energy_inside": "Which share of what speaks for the class lies inside your box?",
    "seconds": "Time beyond what was there already: the forward pass that all maps share, and the "
    "maps that this one is made of.",
}
WAITS = (  # how, for whoever waits
    "The network is asked again and again while pixels leave the photo, then while they enter an "
    "empty one, the strongest of each map first.",
    "A map that changes its answer no sooner than a random order does says nothing.",
)
Slots = dict[str, str]


def tell(side: Side, found: Verdict | None, doing: Sequence[str]) -> str:
    """Three lines; before all is measured, what is still missing for them."""
    words = lines(found, side.found.baseline) if found else doing
    items = [escape(line) for line in words]
    items = [re.sub(r"\bgain\b", html.term("gain", HELP["gain"]), line, count=1) for line in items]
    kind = "" if found else " waits"
    told = "".join(f"<li>{line}</li>" for line in items)
    return f'<ol class="compare-told{kind}">{told}</ol>'


def grid(sides: Sequence[Side], settings: Settings) -> str:
    """A card for each map that there will be."""
    parts = "".join(_side(side, i, settings, len(sides) > 1) for i, side in enumerate(sides))
    return f'<div class="compare-sides sides-{len(sides)}">{parts}</div>'


def legend(sides: Sequence[Side], colourmap: str) -> str:
    """What the colours and the dot mean."""
    both = any(side.found.question.against is not None for side in sides)
    return (
        f"{html.legend(colourmap, both)}"
        '<span class="legend"><i class="compare-dot"></i> strongest place</span>'
    )


def shown(side: Side) -> list[str]:
    """The methods that have a card: one for each map, in order; what isn't defined comes last."""
    found = side.found
    doubles = {name for twins in found.twins().values() for name in twins}
    names = [name for name in found.sorted() if name not in doubles]
    return sorted(names, key=lambda name: name in found.absent)


def _side(side: Side, number: int, settings: Settings, named: bool) -> str:
    width, height = render.shrunk(side.photo, CARD)
    twins = side.found.twins()
    cards = "".join(
        _card(side, number, name, twins.get(name, []), settings) for name in shown(side)
    )
    head = f"<h3>{escape(side.title)}</h3>" if named else ""
    own = " own" if number == 0 or "photo" not in side.state else ""
    return (
        f'<section class="compare-side{own}" style="--shape:{width}/{height}" aria-label="'
        f'{escape(side.title)}">{head}<div class="compare-cells">{cards}</div></section>'
    )


def _card(side: Side, number: int, name: str, twins: Sequence[str], settings: Settings) -> str:
    method, slot = METHODS[name], f"{number}:{escape(name)}"
    if name in side.found.absent:
        return (
            f'<figure class="compare-card undefined" data-method="{escape(name)}">'
            f'<div class="compare-picture"><p>{escape(side.found.absent[name])}</p></div>'
            f"<figcaption><b>{escape(method.title)}</b></figcaption></figure>"
        )
    opens = opening(side, name, settings)
    home = escape(opens["tab"].capitalize())
    also = ""
    if twins:
        titles = ", ".join(METHODS[each].title for each in twins)
        also = f' <span class="compare-twins">= {escape(titles)} {_why(twins)}</span>'
    return (
        f'<figure class="compare-card" data-method="{escape(name)}"><button type="button" '
        f'class="compare-picture" title="Open in {home}" '
        f'data-open="{escape(json.dumps(opens))}"><span data-slot="{slot}:map"></span>'
        f'<span class="compare-box"></span><span class="compare-go">Open in {home}</span></button>'
        f"<figcaption><b>{escape(method.title)}</b>{also} "
        f'<small data-slot="{slot}:took"></small><span class="compare-gain" '
        f'data-slot="{slot}:card"></span><span data-slot="{slot}:notes"></span></figcaption>'
        "</figure>"
    )


def _why(twins: Sequence[str]) -> str:
    words = "It is the same map up to its scale, so it is shown and measured once."
    if "cam" in twins:
        words += (
            " Behind this layer the network only averages and weighs once, so the gradient that "
            "Grad-CAM asks for is the weight that CAM reads."
        )
    return html.why(words)


def picture(side: Side, number: int, found: Explanation, settings: Settings) -> Slots:
    """A map over its photo, as far as it is."""
    row, key = side.found.row, f"{number}:{found.method}"
    over = render.overlay(side.photo, found, row, longest=CARD, colourmap=settings["colours"])
    alt = side.found.words(found.method) if found.done >= 1 else METHODS[found.method].title
    x, y = found.peak(row)
    dot = ""
    if notes.measure(found, row).strongest_place:
        dot = f'<span class="compare-dot" style="left:{x:.1%};top:{y:.1%}"></span>'
    doubts = [] if found.done < 1 else side.found.notes(found.method)
    said = [f'<span class="note">{escape(n.sentence)}</span>' for n in doubts if not n.of_pass]
    return {
        f"{key}:map": f'<img alt="{escape(alt)}" '
        f'src="{html.data_url(render.jpeg(over, 82), "jpeg")}">{dot}',
        f"{key}:took": took(found.seconds) if found.done >= 1 else f"{found.done:.0%}",
        f"{key}:notes": "".join(said),
    }


def absent(side: Side, number: int, name: str) -> Slots:
    """Why a map that was begun can’t be had."""
    why = f"<p>{escape(side.found.absent[name])}</p>"
    return {f"{number}:{name}:map": why, f"{number}:{name}:took": ""}


def scored(side: Side, number: int, name: str) -> Slots:
    """What is known of a map by now, on its card and in the table."""
    figures, key = side.found.figures(name), f"{number}:{name}"
    slots = {f"{key}:{column}": _cell(column, figures) for column in COLUMNS}
    if figures["gain"] is not None:
        slots[f"{key}:card"] = f"gain {signed(figures['gain'])}"
    curves = side.found.scores.get(name)
    if curves is not None:
        label = (
            f"Probability while pixels leave (area {curves.deletion.area:.2f}) and while they enter"
            f" (area {curves.insertion.area:.2f})"
        )
        slots[f"{key}:curves"] = plots.curves(curves, side.found.floor_of(name), label)
    return slots


def _cell(column: str, figures: Mapping[str, Any]) -> str:
    value = figures[column]
    if column == "seconds":
        return took(value)
    base = figures.get(f"{column}_floor")
    more = "" if base is None else f" <small>random {shown_as(column, base)}</small>"
    return "–" if value is None else f"{shown_as(column, value)}{more}"


def values(side: Side, number: int, name: str) -> dict[str, dict[str, float]]:
    """The same as numbers, to sort by."""
    figures = side.found.figures(name)
    known = {key: float(figures[key]) for key in SORTS if figures[key] is not None}
    return {f"{number}:{name}": known}


def marks(number: int, found: Verdict) -> Slots:
    """On the cards: who is in front, and who says nothing."""
    slots: Slots = {}
    for name in found.order:
        gain = f"gain {signed(found.gains[name])}"
        if name in found.best:
            words = "tied best" if len(found.best) > 1 else "best"
            slots[f"{number}:{name}:card"] = f'{gain} <b class="compare-best">{words}</b>'
        elif name in found.weak:
            slots[f"{number}:{name}:card"] = f'{gain} <span class="compare-weak">as random</span>'
    return slots


def tables(sides: Sequence[Side]) -> str:
    """All scores, a row for each map; the browser fills them in."""
    out, into = plots.ink()
    key = (
        f'<p class="compare-key"><span><i style="background:{out}"></i> pixels leave (deletion)'
        f'</span><span><i style="background:{into}"></i> pixels enter (insertion)</span>'
        "<span><i class=dotted></i> the same in random order</span></p>"
    )
    titles = {name: SORTS[name][0] for name in COLUMNS}
    head = "".join(
        f'<th scope="col">{html.term(title, HELP[name])}</th>' for name, title in titles.items()
    )
    body = ""
    for i, side in enumerate(sides):
        caption = f"<caption><span>{escape(side.title)}</span></caption>" if len(sides) > 1 else ""
        rows = "".join(_row(i, name) for name in shown(side) if name not in side.found.absent)
        body += (
            f'<div class="compare-wide" tabindex="0" role="region" aria-label="Scores: '
            f'{escape(side.title)}"><table class="compare-scores">{caption}<thead><tr><th '
            f'scope="col">Method</th><th scope="col">Curves</th>{head}</tr></thead><tbody>{rows}'
            "</tbody></table></div>"
        )
    words = "".join(f"<p>{escape(text)}</p>" for text in MEANING.values())
    return (
        f"{key}{body}{html.details('What do these scores mean, and what can’t they say?', words)}"
    )


def _row(number: int, name: str) -> str:
    key = f"{number}:{escape(name)}"
    cells = "".join(f'<td data-slot="{key}:{column}">–</td>' for column in COLUMNS)
    return (
        f'<tr data-method="{escape(name)}"><th scope="row">{escape(METHODS[name].title)}</th>'
        f'<td data-slot="{key}:curves"></td>{cells}</tr>'
    )


def agreement(sides: Sequence[Side]) -> str:
    """Which maps agree: a table for each side, one row for each map."""
    return "".join(_agreement(side, len(sides) > 1) for side in sides)


def _agreement(side: Side, named: bool) -> str:
    ones = list(side.found.twins())
    if len(ones) < 2:
        return ""
    names, matrix = side.found.agreement(ones)
    titles = [escape(METHODS[name].title) for name in names]
    head = "".join(f'<th scope="col"><span>{title}</span></th>' for title in titles)
    rows = "".join(
        f'<tr><th scope="row">{title}</th>{"".join(map(_shade, row))}</tr>'
        for title, row in zip(titles, matrix, strict=True)
    )
    which = f": {escape(side.title)}" if named else ""
    return (
        f'<div class="compare-wide" tabindex="0" role="region" aria-label="Agreement{which}">'
        f'<table class="compare-matrix"><caption><span>Rank correlation{which}: 1 the same order '
        f"of places, 0 none. Maps can agree and be wrong together.</span></caption><tr><td></td>"
        f"{head}</tr>{rows}</table></div>"
    )


def _shade(value: float) -> str:
    value = round(value, 1) + 0.0  # no minus zero
    share = max(value, 0.0) * 55
    back = f"background:color-mix(in srgb, var(--accent) {share:.0f}%, transparent)"
    words = f"{value:.1f}".replace("-", "−")
    return f'<td style="{back}">{words}</td>'
