"""Links from card to card: tiles of units, bars of classes, one unit on or back."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import urlencode

from explainers import Network, render
from explainers.units import atlas
from explainers.units.receptive import field, on_photo
from explainers.units.reference import references
from explainers.units.strongest import Peaks
from explainers.units.wiring import Link

from ..parts import html

SIDE = 96  # pixels of a tile


def short(network: Network, layer: str) -> str:
    """A layer's name without its size."""
    return network.maps[layer].title.split(" · ")[0]


def address(network: Network, **named: object) -> str:
    """Such as “?network=alexnet&layer=conv5&unit=151”."""
    return "?" + urlencode({"network": network.key, **named})


def steps(layer: str, channel: int, most: int) -> str:
    """One unit back and on."""
    back, on = (
        f'<button type="button" data-unit="{to}" aria-label="Unit {to}"'
        f"{'' if 0 <= to <= most else ' disabled'}>{sign}</button>"
        for to, sign in ((channel - 1, "‹"), (channel + 1, "›"))
    )
    return (
        f'{back}{on}<button type="button" data-copy>Copy its address</button> '
        f'<button type="button" class="plain" data-channels>All units of this layer</button>'
    )


def tile(network: Network, layer: str, channel: int, peaks: Peaks, words: str) -> str:
    """A unit, as it was drawn or else as the place where it fires most: a link to its card."""
    shown = '<span class="card-silent"></span>'
    best, drawn = peaks.best(channel, 1), atlas.pixels(network.key, layer, channel)
    if drawn is not None:
        url = html.data_url(render.jpeg(drawn, 85), "jpeg")
        shown = f'<img alt="Unit {channel}, drawn" src="{url}">'
    elif best and best[0].peak > 0:
        url = _place(network, layer, best[0].photo, best[0].cell)
        shown = f'<img alt="Where unit {channel} fires most" src="{url}">'
    inside = f"{shown}<b>{channel}</b> <small>{escape(words)}</small>"
    return html.card(network.key, layer, channel, inside)


def _place(network: Network, layer: str, number: int, cell: tuple[int, int]) -> str:
    """The part of a reference photo that a place of the layer sees, at least a quarter of it."""
    seen = references()[number].photo
    view = network.prepare(seen)
    height, width = view.tensor.shape[2:]
    box = field(network, layer, height, width).box(*cell)
    box = on_photo(box, (width, height), view.frame)
    crop = render.crop(seen, _square(box, seen.pixels.shape[1] / seen.pixels.shape[0]), SIDE)
    return html.data_url(render.jpeg(crop, 80), "jpeg")


def _square(box: tuple[float, ...], ratio: float) -> tuple[float, float, float, float]:
    """A square about the middle of a box, from a quarter to all of the photo's shorter side;
    ratio: the photo's width by its height."""
    middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    unit = (1, ratio) if ratio < 1 else (1 / ratio, 1)  # the shorter side, by width and height
    share = min(1.0, max(0.25, (box[2] - box[0]) / unit[0], (box[3] - box[1]) / unit[1]))
    low, high = [], []
    for at, side in zip(middle, unit, strict=True):
        start = min(max(at - share * side / 2, 0.0), 1 - share * side)
        low.append(start)
        high.append(start + share * side)
    return low[0], low[1], high[0], high[1]


def classes(network: Network, found: Sequence[Link]) -> str:
    """Classes with what they lose, or gain, as bars that link to their cards."""
    top = max((abs(each.effect) for each in found), default=1.0) or 1.0
    items = "".join(
        class_bar(network, each.index, f"{'−' if each.effect > 0 else '+'}{abs(each.effect):.2g}",
                  abs(each.effect) / top, "" if each.effect > 0 else " rises")
        for each in found
    )  # fmt: skip
    return f'<ol class="bars card-classes">{items}</ol>'


def class_bar(network: Network, target: int, value: str, length: float, kind: str = "") -> str:
    """A class by its name, with a bar; length in 0..1, kind: more of its classes in the css."""
    wide = 100 * min(max(length, 0), 1)
    name = escape(network.labels[target])
    where = escape(address(network, **{"class": network.labels[target]}))
    return (
        f'<li><span class="bar-length{kind}" style="width:{wide:.1f}%"></span><a class="bar-name" '
        f'href="{where}" data-class="{name}">{name}</a><span class="bar-value">{value}</span></li>'
    )
