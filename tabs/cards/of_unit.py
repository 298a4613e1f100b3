"""A unit's card: what excites it, what it looks like, what it reads and feeds, who is like it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from html import escape

from explainers import Network, View
from explainers import units as acts
from explainers.units.reference import references
from explainers.units.strongest import Answers, Layers, Peaks
from explainers.units.wiring import Wiring, wiring

from ..activations import STRONGEST, unit
from ..parts import html
from ..parts.pace import Pace
from ..parts.reference import asked_about
from ..parts.tab import Show
from ..subject import Asked
from . import drawing, links

PLACES = ("head", "photo", "crops", "drawing", "best", "wired", "near")
UNIT = html.unit("Unit")
MEASURED = 3  # reference photos on which a unit is switched off
SHOWN = 8  # reference photos
ASKING = 0.8  # of a card’s work is asking the network about them


def nothing(problem: str) -> Show:
    """Of an address that names nothing."""
    return Show({**dict.fromkeys(PLACES, ""), "say": "", "problem": escape(problem)})


def card(asked: Asked, layer: str, channel: int) -> Iterator[Show | None]:
    """All of it, what is quickest first."""
    network = asked.network
    yield _photo(asked, layer, channel)
    yield Show({"drawing": drawing.known(network, {"layer": layer, "channel": channel})})
    if asked.photo is not None:
        question = dataclasses.replace(asked.question(), layer=layer)
        found = acts.unit(question, channel)
        yield Show(
            {
                "photo": unit.glow(question, asked.seen, channel, found),
                "where": unit.heading(question, channel, found),
                "crops": unit.crops(asked.seen, found, question.view.frame),
            }
        )
    answers = yield from asked_about(STRONGEST, network, ASKING)
    peaks = answers.layers[layer]
    yield Show({"best": _best(network, layer, channel, peaks, answers)})
    yield Show({"near": _near(network, layer, channel, peaks)})
    yield from _wired(asked, layer, channel, peaks)


def _photo(asked: Asked, layer: str, channel: int) -> Show:
    """The first that is seen: its name, and the photo."""
    network = asked.network
    most = acts.layer_of(network, layer).channels - 1
    home = f"{escape(network.title)}, {escape(links.short(network, layer))}"
    shown = {
        "say": f"<b>{UNIT} {channel}</b> of {home}: where it fires, what it reads, what it feeds. "
        "<em>Try: click another unit below.</em>",
        "head": links.steps(layer, channel, most),
        **dict.fromkeys(("crops", "best", "wired", "near", "where"), ""),
        "photo": '<p class="card-none">Drop a photo to see what of it excites this unit.</p>',
    }
    facts = {"card": {"network": network.key, "layer": layer, "channel": channel, "most": most}}
    if asked.photo is not None:
        question = dataclasses.replace(asked.question(), layer=layer)
        shown["photo"] = unit.glow(question, asked.seen, channel)
        shown["where"] = unit.heading(question, channel)
    return Show(shown, facts, settings={"layer": layer, "unit": str(channel), "class": ""})


def _best(network: Network, layer: str, channel: int, peaks: Peaks, answers: Answers) -> str:
    """The reference photos, and how much it fires on each."""
    best = [each for each in peaks.best(channel, SHOWN) if each.peak > 0]
    seen, bound = len(answers.seen), ""
    if not best:
        return f"<h3>It fires on none of {seen} reference photos</h3>"
    if peaks.bound < 1e9:
        cut = f"This layer cuts its answers off at {peaks.bound:g}, so many would be equal."
        bound = f" Ranked by what it was before its {html.term('bound', cut)}."
    items = "".join(unit.example(network, layer, each, references()[each.photo]) for each in best)
    return (
        f"<h3>Fires most on</h3><p>Of {seen} photos of free licence. The dot is the place, an "
        f'outline its {unit.FIELD}.{bound}</p><div class="unit-examples card-best">{items}</div>'
    )


def _near(network: Network, layer: str, channel: int, peaks: Peaks) -> str:
    """Units of the layer that answer alike, each as the middle of what it fires on most."""
    items = "".join(
        links.tile(
            network,
            layer,
            each.channel,
            peaks,
            f"r\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{each.correlation:.2f}",
        )
        for each in peaks.neighbours(channel, 6)
    )
    if not items:
        return ""
    return (
        "<h3>Answers most like</h3><p>Units of its layer whose maxima rise and fall with its own "
        f'over these photos.</p><div class="card-tiles" data-grid>{items}</div>'
    )


def views_of(asked: Asked, photos: Sequence[int]) -> list[View]:
    """The visitor's photo, where there is one, and these reference photos."""
    own = [] if asked.photo is None else [asked.network.prepare(asked.photo, asked.framing)]
    return [*own, *(asked.network.prepare(references()[each].photo) for each in photos)]


def _wired(asked: Asked, layer: str, channel: int, peaks: Peaks) -> Iterator[Show | None]:
    """What it reads and feeds."""
    network, pace = asked.network, Pace()
    photos = [each.photo for each in peaks.best(channel, MEASURED) if each.peak > 0]
    views = views_of(asked, photos)
    if not photos or not views:
        return
    known = STRONGEST.known(network)
    for found in wiring(network, layer, channel, views):
        if isinstance(found, Wiring):
            yield Show({"wired": _wiring(network, found, known)})
            return
        words = f"Switching units off: {pace.words(found)}"
        yield Show(done=ASKING + (1 - ASKING) * found, words=words)


def _wiring(network: Network, found: Wiring, known: Layers) -> str:
    parts = []
    if found.reads:
        words = "Each of them switched off: so much of this unit’s strongest place is lost"
        parts.append(("Reads, of ", found.before, words, found.reads))
    if found.feeds:
        words = "This unit switched off: so much of theirs is lost"
        parts.append(("Feeds, in ", found.behind, words, found.feeds))
    shown = ""
    for title, layer, words, items in parts:
        tiles = "".join(
            links.tile(network, layer, each.index, known[layer], _share(each.effect))
            for each in items
        )
        shown += (
            f"<section><h3>{title}{escape(links.short(network, layer))}</h3><p>{words}, over "
            f'{found.photos} photos.</p><div class="card-tiles" data-grid>{tiles}</div></section>'
        )
    return (
        f"{shown}<section><h3>Feeds these classes</h3><p>This unit switched off: so much their "
        f"logits fall, or rise.</p>{links.classes(network, found.classes)}</section>"
    )


def _share(effect: float) -> str:
    return f"{'−' if effect > 0 else '+'}{html.whole_percent(abs(effect))}"
