"""Maps as the browser composes them: raw values, and all it needs to say what they are."""

from __future__ import annotations

import base64
import json
from html import escape
from typing import Any

from explainers import METHODS, Explanation, Question, notes, render
from explainers.network.frame import upright

from ..parts import html
from ..parts.pace import took
from ..subject import Asked

CELL = 448  # pixels on the longer side of the picture of all classes
TOGETHER = ("gradcam", "cam", "gradcam++", "layercam", "hirescam", "xgradcam")  # in this order


def tables() -> str:
    """The colours of every step of a map, by name, and “both” for contrasts, as JSON."""
    ramps = {name: render.ramp(name) for name in render.COLOURMAPS}
    ramps["both"] = render.ramp(render.DEFAULT, signed=True)
    return json.dumps({name: base64.b64encode(r.tobytes()).decode() for name, r in ramps.items()})


def fine_key() -> str:
    """What the colours of a map mean that has one at every pixel."""
    words = (
        "The red, green and blue of each pixel tell how its own would have to change to speak more "
        "for the class: grey is no change, lighter is more of it, darker is less."
    )
    key = html.scale(render.fine_stops(), "darker", "lighter helps; grey: no effect", words)
    return f'<p class="fine-key">{key} {html.why(words, "What do its colours mean?")}</p>'


def payload(question: Question, found: Explanation) -> dict[str, dict[str, Any]]:
    """One method's maps by "method:row".

    A map has its values in `cells` (float32, rows of the layer's grid) or, where it has one for
    each colour of each pixel, in `png` (128 is zero, 127 steps are `top`).
    """
    rows = range(len(question.targets))
    return {f"{found.method}:{row}": _map(found, row) for row in rows}


def of_pass(found: Explanation) -> dict[str, str]:
    """By row, what holds for its every map, such as that the class is not seen."""
    said: dict[str, str] = {}
    for each in found.notes:
        if each.of_pass:
            said[str(each.row)] = f"{said.get(str(each.row), '')} {each.sentence}".strip()
    return said


def _map(found: Explanation, row: int) -> dict[str, Any]:
    down, across = upright(found.frame)  # the browser knows of no mirrors
    values = found.values[row].numpy()[..., ::down, ::across]
    left, top, right, bottom = found.frame
    about: dict[str, Any] = {
        "frame": [min(left, right), min(top, bottom), max(left, right), max(top, bottom)],
        "took": took(found.seconds),
        "done": found.done,
        "top": render.strongest(found, row),
        "alt": notes.describe(found, row),
        "notes": [each.sentence for each in found.notes if each.row == row and not each.of_pass],
    }
    if found.per_pixel:
        about["png"] = html.data_url(render.png(render.relief(values, about["top"])), "png")
    else:
        about["size"] = list(values.shape)
        about["cells"] = base64.b64encode(values.astype("<f4").tobytes()).decode()
    return about


def together(asked: Asked, question: Question, found: dict[str, Explanation]) -> str:
    """All classes in one picture, for a network that sees several at once."""
    best = next((found[key] for key in TOGETHER if key in found), None)
    several = len(asked.targets) > 1 and asked.against is None
    if question.network.head == "softmax" or not several or best is None:
        return ""
    small = render.shrink(asked.seen, CELL)
    size = small.shape[1], small.shape[0]
    names = [asked.name(row) for row in range(len(asked.targets))]
    keys = "".join(
        f'<li><i style="background:{colour}"></i>{escape(name)}</li>'
        for name, colour in zip(names, render.label_colours(), strict=False)
    )
    over = html.data_url(render.jpeg(render.blend(small, render.classes(best, size), 0.85)), "jpeg")
    title = METHODS[best.method].title
    return (
        f'<figure class="together"><img src="{over}" alt="{title} for '
        f'{escape(", ".join(names))}, each in its own colour"><figcaption><b>All together</b>'
        f'<ul class="class-key">{keys}</ul></figcaption></figure>'
    )
