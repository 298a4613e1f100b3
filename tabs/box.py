"""A box drawn round something on the photo: with the mouse, a finger, or as numbers."""

from __future__ import annotations

from explainers import Photo, photo, render

from . import html

SIZE = 480
EMPTY = html.notice("Drop a photo above; then you can draw a box round the object.")
SIDES = ("left", "top", "right", "bottom")

JS = """
let from = null;
const area = () => element.querySelector('.box-photo');
const fields = () => [...element.querySelectorAll('input')];
const share = (value) => Math.min(1, Math.max(0, value));
const box = () => fields().map((field) => share(+field.value / 100));
const usable = (b) => fields().every((field) => field.value !== '') && b[2] > b[0] && b[3] > b[1];
const style = document.documentElement.style;
const show = () => {
  const b = box(), there = area() && usable(b);
  if (area()) area().classList.toggle('boxed', !!there);
  style.setProperty('--boxed', there ? 'block' : 'none');
  ['x', 'y', 'w', 'h'].forEach((name, i) => style.setProperty('--box-' + name,
    there ? (i < 2 ? b[i] : b[i] - b[i - 2]) * 100 + '%' : '0'));
};
const tell = () => { if (usable(box())) trigger('box', {box: box()}); };
const point = (event) => {
  const edge = area().getBoundingClientRect();
  return [share((event.clientX - edge.left) / edge.width),
    share((event.clientY - edge.top) / edge.height)];
};
element.addEventListener('pointerdown', (event) => {
  if (!area() || !area().contains(event.target)) return;
  from = point(event);
  area().setPointerCapture(event.pointerId);
  event.preventDefault();
});
element.addEventListener('pointermove', (event) => {
  if (!from) return;
  const to = point(event);
  const b = [0, 1].map((i) => Math.min(from[i], to[i]));
  b.push(...[0, 1].map((i) => Math.max(from[i], to[i])));
  fields().forEach((field, i) => { field.value = Math.round(b[i] * 1000) / 10; });
  show();
});
element.addEventListener('pointerup', () => {
  if (!from) return;
  from = null;
  tell();
});
element.addEventListener('pointercancel', () => { from = null; });
element.addEventListener('input', (event) => { if (event.target.matches('input')) show(); });
element.addEventListener('change', (event) => { if (event.target.matches('input')) tell(); });
element.addEventListener('click', (event) => {
  if (!event.target.closest('.box-clear')) return;
  fields().forEach((field) => { field.value = ''; });
  show();
  trigger('box', {box: null});
});
watch('value', () => setTimeout(show, 0));
"""


def picture(seen: Photo) -> str:
    """The photo with four numbers beside it, in per cent of its sides."""
    url = html.data_url(photo.to_jpeg(render.shrink(seen, SIZE)), "jpeg")
    fields = "".join(
        f'<label>{side.capitalize()} %<input type="number" min="0" max="100" step="0.1" '
        f'inputmode="decimal" data-side="{side}"></label>'
        for side in SIDES
    )
    return (
        f'<div class="box"><div class="box-photo"><img alt="Your photo, to draw a box on" '
        f'draggable="false" src="{url}"><span class="box-mark"></span></div><div class="box-side">'
        "<p>Draw a box round the object, or type where it is: did the map find it?</p>"
        f'<div class="box-fields" role="group" aria-label="The box, in per cent of the photo">'
        f'{fields}</div><button type="button" class="box-clear">Remove the box</button></div></div>'
    )
