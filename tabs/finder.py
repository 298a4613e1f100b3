"""Find a unit: a box dragged on the photo, and the channels that fire inside it."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from explainers import ExplainError, Photo, Question, photo, render
from explainers.network import Frame
from explainers.units import inside, peak

from . import html, unit

SIZE = 480
SHOWN = 8
EMPTY = html.notice("Drop a photo above; then drag a box on it, such as round a face.")
HEAD = "<h3 class='finder-head'>Find a unit: which channels see this part of the photo?</h3>"

JS = """
let box = null, from = null;
const area = () => element.querySelector('.finder-photo');
const show = () => {
  const mark = element.querySelector('.finder-box');
  if (!mark || !box) return;
  mark.hidden = false;
  Object.assign(mark.style, {left: box[0] * 100 + '%', top: box[1] * 100 + '%',
    width: (box[2] - box[0]) * 100 + '%', height: (box[3] - box[1]) * 100 + '%'});
};
const point = (event) => {
  const edge = area().getBoundingClientRect();
  const share = (value) => Math.min(1, Math.max(0, value));
  return [share((event.clientX - edge.left) / edge.width),
    share((event.clientY - edge.top) / edge.height)];
};
const ask = () => box && trigger('box', {box});
element.addEventListener('pointerdown', (event) => {
  if (!area() || !area().contains(event.target)) return;
  from = point(event);
  area().setPointerCapture(event.pointerId);
  area().focus();
  event.preventDefault();
});
element.addEventListener('pointermove', (event) => {
  if (!from) return;
  const to = point(event);
  box = [Math.min(from[0], to[0]), Math.min(from[1], to[1]),
    Math.max(from[0], to[0]), Math.max(from[1], to[1])];
  show();
});
const done = () => {
  if (!from) return;
  from = null;
  if (box && box[2] - box[0] > 0.01 && box[3] - box[1] > 0.01) ask();
};
element.addEventListener('pointerup', done);
element.addEventListener('pointercancel', () => { from = null; });
element.addEventListener('keydown', (event) => {
  if (!area() || event.target !== area()) return;
  const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  const move = step[event.key];
  if (event.key === 'Enter' && box) ask();
  else if (move) {
    box = box || [0.3, 0.3, 0.7, 0.7];
    const size = event.shiftKey ? 0 : 1;
    const next = [box[0] + size * move[0] * .04, box[1] + size * move[1] * .04,
      box[2] + move[0] * .04, box[3] + move[1] * .04];
    if (next[0] >= -1e-6 && next[1] >= -1e-6 && next[2] <= 1.001 && next[3] <= 1.001
      && next[2] - next[0] > .03 && next[3] - next[1] > .03) box = next;
    show();
  } else return;
  event.preventDefault();
});
watch('value', () => { box = null; });
"""


def picture(seen: Photo) -> str:
    """The photo on which a box can be dragged, or moved with the keys."""
    url = html.data_url(photo.to_jpeg(render.shrink(seen, SIZE)), "jpeg")
    return (
        '<div class="finder"><div class="finder-photo" tabindex="0" role="application" aria-label='
        '"Your photo: the arrow keys move a box, with Shift they size it, Enter asks.">'
        f'<img alt="Your photo" draggable="false" src="{url}"><span class="finder-box" hidden>'
        "</span></div><p>Drag a box round something, such as a face. (Keys: arrows move it, Shift "
        "and arrows size it, Enter asks.)</p></div>"
    )


def box(data: dict[str, Any]) -> Frame:
    """The box that the browser sent, checked."""
    given = data.get("box")
    numbers = isinstance(given, list) and len(given) == 4
    if not numbers or not all(isinstance(v, int | float) and math.isfinite(v) for v in given):
        raise ExplainError("Drag a box on the photo first.")
    left, top, right, bottom = (min(max(float(v), 0.0), 1.0) for v in given)
    return left, top, right, bottom


def found(asked: Question, seen: Photo, area: Frame) -> str:
    """The best channels over the photo, each a button."""
    items = []
    for channel, score in inside(asked, area, SHOWN):
        shown = unit.over_photo(asked, seen, channel, 176, peak(asked, channel))
        url = html.data_url(render.jpeg(shown), "jpeg")
        items.append(
            f'<li><button type="button" data-channel="{channel}" title="Look at it closely">'
            f'<img alt="Channel {channel} over the photo" src="{url}"><b>{channel}</b>'
            f"<small>+{score:.2f}</small></button></li>"
        )
    title = escape(asked.network.title)
    return (
        f'<div class="finder"><ol class="found" aria-label="Channels that fire in the box">'
        f"{''.join(items)}</ol><p>Channels of {title}’s chosen layer, by mean activation inside "
        "the box minus outside. Pin one, then try other photos: does it still mean the same?</p>"
        "</div>"
    )
