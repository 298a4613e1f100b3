"""What all tabs explain: one photo, one network, the classes asked for.

The browser holds the question and its address tells it; what arrives here is checked at every
call. Of a visitor only the photo is kept, under a name that cannot be guessed.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

from explainers import (
    ExplainError,
    Network,
    Photo,
    Question,
    TargetError,
    View,
    cores,
    photo,
    render,
)
from explainers.api import MOST_TARGETS, question
from explainers.places import ASSETS
from explainers.recent import Memory, Recent
from explainers.zoo import Status, Zoo

from .parts import html
from .parts.uploads import uploaded

EXAMPLES = ASSETS / "examples"
SHOWN = 5  # guesses among the chips
OFFERED = 12  # classes to contrast with, likeliest first
LARGE = 960  # pixels on the longer side of the photo as it is shown
COARSE = 4  # times that a photo may be enlarged for a network without a word of it
PHOTOS = 256_000_000  # bytes of visitors' photos in memory: 70 large ones, apart from results

GONE = "Your photo has left our memory: please drop it again."
FIRST = "Drop a photo or choose an example first."


class Gone(ExplainError):
    """A visitor's photo is no longer here."""


class Away(ExplainError):
    """The network that is asked about can't be had."""


class Wait(ExplainError):
    """The network is on its way; `status` says how far."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status


@dataclass(frozen=True)
class Asked:
    """A visitor's question, checked.

    targets: class indices; empty only without a photo. against: a class whose logit is subtracted.
    zoo: where other networks are to be had. wrong: a sentence on classes that were left out.
    """

    network: Network
    photo: Photo | None
    targets: tuple[int, ...]
    against: int | None
    framing: str
    zoo: Zoo = field(repr=False, compare=False)
    wrong: str = ""

    @property
    def seen(self) -> Photo:
        """The photo; raises ExplainError without one."""
        if self.photo is None:
            raise ExplainError(FIRST)
        return self.photo

    @cached_property
    def view(self) -> View:
        """The photo as the network's input; raises ExplainError without a photo."""
        return self.network.prepare(self.seen, self.framing)

    def question(self, layer: str | None = None) -> Question:
        """For the methods; the last convolution unless this network has that layer."""
        layer = layer if layer in self.network.layers else None
        chosen = list(self.targets)
        return question(self.network, self.view, chosen, layer=layer, against=self.against)

    def of_first(self) -> Asked:
        """The same, asking for what the network sees first."""
        targets = tuple(first(self.network, self.logits()))
        against = None if self.against in targets else self.against
        found = replace(self, targets=targets, against=against)
        found.__dict__["view"] = self.view  # prepared once
        return found

    def logits(self) -> Any:
        """(classes,) of the photo."""
        return self.network.answer(self.view)

    def says(self) -> bool:
        """Is the first class asked for what the network says of the photo?"""
        logits = self.logits()
        if self.network.head == "sigmoid":
            return self.targets[0] in self.network.present(logits)
        return self.targets[0] == self.network.ranked(logits, 1)[0]

    def name(self, row: int = 0) -> str:
        """The class of that row as a heading, with what it is contrasted with."""
        return named(self.network, self.targets[row], self.against)


def named(network: Network, target: int, against: int | None = None) -> str:
    """A class, “and not” another one if there is one."""
    labels = network.labels
    return labels[target] if against is None else f"{labels[target]}, and not {labels[against]}"


@cache
def examples() -> dict[str, dict[str, Any]]:
    """The example photos by file name: title, alternative text, classes worth asking for."""
    listed = json.loads((EXAMPLES / "examples.json").read_text("utf-8"))
    return {each["file"]: each for each in listed}


_examples: Recent[str, Photo] = Recent(24)


def example(name: Any) -> Photo:
    """An example photo by its file name; raises ExplainError for any other name."""
    if name not in examples():
        raise ExplainError("There is no such example: choose one of those shown.")
    found = _examples.get(name)
    if found is None:
        found = _examples[name] = photo.read(EXAMPLES / name)
    return found


class Subject:
    """Photos and networks behind the questions of all visitors."""

    def __init__(self, zoo: Zoo) -> None:
        self.zoo = zoo
        self._photos: Recent[str, Photo] = Recent(within=Memory(PHOTOS))

    def take(self, file: Any) -> dict[str, Any]:
        """A dropped, pasted or taken photo, as bytes or uploaded just now: its name for later
        questions.

        The upload itself is deleted. Raises PhotoError.
        """
        if isinstance(file, bytes):
            seen = cores.take_in(photo.read, file)
        else:
            path = uploaded(file, "The photo did not arrive: please drop it again.")
            try:
                seen = cores.take_in(photo.read, path)
            finally:
                path.unlink(missing_ok=True)
        token = secrets.token_urlsafe(12)
        self._photos[token] = seen
        return {"own": token, "notes": list(seen.notes)}

    def keep(self, token: str, seen: Photo) -> None:
        """A photo that was taken in elsewhere, under the name that it got there."""
        own = {
            name: None if values is None else _own(values)
            for name, values in (("pixels", seen.pixels), ("bands", seen.bands))
        }
        self._photos[token] = replace(seen, **own)

    def photo(self, given: Any) -> Photo | None:
        """The photo that a question names, or None where it names none."""
        given = given if isinstance(given, Mapping) else {}
        if given.get("example"):
            return example(given["example"])
        if not given.get("own"):
            return None
        found = self._photos.get(str(given["own"]))
        if found is None:
            raise Gone(GONE)
        return found

    def network(self, key: Any) -> Network:
        """A network that is in memory; raises Wait while it is on its way, and Away."""
        try:
            return ready(self.zoo, key)
        except Wait:
            raise
        except ExplainError as error:
            raise Away(str(error)) from error

    def asked(self, given: Mapping[str, Any]) -> Asked:
        """The question as a browser sends it, checked; raises ExplainError."""
        network, seen = self.network(given.get("network")), self.photo(given.get("photo"))
        framing = "crop" if given.get("framing") == "crop" else "whole"
        targets = classes(network, given.get("targets"))
        against = _class(network, given.get("against"))
        asked = Asked(network, seen, targets, against, framing, self.zoo)
        if against in targets:
            raise TargetError("A class can’t be contrasted with itself: choose another one.")
        return asked.of_first() if seen is not None and not targets else asked

    def answerable(self, given: Mapping[str, Any]) -> Asked:
        """The same, but classes that can't be had are left out, so that the photo has its answer
        beside the sentence on them; what else is wrong raises ExplainError."""
        try:
            return self.asked(given)
        except TargetError as error:
            wrong, network = str(error), self.network(given.get("network"))
        listed = given.get("targets") if isinstance(given.get("targets"), list) else []
        kept = [each for each in listed if _known(network, each)][:MOST_TARGETS]
        return replace(self.asked({**given, "targets": kept, "against": None}), wrong=wrong)

    def seen(self, asked: Asked) -> dict[str, Any]:
        """What the rail shows of a question: the photo, and what the network sees in it."""
        network = asked.network
        about: dict[str, Any] = {
            "targets": list(asked.targets),
            "names": [network.labels[each] for each in asked.targets],
            "against": asked.against,
            "title": network.title,
            "network": network.key,
            "several": network.head == "sigmoid",
            "classes": len(network.labels),
            "chips": [],
            "wrong": asked.wrong,
        }
        if asked.against is not None:
            about["against_name"] = network.labels[asked.against]
        if asked.photo is not None:
            logits = asked.logits()
            about["chips"] = chips(network, logits, list(asked.targets))
            likely = network.ranked(logits, OFFERED)
            about["likely"] = [{"index": i, "label": network.labels[i]} for i in likely]
            about |= {"coarse": coarse(network, asked.photo)} | picture(asked.photo)
        return about


def _own(values: Any) -> Any:
    """A copy in our own memory, read-only as all photos are."""
    copied = values.copy()
    copied.setflags(write=False)
    return copied


def ready(zoo: Zoo, key: Any) -> Network:
    """A network that is in memory; raises Wait while it is on its way."""
    if not key:
        return zoo.get()
    status = _standing(zoo, key)
    if status is None and zoo.settings.hub_ids and "/" in str(key):  # as in a link to it
        key = zoo.add(str(key))
        status = _standing(zoo, key)
    if status is None:  # the zoo would list its keys, which visitors never see
        named = f"There is no network “{str(key)[:60]}”"
        raise ExplainError(f"{named}: choose one of those in the menu.")
    if status.state != "ready":
        zoo.request(status.key)
        status = _standing(zoo, key) or status
        if status.state == "failed":
            raise ExplainError(status.message)
        if status.state != "ready":
            raise Wait(status)
    return zoo.get(str(key))


def _standing(zoo: Zoo, key: Any) -> Status | None:
    return next((each for each in zoo.status() if each.key == key), None)


def _class(network: Network, given: Any) -> int | None:
    if given is None or given == "":
        return None
    if isinstance(given, str) and re.fullmatch(r"\d{1,6}", given):
        given = int(given)
    if not isinstance(given, int | str):
        raise TargetError("There is no such class: choose one of those shown.")
    return network.resolve(given)


def _known(network: Network, given: Any) -> bool:
    try:
        return _class(network, given) is not None
    except TargetError:
        return False


def classes(network: Network, given: Any) -> tuple[int, ...]:
    """Class indices from a list of names and numbers; raises ExplainError."""
    listed = given if isinstance(given, list) else []
    if len(listed) > MOST_TARGETS:
        raise TargetError(f"At most {MOST_TARGETS} classes fit: remove one of them first.")
    found = (_class(network, each) for each in listed)
    return tuple(dict.fromkeys(each for each in found if each is not None))


def first(network: Network, logits: Any) -> list[int]:
    """What to explain before the visitor chooses: all that is present, else the best guess."""
    return network.present(logits)[:MOST_TARGETS] or network.ranked(logits, 1)


def chips(network: Network, logits: Any, targets: list[int]) -> list[dict[str, Any]]:
    """The guesses and what is asked for, each with its probability."""
    chances = network.probabilities(logits).tolist()
    shown = [*network.present(logits), *network.ranked(logits, SHOWN), *targets]
    bounds = network.thresholds if network.head == "sigmoid" else [None] * len(chances)
    return [
        {
            "index": each,
            "label": network.labels[each],
            "chance": chances[each],
            "words": html.percent(chances[each]),
            "bound": bounds[each],
        }
        for each in dict.fromkeys(shown)
    ]


def coarse(network: Network, seen: Photo) -> str:
    """A sentence on a photo of very few pixels, of which no map can tell more; else nothing."""
    times = network.size / min(seen.width, seen.height)
    if times <= COARSE:
        return ""
    (wide, high), taken = seen.original_size, ""
    if (wide, high) != (seen.width, seen.height):
        taken = f", is taken in as {seen.width} × {seen.height},"
    return (
        f"This photo has {wide} × {high} pixels{taken} and is enlarged {times:.0f} times for the "
        "network: take maps of it as coarse, whatever they look like."
    )


def picture(seen: Photo) -> dict[str, Any]:
    """The photo for the page, without any metadata. One for all places: to make a small one by its
    side took longer."""
    pixels = render.shrink(seen, LARGE)
    return {
        "picture": html.data_url(render.jpeg(pixels, 85, sharp=False), "jpeg"),
        "size": [pixels.shape[1], pixels.shape[0]],
    }
