"""Maps: where does it look? Methods side by side on the same photo, a row for each class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from explainers import METHODS, ExplainError, Explanation, Method, Question, ask, render
from explainers.explanation import to_npz
from explainers.methods.cam import identity_gap
from explainers.registry import COSTS, offered, opening
from explainers.render import sheets

from ..parts import html
from ..parts.choices import COLOURS, LAYER
from ..parts.fields import Choice, Many, Number, Text
from ..parts.guard import sentence
from ..parts.pace import Often, Pace
from ..parts.tab import Settings, Show, Tab
from ..subject import Asked
from .raw import fine_key, of_pass, payload, tables, together

OFTEN = 0.4  # seconds between pictures of a map that grows
STRENGTH = 0.75
SAME = 1e-4  # of a map's range: closer than this, two maps look the same to anybody
SURE = 0.5  # a class more probable than all others together is said, any other is a guess
FINE = ("gradient", "guided")  # families of maps with a colour at every pixel
PAIR = ("gradcam", "cam")  # read off the pass that is there already, so they come first

SCRIPT = (Path(__file__).parent / "maps.js").read_text("utf-8")
MARKUP = (Path(__file__).parent / "maps.html").read_text("utf-8")


def _methods(network: Any) -> list[tuple[str, str]]:
    return [(each.title, each.key) for each in offered(network) if each.home == "maps"]


FIELDS = (
    Many(
        key="methods",
        label="Methods",
        choices=_methods,
        default=opening,
    ),
    LAYER,
    Choice(
        key="scale",
        label="Scale",
        choices=(("Each map by its strongest", "each"), ("One for all rows", "shared")),
        default=lambda network: "shared" if network.head == "sigmoid" else "each",
        here=True,
    ),
    Choice(
        key="gradients",
        label="Fine maps as",
        choices=(("Signed colour", "colour"), ("Strength", "strength")),
        default="colour",
        here=True,
        help="Guided and plain gradients have a sign and a colour at every pixel; as strength, "
        "only how large they are.",
    ),
    replace(COLOURS, here=True),
)
FRONT = (
    Number(key="opacity", label="Heat", default=STRENGTH, low=0, high=1, step=0.05, slides=True,
           here=True),
    Text(key="large", label="Large", here=True),
)  # fmt: skip


def _chosen(settings: Settings, question: Question) -> tuple[list[Method], dict[str, str]]:
    """The methods that are shown, and why some of them can't be had here."""
    chosen = [method for key, method in METHODS.items() if key in settings["methods"]]
    absent = {each.key: why for each in chosen if (why := each.why_not(question))}
    return chosen, absent


def draw(asked: Asked, settings: Settings) -> Iterator[Show | None]:
    """The layout and the first map, then the others, slow ones last and growing."""
    question = asked.question(settings["layer"])
    chosen, absent = _chosen(settings, question)
    logits = question.network.answer(question.view)
    chances = question.network.probabilities(logits)
    rows = [
        {
            "name": asked.name(row),
            "chance": html.percent(float(chances[target])),
            "note": "",
        }
        for row, target in enumerate(asked.targets)
    ]
    cells = [
        {"method": each.key, "title": each.title, "caption": each.caption,
         "absent": absent.get(each.key, ""), "fine": each.family in FINE}
        for each in chosen
    ]  # fmt: skip
    layout = {"rows": rows, "cells": cells, "both": question.against is not None}
    say = _say(asked, question) if chosen else "Tick a method under “Adjust” to see its map."
    found: dict[str, Explanation] = {}
    first = Show({"say": say, "foot": ""}, {"layout": layout, "maps": {}})
    todo = [each for each in chosen if each.key not in absent]
    for method in (each for each in todo if each.key in PAIR):
        for shown in _grown(question, method, found):
            first = first.then(shown or Show())
    rest = [each for each in todo if each.key not in PAIR]
    both = together(asked, question, found)  # above the maps, which it must not push down later
    yield first.then(Show({"together": both}, {"same": _same(found)}, soon=not rest))
    for method in sorted(rest, key=lambda each: COSTS.index(each.cost)):
        yield from _grown(question, method, found)
    return Show({} if both else {"together": together(asked, question, found)})


def _grown(
    question: Question, method: Method, found: dict[str, Explanation]
) -> Iterator[Show | None]:
    due, pace = Often(OFTEN), Pace()
    try:
        for explanation in ask(question, method.key):
            found[method.key] = explanation
            if explanation.done < 1 and not due():
                yield None
                continue
            words = f"{method.title}: {pace.words(explanation.done)}"
            data: dict[str, Any] = {"maps": payload(question, explanation)}
            if said := of_pass(explanation):
                data["said"] = said
            yield Show(
                data=data,
                done=explanation.done,
                words=words if explanation.done < 1 else "",
            )
    except ExplainError as error:
        yield Show(data={"maps": {f"{method.key}:0": {"absent": sentence(error)}}})


def _say(asked: Asked, question: Question) -> str:
    """What one sees, and one thing to try."""
    names = [f"<b>{escape(asked.network.labels[each])}</b>" for each in asked.targets]
    if question.against is not None:
        other = escape(asked.network.labels[question.against])
        return f"Orange speaks for {names[0]} and against <b>{other}</b>; blue the other way round."
    if len(names) > 1:
        every = html.listed(names)
        return f"What glows speaks for {every}, a row for each. <em>Compare where.</em>"
    chance = float(asked.network.probabilities(asked.logits())[asked.targets[0]])
    sure = asked.network.head == "sigmoid" or chance > SURE
    if asked.says():
        told = f"made it say {names[0]}." if sure else f"speaks for its best guess, {names[0]}."
    else:
        told = f"speaks for {names[0]}, which it gives {html.percent(chance)}."
    return f"What glows {told} <em>Try: click another answer, or point at a bright place.</em>"


def _same(found: Mapping[str, Explanation]) -> str:
    """Why CAM and Grad-CAM are one tile, or nothing where they differ."""
    cam, grad = found.get("cam"), found.get("gradcam")
    gap = identity_gap(cam, grad) if cam and grad else None
    if gap is None or gap > SAME:
        return ""
    return (
        "Behind this layer the network only averages and weighs once, so the gradient that "
        "Grad-CAM asks for is the very weight that CAM reads: the two are one map."
    )


def _all(asked: Asked, settings: Settings) -> list[Explanation]:
    question = asked.question(settings["layer"])
    chosen, absent = _chosen(settings, question)
    found = [list(ask(question, each.key))[-1] for each in chosen if each.key not in absent]
    if not found:
        raise ExplainError("There is no map to download: tick a method first.")
    return found


def panel(asked: Asked, settings: Settings, data: Mapping[str, Any]) -> Show:
    """The maps as one PNG, drawn as the browser shows them."""
    found = _all(asked, settings)
    look = {each.key: each for each in (*FIELDS, *FRONT)}
    given = {
        name: look[name].read(data[name], asked.network)
        for name in ("colours", "scale", "gradients", "opacity")
        if name in data
    }
    picture = sheets.panel(
        asked.seen,
        found,
        titles=[METHODS[each.method].title for each in found],
        opacity=given.get("opacity", STRENGTH),
        colourmap=given.get("colours", render.DEFAULT),
        scale=given.get("scale", "each"),
        pixels=given.get("gradients", "colour"),
    )
    return Show(file=("seeing-why.png", picture))


def arrays(asked: Asked, settings: Settings, _data: Mapping[str, Any]) -> Show:
    """The raw maps as .npz."""
    return Show(file=("seeing-why.npz", to_npz(_all(asked, settings))))


TAB = Tab(
    key="maps",
    title="Maps",
    asks="Where does it look?",
    draw=draw,
    markup=MARKUP,
    fields=FIELDS,
    front=FRONT,
    acts={"png": panel, "npz": arrays},
    prompt=True,
    script=SCRIPT,
    props={"tables": tables(), "fine": fine_key()},
)
