"""Asking for maps: what the page, the notebook and other people's code all call."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from .errors import OptionError
from .explanation import Explanation, Question
from .network import Framing, Network, View
from .own import wrap
from .photo import Photo, read
from .recent import Recent
from .registry import METHODS, Method
from .together import together

MOST_TARGETS = 7  # as many as there are colours to tell apart

Source = Photo | View | str | Path | bytes | Image.Image | np.ndarray
Target = int | str

_recent: Recent[tuple[Any, ...], Explanation] = Recent()


def find(key: str) -> Method:
    """The method registered under `key`; raises OptionError that lists them."""
    if not isinstance(key, str) or key not in METHODS:
        raise OptionError(f"The methods are {', '.join(METHODS)}: choose one of them.")
    return METHODS[key]


def question(
    network: Network | nn.Module,
    photo: Source,
    targets: Sequence[Target] | Target | None = None,
    *,
    layer: str | None = None,
    against: Target | None = None,
    framing: Framing = "whole",
) -> Question:
    """Check what is asked. targets: class indices or names, or None for the network's first guess.

    photo: all that `read` takes, or a view that `network` made. Raises TargetError, OptionError or
    PhotoError with a sentence that says what to change.
    """
    if not isinstance(network, Network):
        network = wrap(network)
    view = _view(network, photo, framing)
    layer = network.last if layer is None else layer
    if not isinstance(layer, str) or layer not in network.layers:
        raise OptionError(f"{network.title} has no such layer: choose {', '.join(network.layers)}.")
    if targets is None:
        chosen = (int(network.recorded(view, network.last).logits.argmax()),)
    else:
        chosen = tuple(dict.fromkeys(network.resolve(target) for target in _listed(targets)))
    if not 1 <= len(chosen) <= MOST_TARGETS:
        raise OptionError(f"Choose between one and {MOST_TARGETS} classes to explain.")
    other = None if against is None else network.resolve(against)
    if other in chosen:
        raise OptionError("A class can't be contrasted with itself: choose another second class.")
    return Question(network, view, chosen, layer, other)


def _listed(targets: Any) -> list[Any]:
    """One target or several, as a list."""
    try:
        return [targets] if isinstance(targets, str | bytes) else list(targets)
    except TypeError:
        return [targets]


def _view(network: Network, photo: Source, framing: Framing) -> View:
    if not isinstance(photo, View):
        return network.prepare(photo if isinstance(photo, Photo) else read(photo), framing)
    if not network.made(photo):
        raise OptionError("This view was made for another network: make one with this one.")
    return photo


def ask(question: Question, method: str, **options: Any) -> Iterator[Explanation]:
    """The method's explanation as it grows; what was answered a while ago comes at once, and what
    somebody else is asking just now is worked out once.

    Raises OptionError, with the reason in one sentence, where the method is not defined or an
    option is not possible.
    """
    chosen = find(method)
    if reason := chosen.why_not(question):
        raise OptionError(reason)
    if (known := recall(question, method, **options)) is not None:
        yield known
        return
    key = _key(question, chosen, options)
    for explanation in together(key, lambda: chosen.run(question, **options)):
        if explanation.done >= 1:
            _recent.keep(key, explanation, of=question.network)
        yield explanation


def recall(question: Question, method: str, **options: Any) -> Explanation | None:
    """The finished explanation if it is still known: nothing is computed."""
    return _recent.get(_key(question, find(method), options))


def _key(question: Question, method: Method, options: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        method.key,
        question.view.key,
        question.targets,
        question.layer,
        question.against,
        tuple(sorted(method.complete(options).items())),
    )


def explain(
    network: Network | nn.Module,
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

    photo: a path, bytes, a PIL image, an array, a `Photo`, or a `View` of the network's own.
    target: a class name or index, or several of them; None explains the network's first guess.
    method: a key of `METHODS`. layer: a key of `network.layers` (default: the last convolution).
    against: a second class, for "why A and not B". options go to the method. The answer's `notes`
    say when not to trust it. In a notebook it shows itself as a picture.
    """
    photo = photo if isinstance(photo, Photo | View) else read(photo)
    asked = question(network, photo, target, layer=layer, against=against, framing=framing)
    *_, last = ask(asked, method, **options)
    return dataclasses.replace(last, photo=photo) if isinstance(photo, Photo) else last


def again(explanation: Explanation, network: Network, photo: Source) -> Explanation:
    """The same question once more, from what an explanation says of itself.

    On the network and photo (or view) that it was made of, the same map; on another network, the
    map that the same method, options, classes, layer and framing give there.
    """
    return explain(
        network,
        photo,
        explanation.targets,
        explanation.method,
        layer=explanation.layer,
        against=explanation.against,
        framing=explanation.framing or "whole",
        **explanation.options,
    )
