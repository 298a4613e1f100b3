"""What is compared: the question itself, and what the visitor puts beside it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from html import escape
from typing import Any

from explainers import METHODS, ExplainError, Network, Photo, Question, TargetError
from explainers.api import question
from explainers.methods.patches import SHARE
from explainers.scores.boxes import checked_box
from explainers.scores.comparison import Comparison
from explainers.scores.pair import counterpart

from ..parts import html
from ..parts.tab import Settings
from ..subject import Asked, Wait, example, examples, ready

OFFERED = 12  # classes to put beside, likeliest first
# What a method's options are called among the settings of its home.
THERE = {
    "muting": ("window", "stride", "baseline", "seed", "score", "masks", "tolerance"),
    "patches": ("overlap",),
}


@dataclass
class Side:
    """One photo, network and class, with what was found. state: what the page must ask for to
    have it as its own question, where it is not that already. pairs: is it the first side's
    question put to another network, so that their maps have a difference?"""

    photo: Photo
    found: Comparison
    title: str
    state: dict[str, Any]
    pairs: bool = False

    @property
    def network(self) -> Network:
        return self.found.question.network


@dataclass(frozen=True)
class Beside:
    """A second question, and the state that asks it; pairs as in `Side`, word on what it lacks."""

    question: Question
    state: dict[str, Any]
    pairs: bool = False
    word: str = ""


def chosen(asked: Asked, settings: Settings) -> tuple[list[Side], str]:
    """The sides, with no map yet, and a word on what the second one lacks, or why there is none.

    Raises Wait while the network beside is on its way.
    """
    asked = dataclasses.replace(asked, targets=asked.targets[:1])
    first = _side(asked.seen, asked.question(settings["layer"]), settings, {})
    what, _, which = settings["beside"].partition(":")
    if not which:
        return [first], ""
    try:
        second = _beside(asked, first.found.question, what, which)
    except Wait:
        raise
    except ExplainError as error:
        return [first], str(error)
    if second is None:
        return [first], "That is what is compared already: choose something else to put beside it."
    if second.pairs:  # the map of the pair is always among them
        methods = dict.fromkeys([*settings["methods"], settings["pair"]])
        settings = {**settings, "methods": list(methods)}
        first = _side(asked.seen, first.found.question, settings, {})
    photo = example(which) if what == "photo" else asked.seen
    sides = [first, _side(photo, second.question, settings, second.state)]
    sides[1].pairs = second.pairs
    if what == "network":
        for side in sides:
            side.title = f"{side.network.title} · {side.title}"
    if what == "photo":
        sides[1].title = f"{examples()[which]['title']} · {sides[1].title}"
    return sides, second.word


def _beside(asked: Asked, first: Question, what: str, which: str) -> Beside | None:
    """The second question; None where it is the first one."""
    network, target = asked.network, first.targets[0]
    if what == "class":
        other = network.resolve(int(which) if which.isdecimal() else which)
        against = None if asked.against == other else asked.against
        made = dataclasses.replace(first, targets=(other,), against=against)
        state = {"targets": [other], "against": against}
        return None if other == target else Beside(made, state)
    if what == "network":
        twin = ready(asked.zoo, which)
        return None if twin.key == network.key else _in(twin, asked, first)
    if what == "photo":
        seen = example(which)
        made = dataclasses.replace(first, view=network.prepare(seen, asked.framing))
        known = seen.digest == asked.seen.digest
        return None if known else Beside(made, {"photo": {"example": which}})
    raise ExplainError("That can’t be put beside it: choose something from the list.")


def _in(twin: Network, asked: Asked, first: Question) -> Beside:
    """The question in another network: the classes of the same names, or else its own first guess,
    which can stand beside and makes no difference map."""
    wanted = [first.targets[0]] + ([] if first.against is None else [first.against])
    word, same = "", None
    try:
        same, *against = [counterpart(asked.network, twin, each) for each in wanted]
    except TargetError as error:
        word = f"{error} Its own first guess stands beside, and no difference can be taken."
        against = []
    layer = first.layer if first.layer in twin.layers else None
    other = against[0] if against else None
    made = question(twin, asked.seen, same, layer=layer, against=other, framing=asked.framing)
    state = {"network": twin.key, "targets": list(made.targets), "against": other}
    return Beside(made, state, pairs=not word, word=word)


def _side(seen: Photo, asked: Question, settings: Settings, state: dict[str, Any]) -> Side:
    name = asked.network.labels[asked.targets[0]]
    chance = asked.network.probabilities(asked.network.answer(asked.view))[asked.targets[0]]
    here = state.keys() <= {"targets", "network", "against"}  # the box is on this photo
    found = Comparison(
        asked,
        settings["methods"],
        settings["baseline"],
        box=boxed(settings["box"]) if here else None,
    )
    return Side(seen, found, f"{name} · {html.percent(float(chance))}", state)


def boxed(text: str) -> Any:
    """The box of a link, in per cent of the photo's sides, or None for none that is one."""
    try:
        return checked_box([float(part) / 100 for part in text.split(",")])
    except (ValueError, ExplainError):
        return None


def offers(asked: Asked) -> str:
    """What can be put beside, as options of a list."""
    network = asked.network
    likely = [i for i in network.ranked(asked.logits(), OFFERED) if i not in asked.targets[:1]]
    groups = [("Another class", [(f"class:{i}", network.labels[i]) for i in likely])]
    groups[0][1].append(("find", "Any other class …"))
    others = [each for each in asked.zoo.status() if each.key != network.key]
    rows = [
        (f"network:{each.key}", each.title + ("" if each.state == "ready" else " (to fetch)"))
        for each in others
    ]
    groups.append(("Another network", rows))
    groups.append(
        ("Another photo", [(f"photo:{name}", each["title"]) for name, each in examples().items()])
    )
    listed = "".join(
        f'<optgroup label="{title}">'
        + "".join(
            f'<option value="{escape(value)}">{escape(words)}</option>' for value, words in rows
        )
        + "</optgroup>"
        for title, rows in groups
        if rows
    )
    return f'<option value="">Nothing</option>{listed}'


def opening(side: Side, method: str, settings: Settings) -> dict[str, Any]:
    """What the page must ask for to show that method closely, with the same settings."""
    found = METHODS[method]
    values: dict[str, Any] = {"methods": method, "layer": side.found.question.layer}
    values["colours"] = settings["colours"]
    if found.home != "maps":
        values = {name: found.defaults.get(name) for name in THERE.get(found.home, ())}
        values = {name: value for name, value in values.items() if value is not None}
        if found.home == "patches":  # in pixels of the photo there
            shorter = min(side.photo.width, side.photo.height)
            values |= {"source": "photo", "large": min(max(round(shorter * SHARE), 8), 320)}
        if "tolerance" in values:
            values["tolerance"] *= 100  # per cent there
    words = {name: f"{value:g}" if isinstance(value, float) else str(value)
             for name, value in values.items()}  # fmt: skip
    return {"tab": found.home, "settings": words, "state": side.state}
