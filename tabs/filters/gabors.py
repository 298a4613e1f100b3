"""The question whether filters resemble Gabor filters, answered on the page."""

from __future__ import annotations

import numpy as np

from explainers.filters import Parts, gabor
from explainers.filters.gabor import Compared, Fit

from ..parts import html
from ..parts.figures import figure
from .closer import large, top

BINS = 20
GABOR = html.term(
    "Gabor",
    "A wave under a bell curve: stripes that fade. Cells of the visual cortex answer to such "
    "patterns (Daugman 1985).",
)
R2 = html.term(
    "R²", "R squared: the share of a filter’s ups and downs that the best Gabor explains; 1 is all."
)
RANDOM = html.term(
    "random filters",
    "Filters of noise, fitted in the same way: a Gabor has so many forms that it fits small "
    "kernels well whatever they hold.",
)


def verdict(found: Compared, size: int) -> str:
    """What the scores of a layer's filters say, next to those of random filters."""
    result = gabor.verdict(found.fits, found.null, size)
    count = len(found.fits)
    chance = (
        f"{RANDOM.replace('>random', '>Random')} of {size} × {size} reach an {R2} of "
        f"{result.chance:.2f} (median; one in twenty more than {result.high:.2f})."
    )
    if result.claim:
        words = (
            f"{result.above} of {count} filters are more Gabor-like than 95 % of random ones; "
            f"chance alone would give about {count / 20:.0f}. {chance} This layer’s median is "
            f"{result.median:.2f}."
        )
    else:
        words = (
            f"No such claim can be made here: kernels of {size} × {size} are too small. {chance} "
            f"This layer’s filters reach {result.median:.2f}, which therefore says nothing."
        )
    return f"<p>{words}</p>{histogram(np.array([each.r2 for each in found.fits]), found.null)}"


def histogram(found: np.ndarray, null: np.ndarray) -> str:
    """R squared of the filters above the axis, of random ones below it."""
    edges = np.linspace(0, 1, BINS + 1)
    ups, downs = (np.histogram(each.clip(0, 1), edges)[0] / len(each) for each in (found, null))
    most = max(ups.max(), downs.max(), 1e-9)
    bars = ""
    for index, (up, down) in enumerate(zip(ups, downs, strict=True)):
        x, tall, deep = index * 20 + 2, 56 * up / most, 56 * down / most
        bars += f'<rect class="mine" x="{x}" y="{60 - tall:.1f}" width="16" height="{tall:.1f}"/>'
        bars += f'<rect class="null" x="{x}" y="60" width="16" height="{deep:.1f}"/>'
    return (
        '<svg class="gabor-chart" viewBox="0 0 400 136" role="img" aria-label="Histogram of R '
        f'squared: filters above, random filters below">{bars}<line x1="0" x2="400" y1="60" '
        'y2="60"/><text x="2" y="132">R² 0</text><text x="398" y="132" text-anchor="end">1</text>'
        '<text x="2" y="12">this layer</text><text x="2" y="112">random filters</text></svg>'
    )


def card(parts: Parts, found: Fit, null: np.ndarray) -> str:
    """A filter's plane beside its fitted Gabor, and the score beside chance."""
    most = top(parts.plane)
    pictures = "".join(
        figure(large(each / most), alt, title)
        for each, alt, title in (
            (parts.plane, "The filter without its colour", "Without its colour"),
            (found.plane, "The fitted Gabor", "Best Gabor"),
        )
    )
    beaten = float((null < found.r2).mean())
    words = f"{R2} {found.r2:.2f}: more than {beaten:.0%} of {RANDOM} reach."
    return f'<div class="filter-pair">{pictures}</div><p>{words}</p>{_numbers(parts, found)}'


def _numbers(parts: Parts, found: Fit) -> str:
    rows = (
        ("Across its stripes", "Orientation, counterclockwise from the x axis.",
         f"{found.orientation:.0f}°"),
        ("Wavelength", "From one stripe to the next alike.", f"{found.wavelength:.1f} pixels"),
        ("Envelope", "Standard deviations of the bell curve, along the wave and across it.",
         f"{found.sigmas[0]:.1f} × {found.sigmas[1]:.1f} pixels"),
        ("Phase", "0° is even, a stripe in the middle; 90° is odd, an edge in the middle.",
         f"{found.phase:.0f}°"),
        ("One colour", "The share of the filter that one colour times one plane holds; the plane "
         "is what Gabors are fitted to.", f"{parts.share:.0%}"),
    )  # fmt: skip
    items = "".join(
        f"<div><dt>{html.term(name, meaning)}</dt><dd>{value}</dd></div>"
        for name, meaning, value in rows
    )
    return f'<dl class="gabor-numbers">{items}</dl>'
