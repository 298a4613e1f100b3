"""The pieces of the Compare tab: cards, scores, agreement, the sanity check's table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from explainers import METHODS, Explanation, Photo, render
from explainers.render import plots
from explainers.render.report import MEANING, shown_as
from explainers.scores.comparison import Comparison
from explainers.scores.sanity import Stage

from . import html

CARD, THUMB = 320, 150
OFTEN = 0.7  # seconds between pictures of a map that grows

GRID_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-open]');
  if (button) trigger('pick', {method: button.dataset.open});
});
watch('value', () => setTimeout(() => window.dispatchEvent(new Event('scores-place')), 0));
"""
# Scores travel apart from the pictures, which are a hundred times as heavy, and take their places.
SCORES_JS = """
const place = () => {
  const grid = document.querySelector('#compare-grid');
  const order = element.querySelector('[data-order]');
  if (!grid || !order) return;
  for (const part of element.querySelectorAll('[data-for]')) {
    const slot = grid.querySelector('[data-slot="' + CSS.escape(part.dataset.for) + '"]');
    if (slot && slot.innerHTML !== part.innerHTML) slot.innerHTML = part.innerHTML;
  }
  for (const cells of grid.querySelectorAll('.cells'))
    for (const name of order.dataset.order.split(' ')) {
      const card = cells.querySelector('[data-method="' + CSS.escape(name) + '"]');
      if (card) cells.append(card);
    }
};
window.addEventListener('scores-place', place);
watch('value', () => setTimeout(place, 0));
"""


@dataclass
class Side:
    """One photo, network and target of the tab, with what was found."""

    photo: Photo
    found: Comparison
    title: str


def steps(sides: Sequence[Side], measures: bool) -> Iterator[tuple[bool, float, str]]:
    """All that is left to do: (is there a new picture?, share done, what was just done)."""
    methods = [name for side in sides for name in side.found.methods]
    total, done, drawn = 2 * len(methods) + 2, 0, 0.0
    for waits in ((0, 1), (2,)):
        for side in sides:
            for name in side.found.draw(waits):
                share = side.found.maps[name].done if name in side.found.maps else 1.0
                done += share >= 1
                slow = METHODS[name].slow
                if slow and (share >= 1 or time.monotonic() - drawn > OFTEN):
                    drawn = time.monotonic()
                    yield True, min((done + share * (share < 1)) / total, 0.99), METHODS[name].title
        for side in sides if measures else []:
            for name in side.found.measure():
                done += 1
                yield False, min(done / total, 0.99), f"Measuring {METHODS[name].title}"


def grid(sides: Sequence[Side], colourmap: str, opens: Callable[[str], str | None]) -> str:
    """All cards; opens(method) is the title of the tab that shows it closely, or None."""
    parts = "".join(_side(side, i, colourmap, opens) for i, side in enumerate(sides))
    return (
        f'<div class="maps compare sides-{len(sides)}">{parts}</div><div class="maps-foot">'
        f"{html.legend(colourmap, any(s.found.question.against is not None for s in sides))}"
        '<span class="compare-key"><i class="compare-dot"></i> strongest place</span></div>'
    )


def _side(side: Side, number: int, colourmap: str, opens: Callable[[str], str | None]) -> str:
    small = render.shrink(side.photo, CARD)
    height, width = small.shape[:2]
    url = html.data_url(render.jpeg(small, 84), "jpeg")
    cards = "".join(_card(side, number, name, colourmap, opens) for name in side.found.sorted())
    return (
        f'<section class="compare-side" style="--photo:url({url});--shape:{width}/{height}" '
        f'aria-label="{escape(side.title)}"><h3>{escape(side.title)}</h3><div class="cells">'
        '<figure class="cell"><div class="stack plain" role="img" aria-label="The photo without '
        'a map"><span class="compare-box"></span></div><figcaption><b>Photo</b></figcaption>'
        f"</figure>{cards}</div></section>"
    )


def _card(
    side: Side, number: int, name: str, colourmap: str, opens: Callable[[str], str | None]
) -> str:
    method, found = METHODS[name], side.found.maps.get(name)
    took = "…"
    if name in side.found.absent:
        body = f'<div class="stack absent"><p>{escape(side.found.absent[name])}</p></div>'
        took = "not defined here"
    elif found is None:
        body = '<div class="stack waiting"></div>'
    else:
        body, took = _picture(side, found, colourmap), _took(found.seconds)
    tab = opens(name)
    button = (
        f'<button type="button" class="compare-open" data-open="{escape(name)}" '
        f'aria-label="Open {escape(method.title)} in {tab}">Open in {tab}</button>'
        if tab and name not in side.found.absent
        else ""
    )
    return (
        f'<figure class="cell compare-card" data-method="{escape(name)}">{body}<figcaption>'
        f'<span class="compare-title"><b>{escape(method.title)}</b> <small title="Time beyond the '
        f'shared forward pass">{took}</small></span><div data-slot="{number}:{escape(name)}"></div>'
        f"{button}</figcaption></figure>"
    )


def _picture(side: Side, found: Explanation, colourmap: str) -> str:
    row = side.found.row
    shown = render.overlay(side.photo, found, row, longest=CARD, colourmap=colourmap)
    x, y = found.peak(row)
    alt = f"{METHODS[found.method].title}: strongest at the {html.place(x, y)}"
    bar = html.progress(found.done, html.left(found.seconds, found.done)) if found.done < 1 else ""
    return (
        f'<div class="stack"><img class="compare-map" alt="{escape(alt)}" '
        f'src="{html.data_url(render.jpeg(shown, 86), "jpeg")}"><span class="compare-box"></span>'
        f'<span class="compare-dot" style="left:{x:.1%};top:{y:.1%}"></span>{bar}</div>'
    )


def _took(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def scores(sides: Sequence[Side], by: str) -> str:
    """What goes into the cards, in which order, and what stands below them."""
    order = " ".join(sides[0].found.sorted(by))
    parts = "".join(
        f'<div data-for="{i}:{escape(name)}">{_scored(side.found, name)}</div>'
        for i, side in enumerate(sides)
        for name in side.found.maps
    )
    return (
        f'<div hidden data-order="{escape(order)}">{parts}</div>{_key(sides)}'
        f"{''.join(_agreement(side, len(sides) > 1) for side in sides)}{_meaning()}"
    )


def _scored(found: Comparison, name: str) -> str:
    figures, curves = found.figures(name), found.scores.get(name)
    lines = []
    if curves is not None:
        base = found.floor_of(name)
        label = (
            f"Probability while pixels leave (area {curves.deletion.area:.2f}) and while they enter"
            f" (area {curves.insertion.area:.2f})"
        )
        lines.append(plots.curves(curves, base, label))
    pairs = [("Gain", "gain"), ("Deletion", "deletion"), ("Insertion", "insertion")]
    pairs += [("Strongest place", "pointing"), ("Energy inside", "energy_inside")]
    rows = ""
    for title, key in pairs:
        if figures[key] is not None:
            floor = figures.get(f"{key}_floor")
            more = "" if floor is None else f" <small>random {floor:.2f}</small>"
            short = f"{figures[key]:.2f}" if floor is not None else shown_as(key, figures[key])
            rows += f"<div><dt>{title}</dt><dd>{short}{more}</dd></div>"
    return "".join(lines) + (f'<dl class="compare-figures">{rows}</dl>' if rows else "")


def _key(sides: Sequence[Side]) -> str:
    if not any(side.found.scores for side in sides):
        return ""
    out, into = plots.ink()
    best = sides[0].found.sorted("gain")[0]
    gain = sides[0].found.figures(best)["gain"] if best in sides[0].found.maps else None
    word = ""
    if gain is not None:
        word = (
            f"<p><b>{escape(METHODS[best].title)}</b> gains most over a random order here "
            f"({gain:+.2f}): on this photo the network’s own answers support it best.</p>"
            if gain > 0.05
            else "<p>No map here does better than a random order: believe none of them.</p>"
        )
    return (
        f'<div class="compare-legend"><span><i style="background:{out}"></i> pixels leave '
        f'(deletion)</span><span><i style="background:{into}"></i> pixels enter (insertion)</span>'
        f"<span><i class=dotted></i> in random order</span>{word}</div>"
    )


def _meaning() -> str:
    words = "".join(f"<p>{escape(text)}</p>" for text in MEANING.values())
    return html.details("What do these scores mean, and what can’t they say?", words)


def _agreement(side: Side, named: bool) -> str:
    if len(side.found.finished()) < 2:
        return ""
    names, matrix = side.found.agreement()
    titles = [escape(METHODS[name].title) for name in names]
    head = "".join(f'<th scope="col"><span>{title}</span></th>' for title in titles)
    rows = "".join(
        f'<tr><th scope="row">{title}</th>{"".join(_shade(value) for value in row)}</tr>'
        for title, row in zip(titles, matrix, strict=True)
    )
    which = f": {escape(side.title)}" if named else ""
    return (
        f'<div class="compare-wide" tabindex="0" role="region" aria-label="Agreement{which}">'
        f'<table class="compare-matrix"><caption>Which maps agree{which}? Rank correlation: '
        f"1 the same order, 0 none</caption><tr><td></td>{head}</tr>{rows}</table></div>"
    )


def _shade(value: float) -> str:
    value = round(value, 1) + 0.0  # no minus zero
    share = max(value, 0.0) * 55
    back = f"background:color-mix(in srgb, var(--color-accent) {share:.0f}%, transparent)"
    return f'<td style="{back}">{value:.1f}</td>'


def sanity(
    photo: Photo, originals: Sequence[Explanation], done: Sequence[Stage], row: int, count: int
) -> str:
    """A row for each method, a column for each stage; the network knows less to the right."""
    head = "".join(f'<th scope="col">{escape(stage.title)}</th>' for stage in done)
    rows = "".join(_forgets(photo, each, done, row) for each in originals)
    word = _verdict(originals, done) if len(done) == count else ""
    return (
        f'<div class="compare-wide" tabindex="0" role="region" aria-label="Sanity check"><table '
        f'class="compare-sanity"><caption>From left to right more of the network is random, head '
        "first. Numbers: rank correlation with the original map, of signed values and (in brackets)"
        f" of magnitudes.</caption><tr><td></td><th scope=col>Trained</th>{head}</tr>{rows}</table>"
        f"</div>{word}"
    )


def _forgets(photo: Photo, original: Explanation, done: Sequence[Stage], row: int) -> str:
    name = original.method
    cells = f"<td>{_thumb(photo, original, row)}</td>"
    for stage in done:
        if name in stage.maps:
            like = stage.similarity[name]
            text = f"{like.signed:.2f} <small>({like.magnitude:.2f})</small>"
            cells += f"<td>{_thumb(photo, stage.maps[name], row)}<span>{text}</span></td>"
        else:
            cells += f"<td><p>{escape(stage.absent.get(name, ''))}</p></td>"
    return f'<tr><th scope="row">{escape(METHODS[name].title)}</th>{cells}</tr>'


def _thumb(photo: Photo, found: Explanation, row: int) -> str:
    shown = render.overlay(photo, found, row, longest=THUMB)
    alt = escape(METHODS[found.method].title)
    return f'<img alt="{alt}" src="{html.data_url(render.jpeg(shown, 80), "jpeg")}">'


def _verdict(originals: Sequence[Explanation], done: Sequence[Stage]) -> str:
    """Which maps hardly noticed: judged where half of the network is random."""
    middle = done[(len(done) - 1) // 2]
    kept: Mapping[str, float] = {
        each.method: middle.similarity[each.method].signed
        for each in originals
        if each.method in middle.similarity
    }
    numb = [f"{METHODS[m].title} ({v:.2f})" for m, v in kept.items() if v > 0.6]
    if not numb:
        words = "Every map here changes as the network forgets: it depends on what was learnt."
    else:
        words = (
            f"With everything from the head to “{middle.title}” random, {' and '.join(numb)} still "
            "look like the original: such a map shows the photo’s edges more than what the network "
            "knows."
        )
    return html.notice(words)
