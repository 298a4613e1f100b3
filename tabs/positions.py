"""The maps of the Muting tab, on which a visitor points at a window, and what is seen there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

import numpy as np

from explainers import Photo, Question, render
from explainers import photo as photos
from explainers.muting import Change, Muting, Position, Score, pictures
from explainers.muting import maps as muting_maps

from . import change, courier, html

CELL = 520  # pixels on the longer side of a map

# A window is found from the place pointed at, and sent only when it is another one. Until somebody
# points, the window follows the strongest place as the picture grows.
JS = (
    courier.JS
    + """
const send = courier('look');
let held = false, chosen = false, last = null, viewed = '';
const root = () => element.querySelector('.muting');
const grid = () => JSON.parse(root().dataset.grid);
const centre = (span) => (span[0] + span[1]) / 2;
const nearest = (spans, at) => spans.reduce((best, span, i) =>
  Math.abs(centre(span) - at) < Math.abs(centre(spans[best]) - at) ? i : best, 0);
const put = () => {
  if (!root()) return;
  const {size, frame, rows, cols} = grid();
  const at = last = last || JSON.parse(root().dataset.peak);
  if (!at || !rows.length) return;
  const row = rows[nearest(rows, at[1] * size[1])], col = cols[nearest(cols, at[0] * size[0])];
  const share = (i, value) => frame[i] + value * (frame[i + 2] - frame[i]);
  for (const mark of element.querySelectorAll('.muting-mark')) {
    const x = col.map((v) => share(0, v / size[0])), y = row.map((v) => share(1, v / size[1]));
    Object.assign(mark.style, {left: x[0] * 100 + '%', width: (x[1] - x[0]) * 100 + '%',
      top: y[0] * 100 + '%', height: (y[1] - y[0]) * 100 + '%'});
    mark.classList.toggle('held', held);
    mark.hidden = false;
  }
};
const look = (x, y) => {
  const {size, rows, cols} = grid();
  if (!rows.length) return;
  const now = [centre(cols[nearest(cols, x * size[0])]) / size[0],
    centre(rows[nearest(rows, y * size[1])]) / size[1]];
  if (last && last[0] === now[0] && last[1] === now[1]) return;
  chosen = true;
  last = now;
  put();
  send({x: now[0], y: now[1]});
};
const point = (event) => {
  const stack = event.target.closest && event.target.closest('.stack[data-point]');
  if (!stack) return null;
  const box = stack.getBoundingClientRect(), {frame} = grid();
  const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
  const inside = [(x - frame[0]) / (frame[2] - frame[0]), (y - frame[1]) / (frame[3] - frame[1])];
  return inside.every((v) => v >= 0 && v <= 1) ? inside : null;
};
element.addEventListener('pointermove', (event) => {
  if (held || event.pointerType !== 'mouse') return;
  const at = point(event);
  if (at) look(...at);
});
element.addEventListener('click', (event) => {
  const at = point(event);
  if (!at) return;
  held = event.pointerType === 'mouse' && !held;
  if (held || event.pointerType !== 'mouse') look(...at);
  put();
  const panel = document.querySelector('#muting-look');
  if (panel && innerWidth < 700) panel.scrollIntoView({behavior: 'smooth', block: 'nearest'});
});
element.addEventListener('keydown', (event) => {
  const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  const move = step[event.key];
  if (event.key === 'Escape') { held = false; put(); }
  if (!move || !event.target.closest('.stack[data-point]')) return;
  event.preventDefault();
  const {size, rows, cols} = grid();
  if (!rows.length) return;
  const at = last || [0.5, 0.5];
  const walk = (spans, i, by) => {
    const next = nearest(spans, at[i] * size[i]) + by;
    return centre(spans[Math.min(spans.length - 1, Math.max(0, next))]) / size[i];
  };
  look(walk(cols, 0, move[0]), walk(rows, 1, move[1]));
});
watch('value', () => {
  if (!root()) return;
  const peak = JSON.parse(root().dataset.peak);
  if (root().dataset.view !== viewed) { last = peak; held = chosen = false; }
  viewed = root().dataset.view;
  if (!chosen && peak && last && (peak[0] !== last[0] || peak[1] !== last[1])) {
    last = peak;
    send({x: peak[0], y: peak[1]});
  }
  put();
});
"""
)

EMPTY = (
    '<div class="maps-empty"><p><b>Which parts does the class need?</b> A window is muted '
    "everywhere in turn; where the score falls, the network was looking. Drop a photo above, or "
    "take an example.</p></div>"
)
WAITING = (
    '<div class="maps-empty"><p><b>A first, coarse picture is on its way.</b> “Mute” makes it '
    "finer.</p></div>"
)
GONE = (
    '<div class="maps-empty"><p><b>Nothing is muted yet.</b> Press “Mute” to see what the class '
    "needs.</p></div>"
)
HINT = html.notice(
    "Point at a map, or tap it: the photo with that window muted, and what the network says then."
)


def maps(seen: Photo, asked: Question, muting: Muting, score: Score) -> str:
    """The three maps, a row for each class; the labels stand in the first row."""
    small = render.shrink(seen, CELL)
    height, width = small.shape[:2]
    url = html.data_url(photos.to_jpeg(small, 85), "jpeg")
    rows = "".join(
        _row(asked, muting, score, row, (width, height)) for row in range(len(asked.targets))
    )
    peak = muting_maps.strongest(muting, asked.targets[0])
    return (
        f'<div class="maps muting" style="--photo:url({url});--shape:{width}/{height}" '
        f'data-view="{escape(asked.view.key)} {asked.targets}" data-grid="{escape(_grid(muting))}" '
        f'data-stride="{muting.stride}" data-done="{muting.done:.3f}" '
        f'data-peak="{json.dumps(_centre(muting, peak))}">{rows}</div>'
    )


def _grid(muting: Muting) -> str:
    """What the script needs to find a window: those of the rows and columns that are known."""
    known = muting.known.numpy()
    height, width = muting.size
    facts = {
        "size": [width, height],
        "frame": list(muting.frame),
        "rows": [muting.rows[i] for i in np.flatnonzero(known.any(1))],
        "cols": [muting.cols[i] for i in np.flatnonzero(known.any(0))],
    }
    return json.dumps(facts)


def _centre(muting: Muting, position: Position | None) -> list[float] | None:
    if position is None:
        return None
    height, width = muting.size
    (top, bottom), (left, right) = muting.rows[position[0]], muting.cols[position[1]]
    return [(left + right) / 2 / width, (top + bottom) / 2 / height]


def _row(asked: Question, muting: Muting, score: Score, row: int, size: tuple[int, int]) -> str:
    labels, target = asked.network.labels, asked.targets[row]
    name = labels[target] + (f", and not {labels[asked.against]}" if asked.against else "")
    chance = html.percent(float(asked.network.probabilities(muting.before)[target]))
    cells = _drop(asked, muting, score, row, size, name) + _chances(asked, muting, row, size)
    cells += _labels(asked, muting, size) if row == 0 else ""
    return (
        f'<section class="maps-row" aria-label="{escape(name)}"><h3>{escape(name)} '
        f'<span>{chance}</span></h3><div class="cells muting-cells">{cells}</div></section>'
    )


def _cell(picture: bytes, alt: str, title: str, legend: str, words: str, walk: bool = False) -> str:
    keys = (
        f' tabindex="0" role="application" aria-label="{escape(alt)}. The arrow keys move the '
        'muted window."'
    )
    return (
        f'<figure class="cell"><div class="stack" data-point="1"{keys if walk else ""}>'
        f'<img class="heat" draggable="false" alt="{escape(alt)}" '
        f'src="{html.data_url(picture, "png")}">'
        f'<span class="muting-mark" hidden></span></div><figcaption><b>{escape(title)}</b>'
        f"{legend}<p>{escape(words)}</p></figcaption></figure>"
    )


def _drop(
    asked: Question, muting: Muting, score: Score, row: int, size: tuple[int, int], name: str
) -> str:
    found = muting_maps.drop_map(muting, asked, score)
    picture = render.png(render.translucent(found, row, size))
    most = float(found.values[row].max())
    unit = f"{most:.2f} in the logit" if score == "logit" else f"{100 * most:.1f} points of percent"
    what = "logit" if score == "logit" else "probability"
    if most <= 0:
        words = f"No window makes the {what} fall: nothing that fits in one is needed."
    else:
        words = f"Hot where muting makes the {what} fall, by up to {unit}."
    alt = f"Drop of the {what} of {name}, strongest at the {html.place(*found.peak(row))}"
    legend = html.legend(render.DEFAULT, asked.against is not None)
    return _cell(picture, alt, "What the class needs", legend, words, walk=True)


def _chances(asked: Question, muting: Muting, row: int, size: tuple[int, int]) -> str:
    target = asked.targets[row]
    over, least, most = pictures.likely(muting, target, size)
    before = float(asked.network.probabilities(muting.before)[target])
    top = max(before, most)
    ramp = ", ".join(render.stops(render.CHANCES))
    legend = (
        f'<span class="legend"><span>0 %</span><span class="ramp" role="img" aria-label="Colours '
        f'from 0 to {html.percent(top)}" style="background:linear-gradient(to right,{ramp})">'
        f"</span><span>{html.percent(top)}</span></span>"
    )
    low, high = html.percent(least), html.percent(most)
    alt = f"Probability of {asked.network.labels[target]} by position, from {low} to {high}"
    words = f"The class’s probability with the window there: {low} to {high}, unmuted "
    return _cell(
        render.png(over), alt, "Its probability", legend, f"{words}{html.percent(before)}."
    )


def _labels(asked: Question, muting: Muting, size: tuple[int, int]) -> str:
    over, found = pictures.labels(muting, size)
    items = pictures.legend(found, asked.network.labels)
    legend = "".join(_swatch(*each) for each in items)
    alt = "The most likely label by position: " + ", ".join(
        f"{name} {html.percent(share)}" for _, name, share in items
    )
    words = (
        "Nothing changes the decision, wherever the window is."
        if len(items) == 1
        else "Coloured where the network changes its mind; clear where it does not."
    )
    listed = f'<ul class="swatches" aria-label="Labels by colour">{legend}</ul>'
    return _cell(render.png(over), alt, "The most likely label", listed, words)


def _swatch(colour: str, name: str, share: float) -> str:
    look = f'style="background:{colour}"' if colour else 'class="clear"'
    return f"<li><i {look}></i>{escape(name)} <small>{html.percent(share)}</small></li>"


def look(asked: Question, muting: Muting, position: Position | None) -> str:
    """The photo with one window muted, and the likeliest classes before and after."""
    if position is None:
        return HINT
    x, y = _centre(muting, position)
    left, top, right, bottom = muting.frame
    where = html.place(left + x * (right - left), top + y * (bottom - top))
    changed = muting.change(position)
    picture = render.jpeg(muting.muted_image(position), 92)
    return _seen(asked, changed, picture, f"Muted at the {where}", asked.targets)


def _seen(
    asked: Question, changed: Change, picture: bytes, title: str, targets: Sequence[int]
) -> str:
    words = change.verdict(asked.network, changed)
    return (
        f'<div class="muted"><figure><img alt="{escape(title)}, as the network sees it" '
        f'src="{html.data_url(picture, "jpeg")}"></figure><div><h4>{escape(title)}</h4>'
        f'<p class="muted-words" aria-live="polite">{words}</p>'
        f"{change.bars(asked.network, changed, targets)}</div></div>"
    )


def flipped(asked: Question, picture: np.ndarray, changed: Change, title: str) -> str:
    """The photo with a region lit, and the classes before and after muting it."""
    return _seen(asked, changed, render.jpeg(picture, 90), title, asked.targets)
