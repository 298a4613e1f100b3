"""A class's card: its drawings, the units it needs, the classes it is confused with."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from explainers import Network
from explainers.units.reference import references
from explainers.units.strongest import Answers
from explainers.units.wiring import Needs, confused, needs

from ..activations import STRONGEST, unit
from ..parts import html
from ..parts.pace import Pace
from ..parts.reference import asked_about
from ..parts.tab import Show
from ..subject import Asked, classes
from . import drawing, links
from .of_unit import ASKING, MEASURED, views_of

SHOWN = 6  # reference photos


def card(asked: Asked, named: str) -> Iterator[Show | None]:
    """All of it, what is quickest first."""
    network = asked.network
    (target,) = classes(network, [named])
    yield _first(asked, target)
    answers = yield from asked_about(STRONGEST, network, ASKING)
    best = answers.logits[:, target].argsort(descending=True).tolist()
    yield Show({"best": _best(network, target, answers, best[:SHOWN])})
    yield Show({"near": _near(network, target, answers)})
    photos = [answers.seen[row] for row in best[:MEASURED]]
    yield from _needs(asked, target, photos)


def _first(asked: Asked, target: int) -> Show:
    """Its name, its chance on the photo, its drawings."""
    network, name = asked.network, escape(asked.network.labels[target])
    where = ""
    if asked.photo is not None:
        logits = asked.logits()
        chance = html.percent(float(network.probabilities(logits)[target]))
        where = f"Chance on your photo: <b>{chance}</b>"
    shown = {
        "say": f"<b>{name}</b>, as {escape(network.title)} knows it: what is most like it, which "
        "units it needs. <em>Try: click one of them below.</em>",
        "head": '<button type="button" data-copy>Copy its address</button>',
        "where": where,
        "drawing": drawing.known(network, {"class": target}),
        **dict.fromkeys(("photo", "crops", "best", "wired", "near"), ""),
    }
    facts = {"card": {"network": network.key, "class": target, "name": network.labels[target]}}
    return Show(shown, facts, settings={"class": network.labels[target], "unit": ""})


def _best(network: Network, target: int, answers: Answers, rows: list[int]) -> str:
    """The reference photos that are most like it, to this network."""
    items = ""
    for row in rows:
        reference = references()[answers.seen[row]]
        chance = float(network.probabilities(answers.logits[row])[target])
        items += unit.framed(reference, html.percent(chance))
    return (
        f"<h3>Most like it, of {len(answers.seen)} photos</h3><p>By its {html.logit()}; the "
        "number is its chance. There need not be one among them.</p>"
        f'<div class="unit-examples card-best">{items}</div>'
    )


def _near(network: Network, target: int, answers: Answers) -> str:
    items = "".join(
        links.class_bar(network, each, f"{r:.2f}", r)
        for each, r in confused(answers.logits, target)
    )
    return (
        "<h3>Confused most with</h3><p>Classes whose logits rise and fall with its own over these "
        f'photos: the correlation, beside the mean of all classes.</p><ol class="bars '
        f'card-classes">{items}</ol>'
    )


def _needs(asked: Asked, target: int, photos: list[int]) -> Iterator[Show | None]:
    network, pace, known = asked.network, Pace(), STRONGEST.known(asked.network)
    for found in needs(network, target, views_of(asked, photos)):
        if not isinstance(found, Needs):
            words = f"Switching units off: {pace.words(found)}"
            yield Show(done=ASKING + (1 - ASKING) * found, words=words)
            continue
        tiles = "".join(
            links.tile(network, each.layer, each.index, known[each.layer], f"−{each.effect:.2g}")
            for each in found.units
        )
        words = (
            f"<h3>Units it needs most, of {escape(links.short(network, found.layer))}</h3><p>Each "
            f"switched off by itself: so much its logit falls, over {found.photos} photos.</p>"
        )
        yield Show(
            {"wired": f'<section>{words}<div class="card-tiles" data-grid>{tiles}</div></section>'}
        )
