"""The first layers of other networks beside the one that is looked at, and what they prove."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from html import escape

import numpy as np

from explainers import render
from explainers.filters import gabor
from explainers.filters.census import traits
from explainers.units import mosaic

from ..parts.figures import figure
from ..parts.tab import Show
from ..subject import Asked
from . import gabors
from .layers import Looked, beside

ACROSS = 376  # pixels of a sheet: eight across


def others(shown: Looked, asked: Asked) -> Iterator[Show | None]:
    """A card for each, as they are measured."""
    cards: list[str] = []
    for title, value, kernels in beside(shown, asked):
        size = kernels.shape[-1]
        words = "Kernels that are not square: Gabors can’t be fitted to them."
        if kernels.shape[-2] == size > 1:
            found = yield from _measured(kernels)
            words = gabors.short(found, traits(kernels, found.fits), size)
        cards.append(_card(title, value, kernels, words))
        yield Show({"beside": "".join(cards)})
    if not cards:
        yield Show({"beside": ""})


def _measured(kernels: np.ndarray) -> Generator[None, None, gabor.Compared]:
    for step in gabor.compare(kernels):
        if isinstance(step, gabor.Compared):
            return step
        yield None
    raise AssertionError("the last step is what was found")


def _card(title: str, value: str, kernels: np.ndarray, words: str) -> str:
    count, _, height, width = kernels.shape
    made = mosaic.kernels(kernels, range(count), ACROSS, shared=False)
    name = f"{title}: {count} filters of {width} × {height}"
    picture = figure(render.sheet(made.values, True), f"The first layer of {title}", name)
    look = (
        f'<button type="button" data-layer="{escape(value)}">Look at these closely</button>'
        if value
        else ""
    )
    return f'<div class="filters-other">{picture}<p>{words}</p>{look}</div>'
