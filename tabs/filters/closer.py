"""One filter closely: enlarged, its frequency response, and what it answers to the photo."""

from __future__ import annotations

import numpy as np

from explainers import filters, render
from explainers.filters import Conv

from ..parts import html
from ..parts.figures import bars, figure
from ..subject import Asked

LARGE = 420
STRONGEST = 8  # inputs of a deeper filter by name


def one(asked: Asked, conv: Conv, values: np.ndarray, index: int) -> str:
    """A filter of kernels (F, C, h, w) as HTML; raises OptionError if there is none of that
    index."""
    index = filters.check(conv, index)
    if not conv.first:
        return _deeper(asked, conv, values, index)
    kernel = values[index]
    plane = filters.separate(kernel).plane
    angle, frequency = filters.tuning(plane)
    size = filters.spectrum(plane)
    whole = figure(
        large(kernel.transpose(1, 2, 0) / top(kernel)),
        f"Filter {index}, enlarged",
        f"Filter {index}",
        "In its colours; grey is zero.",
    )
    response = figure(
        large(size / top(size), 192),
        "Frequency response: slow changes in the middle, fast ones at the rim",
        "Frequency response",
        f"Broad stripes in the middle, narrow ones at the rim; most to {frequency:.2f} cycles per "
        f"pixel at {angle:.0f}°.",
    )
    return f'<div class="filter-pair">{whole}{response}</div>{_answer(asked, conv, index)}'


def _answer(asked: Asked, conv: Conv, index: int) -> str:
    """Where the photo looks like the filter."""
    if asked.photo is None:
        words = "Drop a photo, or choose an example, to see what this filter answers to it."
        return html.notice(words)
    view = asked.network.prepare(asked.photo, asked.framing)
    values = filters.response(asked.network, view, conv, index).numpy()
    small = render.shrink(asked.photo, LARGE)
    picture = render.glow(small, values, view.frame, None, 0.9, both=True)
    alt = f"What filter {index} answers to your photo"
    words = "Orange where the photo looks like it, blue where it is the filter’s opposite."
    return figure(picture, alt, "On the photo", words)


def _deeper(asked: Asked, conv: Conv, values: np.ndarray, index: int) -> str:
    found = filters.slices(values, index, STRONGEST)
    picture = ""
    if conv.kernel != (1, 1):  # a single weight is no picture
        title = "Its strongest slice"
        picture = figure(large(found[0][1] / top(found[0][1])), title, title)
    begin, most = filters.first_input(asked.network, conv, index), max(found[0][2], 1e-12)
    rows = bars([(f"Unit {begin + i}", size, size / most) for i, _, size in found])
    spread = f"Half of its weight lies on {filters.half(values, index)} of {conv.inputs} inputs."
    if conv.inputs == 1:
        spread = "It reads this one unit alone."
    words = f"{spread} Look at a unit in the Activations tab to see what makes it fire."
    return (
        f'<div class="filter-pair">{picture}<div><b>What filter {index} reads most</b>{rows}</div>'
        f'</div><p class="note">{words}</p>'
    )


def large(values: np.ndarray, side: int = 168) -> np.ndarray:
    """Signed values (h, w) in -1..1, or (h, w, 3), as a picture of repeated cells."""
    step = max(1, side // max(values.shape[:2]))
    return render.sheet(values.repeat(step, 0).repeat(step, 1), True)


def top(values: np.ndarray) -> float:
    """The strongest value, by which others are divided."""
    return max(float(np.abs(values).max()), 1e-12)
