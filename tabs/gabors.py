"""The question whether filters resemble Gabor filters, answered on the page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explainers import render
from explainers.filters import gabor
from explainers.filters.gabor import Fit

from . import html, unit

BINS = 20


def verdict(fits: Sequence[Fit], null: np.ndarray, size: int) -> str:
    """What the scores of a layer's filters say, next to those of random filters."""
    found = gabor.verdict(fits, null, size)
    chance = (
        f"Random {size} × {size} filters reach an R² of {found.chance:.2f} (median; one in twenty "
        f"more than {found.high:.2f})."
    )
    if found.claim:
        words = (
            f"{found.above} of {len(fits)} filters are more Gabor-like than 95 % of random ones; "
            f"chance alone would give about {len(fits) / 20:.0f}. {chance} This layer’s median is "
            f"{found.median:.2f}."
        )
    else:
        words = (
            f"No such claim can be made here: kernels of {size} × {size} are too small. {chance} "
            f"This layer’s filters reach {found.median:.2f}, which therefore says nothing."
        )
    return f"{html.notice(words)}{histogram(np.array([each.r2 for each in fits]), null)}"


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


def card(plane: np.ndarray, share: float, found: Fit, null: np.ndarray) -> str:
    """A filter's plane beside its fitted Gabor, and the score beside chance."""
    top = float(np.abs(plane).max())
    pictures = "".join(
        unit.figure(large(each / max(top, 1e-12)), alt, title)
        for each, alt, title in (
            (plane, "The filter without its colour", "Its plane"),
            (found.plane, "The fitted Gabor", "Best Gabor"),
        )
    )
    beaten = float((null < found.r2).mean())
    words = (
        f"R² {found.r2:.2f}: more than {beaten:.0%} of random filters reach. Across its stripes: "
        f"{found.orientation:.0f}°, wavelength {found.wavelength:.1f} pixels, envelope "
        f"{found.sigmas[0]:.1f} × {found.sigmas[1]:.1f} pixels, phase {found.phase:.0f}° (0 even, "
        f"90 odd). One colour times one plane holds {share:.0%} of the filter."
    )
    return f'<div class="filter-pair">{pictures}</div><p class="filter-words">{words}</p>'


def large(values: np.ndarray, side: int = 168) -> np.ndarray:
    """Signed values (h, w) in -1..1, or (h, w, 3), as a picture of repeated cells."""
    step = max(1, side // max(values.shape[:2]))
    return render.sheet(values.repeat(step, 0).repeat(step, 1), True)
