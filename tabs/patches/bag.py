"""A bag of patches on the page: lit pictures to point at, the top patches, what removing them does.

Pointing is answered in the browser, from numbers that came with the pictures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from explainers import render
from explainers.mil.patches import Grid

from ..parts import html
from ..parts.curve import curve

LONGEST = 640  # pixels of a picture's longer side
TOP = 8  # patches in the row
THUMB = 96
SEEN = 0.01  # a change of a probability that a curve of this size shows


@dataclass(frozen=True)
class Figure:
    """A picture of the bag. removes: it shows which patches were taken away."""

    picture: np.ndarray
    title: str
    caption: str
    alt: str
    removes: bool = False


@dataclass(frozen=True)
class Bag:
    """What there is to show. facts: name and (n,) values of the patches read; order: their numbers,
    best first; removal: (k + 1,) the answer without the best 0..k; answer: HTML made here."""

    key: str
    grid: Grid
    facts: Sequence[tuple[str, np.ndarray]]
    order: np.ndarray
    removal: np.ndarray
    answer: str
    figures: Sequence[Figure]
    legend: str
    top_words: str
    removal_words: str
    threshold: bool = False

    def html(self) -> str:
        """The whole panel."""
        width, height = self.grid.size
        figures = "".join(self._figure(each, n) for n, each in enumerate(self.figures))
        left = removal(self.removal, self.removal_words, self.threshold)
        rows = " rows" if len(self.figures) > 4 else ""  # a class each
        return (
            f'<div class="bag" data-bag="{escape(self._data())}" style="--shape:{width}/{height}">'
            f'<div class="bag-answer" role="status">{self.answer}</div>'
            f'<div class="cells bag-cells{rows}">{figures}</div>'
            f'<div class="maps-foot">{self.legend}<span>Point at a picture, or tab to it and walk '
            "with the arrow keys; Enter finds the top patch.</span></div>"
            f'<div class="bag-more">{self._card()}{self._top()}{left}</div></div>'
        )

    def _data(self) -> str:
        return json.dumps(
            {
                "key": self.key,
                "size": self.grid.size,
                "columns": self.grid.columns,
                "boxes": self.grid.boxes[: len(self.order)].tolist(),
                "order": self.order.tolist(),
                "facts": [(name, _short(values)) for name, values in self.facts],
                "curve": _short(self.removal),
            },
            separators=(",", ":"),
        )

    @staticmethod
    def _figure(figure: Figure, number: int) -> str:
        url = html.data_url(render.jpeg(figure.picture, 85), "jpeg")
        walk = 'tabindex="0" role="application"' if number == 1 else 'role="group"'
        kind = "bag-photo" if number == 0 else ""
        removes = 'data-removes="1"' if figure.removes else ""
        return (
            f'<figure class="cell"><div class="bag-picture" {walk} aria-label="'
            f'{escape(figure.title)}: its patches"><img class="{kind}" alt="{escape(figure.alt)}" '
            f'src="{url}"><canvas class="bag-marks" {removes} aria-hidden="true"></canvas></div>'
            f"<figcaption><b>{escape(figure.title)}</b><p>{escape(figure.caption)}</p></figcaption>"
            "</figure>"
        )

    @staticmethod
    def _card() -> str:
        return (
            '<section class="bag-card empty"><h3>One patch</h3><p class="bag-hint">Point at a '
            'patch to see it here with its numbers; click to keep it.</p><div class="bag-one">'
            '<canvas class="bag-patch" width="168" height="168" aria-hidden="true"></canvas>'
            '<p class="bag-words" aria-live="polite"></p></div></section>'
        )

    def _top(self) -> str:
        values = self.facts[0][1]
        items = []
        for place, patch in enumerate(self.order[:TOP].tolist(), 1):
            data = render.jpeg(render.fit(self.grid.patches[patch], THUMB), 85)
            share = html.percent(float(values[patch]))
            items.append(
                f'<li><button type="button" data-patch="{patch}" title="Show where it is">'
                f'<img alt="Patch {patch + 1}" src="{html.data_url(data, "jpeg")}">'
                f"<span>{place} · {share}</span></button></li>"
            )
        return (
            f"<section><h3>Top patches</h3><p>{escape(self.top_words)}</p>"
            f'<ol class="bag-top" data-grid>{"".join(items)}</ol></section>'
        )


def removal(values: np.ndarray, words: str, threshold: bool = False) -> str:
    """What is left of the answer without the best 0..k patches, as a curve and a slider; both end
    behind the last change that can be seen. values: (k + 1,) probabilities; words: what it shows;
    threshold: a half decides."""
    most, end = len(values) - 1, _settled(values)
    if not most:
        return ""
    rest = ""
    if end < most:
        last = html.percent(float(values[-1]))
        rest = f" Not drawn: {end + 1} to {most} removed, where it stays near {last}."
    drawn = curve(
        range(end + 1),
        values[: end + 1].tolist(),
        label=_course(values[: end + 1]),
        below="top patches removed",
        most_x=end,
        guide=(0.5, "") if threshold else None,
        mark=True,
    )
    return (
        f'<section class="bag-curve"><h3>Remove the top patches</h3><p>{escape(words + rest)}</p>'
        f'{drawn}<input class="bag-range" type="range" min="0" max="{end}" value="0" step="1" '
        'aria-label="Top patches removed"><p class="bag-without"></p></section>'
    )


def _settled(values: np.ndarray) -> int:
    """Behind which number removed nothing happens any more, with some room to see that."""
    moving = np.flatnonzero(np.abs(values - values[-1]) > SEEN)
    last = int(moving[-1]) + 1 if len(moving) else 0
    return min(len(values) - 1, max(TOP, -(-last * 6 // 5)))


def _course(values: np.ndarray) -> str:
    """Of a curve from all patches to its end, in words that hold whichever way it goes."""
    first, last, high, low = (
        float(each) for each in (values[0], values[-1], values.max(), values.min())
    )
    ends = f"{html.percent(first)} with all patches, {html.percent(last)} without"
    on_the_way = [
        f"{word} {html.percent(value)} on the way"
        for word, value, beyond in (
            ("up to", high, high - max(first, last)),
            ("down to", low, min(first, last) - low),
        )
        if beyond > SEEN
    ]
    return ", ".join([f"The probability: {ends} the top {len(values) - 1}", *on_the_way])


def _short(values: np.ndarray) -> list[float]:
    """Few digits, for the page; what is less than 1 stays so."""
    return [min(float(f"{value:.5g}"), 0.99999 if value < 1 else 1) for value in values.tolist()]


def light_legend(rule: str, floor: float, full: str) -> str:
    """What brightness means; full: what full light stands for."""
    stops = render.light_stops(0 if rule == "author" else floor)
    light = html.scale(stops, "Light: low", full, "Light from dim to full")
    heat = html.legend(render.DEFAULT, False)
    return f'{light}<span class="bag-heat">Grad-CAM: {heat}</span>'
