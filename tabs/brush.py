"""The brush: the visitor mutes any part of the photo, and the likeliest classes answer."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr
import numpy as np

from explainers import ExplainError, Photo, Question, render
from explainers import photo as photos
from explainers.muting.brush import score_mask

from . import change, courier, html
from .guard import guarded
from .subject import GONE, Subject

SIZE = 720  # pixels on the longer side of the picture that is painted on
MASK = 224  # ... and of the mask that is sent
FIRST = "Drop a photo first, or take an example."
HEAD = (
    "<h3 class='finder-head'>Your own brush: what can go before the network changes its mind?</h3>"
)
HINT = html.notice("Paint over the photo: the bars here show what the network says without it.")

# Strokes are kept as lists of points in fractions of the photo, so that they can be undone and
# drawn at any size. The mask goes out as lengths of runs, painted or not in turn.
JS = (
    courier.JS
    + """
const MASK = 224, courierPaint = courier('paint');
let strokes = [], now = null, keep = false, size = 12, shown = '', soon = 0, sent = 0;
const part = (name) => element.querySelector('.brush-' + name);
const paint = (canvas, colour) => {
  const to = canvas.getContext('2d'), {width, height} = canvas;
  to.clearRect(0, 0, width, height);
  to.fillStyle = to.strokeStyle = colour;
  to.lineCap = to.lineJoin = 'round';
  for (const {points, box, wide} of strokes) {
    if (box) {
      to.fillRect(box[0] * width, box[1] * height, box[2] * width, box[3] * height);
      continue;
    }
    to.lineWidth = wide * Math.max(width, height);
    to.beginPath();
    points.forEach(([x, y], i) => to[i ? 'lineTo' : 'moveTo'](x * width, y * height));
    if (points.length === 1) to.lineTo(points[0][0] * width + .01, points[0][1] * height);
    to.stroke();
  }
};
const draw = () => {
  const canvas = part('canvas');
  if (!canvas) return;
  const colour = getComputedStyle(canvas).color;
  paint(canvas, colour);
  if (keep) {
    const to = canvas.getContext('2d');
    to.globalCompositeOperation = 'xor';
    to.fillStyle = colour;
    to.fillRect(0, 0, canvas.width, canvas.height);
    to.globalCompositeOperation = 'source-over';
  }
  part('undo').disabled = part('clear').disabled = !strokes.length;
  part('keep').checked = keep;
  part('size').value = size;
};
const send = () => {
  clearTimeout(soon);
  soon = 0;
  sent = performance.now();
  const canvas = part('canvas'), small = document.createElement('canvas');
  const scale = MASK / Math.max(canvas.width, canvas.height);
  const width = small.width = Math.max(1, Math.round(canvas.width * scale));
  const height = small.height = Math.max(1, Math.round(canvas.height * scale));
  paint(small, '#000');
  const alpha = small.getContext('2d').getImageData(0, 0, width, height).data;
  const runs = [];
  let on = false, run = 0;
  for (let i = 3; i < alpha.length; i += 4) {
    if (alpha[i] > 127 === on) run += 1;
    else { runs.push(run); run = 1; on = !on; }
  }
  runs.push(run);
  courierPaint({width, height, runs, keep});
};
const later = () => {
  if (!soon) soon = setTimeout(send, Math.max(0, 250 - performance.now() + sent));
};
const point = (event) => {
  const box = part('canvas').getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
};
element.addEventListener('pointerdown', (event) => {
  if (!event.target.matches('.brush-canvas') || event.button) return;
  event.preventDefault();
  event.target.setPointerCapture(event.pointerId);
  now = {points: [point(event)], wide: size / 100};
  strokes.push(now);
  draw();
  later();
});
element.addEventListener('pointermove', (event) => {
  if (!now) return;
  now.points.push(point(event));
  draw();
  later();
});
const lift = () => { if (now) { now = null; send(); } };
element.addEventListener('pointerup', lift);
element.addEventListener('pointercancel', lift);
element.addEventListener('input', (event) => {
  if (event.target.matches('.brush-size')) size = +event.target.value;
  if (event.target.matches('.brush-keep')) { keep = event.target.checked; draw(); send(); }
});
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.matches('.brush-undo')) strokes.pop();
  else if (button.matches('.brush-clear')) { strokes = []; keep = false; }
  else if (button.matches('.brush-box')) {
    const names = ['left', 'top', 'width', 'height'];
    const box = names.map((name) => part(name).valueAsNumber / 100);
    if (box.every((v) => v >= 0 && v <= 1) && box[2] && box[3]) strokes.push({box});
    else { courierPaint({problem: 'box'}); return; }
  } else return;
  draw();
  send();
});
const again = () => { if (part('canvas') && (strokes.length || keep)) send(); };
watch('value', () => {
  const photo = element.querySelector('.brush')?.dataset.photo;
  if (photo && photo !== shown) {
    if (strokes.length || keep) courierPaint({hint: true});
    strokes = [];
    keep = false;
  }
  shown = photo || shown;
  now = null;
  draw();
  again();
});
window.addEventListener('brush-again', again);
"""
)
AGAIN_JS = "() => { window.dispatchEvent(new Event('brush-again')); return []; }"


def picture(seen: Photo, asked: Question) -> str:
    """The photo to paint on, its tools, and numbers for those who don't paint."""
    small = render.shrink(seen, SIZE)
    height, width = small.shape[:2]
    url = html.data_url(photos.to_jpeg(small, 88), "jpeg")
    numbers = "".join(
        f'<label>{name}<input type="number" class="brush-{name.lower()}" min="0" max="100" '
        f'value="{value}"></label>'
        for name, value in (("Left", 30), ("Top", 30), ("Width", 40), ("Height", 40))
    )
    return (
        f'<div class="brush" data-photo="{seen.digest}" '
        f'data-asked="{escape(asked.view.key)} {asked.targets}">'
        f'<div class="brush-photo"><img alt="Your photo, to be painted over" draggable="false" '
        f'src="{url}"><canvas class="brush-canvas" width="{width}" height="{height}" role="img" '
        'aria-label="Paint here to mute; the numbers below do the same from the keyboard.">'
        '</canvas></div><div class="brush-tools"><label>Brush<input type="range" min="2" max="40" '
        'value="12" class="brush-size" aria-label="Size of the brush, in percent of the photo">'
        '</label><button type="button" class="brush-undo" disabled>Undo</button>'
        '<button type="button" class="brush-clear" disabled>Clear</button>'
        '<label><input type="checkbox" class="brush-keep">Keep only what I painted</label></div>'
        f'<details class="details"><summary>A rectangle by numbers, in percent of the photo'
        f'</summary><div class="brush-tools">{numbers}'
        '<button type="button" class="brush-box">Mute it</button></div></details></div>'
    )


def mask(data: Any) -> np.ndarray:
    """bool (height, width) of the whole photo, from the runs that the browser sent; checked."""
    data = data if isinstance(data, dict) else {}
    if data.get("problem"):
        raise ExplainError(
            "A rectangle needs four numbers from 0 to 100, width and height above 0."
        )
    sides, runs = (data.get("width"), data.get("height")), data.get("runs")
    whole = all(type(side) is int and 1 <= side <= MASK for side in sides)
    if not whole or not isinstance(runs, list) or len(runs) > sides[0] * sides[1] + 1:
        raise ExplainError("The brush’s mask did not arrive whole: please paint once more.")
    lengths = all(type(run) is int and 0 <= run <= MASK * MASK for run in runs)
    if not lengths or sum(runs) != sides[0] * sides[1]:
        raise ExplainError("The brush’s mask did not arrive whole: please paint once more.")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(sides[1], sides[0])


class Brush:
    """The handlers. `given`: photo, network key, targets, against, framing, then the mute's kind
    and the noise's seed."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def draw(self, *given: Any):
        """The photo to paint on; what is painted stays while the photo is the same."""
        asked = self.subject.question(*given)
        empty = html.notice("Drop a photo above to paint on it.")
        yield (picture(given[0], asked) if asked else empty,)

    def paint(self, event: gr.EventData, *given: Any) -> str:
        """Something was painted: what does the network say without it?"""
        *shared, baseline, seed = given
        asked = self.subject.question(*shared)
        if asked is None:
            return html.notice(GONE if shared[2] else FIRST, "problem")
        data = event._data if isinstance(event._data, dict) else {}
        if data.get("hint"):
            return HINT
        try:
            painted, keep = mask(data), data.get("keep") is True
            changed = score_mask(
                asked.network, asked.view, painted, baseline, keep=keep, seed=whole(seed)
            )
        except ExplainError as error:
            return html.notice(str(error))
        share = 100 * float(painted.mean())
        title = f"{100 - share if keep else share:.1f} % of the photo is muted"
        words = change.verdict(asked.network, changed)
        bars = change.bars(asked.network, changed, asked.targets)
        return f'<h4>{title}</h4><p aria-live="polite">{words}</p>{bars}'


def whole(seed: Any) -> int:
    """The seed of the noise, checked."""
    if type(seed) is not int or not 0 <= seed < 2**31:
        raise ExplainError("The seed of the noise is a whole number from 0 on.")
    return seed


def build(subject: Subject, baseline: gr.Dropdown, seed: gr.Number) -> None:
    """Lay out the section and wire it."""
    tab = Brush(subject)
    gr.HTML(HEAD)
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            canvas = gr.HTML("", js_on_load=JS, elem_id="brush")
        with gr.Column(scale=2, min_width=280):
            answer = gr.HTML(HINT, elem_id="brush-answer")
    subject.live("muting", tab.draw, subject.inputs, [canvas], show_progress="hidden")
    painted = canvas.paint(
        guarded(tab.paint),
        [*subject.inputs, baseline, seed],
        answer,
        trigger_mode="multiple",
        show_progress="hidden",
        api_visibility="private",
    )
    courier.answered(painted, "paint")
    gr.on([baseline.change, seed.change], None, None, None, js=AGAIN_JS)
