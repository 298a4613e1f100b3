"""Impressions: what does it remember? Pictures that a network draws of a class, from noise."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from explainers import ExplainError, Network, impressions, render
from explainers.impressions import Impression, pace
from explainers.impressions.goals import Unit
from explainers.recent import Recent
from explainers.zoo import Zoo

from ..parts import html
from ..parts.pace import span, spoken
from ..parts.tab import Settings, Show, Tab
from ..subject import Asked
from . import atlas, sheet
from .settings import FIELDS, FRONT, Wanted, presets, suggested, targets_of, wanted, written

HERE = Path(__file__).parent
SCRIPT = (HERE / "impressions.js").read_text("utf-8")
MARKUP = (HERE / "impressions.html").read_text("utf-8")
LEFT = "This drawing has left our memory: draw it again."

Drawn = tuple[Impression, ...]
_drawn: Recent[str, Drawn] = Recent()  # by token, also while it grows
_tokens: Recent[tuple[str, Wanted], str] = Recent()  # of what is finished


def draw(asked: Asked, settings: Settings) -> Iterator[Show | None]:
    """What was drawn before, or the very drawing that is asked for; then how long one takes."""
    network = asked.network
    chosen, problem = _chosen(asked, settings)
    go = settings["go"] or ("" if sheet.known(network) else "1")  # something is to be there
    go = "" if problem else go  # nothing else than was asked for is drawn
    drawn = chosen if settings["class"] or go else ""  # or the page's, also of another photo
    yield Show(
        {"say": f"{escape(problem)} {_say(network)}".strip(), "wall": sheet.wall(network),
         "sheet": "", "foot": ""},
        {"ready": True, "suggested": chosen},
        settings={"class": drawn, "go": go},
    )  # fmt: skip
    if go:
        return None
    return (yield from estimate(asked, settings | {"class": chosen}, {}))


def _chosen(asked: Asked, settings: Settings) -> tuple[str, str]:
    """The classes to draw, and what is wrong with those of the address, if anything."""
    network, problem = asked.network, ""
    try:
        targets = targets_of(network, settings["class"])
    except ExplainError as error:
        targets, problem = (), str(error)
    return written(network, targets or asked.targets[:1] or suggested(network)[:1]), problem


def _say(network: Network) -> str:
    shown = "picture" if sheet.known(network) else "class"
    return (
        f"From noise, without a photo: what makes {escape(network.title)} say a class. "
        f"<em>Try: click a {shown}, and watch one grow.</em>"
    )


def _wanted(asked: Asked, settings: Settings) -> Wanted:
    settings = settings | {"class": settings["class"] or _chosen(asked, settings)[0]}
    return wanted(asked.network, settings, asked.seen if settings["from"] else None)


def estimate(asked: Asked, settings: Settings, _data: Mapping[str, Any]) -> Iterator[Show | None]:
    """How long drawings take here: of these settings, and with each preset."""
    network, want = asked.network, _wanted(asked, settings)
    for goal in dict.fromkeys(want.goals):
        for _ in pace.measure(network, goal, want.knobs):
            yield None
    whole = {
        key: span(pace.course(network, want.panels, each).seconds)
        for key, each in impressions.PRESETS.items()
    }
    mine = span(pace.course(network, want.panels, want.knobs).seconds)
    words = f"about {mine} on this machine"
    return Show(data={"takes": {"words": words, "span": mine, "presets": whole}})


def begin(asked: Asked, settings: Settings, _data: Mapping[str, Any]) -> Iterator[Show | None]:
    """Draw, from noise to the end; at once if it was drawn before."""
    network, want = asked.network, _wanted(asked, settings)
    token = _tokens.get((network.key, want))
    known = _drawn.get(token) if token else None
    if token and known:
        yield Show({"sheet": sheet.sheet(known, token), "foot": ""})
        return (yield from _ended(asked, known))
    token, drawn = secrets.token_hex(8), ()
    for goal in dict.fromkeys(want.goals):
        for _ in pace.measure(network, goal, want.knobs):
            yield Show(done=0.0, words="Measuring how long it takes here …")
    ways = {"driven": want.driven, "photo": want.photo}
    for drawn in impressions.draw(network, want.goals, want.knobs, **ways):
        first = _drawn.get(token) is None
        _drawn.keep(token, drawn, of=network)
        shown = _growing(drawn)
        if first:
            words = {"say": _growing_words(drawn), "foot": ""}
            shown = Show({"sheet": sheet.sheet(drawn, token), **words}).then(shown)
        yield shown
    _tokens.keep((network.key, want), token, of=network)
    yield Show(done=0.995, words="Looking at it afresh …")
    return (yield from _ended(asked, drawn))


def _growing(drawn: Drawn) -> Show:
    first = drawn[0]
    words = f"Step {first.taken} of {first.knobs.steps} · {spoken(first.left)}"
    done = first.seconds / max(first.seconds + first.left, 1e-9)
    return Show(
        data={"panels": [sheet.panel(each) for each in drawn]}, done=min(done, 0.995), words=words
    )


def _growing_words(drawn: Drawn) -> str:
    if drawn[0].photo is not None:
        return f"Each step makes what is {_names(drawn)} in your photo stronger."
    return f"Each step makes the picture more of {_names(drawn)}. <em>Watch it grow.</em>"


def _names(drawn: Drawn) -> str:
    """Of all that is drawn: a, b and c."""
    names = list(dict.fromkeys(f"<b>{escape(each.title)}</b>" for each in drawn))
    return html.listed(names)


def _ended(asked: Asked, drawn: Drawn) -> Iterator[Show | None]:
    """As far as it was drawn: looked at afresh, with the way there and what to take away."""
    second = verifier(asked.zoo, asked.network)
    panels = []
    for each in drawn:
        yield None
        panels.append(sheet.panel(each, sheet.Found.of(asked.network, each, second)))
    first = drawn[0]
    data = {"panels": panels, "finished": first.done == 1}
    verb = "Drawn" if first.done == 1 else "Stopped after"
    words = f"{verb} {first.taken} steps, seed {first.knobs.seed}, in {span(first.seconds)}."
    if first.done == 1:
        words += " The same seed and settings give the same picture."
    title, names = escape(asked.network.title), _names(drawn)
    if first.photo is not None:
        return Show({"say": _photo_words(title, names), "foot": words}, data)
    what = f"What {title} remembers of {names}."
    if isinstance(first.goal, Unit):
        what = f"What makes {names} of {title} fire."
    say = f"{what} <em>Try: another one, or another seed under “Adjust”.</em>"
    return Show({"say": say, "foot": words}, data)


def _photo_words(title: str, names: str) -> str:
    return (
        f"What {title} takes for {names} in your photo, made stronger; its coarse shapes are kept. "
        "<em>Try: slide “How far”, and draw again.</em>"
    )


def look(asked: Asked, _settings: Settings, data: Mapping[str, Any]) -> Iterator[Show | None]:
    """A drawing that was stopped, as it is."""
    drawn = _held(data)
    return (yield from _ended(asked, drawn)) if drawn[0].done < 1 else None


def _held(data: Mapping[str, Any]) -> Drawn:
    drawn = _drawn.get(str(data.get("drawing")))
    if drawn is None:
        raise ExplainError(LEFT)
    return drawn


def _one(data: Mapping[str, Any]) -> tuple[Impression, int]:
    drawn, index = _held(data), data.get("panel")
    if type(index) is not int or not 0 <= index < len(drawn):
        raise ExplainError("There is no such picture: choose one of those shown.")
    return drawn[index], index


def take(_asked: Asked, _settings: Settings, data: Mapping[str, Any]) -> Show:
    """A picture, or the film of how it grew, as a file."""
    drawn, _ = _one(data)
    stem = re.sub(r"[^a-z0-9]+", "-", drawn.title.lower()).strip("-")[:60]
    stem += f"{'-saliency-driven' if drawn.driven else ''}-seed-{drawn.knobs.seed}"
    film = data.get("kind") == "webp"
    content = impressions.animation(drawn) if film else render.png(drawn.pixels)
    return Show(file=(f"impression-{stem}.{'webp' if film else 'png'}", content))


def film(_asked: Asked, _settings: Settings, data: Mapping[str, Any]) -> Show:
    """How it grew, to be watched in its place."""
    drawn, index = _one(data)
    url = html.data_url(impressions.animation(drawn), "webp")
    return Show(data={"film": {"panel": index, "url": url}})


def verifier(zoo: Zoo, network: Network) -> Network | None:
    """A second network that is loaded already and knows the same classes, bundled ones first."""
    ready = [status for status in zoo.status() if status.state == "ready"]
    ready.sort(key=lambda status: not status.entry.bundled)
    others = (zoo.get(status.key) for status in ready if status.key != network.key)
    return next((each for each in others if each.labels == network.labels), None)


TAB = Tab(
    key="impressions",
    title="Impressions",
    asks="What does it remember?",
    draw=draw,
    markup=MARKUP,
    fields=FIELDS,
    front=FRONT,
    acts={
        "draw": begin,
        "estimate": estimate,
        "look": look,
        "take": take,
        "film": film,
        "atlas": atlas.show,
    },
    script=SCRIPT,
    needs=("network",),
    lone=True,
    props={"presets": presets()},
)
