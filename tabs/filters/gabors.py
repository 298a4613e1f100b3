"""The question whether filters resemble Gabor filters, answered on the page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explainers.filters import Parts, gabor
from explainers.filters.census import Trait, census
from explainers.filters.gabor import Compared, Fit, Verdict

from ..parts import html
from ..parts.figures import figure
from .closer import large, top

BINS = 20
R2 = html.term(
    "R²", "R squared: the share of a filter’s ups and downs that the best Gabor explains; 1 is all."
)
CHANCE = html.term(
    "random and shuffled filters",
    "Filters of noise, and these filters with their pixels in another order, fitted in the same "
    "way: a Gabor has so many forms that it fits small kernels well whatever they hold.",
)
COLOURED = html.term(
    "coloured", "Less than half of a filter’s energy is common to red, green and blue."
)
RANDOM = html.term(
    "random filters",
    "Filters of noise, fitted in the same way: a Gabor has so many forms that it fits small "
    "kernels well whatever they hold.",
)


def verdict(found: Compared, traits: Sequence[Trait], size: int) -> str:
    """What the scores of a layer's filters say, next to those of random and shuffled filters."""
    result = gabor.verdict(found.fits, found.null, size, found.shuffled)
    if not result.claim:
        return f"<p>{_no_claim(result, found, size)}</p>{histogram(found)}"
    count, lucky = len(found.fits), result.lucky or "none"
    words = (
        f"<b>{result.good} of {count} are Gabor filters</b>: the best Gabor explains at least "
        f"{100 * gabor.GOOD:.0f} % of each ({R2} {gabor.GOOD:g}), which {lucky} of {result.tried} "
        f"{CHANCE} reach. "
        f"{result.above} are more Gabor-like than 95 % of those; chance alone would give about "
        f"{count / 20:.0f}. The median is {result.median:.2f}, of random filters of that size "
        f"{result.chance:.2f}, of shuffled ones {np.median(found.shuffled):.2f}."
    )
    return f"<p>{words}</p>{_tuned(traits)}{histogram(found)}"


def _no_claim(result: Verdict, found: Compared, size: int) -> str:
    return (
        f"No such claim can be made here: kernels of {size} × {size} are too small. Random filters "
        f"of that size reach an {R2} of {result.chance:.2f} (median), shuffled ones "
        f"{np.median(found.shuffled):.2f}. This layer’s filters reach {result.median:.2f}, which "
        "therefore says nothing."
    )


def _tuned(traits: Sequence[Trait]) -> str:
    """In which orientations, frequencies and colours its Gabor filters come."""
    seen = census(traits)
    if not seen.oriented:
        return ""
    low, high = seen.frequencies
    turned = f"no gap between their orientations is wider than {seen.gap:.0f}°"
    return (
        f"<p>{seen.oriented} of these have an orientation, the others are blobs; {turned}. Their "
        f"stripes repeat every {1 / high:.1f} to {1 / low:.0f} pixels. {seen.coloured} are "
        f"{COLOURED}, the rest black and white.</p>"
    )


def short(found: Compared, traits: Sequence[Trait], size: int) -> str:
    """The same in a sentence or two."""
    result = gabor.verdict(found.fits, found.null, size, found.shuffled)
    if not result.claim:
        return _no_claim(result, found, size)
    return f"{result.good} of {len(found.fits)} are Gabor filters ({R2} at least {gabor.GOOD:g})."


def histogram(found: Compared) -> str:
    """R squared of the filters above the axis, of random and shuffled ones below it."""
    shares = found.shares(BINS)
    most = max(*(each.max() for each in shares), 1e-9)
    bars = ""
    for index, (up, *downs) in enumerate(zip(*shares, strict=True)):
        x, tall = index * 20 + 2, 56 * up / most
        bars += f'<rect class="mine" x="{x}" y="{60 - tall:.1f}" width="16" height="{tall:.1f}"/>'
        for side, (kind, down) in enumerate(zip(("null", "shuffled"), downs, strict=True)):
            deep = 56 * down / most
            bars += (
                f'<rect class="{kind}" x="{x + 8 * side}" y="60" width="8" height="{deep:.1f}"/>'
            )
    return (
        '<svg class="gabor-chart" viewBox="0 0 400 136" role="img" aria-label="Histogram of R '
        f'squared: filters above, random and shuffled filters below">{bars}<line x1="0" x2="400" '
        'y1="60" y2="60"/><text x="2" y="132">R² 0</text><text x="398" y="132" '
        'text-anchor="end">1</text><rect class="mine" x="2" y="2" width="11" height="11"/><text '
        'x="18" y="12">this layer</text><rect class="null" x="387" y="88" width="11" height="11"/>'
        '<text x="382" y="98" text-anchor="end">random filters</text><rect class="shuffled" '
        'x="387" y="104" width="11" height="11"/><text x="382" y="114" text-anchor="end">these, '
        "shuffled</text></svg>"
    )


def card(parts: Parts, found: Fit, null: np.ndarray) -> str:
    """A filter's plane beside its fitted Gabor, and the score beside chance."""
    most = max(top(parts.plane), top(found.plane))  # a Gabor's wave may rise above its filter's
    pictures = "".join(
        figure(large(each / most), alt, title)
        for each, alt, title in (
            (parts.plane, "The filter without its colour", "Without its colour"),
            (found.plane, "The fitted Gabor", "Best Gabor"),
        )
    )
    reach = int((null >= found.r2).sum())
    words = f"{R2} {found.r2:.2f}, which {reach or 'none'} of {null.size} {RANDOM} reach."
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
         "is what Gabors are fitted to.", f"{100 * parts.share:.0f} %"),
    )  # fmt: skip
    items = "".join(
        f"<div><dt>{html.term(name, meaning)}</dt><dd>{value}</dd></div>"
        for name, meaning, value in rows
    )
    return f'<dl class="gabor-numbers">{items}</dl>'
