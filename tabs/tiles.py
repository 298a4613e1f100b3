"""A mosaic on the page: one picture, whose tiles can be pointed at, clicked and walked through."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from explainers import render
from explainers.units.mosaic import Mosaic

from . import html

# The picture is cut into equal parts, so a place follows from fractions of it, at any size.
JS = """
const sheet = () => element.querySelector('.tiles');
const order = () => JSON.parse(sheet().dataset.order);
const columns = () => +sheet().dataset.columns;
const place = (event) => {
  if (!sheet() || !event.target.closest('.tiles-sheet')) return -1;
  const box = element.querySelector('.tiles-sheet img').getBoundingClientRect();
  const column = Math.floor((event.clientX - box.left) / box.width * columns());
  const row = Math.floor((event.clientY - box.top) / box.height * +sheet().dataset.rows);
  const at = row * columns() + column;
  return column >= 0 && column < columns() && at >= 0 && at < order().length ? at : -1;
};
const put = (selector, at) => {
  const mark = element.querySelector(selector);
  if (!mark) return;
  mark.hidden = at < 0;
  const wide = 100 / columns(), high = 100 / +sheet().dataset.rows;
  Object.assign(mark.style, {width: wide + '%', height: high + '%',
    left: (at % columns()) * wide + '%', top: Math.floor(at / columns()) * high + '%'});
};
const tip = (at) => {
  put('.tiles-point', at);
  const text = element.querySelector('.tiles-tip');
  if (text) text.textContent = at < 0 ? '' : sheet().dataset.kind + ' ' + order()[at];
};
const choose = (at) => {
  if (at < 0) return;
  sheet().dataset.at = at;
  put('.tiles-mark', at);
  trigger('pick', {channel: order()[at]});
  const close = document.querySelector(sheet().dataset.close);
  if (close && innerWidth < 700) close.scrollIntoView({behavior: 'smooth'});
};
const mark = (channel) => {
  if (!sheet() || !sheet().dataset.close) return;
  const at = order().indexOf(channel);
  sheet().dataset.at = at;
  put('.tiles-mark', at);
};
const save = () => {
  const link = document.createElement('a');
  link.href = element.querySelector('.tiles-sheet img').src;
  link.download = 'seeing-why-' + sheet().dataset.kind.replaceAll(' ', '-') + 's.jpg';
  link.click();
};
element.addEventListener('click', (event) => {
  if (event.target.closest('.tiles-save')) save();
  else choose(place(event));
});
element.addEventListener('pointermove', (event) => sheet() && tip(place(event)));
element.addEventListener('pointerleave', () => sheet() && tip(-1));
element.addEventListener('keydown', (event) => {
  if (!sheet() || !event.target.closest('.tiles-sheet')) return;
  const step = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns()}[event.key];
  const now = +(element.dataset.point ?? sheet().dataset.at ?? 0);
  if (step) {
    const next = Math.min(order().length - 1, Math.max(0, now + step));
    element.dataset.point = next;
    tip(next);
  } else if (event.key === 'Enter' || event.key === ' ') choose(now);
  else return;
  event.preventDefault();
});
window.addEventListener('tile-chosen', (event) => {
  if (sheet()?.dataset.close === event.detail.id) mark(event.detail.value);
});
watch('value', () => { delete element.dataset.point; if (sheet()) mark(+sheet().dataset.chosen); });
let known = 0, soon = 0;
new ResizeObserver(() => {
  const width = Math.round(element.clientWidth);
  if (!width || Math.abs(width - known) < 40) return;
  known = width;
  clearTimeout(soon);
  soon = setTimeout(() => trigger('measure', {width}), 60);
}).observe(element);
"""


def chosen_js(close: str) -> str:
    """For the change of a number: marks that tile in the mosaic that was given this `close`."""
    detail = f"{{detail: {{id: '{close}', value}}}}"
    return f"(value) => {{ window.dispatchEvent(new CustomEvent('tile-chosen', {detail})); }}"


def tiles(
    sheet: Mosaic,
    kind: str,
    alt: str,
    chosen: int = -1,
    *,
    names: Sequence[int] | None = None,
    close: str = "",
    foot: str = "",
) -> str:
    """The picture of a mosaic; `kind` names a tile ("channel"), `foot` is HTML made here.

    names: the tiles' numbers where they are not the mosaic's order. close: selector of what shows
    the chosen tile; phones scroll there.
    """
    picture = render.jpeg(render.sheet(sheet.values, sheet.signed), 92)
    height, width = sheet.values.shape[:2]
    label = escape(f"{alt} Walk with the arrow keys, choose with Enter.")
    return (
        f'<div class="tiles" data-order="{json.dumps(list(names or sheet.order))}" '
        f'data-chosen="{chosen}" data-columns="{sheet.columns}" data-rows="{sheet.rows}" '
        f'data-kind="{escape(kind)}" data-close="{escape(close)}">'
        f'<div class="tiles-scroll"><div class="tiles-sheet" tabindex="0" role="application" '
        f'aria-label="{label}" style="max-width:{max(width, min(2 * width, 720))}px">'
        f'<img alt="{escape(alt)}" width="{width}" height="{height}" '
        f'src="{html.data_url(picture, "jpeg")}"><span class="tiles-mark" hidden></span>'
        f'<span class="tiles-point" hidden></span></div></div>'
        f'<div class="tiles-foot">{legend(sheet)}<span class="tiles-tip" aria-live="polite">'
        '</span><button type="button" class="tiles-save">Download (JPEG)</button>'
        f"{foot}</div></div>"
    )


def legend(sheet: Mosaic) -> str:
    """What the colours of the tiles mean."""
    if sheet.values.ndim == 3:
        return "<span>Each filter in its own colours; grey is zero.</span>"
    signed = sheet.signed
    ramp = ", ".join(render.tone_stops(signed))
    low, high = ("negative", "positive") if signed else ("nothing", "strongest")
    words = f"Colours from {low} to {high}" + (", black being zero" if signed else "")
    return (
        f'<span class="legend"><span>{low}</span><span class="ramp" role="img" '
        f'aria-label="{words}" style="background:linear-gradient(to right,{ramp})"></span>'
        f"<span>{high}</span></span>"
    )
