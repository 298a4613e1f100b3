"""Asking for maps: what the page, the notebook and other people's code all call."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .errors import OptionError
from .explanation import Explanation, Question
from .network import Framing, Network
from .photo import Photo, read
from .recent import Recent
from .registry import METHODS, Method

MOST_TARGETS = 7  # as many as there are colours to tell apart

Source = Photo | str | Path | bytes | Image.Image | np.ndarray
Target = int | str

_recent: Recent[tuple[Any, ...], Explanation] = Recent(96)


def find(key: str) -> Method:
    """The method registered under `key`; raises OptionError that lists them."""
    if key not in METHODS:
        raise OptionError(f"The methods are {', '.join(METHODS)}: choose one of them.")
    return METHODS[key]


def question(
    network: Network,
    photo: Source,
    targets: Sequence[Target] | Target | None = None,
    *,
    layer: str | None = None,
    against: Target | None = None,
    framing: Framing = "whole",
) -> Question:
    """Check what is asked. targets: class indices or names, or None for the network's first guess.

    Raises TargetError, OptionError or PhotoError with a sentence that says what to change.
    """
    photo = photo if isinstance(photo, Photo) else read(photo)
    view = network.prepare(photo, framing)
    layer = layer or network.last
    if layer not in network.layers:
        raise OptionError(f"{network.title} has no such layer: choose {', '.join(network.layers)}.")
    if targets is None:
        chosen = (int(network.recorded(view, network.last).logits.argmax()),)
    else:
        named = [targets] if isinstance(targets, int | np.integer | str) else list(targets)
        chosen = tuple(dict.fromkeys(network.resolve(target) for target in named))
    if not 1 <= len(chosen) <= MOST_TARGETS:
        raise OptionError(f"Choose between one and {MOST_TARGETS} classes to explain.")
    other = None if against is None else network.resolve(against)
    if other in chosen:
        raise OptionError("A class can't be contrasted with itself: choose another second class.")
    return Question(network, view, chosen, layer, other)


def ask(question: Question, method: str, **options: Any) -> Iterator[Explanation]:
    """The method's explanation as it grows; what was answered a while ago comes at once.

    Raises OptionError, with the reason in one sentence, where the method is not defined.
    """
    chosen = find(method)
    if reason := chosen.why_not(question):
        raise OptionError(reason)
    key = (
        method,
        question.view.key,
        question.targets,
        question.layer,
        question.against,
        tuple(sorted((chosen.defaults | options).items())),
    )
    if (known := _recent.get(key)) is not None:
        yield known
        return
    for explanation in chosen.run(question, **options):
        if explanation.done >= 1:
            _recent[key] = explanation
        yield explanation


def explain(
    network: Network,
    photo: Source,
    target: Sequence[Target] | Target | None = None,
    method: str = "gradcam",
    *,
    layer: str | None = None,
    against: Target | None = None,
    framing: Framing = "whole",
    **options: Any,
) -> Explanation:
    """Why does `network`, seeing `photo`, score `target` so?

    photo: a path, bytes, a PIL image, an array or a `Photo`. target: a class name or index, or
    several of them; None explains the network's first guess. method: a key of `METHODS`. layer: a
    key of `network.layers` (default: the last convolution). against: a second class, for "why A
    and not B". options go to the method. In a notebook the result shows itself as a picture.
    """
    photo = photo if isinstance(photo, Photo) else read(photo)
    asked = question(network, photo, target, layer=layer, against=against, framing=framing)
    *_, last = ask(asked, method, **options)
    return dataclasses.replace(last, photo=photo)
