"""Filters: which edges come first? A convolution's kernels, one of them closely, and Gabor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from explainers import Network, filters
from explainers.filters import Conv, gabor
from explainers.impressions.goals import drawable
from explainers.units import mosaic

from ..parts import html
from ..parts.fields import Choice, Choices, Number
from ..parts.tab import Settings, Show, Tab
from ..parts.tiles import WIDTH, tiles
from ..subject import Asked
from . import closer, gabors

HERE = Path(__file__).parent
SCRIPT = (HERE / "filters.js").read_text("utf-8")
MARKUP = (HERE / "filters.html").read_text("utf-8")
SLICES = 256  # of a deeper filter, strongest inputs first
SMALL, ROOM = 280, 480  # pixels across a sheet of small kernels, which browsers enlarge, or others
ELSEWHERE = (
    '<p class="note">The question is asked of the first convolution, which reads the photo itself: '
    "choose it above.</p>"
)


def _layers(network: Network) -> Choices:
    """The convolutions, input to output."""
    return [(conv.title, name) for name, conv in filters.convolutions(network).items()]


FRONT = (
    Choice(
        key="layer",
        label="Convolution",
        choices=_layers,
        default=lambda network: next(iter(filters.convolutions(network))),
        help="A layer in which small filters slide over what comes in; the first one reads the "
        "photo, later ones what came out of the one before.",
    ),
    Number(key="filter", label="Filter", default=0, low=0, high=99_999, here=True),
)
FIELDS = (
    Choice(
        key="by",
        label="Sorted by",
        choices=(("Index", "index"), ("Orientation", "orientation"), ("Frequency", "frequency")),
        default="index",
        help="Orientation: the direction across a filter’s stripes; frequency: how narrow they "
        "are. Both at the peak of its frequency response.",
    ),
    Choice(
        key="scale",
        label="Scale",
        choices=(("Each filter", "each"), ("Shared", "shared")),
        default="each",
        help="With a scale of its own, a weak filter looks as strong as the others.",
    ),
)


def _conv(network: Network, settings: Settings) -> tuple[Conv, np.ndarray]:
    """The convolution and its kernels (F, C, h, w)."""
    conv = filters.convolutions(network)[settings["layer"]]
    return conv, filters.weights(network, conv.name).numpy()


def draw(asked: Asked, settings: Settings) -> Iterator[Show | None]:
    """All filters, one of them closely, and whether they resemble Gabors."""
    conv, values = _conv(asked.network, settings)
    index = settings["filter"] if settings["filter"] < conv.filters else 0
    shown = _shown(asked, settings, conv, values, index)
    places = {"say": _say(asked.network, conv), "grid": _grid(asked, settings, conv, values, index)}
    yield Show({**places, **shown.places}, shown.data, settings={"filter": index})
    return (yield from _compared(conv, values, index))


def pick(asked: Asked, settings: Settings, data: Mapping[str, Any]) -> Iterator[Show | None]:
    """Another filter, closely."""
    conv, values = _conv(asked.network, settings)
    index = filters.check(conv, data.get("filter"))
    shown = _shown(asked, settings, conv, values, index)
    if not conv.first:
        shown = shown.then(Show({"grid": _grid(asked, settings, conv, values, index)}))
    yield shown
    return (yield from _compared(conv, values, index))


def _shown(asked: Asked, settings: Settings, conv: Conv, values: np.ndarray, index: int) -> Show:
    """One filter closely, and what the script has to know of it."""
    about = {
        "layer": conv.name,
        "filter": index,
        "first": conv.first,
        "drawable": conv.name in drawable(asked.network),
    }
    return Show({"closer": closer.one(asked, conv, values, index)}, {"chosen": about})


def _say(network: Network, conv: Conv) -> str:
    if conv.first:
        return (
            f"The first {conv.filters} filters of {escape(network.title)}: each answers where the "
            "photo looks like it. <em>Try: click one, and see where.</em>"
        )
    return (
        f"A deeper filter reads {conv.inputs} channels, not colours: these are its slices, "
        "strongest first. <em>Try: another filter’s number.</em>"
    )


def _grid(asked: Asked, settings: Settings, conv: Conv, values: np.ndarray, index: int) -> str:
    """All filters in colour, or the slices of one deeper filter."""
    shared = settings["scale"] == "shared"
    size = f"{conv.kernel[0]} × {conv.kernel[1]}"
    if conv.first:
        order = filters.order(values, settings["by"])
        room = SMALL if max(conv.kernel) < 6 else ROOM
        made = mosaic.kernels(values, order, room, shared=shared)
        alt = f"The {conv.filters} filters of the first convolution, {size} pixels each."
        return tiles(made, "filter", alt, index, name="filters")
    found = filters.slices(values, index, SLICES)
    stack = np.stack([each for _, each, _ in found])
    per = "layer" if shared or conv.kernel == (1, 1) else "channel"
    made = mosaic.mosaic(stack, range(len(stack)), WIDTH, side=30, per=per)
    begin = filters.first_input(asked.network, conv, index)
    alt = f"The slices of filter {index}, strongest input channel first."
    words = f"Filter {index} of {conv.filters}: a slice of {size} weights for each input channel."
    names = [begin + i for i, *_ in found]
    return tiles(made, "input channel", alt, names=names, name="slices", foot=f"<p>{words}</p>")


def _compared(conv: Conv, values: np.ndarray, index: int) -> Iterator[Show | None]:
    """Do the filters resemble Gabors?"""
    height, width = conv.kernel
    if not conv.first or height != width or height < 2:
        return Show({"gabor": ELSEWHERE})
    for found in gabor.compare(values):
        if isinstance(found, gabor.Compared):
            parts = filters.separate(values[index])
            one = gabors.card(parts, found.fits[index], found.null)
            return Show({"gabor": f"<div>{one}</div><div>{gabors.verdict(found, height)}</div>"})
        words = f"Fitting Gabors to the filters, and to random ones: {html.percent(found)}"
        yield Show({"gabor": f'<p class="note" role="status">{words}</p>'})
    return None


TAB = Tab(
    key="filters",
    title="Filters",
    asks="Which edges come first?",
    draw=draw,
    markup=MARKUP,
    fields=FIELDS,
    front=FRONT,
    acts={"pick": pick},
    script=SCRIPT,
    needs=("photo", "network", "framing"),
    lone=True,
)
