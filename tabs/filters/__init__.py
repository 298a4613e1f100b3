"""Filters: which edges come first? A convolution's kernels, one of them closely, and Gabor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from explainers import Network, filters
from explainers.filters import gabor
from explainers.filters.census import traits
from explainers.impressions.goals import drawable
from explainers.units import mosaic

from ..parts import html
from ..parts.fields import Choice, Number
from ..parts.tab import Settings, Show, Tab
from ..parts.tiles import WIDTH, tiles
from ..subject import Asked
from . import closer, gabors, lecture
from .layers import LAYER, LEADS, Looked, looked
from .others import others

HERE = Path(__file__).parent
SCRIPT = (HERE / "filters.js").read_text("utf-8")
MARKUP = (HERE / "filters.html").read_text("utf-8")
SLICES = 256  # of a deeper filter, strongest inputs first
SMALL, ROOM = 280, 480  # pixels across a sheet of small kernels, which browsers enlarge, or others
ELSEWHERE = (
    '<p class="note">The question is asked of the first convolution, which reads the photo itself: '
    "choose it above.</p>"
)


FRONT = (
    LAYER,
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


def draw(asked: Asked, settings: Settings) -> Iterator[Show | None]:
    """All filters, one of them closely, whether they resemble Gabors, and those of others."""
    look = looked(asked, settings)
    index = settings["filter"] if settings["filter"] < look.conv.filters else 0
    places = {"say": _say(look), "grid": _grid(look, settings, index, _why(look, asked.network))}
    shown = _shown(look, index)
    chosen = {"filter": index, "layer": look.value}
    yield Show({**places, **shown.places}, shown.data, settings=chosen)
    yield from _compared(look, index)
    if look.square:
        yield Show({"lecture": lecture.shown(look)})
        yield from others(look, asked)


def pick(asked: Asked, settings: Settings, data: Mapping[str, Any]) -> Iterator[Show | None]:
    """Another filter, closely."""
    look = looked(asked, settings)
    index = filters.check(look.conv, data.get("filter"))
    shown = _shown(look, index)
    if not look.conv.first:
        shown = shown.then(Show({"grid": _grid(look, settings, index)}))
    yield shown
    yield from _compared(look, index)


def picture(asked: Asked, settings: Settings, _data: Mapping[str, Any]) -> Show:
    """The sheet for a lecture."""
    return Show(file=lecture.picture(looked(asked, settings)))


def numbers(asked: Asked, settings: Settings, _data: Mapping[str, Any]) -> Show:
    """What was measured of each filter."""
    return Show(file=lecture.numbers(looked(asked, settings)))


def _shown(look: Looked, index: int) -> Show:
    """One filter closely, and what the script has to know of it."""
    network, conv = look.asked.network, look.conv
    about = {
        "network": network.key,
        "layer": conv.name,
        "filter": index,
        "first": conv.first,
        "drawable": conv.name in drawable(network),
    }
    return Show({"closer": closer.one(look.asked, conv, look.values, index)}, {"chosen": about})


def _say(look: Looked) -> str:
    conv, network = look.conv, look.asked.network
    if not conv.first:
        reads = f"{conv.inputs} units, not colours: these are its slices, strongest first"
        if conv.inputs == 1:  # a depthwise convolution
            reads = "one unit, not colours: this is its only slice"
        return f"A deeper filter here reads {reads}. <em>Try: another filter’s number.</em>"
    return (
        f"The first {conv.filters} filters of {escape(network.title)}: each answers where the "
        "photo looks like it. <em>Try: click one.</em>"
    )


def _why(look: Looked, mine: Network) -> str:
    """Why another network's filters are shown first, where the visitor's own show nothing."""
    network = look.asked.network
    if network.key != LEADS or mine.key == LEADS:
        return ""
    first = next(iter(filters.convolutions(mine).values()))
    if max(first.kernel) >= gabor.LEAST:
        return ""
    size = f"{first.kernel[1]} × {first.kernel[0]}"
    return (
        f"<p>{escape(network.title)}’s are large enough to show a shape; {escape(mine.title)}’s, "
        f"{size}, are not.</p>"
    )


def _grid(look: Looked, settings: Settings, index: int, why: str = "") -> str:
    """All filters in colour, or the slices of one deeper filter; why: HTML below the filters."""
    conv, values = look.conv, look.values
    shared = settings["scale"] == "shared"
    size = f"{conv.kernel[0]} × {conv.kernel[1]}"
    if conv.first:
        order = filters.order(values, settings["by"])
        room = SMALL if max(conv.kernel) < 6 else ROOM
        made = mosaic.kernels(values, order, room, shared=shared)
        alt = f"The {conv.filters} filters of the first convolution, {size} pixels each."
        return tiles(made, "filter", alt, index, name="filters", foot=why)
    found = filters.slices(values, index, SLICES)
    stack = np.stack([each for _, each, _ in found])
    per = "layer" if shared or conv.kernel == (1, 1) else "channel"
    made = mosaic.mosaic(stack, range(len(stack)), WIDTH, side=30, per=per)
    begin = filters.first_input(look.asked.network, conv, index)
    alt = f"The slices of filter {index}, strongest input first."
    words = (
        f"Filter {index} of {conv.filters}: a slice of {size} weights for each unit that it reads."
    )
    names = [begin + i for i, *_ in found]
    return tiles(made, "unit", alt, names=names, name="slices", foot=f"<p>{words}</p>")


def _compared(look: Looked, index: int) -> Iterator[Show | None]:
    """Do the filters resemble Gabors?"""
    if not look.square:
        yield Show({"gabor": ELSEWHERE, "lecture": "", "beside": ""})
        return
    for found in gabor.compare(look.values):
        if isinstance(found, gabor.Compared):
            parts = filters.separate(look.values[index])
            one = gabors.card(parts, found.fits[index], found.null)
            said = gabors.verdict(found, traits(look.values, found.fits), look.conv.kernel[0])
            yield Show({"gabor": f"<div>{one}</div><div>{said}</div>"})
        else:
            words = f"Fitting Gabors to the filters, and to random ones: {html.percent(found)}"
            yield Show({"gabor": f'<p class="note" role="status">{words}</p>'})


TAB = Tab(
    key="filters",
    title="Filters",
    asks="Which edges come first?",
    draw=draw,
    markup=MARKUP,
    fields=FIELDS,
    front=FRONT,
    acts={"pick": pick, "picture": picture, "numbers": numbers},
    script=SCRIPT,
    needs=("photo", "network", "framing"),
    lone=True,
)
