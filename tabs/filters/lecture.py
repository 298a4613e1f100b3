"""What can be taken away of a layer's first filters: a sheet for a lecture, and the numbers."""

from __future__ import annotations

from explainers import ExplainError
from explainers.filters import gabor
from explainers.filters.census import Trait, table, traits
from explainers.render.lecture import lecture

from ..parts import html
from .layers import CLASSICS, Looked

BUTTONS = (
    '<p><button type="button" data-take="picture">Picture (PNG)</button> '
    '<button type="button" data-take="numbers">Numbers (CSV)</button></p>'
)


def _measured(look: Looked) -> tuple[gabor.Compared, list[Trait]]:
    """Raises ExplainError where Gabors can't be fitted."""
    if not look.square:
        raise ExplainError("Gabors are fitted to a first, square convolution: choose another one.")
    *_, found = gabor.compare(look.values)
    return found, traits(look.values, found.fits)


def _drawn(look: Looked) -> bytes:
    found, each = _measured(look)
    network = look.asked.network
    return lecture(look.values, found, each, CLASSICS.get(network.key, network.title))


def picture(look: Looked) -> tuple[str, bytes]:
    """(name, PNG)."""
    return f"filters-{look.asked.network.key}.png", _drawn(look)


def numbers(look: Looked) -> tuple[str, bytes]:
    """(name, CSV)."""
    found, each = _measured(look)
    return f"filters-{look.asked.network.key}.csv", table(each, found).encode()


def shown(look: Looked) -> str:
    """The sheet on the page."""
    alt = "All filters, their R squared beside chance, and their orientation and frequency"
    url = html.data_url(_drawn(look), "png")
    return f'<img alt="{alt}" src="{url}">{BUTTONS}'
