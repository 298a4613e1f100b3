"""Pinned channels: they stay in view while other photos are tried."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from html import escape

from explainers import ExplainError, Network, Photo, Question, render
from explainers import units as acts
from explainers.units.strongest import Layers

from ..parts import html
from . import unit

MOST = 4
SIZE = 256

Pin = tuple[str, int]  # layer and channel


def read(text: str, network: Network) -> list[Pin]:
    """This network's pins out of “lite0|bn2:49,bn2:7;resnet18|layer4:3”; nonsense is left out."""
    found: list[Pin] = []
    for group in text.split(";"):
        key, _, listed = group.rpartition("|")
        if key != network.key:
            continue
        for each in listed.split(","):
            layer, _, number = each.rpartition(":")
            try:
                channel = acts.check(network, layer, int(number))
            except (ExplainError, ValueError):
                continue
            if layer in network.maps:
                found.append((layer, channel))
    return list(dict.fromkeys(found))[:MOST]


def draw(
    question: Question, seen: Photo, pins: list[Pin], known: Layers | None
) -> Iterator[str | None]:
    """The pins over the photo, None after each, and empty places for the rest."""
    shown = []
    for layer, channel in pins:
        shown.append(_pin(dataclasses.replace(question, layer=layer), seen, channel, known))
        yield None
    yield "".join(shown) + empty(len(pins))


def empty(taken: int = 0) -> str:
    """The places that are free: nothing moves when a pin comes."""
    words = "Pins stay while photos change"
    free = MOST - taken
    rest = '<div class="pin-free"></div>'
    first = rest if taken else f'<div class="pin-free"><span>{words}</span></div>'
    return first + rest * (free - 1) if free else ""


def _pin(question: Question, seen: Photo, channel: int, known: Layers | None) -> str:
    network, layer = question.network, question.layer
    title = escape(unit.name(network, layer, channel))
    name = html.card(network.key, layer, channel, f"<b>{title}</b>", 'title="Its card"')
    peak = acts.peak(question, channel)
    usual = known[layer].top(channel) if known else 0.0
    picture = unit.over_photo(question, seen, channel, SIZE, usual if usual > 0 else peak)
    share = f", {html.whole_percent(peak / usual)} of its best photo" if usual > 0 else ""
    url = html.data_url(render.jpeg(picture, 85), "jpeg")
    where = f'data-channel="{channel}" data-layer="{escape(layer)}"'
    return (
        f'<figure class="pin"><button type="button" class="pin-show" {where} title="Look at it '
        f'closely"><img alt="{title} over the photo" src="{url}"></button><figcaption>{name}'
        f"<small>maximum {peak:.3g}{share}</small></figcaption>"
        f'<button type="button" class="pin-drop" {where} aria-label="Unpin {title}">×</button>'
        "</figure>"
    )
