"""The three maps of each class, and what the browser needs to point at a window of them."""

from __future__ import annotations

import base64
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np

from explainers import Question, notes, render
from explainers.muting import Interval, Muting, Score, pictures
from explainers.muting import maps as muting_maps
from explainers.network import Frame
from explainers.network.frame import part, seen

from ..parts import html
from ..subject import Asked
from . import told

CELL = 448  # pixels on the longer side of a map
SHARES = 65535  # steps of a probability on its way to the browser
WAITING = '<p class="windows-waiting">A first, coarse picture is on its way.</p>'
STRIDE = "How far the window moves from one place to the next, in pixels of the network’s picture."


def facts(asked: Asked, muting: Muting) -> dict[str, Any]:
    """Where the windows are, and what the network says with each of them covered."""
    network = asked.network
    before = network.probabilities(muting.before)
    found = muting_maps.answers(muting, told.classes(asked, before))
    height, width = muting.size
    winners = np.unique(found.winners[found.winners >= 0])
    ranks = np.where(found.winners < 0, -1, np.searchsorted(winners, found.winners))
    peak = muting_maps.strongest(muting, asked.targets[0])
    return {
        **told.unmuted(asked, before),
        "seen": list(seen(muting.frame)),
        "down": [_on_photo(muting.rows[row], height, muting.frame)[1::2] for row in found.rows],
        "across": [_on_photo(muting.cols[col], width, muting.frame)[::2] for col in found.cols],
        "peak": None if peak is None else [found.rows.index(peak[0]), found.cols.index(peak[1])],
        "stride": muting.stride,
        "after": _packed(found.after),
        "chances": _packed(found.chances),
        "ranks": base64.b64encode(ranks.astype("<i2").tobytes()).decode(),
        "winners": [
            {"index": int(each), "name": network.labels[each], "before": float(before[each])}
            for each in winners
        ],
    }


def _on_photo(span: Interval, length: int, frame: Frame) -> Frame:
    """Pixels of the input along either side, as fractions of the photo."""
    low, high = (at / length for at in span)
    return part((low, low, high, high), frame)


def _packed(chances: np.ndarray) -> str:
    return base64.b64encode((chances * SHARES).round().astype("<u2").tobytes()).decode()


def maps(asked: Asked, question: Question, muting: Muting, score: Score) -> str:
    """The three maps, a row for each class; the labels stand in the first row."""
    muting = muting.guessed()
    size = render.shrunk(asked.seen, CELL)
    rows = "".join(
        _row(asked, question, muting, score, row, size) for row in range(len(asked.targets))
    )
    return f'<div class="windows-rows" style="--shape:{size[0]}/{size[1]}">{rows}</div>'


def _row(
    asked: Asked, question: Question, muting: Muting, score: Score, row: int, size: tuple[int, int]
) -> str:
    name = asked.name(row)
    chance = html.percent(float(asked.network.probabilities(muting.before)[asked.targets[row]]))
    cells = _drop(asked, question, muting, score, row, size) + _chances(asked, muting, row, size)
    cells += _labels(asked, muting, size) if row == 0 else ""
    return (
        f'<section aria-label="{escape(name)}"><h4>{escape(name)} <span>{chance}</span></h4>'
        f'<div class="windows-cells">{cells}</div></section>'
    )


def _cell(over: np.ndarray, alt: str, title: str, legend: str, words: str, walk: str = "") -> str:
    """walk: what the arrow keys are said to do; only the first map is walked over."""
    keys = (
        f'tabindex="0" role="application" aria-label="{escape(alt)} {walk}" data-walk'
        if walk
        else ""
    )
    heat = html.data_url(render.png(over), "png")
    return (
        f'<figure><div class="windows-picture" {keys}><img data-photo alt="" decoding="sync">'
        f'<img class="heat" draggable="false" decoding="sync" alt="{escape(alt)}" src="{heat}">'
        f'<i class="window-mark" hidden></i></div><figcaption><b>{escape(title)}</b>{legend}'
        f"<p>{words}</p></figcaption></figure>"
    )


def _drop(
    asked: Asked,
    question: Question,
    muting: Muting,
    score: Score,
    row: int,
    size: tuple[int, int],
) -> str:
    found = muting_maps.drop_map(muting, question, score)
    most = float(found.values[row].max())
    what = html.logit() if score == "logit" else "probability"
    unit = f"{most:.2f}" if score == "logit" else f"{100 * most:.1f} points of percent"
    words = f"Hot where covering makes its {what} fall, by up to {unit}."
    if asked.against is not None:
        words = f"Orange where covering takes more from it than from the other; {what} of both."
    elif most <= 0:
        words = f"No window makes its {what} fall: nothing that fits in one is needed."
    alt = notes.describe(replace(found, title=f"Drop of the {score}"), row)
    return _cell(
        render.translucent(found, row, size),
        alt,
        "What the class needs",
        html.legend(render.DEFAULT, asked.against is not None),
        words,
        "The arrow keys move the covered window.",
    )


def _chances(asked: Asked, muting: Muting, row: int, size: tuple[int, int]) -> str:
    target = asked.targets[row]
    over, least, most = pictures.likely(muting, target, size)
    before = float(asked.network.probabilities(muting.before)[target])
    top, low, high = html.percent(max(before, most)), html.percent(least), html.percent(most)
    legend = html.scale(render.stops(render.CHANCES), "0 %", top)
    alt = f"Probability of {asked.network.labels[target]} by place, from {low} to {high}"
    words = f"With the window there: {low} to {high}; uncovered {html.percent(before)}."
    return _cell(over, alt, "Its probability", legend, words)


def _labels(asked: Asked, muting: Muting, size: tuple[int, int]) -> str:
    over, found = pictures.labels(muting, size)
    items = pictures.legend(found, asked.network.labels)
    alt = "The most likely label by place: " + ", ".join(
        f"{name} {html.percent(share)}" for _, name, share in items
    )
    words = (
        "Nothing changes the decision, wherever the window is."
        if len(items) == 1
        else "Coloured where the network changes its mind; clear where it does not."
    )
    listed = "".join(_swatch(*each) for each in items)
    legend = f'<ul class="swatches" aria-label="Labels by colour">{listed}</ul>'
    return _cell(over, alt, "The most likely label", legend, words)


def _swatch(colour: str, name: str, share: float) -> str:
    look = f'style="background:{colour}"' if colour else 'class="clear"'
    return f"<li><i {look}></i>{escape(name)} <small>{html.percent(share)}</small></li>"
