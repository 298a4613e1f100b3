"""Activations: what does it respond to? All channels of a layer, one of them closely, live too."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from explainers import Network, Question
from explainers import units as acts
from explainers.network.frame import as_photo
from explainers.units.mosaic import mosaic
from explainers.units.reference import references
from explainers.units.shipped import shipped
from explainers.units.strongest import Strongest
from explainers.units.video import LONGEST, Look

from ..parts import html, tiles
from ..parts.fields import Choice, Number, Text
from ..parts.reference import asked_about
from ..parts.tab import Settings, Show, Tab
from ..subject import Asked
from . import clip, finder, pins, unit
from .live import Live

HERE = Path(__file__).parent
AMONG = 12  # channels that add most to the class, of which the sharpest is looked at first
EMPTY = (
    '<div class="maps-empty"><p><b>The units appear here.</b> Each tile is one unit of a '
    "layer: where it glows, that unit has found what it looks for in your photo.</p></div>"
)


STRONGEST = Strongest(references, shipped)


def _layers(network: Network) -> list[tuple[str, str]]:
    """All layers to choose from, input to output."""
    return [(each.title, name) for name, each in (network.maps | network.flat).items()]


LAYER = Choice(
    key="layer",
    label="Layer",
    choices=_layers,
    default=acts.default_layer,
    help="Early layers see edges and colours in small places, late ones whole things in large "
    "ones.",
)
SORT = Choice(
    key="sort",
    label="Sorted by",
    choices=(("What they add to the class", "contribution"), ("Mean", "mean"), ("Index", "index")),
    default="contribution",
    help="What a unit adds is its activation times the gradient of the class’s score, summed "
    "over all places.",
)
BRIGHTNESS = (
    Choice(
        key="per",
        label="Brightness by",
        choices=(("The layer", "layer"), ("Each unit", "channel")),
        default="layer",
        help="By the layer, units can be compared; by each unit, weak ones can be seen.",
    ),
    Number(key="gain", label="Gain", default=1, low=0.25, high=8, step=0.25, slides=True),
    Number(
        key="gamma",
        label="Gamma",
        default=1,
        low=0.25,
        high=3,
        step=0.05,
        slides=True,
        help="Below 1, weak places become brighter; above 1, only the strongest remain.",
    ),
)
FRONT = (
    LAYER,
    Text(key="unit", label="Unit", here=True),  # "bn2:49", so that it can't be another layer's
    Text(key="pins", label="Pins", here=True),
)
FEET = {
    "contribution": "<p>The first ones add most to <b>{}</b>.</p>",
    "mean": "<p>The first ones fire most.</p>",
    "index": "",
}
LIVE = Live(STRONGEST, list(BRIGHTNESS))


def _question(asked: Asked, settings: Settings) -> Question:
    """What is asked, at any of the tab's layers."""
    return dataclasses.replace(asked.question(), layer=settings["layer"])


def _chosen(question: Question, settings: Settings, ranked: list[int]) -> int:
    """The channel that was chosen, if it is one of this layer; else the foremost."""
    layer, _, number = settings["unit"].rpartition(":")
    most = acts.layer_of(question.network, question.layer).channels
    if layer == question.layer and number.isdecimal() and int(number) < most:
        return int(number)
    return acts.sharpest(question, ranked[:AMONG] if settings["sort"] == "contribution" else None)


def _wrong(question: Question, settings: Settings) -> str:
    """What is wrong with the channel that a link names; nothing where it is that of a layer shown
    before, of this network or another."""
    network, (layer, _, number) = question.network, settings["unit"].rpartition(":")
    if not settings["unit"] or (layer and layer not in network.maps | network.flat):
        return ""
    most = acts.layer_of(network, layer or question.layer).channels
    if layer and number.isdecimal() and int(number) < most:
        return ""
    named = escape(settings["unit"][:40])
    return f"There is no unit “{named}”: this layer’s go from 0 to {most - 1}. "


def draw(asked: Asked, settings: Settings) -> Iterator[Show | None]:
    """The mosaic and which channel is chosen, whose look the script asks for; then the pins."""
    network, layer = asked.network, settings["layer"]
    flat = layer in network.flat
    facts = {
        "network": network.key,
        "layer": layer,
        "title": acts.layer_of(network, layer).title.split(" · ")[0],
        "most": acts.layer_of(network, layer).channels - 1,
        "flat": flat,
    }
    nothing = dict.fromkeys(("glow", "crops", "classes", "examples"), "")
    if asked.photo is None:
        say = "Drop a photo, or start the camera, to see what the network responds to."
        gone = {**nothing, "sheet": EMPTY, "where": "", "pins": pins.empty(), "say": say}
        return Show(gone, {"sheet": facts})
    question = _question(asked, settings)
    ranked = acts.order(question, settings["sort"])
    channel = _chosen(question, settings, ranked)
    if flat:
        sheet = unit.strongest_units(question, ranked, channel)
    else:
        look = {each.key: settings[each.key] for each in BRIGHTNESS}
        values = as_photo(acts.activation(question).cpu().numpy(), question.view.frame)
        alt = f"All {len(ranked)} units of {facts['title']}, the first being {ranked[0]}."
        made = mosaic(values, ranked, tiles.WIDTH, **look)
        foot = FEET[settings["sort"]].format(escape(asked.name()))
        sheet = tiles.tiles(made, "unit", alt, channel, name="sheet", foot=foot)
    shown = {"sheet": sheet, "say": _wrong(question, settings) + _say(flat)}
    yield Show(shown | (nothing if flat else {}), {"sheet": {**facts, "channel": channel}})
    kept = pins.read(settings["pins"], network)
    for drawn in pins.draw(question, asked.seen, kept, STRONGEST.known(network)):
        yield Show({"pins": drawn}) if drawn is not None else None
    return None


def _say(flat: bool) -> str:
    """What one sees, and one thing to try."""
    if flat:
        return "Each bar is a unit that has seen the whole photo. <em>Try: click one.</em>"
    return (
        f"Each tile is a {html.unit()}: it glows where it found what it looks for. "
        "<em>Try: click a tile, or draw a box on the photo.</em>"
    )


def closely(asked: Asked, settings: Settings, data: Mapping[str, Any]) -> Iterator[Show | None]:
    """One channel: over the photo first, then where it fires, for what, and on which examples."""
    question, network, layer = _question(asked, settings), asked.network, settings["layer"]
    channel = acts.check(network, layer, data.get("channel"))
    facts = {"layer": layer, "channel": channel}
    if layer in network.flat:
        where = f"<b>{escape(unit.name(network, layer, channel))}</b>"
        yield Show({"where": where, "classes": unit.classes(question, channel)}, {"unit": facts})
        return None
    yield Show(
        {
            "glow": unit.glow(question, asked.seen, channel),
            "where": unit.heading(question, channel, linked=True),
        },
        {"unit": facts},
    )
    found = acts.unit(question, channel)
    yield Show(
        {
            "glow": unit.glow(question, asked.seen, channel, found),
            "where": unit.heading(question, channel, found, linked=True),
            "crops": unit.crops(asked.seen, found, question.view.frame),
        }
    )
    yield Show({"classes": unit.classes(question, channel)})
    photos = references()
    if STRONGEST.known(network) is None:
        yield Show({"examples": unit.looking(len(photos))})
    answers = yield from asked_about(STRONGEST, network)
    best = unit.best_examples(network, layer, channel, answers.layers[layer], photos)
    yield Show({"examples": best})
    return None


def find(asked: Asked, settings: Settings, data: Mapping[str, Any]) -> Show:
    """The channels that fire inside a box; the script opens the best of them."""
    question = _question(asked, settings)
    best = acts.inside(question, finder.box(data), finder.SHOWN)
    return Show({"found": finder.found(question, asked.seen, best)}, {"best": best[0][0]})


def pin(asked: Asked, settings: Settings, data: Mapping[str, Any]) -> Iterator[Show | None]:
    """The pins that the script names, over the photo."""
    question, known = _question(asked, settings), STRONGEST.known(asked.network)
    kept = pins.read(str(data.get("pins", "")), asked.network)
    for drawn in pins.draw(question, asked.seen, kept, known):
        yield Show({"pins": drawn}) if drawn is not None else None


def film(asked: Asked, settings: Settings, data: Mapping[str, Any]) -> Iterator[Show | None]:
    """A clip as a video of photo, channel and Grad-CAM."""
    network, layer = asked.network, settings["layer"]
    layer = layer if layer in network.maps else acts.default_layer(network)
    channel = acts.check(network, layer, data.get("channel") if layer == settings["layer"] else 0)
    target = asked.targets[0] if asked.targets else None
    return clip.make(data.get("file"), Look(network, layer, channel, target))


TAB = Tab(
    key="activations",
    title="Activations",
    asks="What does it respond to?",
    draw=draw,
    markup=(HERE / "activations.html")
    .read_text("utf-8")
    .replace("<!--pins-->", pins.empty())
    .replace("<!--longest-->", str(LONGEST)),
    fields=(SORT, *BRIGHTNESS),
    front=FRONT,
    acts={"unit": closely, "find": find, "pin": pin, "clip": film},
    calls={"ticket": LIVE.ticket, "frame": LIVE.frame},
    script="\n".join((HERE / name).read_text("utf-8") for name in ("activations.js", "live.js")),
    lone=True,
)
