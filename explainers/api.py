"""Asking for maps: what the page, the notebook and other people's code all call."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from .errors import OptionError, PhotoError, TargetError
from .explanation import Explanation, Note, Question
from .network import Framing, Network, View
from .network.classes import named
from .own import Own, wrap
from .photos import several, view_of
from .recent import Recent
from .registry import METHODS, Method
from .targets import Aim, Bound, logit, no
from .together import together

MOST_TARGETS = 7  # as many as there are colours to tell apart

Target = int | str | Aim | Callable[[Any], Any]
Layer = str | nn.Module

_recent: Recent[tuple[Any, ...], Explanation] = Recent()


def find(key: str) -> Method:
    """The method registered under `key`; raises OptionError that lists them."""
    if not isinstance(key, str) or key not in METHODS:
        raise OptionError(f"The methods are {', '.join(METHODS)}: choose one of them.")
    return METHODS[key]


def question(
    network: Network | nn.Module,
    photo: Any,
    targets: Sequence[Target] | Target | None = None,
    *,
    layer: Layer | None = None,
    against: Target | None = None,
    framing: Framing | None = None,
) -> Question:
    """Check what is asked. targets: classes by index or name, or functions of the output
    (`explainers.targets`), or None for the network's first guess.

    photo: all that `read` takes, or a view that `network` made. Raises TargetError, OptionError or
    PhotoError with a sentence that says what to change.
    """
    if not isinstance(network, Network):
        network = wrap(network)
    if network.module.training:
        raise OptionError(
            f"{network.title} is in training mode, where it answers otherwise and learns from what "
            "it sees: call eval() on it, or wrap a copy."
        )
    view, _ = view_of(network, photo, framing)
    layer = network.last if layer is None else _layer(network, layer)
    wanted = None if targets is None else _listed(targets)
    asked = [_aim(network, each) for each in (wanted or [])]
    rival = None if against is None else _aim(network, against)
    functions = any(_is_function(each) for each in (*asked, rival))
    if network.unread and not (asked and functions):
        raise TargetError(network.unread)
    if wanted is None:
        asked = [int(network.recorded(view, network.last).logits.argmax())]
    if functions:
        return _of_functions(network, view, asked, layer, rival)
    chosen = tuple(dict.fromkeys(network.resolve(target) for target in asked))
    _check_count(chosen)
    other = None if rival is None else network.resolve(rival)
    if other in chosen:
        raise OptionError("A class can’t be contrasted with itself: choose another second class.")
    return Question(network, view, chosen, layer, other)


def _is_function(target: Any) -> bool:
    return isinstance(target, Aim) or callable(target)


def _aim(network: Network, target: Any) -> Any:
    """The target, or what “not …” means of a class with a sigmoid of its own."""
    if isinstance(target, str) and network.head == "sigmoid":
        word, _, name = target.strip().partition(" ")
        if word.casefold() == "not" and name and not named(target, network.labels):
            return no(name)
    return target


def _of_functions(
    network: Network, view: View, asked: list[Any], layer: str, rival: Any
) -> Question:
    """The question with functions of the output in the place of all classes."""
    _check_count(asked)
    aims = [each if _is_function(each) else logit(each)
            for each in (*asked, *([] if rival is None else [rival]))]  # fmt: skip
    read = [each.bound(network, view) if isinstance(each, Aim) else each for each in aims]
    logits = all(isinstance(each, Bound) and each.classes for each in read)
    head = "sigmoid" if logits and network.head == "sigmoid" else "none"
    made = network.scored(aims, read, head)
    other = None if rival is None else len(asked)
    return Question(made, made.taken(view), tuple(range(len(asked))), layer, other)


def _check_count(chosen: Sequence[Any]) -> None:
    if not 1 <= len(chosen) <= MOST_TARGETS:
        raise OptionError(f"Choose between one and {MOST_TARGETS} classes to explain.")


def _listed(targets: Any) -> list[Any]:
    """One target or several, as a list."""
    if isinstance(targets, str | bytes) or _is_function(targets):
        return [targets]
    try:
        return list(targets)
    except TypeError:
        return [targets]


def _layer(network: Network, layer: Any) -> str:
    """The name of a module that hands over a map."""
    if isinstance(layer, nn.Module):
        layer = network.name_of(layer) if isinstance(network, Own) else None
    if not isinstance(layer, str) or layer not in network.places:
        raise OptionError(
            f"{network.title} has no such layer: choose {', '.join(network.layers)}, or another "
            "module that hands over a map (network.places lists them)."
        )
    return layer


def _layers(network: Network, layer: Any) -> list[str] | None:
    """The names that a list or pattern stands for; None for what is one layer, or none."""
    if isinstance(layer, str):
        if layer in network.places or not set(layer) & set("*?["):
            return None
        found = fnmatch.filter(network.places, layer)
        return found or [_layer(network, layer)]
    if not isinstance(layer, list | tuple):
        return None
    found = [name for each in layer for name in _layers(network, each) or [_layer(network, each)]]
    if not found:
        raise OptionError("No layer is named: leave it out, or give one or several.")
    return list(dict.fromkeys(found))


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
    photo: Any,
    target: Sequence[Target] | Target | None = None,
    method: str = "gradcam",
    *,
    layer: Layer | Sequence[Layer] | None = None,
    against: Target | None = None,
    framing: Framing | None = None,
    prepared: bool = False,
    **options: Any,
) -> Any:
    """Why does `network`, seeing `photo`, score `target` so? Returns an `Explanation`.

    photo: a path, bytes, a PIL image, an array or tensor, a `Photo`, or a `View` of the network's
    own. prepared: the tensor is an input that was normalised for the network already. target: a
    class name or index, a function of the output (`explainers.targets`), or several of them; None
    explains the network's first guess; "not malignant" speaks against a sigmoid's class. method: a
    key of `METHODS`. layer: a key of `network.layers` or of `network.places` (default: the last
    convolution), or a module of one's own. against: a second class, for "why A and not B". framing:
    "whole" or "crop" (default: `network.framing`). options go to the method. The answer's `notes`
    say when not to trust it. In a notebook it shows itself as a picture. Raises ExplainError, with
    one sentence, where the photo, class, method or option is not possible.

    Several layers, by a list or a pattern such as "layer4.*", give a list of explanations, and so
    do several photos: a list, a batch (N, C, H, W), a folder, a `Dataset` or a `DataLoader`
    (`explain_each` hands them over one by one).
    """
    network = network if isinstance(network, Network) else wrap(network)
    about = {"against": against, "framing": framing, "prepared": prepared, **options}
    photos = several(photo)
    if photos is not None:
        found = [explain(network, each, target, method, layer=layer, **about) for each in photos]
        if not found:
            raise PhotoError("There is no photo here: give one, or several.")
        return found
    names = _layers(network, layer)
    if names is not None:
        return [explain(network, photo, target, method, layer=name, **about) for name in names]
    view, shown = view_of(network, photo, framing, prepared=prepared)
    asked = question(network, view, target, layer=layer, against=against)
    *_, last = ask(asked, method, **options)
    if shown is None:
        return last
    told = tuple(Note("photo", 0.0, sentence) for sentence in shown.notes)
    return dataclasses.replace(last, photo=shown, notes=told + last.notes)


def explain_each(
    network: Network | nn.Module, photos: Any, *about: Any, **more: Any
) -> Iterator[Any]:
    """`explain` for one photo after the other, for more of them than memory holds maps of."""
    network = network if isinstance(network, Network) else wrap(network)
    found = several(photos)
    for photo in [photos] if found is None else found:
        yield explain(network, photo, *about, **more)


def again(explanation: Explanation, network: Network, photo: Any) -> Explanation:
    """The same question once more, from what an explanation says of itself.

    On the network and photo (or view) that it was made of, the same map; on another network, the
    map that the same method, options, classes, layer and framing give there. Raises as `explain`.
    """
    count = len(explanation.targets)
    targets = explanation.functions[:count] or explanation.targets
    against: Any = explanation.against
    if explanation.functions and against is not None:
        against = explanation.functions[against]
    return explain(
        network,
        photo,
        targets,
        explanation.method,
        layer=explanation.layer,
        against=against,
        framing=explanation.framing or "whole",
        **explanation.options,
    )
