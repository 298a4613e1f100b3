"""A card's drawing: what lies ready, or what is drawn when asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from explainers import ExplainError, Network, impressions, render
from explainers import units as acts
from explainers.impressions import Impression
from explainers.impressions.goals import Goal, of_class, of_unit
from explainers.recent import Recent
from explainers.units import atlas

from ..parts import html
from ..parts.pace import spoken
from ..parts.tab import Settings, Show
from ..subject import Asked

KNOBS = impressions.PRESETS["quick"]
ASK = (
    '<p class="card-none">Not drawn yet. <button type="button" data-draw>Draw it from noise'
    "</button></p>"
)
HOW = {False: "plain", True: "saliency-driven"}
_drawn: Recent[tuple[str, Goal], tuple[Impression, ...]] = Recent()


def known(network: Network, what: Mapping[str, Any]) -> str:
    """What was drawn of this unit or class, or a button that has it drawn."""
    drawn = _drawn.get((network.key, _goal(network, what)))
    if drawn:
        return _pictures(drawn)
    pixels = None if "class" in what else atlas.pixels(network.key, what["layer"], what["channel"])
    if pixels is None:
        return ASK
    url = html.data_url(render.jpeg(pixels, 92), "jpeg")
    words = "Drawn from noise, for the atlas"
    return (
        f'<div class="card-drawn"><figure><img alt="{words}" src="{url}"><figcaption>{words}'
        '</figcaption></figure></div><button type="button" data-draw>Draw it larger</button>'
    )


def draw(asked: Asked, _settings: Settings, data: Mapping[str, Any]) -> Iterator[Show | None]:
    """Draw it from noise: a unit plainly, a class saliency-driven, too."""
    network, goal = asked.network, _goal(asked.network, data)
    driven = (False, True) if "class" in data else (False,)
    for _ in impressions.pace.measure(network, goal, KNOBS):
        yield None
    drawn: tuple[Impression, ...] = ()
    for drawn in impressions.draw(network, (goal,), KNOBS, driven=driven):
        first = drawn[0]
        share = first.seconds / max(first.seconds + first.left, 1e-9)
        yield Show({"drawing": _pictures(drawn)}, done=min(share, 0.99), words=spoken(first.left))
    _drawn.keep((network.key, goal), drawn, of=network)
    yield Show({"drawing": _pictures(drawn)})


def _goal(network: Network, what: Mapping[str, Any]) -> Goal:
    """Of a class, by its number, or a unit, checked."""
    if "class" in what:
        return of_class(network, what["class"])
    layer = str(what.get("layer"))
    if layer not in network.maps:
        raise ExplainError("There is no such layer: choose one from the list.")
    return of_unit(network, layer, acts.check(network, layer, what.get("channel")))


def _pictures(drawn: tuple[Impression, ...]) -> str:
    items = ""
    for each in drawn:
        url = html.data_url(render.jpeg(each.pixels, 90), "jpeg")
        words = f"Drawn from noise, {HOW[each.driven]}"
        items += (
            f'<figure><img alt="{words}: {escape(each.title)}" src="{url}">'
            f"<figcaption>{words}</figcaption></figure>"
        )
    more = '<button type="button" class="plain" data-impressions>Draw it with more care</button>'
    return f'<div class="card-drawn">{items}</div>{more}'
