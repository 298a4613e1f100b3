"""Find a unit: a box drawn on the photo, and the channels that fire inside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from explainers import ExplainError, Photo, Question, render
from explainers.network import Frame
from explainers.units import peak

from ..parts import html
from . import unit

SHOWN = 8


def box(data: Mapping[str, Any]) -> Frame:
    """The box that the browser sent, checked."""
    given = data.get("box")
    numbers = isinstance(given, list) and len(given) == 4
    if not numbers or not all(isinstance(v, int | float) and math.isfinite(v) for v in given):
        raise ExplainError("Draw a box on the photo first.")
    left, top, right, bottom = (min(max(float(v), 0.0), 1.0) for v in given)
    return left, top, right, bottom


def found(question: Question, seen: Photo, best: list[tuple[int, float]]) -> str:
    """The best channels over the photo, each a button."""
    items = []
    for channel, score in best:
        shown = unit.over_photo(question, seen, channel, 128, peak(question, channel))
        url = html.data_url(render.jpeg(shown, 80), "jpeg")
        items.append(
            f'<li><button type="button" data-channel="{channel}" title="Look at it closely">'
            f'<img alt="Unit {channel} over the photo" src="{url}"><b>{channel}</b> '
            f"<small>+{score:.2g}</small></button></li>"
        )
    return (
        '<p class="note" title="Mean activation inside the box minus outside.">In your box more '
        "than beside it. Pin one, and try another photo.</p>"
        '<ol class="units-found" data-grid aria-label="Units that fire in the box">'
        f"{''.join(items)}</ol>"
    )
