"""A network of one's own: any module that sees pictures, explained as it is.

network = wrap(module, labels=["benign", "malignant"], mean=(0.5,) * 3, std=(0.25,) * 3, size=224)
explain(network, "photo.png", "malignant")
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal

import numpy as np
from PIL import Image
from torch import Tensor, nn

from .errors import ModelError
from .imagenet import imagenet_labels
from .network import Head, Network, keeping, past, slope, trimming
from .network.borrowed import (
    Apart,
    bare,
    check_kind,
    check_open,
    copied,
    evaluating,
    undone_on_failure,
    without_end,
)
from .network.door import check_end, check_order, check_weights, not_alone, tried
from .network.outputs import OfBatch, Picked, both_ways, gist, squeezed
from .network.recipe import CropMode
from .network.scored import told_apart
from .network.transform import LUMINANCE
from .network.views import Size, noise
from .recent import forget
from .ways import Numbers, known_of, way_of

#: Heads by what configs of Transformers call the problem, where an output does not show it.
PROBLEMS: Mapping[str, Head] = {"multi_label_classification": "sigmoid", "regression": "none"}


class Own(Network):
    """A `Network` round somebody's module, which may go on being trained."""

    _source: nn.Module
    _said: dict[str, Any]
    _handles: list[Any]

    def refresh(self) -> Own:
        """Take over the module's weights as they are now, and forget all that came of the old ones.

        Returns itself. No other thread may be explaining with it meanwhile.
        """
        forget(self, self.module)
        if self.module is self._source:  # copy=False: nothing of ours may stay twice
            self._release()
            for handle in self._handles:
                handle.remove()
        made = wrap(self._source, **self._said)
        made._release.detach()
        self.__dict__ = made.__dict__
        self._keep_taps()
        return self

    def name_of(self, part: nn.Module) -> str:
        """The name of a part of the module, or of the copy; "" if it is part of neither."""
        return _name_of(part, self._source) or _name_of(part, self.module)


def wrap(
    module: nn.Module,
    labels: Sequence[str] | Mapping[int, str] | None = None,
    *,
    transform: Callable[[Image.Image], Tensor] | None = None,
    mean: Numbers | None = None,
    std: Numbers | None = None,
    size: int | Size | None = None,
    channels: int | None = None,
    head: Literal["auto", "softmax", "sigmoid", "none"] = "auto",
    output: Callable[[Any], Any] | None = None,
    layer: str | nn.Module | None = None,
    layers: Mapping[str, str] | None = None,
    title: str = "",
    interpolation: str | None = None,
    crop_pct: float | None = None,
    crop_mode: CropMode | None = None,
    thresholds: Sequence[float] | None = None,
    copy: bool = True,
) -> Own:
    """A `Network` of a module that answers pictures (N, C, H, W) with logits.

    labels: a name for each output ("class 0", … by default), as a list or by number; two names for
    one logit are what it speaks against and for.

    How photos are prepared, which is known of timm's models alone: transform, a function from a
    PIL image to a tensor (C, H, W), such as torchvision's, with which every photo is prepared;
    or mean and std, a number for each channel of pixels in 0..1, and size, pixels of the side it
    was trained with or (height, width). channels: 1 for a network of greys, 3, or n for one of
    arrays (default: as many as there are means).

    Of the answer: logits (N, classes), also squeezed, or (N, classes, h, w) as of a segmentation,
    whose classes are explained by their mean over the places. head: "softmax" for one label,
    "sigmoid" for one logit or several labels at once, "none" for outputs that are no classes (a
    regression, an embedding, boxes: whatever it is, functions explain it); "auto" finds what it
    ends in, takes a sigmoid for one logit and else a softmax. output: picks the logits out of what
    the module hands over, as `lambda out: out["logits"]`.

    layer: the name of the module whose map is explained by default, a pattern (of which the last
    one counts) or the module itself (default: the last convolution). layers: name of a module ->
    title, for the layers to choose from.

    By default a copy is explained, so that training goes on untouched; `refresh` takes over new
    weights. On the copy, DataParallel and torch.compile's wrappers, hooks and a final softmax or
    sigmoid are taken off, and half and double weights are computed in float32. With copy=False the
    module itself is taken: put into eval mode, frozen, its memory reordered and hooked; what is
    written to its weights by `.data` is seen after `refresh`. Raises ModelError with one sentence
    for what can't be explained.
    """
    said = {name: value for name, value in locals().items() if name != "module"}
    inner = bare(module) if isinstance(module, nn.Module) else module
    title = str(title or "").strip() or type(inner).__name__
    _check_form(inner, output, layers, title)
    labels = said["labels"] = in_order(labels, title)
    way = way_of(inner, title, transform, mean, std, size, channels)
    way = way.but(
        interpolation=interpolation or None, crop_pct=crop_pct, crop_mode=crop_mode or None
    )
    last = _layer_named(layer, inner, title)
    if not copy:
        check_weights(inner, title)
    own, remarks = copied(inner, title) if copy else (inner, {})
    check_open(own, title)
    with undone_on_failure(own) as handles:
        handles += _hooked(own, way.channels, output, title)
        probe = noise((1, way.seen, *way.shape)).to(next(own.parameters()).device)
        with _blaming("hooks" in remarks), Apart(inner, title) if copy else nullcontext():
            found = _answer(own, probe, title, labels, head, copy)
        if found.read is not None:
            handles.append(own.register_forward_hook(OfBatch(found.read)))
        network = Own(
            own,
            key=slug(title),
            title=title,
            labels=found.labels,
            head=found.head,
            layers=layers,
            last=last,
            thresholds=thresholds,
            device=probe.device,
            alone=bool(found.unread),
            taken=True,
            **way.facts(),
        )
        if (found.unread or output is not None) and not told_apart(own, probe):
            raise not_alone(title)
        remarks |= found.remarks | network.remarks | _remarks(network, last)
    network._source, network._said, network._handles = inner, said, handles
    network.remarks, network.read, network.unread = remarks, found.read, found.unread
    network.takes, network.transform = way.channels, way.transform
    network.framing = "whole" if way.transform is None else "crop"
    return network


def _check_form(module: Any, output: Any, layers: Any, title: str) -> None:
    """Raises ModelError where what `wrap` is given is of another form."""
    if isinstance(module, Network):
        raise ModelError(f"{module.title} is wrapped already: hand it to explain() as it is.")
    check_kind(module, title)
    if output is not None and not callable(output):
        raise ModelError(
            f"What picks the logits of {title} is a function: say output=lambda out: "
            f"out[{output!r}], or the like."
        )
    if layers is not None and not isinstance(layers, Mapping):
        raise ModelError(f"The layers of {title} are given as {{name of a module: title}}.")


def _hooked(module: nn.Module, channels: int, output: Any, title: str) -> list[Any]:
    """Hooks that turn photos grey and pick the logits, where those are needed; their handles."""
    handles = []
    if channels == 1:
        handles.append(module.register_forward_pre_hook(_grey))
    if output is not None:
        handles.append(module.register_forward_hook(Picked(output, title)))
    return handles


def _remarks(network: Network, last: str | None) -> dict[str, str]:
    """What a few passes tell of the network's maps, by key. last: the layer that was said."""
    placed = trimming.remark(network)
    placed = placed or trimming.bordered(network) | keeping.remark(network)
    if last is None and not network.attends:  # inside of a block others always go past it
        placed = placed | past.remark(network)
    return placed | slope.remark(network)


def _layer_named(layer: Any, module: nn.Module, title: str) -> str | None:
    """The name of the layer that is explained by default, where one was said; raises ModelError."""
    name = _name_of(layer, module) if isinstance(layer, nn.Module) else layer
    if name == "" or not isinstance(name, str | None):
        raise ModelError(f"The layer is no part of {title}: give one by its name there.")
    return name


@contextmanager
def _blaming(hooks: bool) -> Iterator[None]:
    """Where something fails for want of hooks that may have been left off, say so."""
    try:
        yield
    except ModelError as error:
        if not hooks or error.__cause__ is None:
            raise
        raise ModelError(
            f"{str(error).removesuffix('.')}; its own hooks were left off its copy, so give "
            "copy=False if it needs them."
        ) from error


def in_order(labels: Any, title: str) -> Any:
    """The names of all outputs; of {0: "benign", 1: "malignant"} and {"benign": 0, …}, too."""
    if labels is None or isinstance(labels, str):
        return labels
    if isinstance(labels, Mapping):
        order = list(range(len(labels)))
        if sorted(map(str, labels.values())) == sorted(map(str, order)) and 0 not in labels:
            labels = {number: name for name, number in labels.items()}  # as data sets have it
        labels = {str(number): name for number, name in labels.items()}
        if labels.keys() != set(map(str, order)):
            raise ModelError(
                f"The labels of {title} are not numbered from 0: give a list, with a name for each "
                "output in their order."
            )
        labels = [labels[str(index)] for index in order]
    if isinstance(labels, set | frozenset) or not hasattr(labels, "__iter__"):
        raise ModelError(
            f"The labels of {title} are a list: give a name for each output, in order."
        )
    return [_name(each, index, title) for index, each in enumerate(labels)]


def _name(label: Any, index: int, title: str) -> str:
    """A class's name on one line; where it has none, by its number."""
    if isinstance(label, bytes):
        label = label.decode(errors="replace")
    if isinstance(label, Tensor | np.generic) and label.ndim == 0:
        label = label.item()
    if not isinstance(label, str | int | float):
        raise ModelError(
            f"The labels of {title} are texts, and number {index} is a {type(label).__name__}: "
            "give one name for each output."
        )
    return " ".join(str(label).split()) or f"class {index}"


@dataclass(frozen=True)
class Answer:
    """What a module answers with, and how it is read. read: what makes logits of it, if anything
    has to; unread: why nothing can."""

    labels: Sequence[str]
    head: Head
    read: Callable[[Any], Tensor] | None = None
    remarks: Mapping[str, str] = field(default_factory=dict)
    unread: str = ""


def _answer(
    module: nn.Module,
    probe: Tensor,
    title: str,
    labels: Sequence[str] | None,
    head: str,
    copy: bool,
) -> Answer:
    """Try the module on a photo; raises ModelError where it answers with no logits."""
    if head not in ("auto", "softmax", "sigmoid", "none"):
        raise ModelError(f"The head of {title} is auto, softmax, sigmoid or none.")
    if head == "auto":
        head = _said_by(module)
    with evaluating(module):
        end = without_end(module, probe) if copy and head != "none" else ""
        found, ends = tried(module, probe, title)
        if head != "none" and isinstance(found, str | Real | np.ndarray | None):
            raise ModelError(
                f"{title} answers with a {type(found).__name__}, from which no gradient leads "
                "back: let it hand over its logits as a tensor."
            )
        if isinstance(found, Tensor) and found.is_floating_point() and head != "none":
            check_end(ends.of(found), title)
        remarks = {} if not end else {
            "head": f"{title} ends in a {end}, which was taken off its copy: what is explained is "
            "the logit before it."
        }  # fmt: skip
        if isinstance(found, Tensor) and found.ndim in (0, 1, 4):
            check_order(module, probe, found, title)
        read, unread = _reading(found, head, title)
        if read is not None:
            found = read(found)
    outputs = found.shape[1] if isinstance(found, Tensor) and found.ndim == 2 else 0
    if outputs == 1 and labels is not None and len(labels) == 2 and head != "none":
        read, outputs = both_ways, 2
        head = "sigmoid"
    if head == "auto":
        head = end.removeprefix("log-") or ("sigmoid" if outputs == 1 else "softmax")
    if labels is None or unread:
        labels = _named(module, outputs, head, title)
    return Answer(labels, head, read, remarks, unread)


def _said_by(module: nn.Module) -> str:
    """The head that a module says itself that it has: 0 classes is timm's word for none."""
    if getattr(module, "num_classes", None) == 0:
        return "none"
    problem = getattr(getattr(module, "config", None), "problem_type", None)
    return PROBLEMS.get(str(problem), "auto")


def _reading(found: Any, head: str, title: str) -> tuple[Callable[[Any], Tensor] | None, str]:
    """What makes logits of such an answer, if anything has to; and why nothing can."""
    if isinstance(found, Tensor) and found.ndim in (0, 1, 4):
        return squeezed, ""
    if head != "none" or (isinstance(found, Tensor) and found.ndim == 2):
        return None, ""
    return gist, (
        f"{title} answers with a {type(found).__name__}, which is no list of scores: give a "
        "function as the target."
    )


def _named(module: nn.Module, outputs: int, head: str, title: str) -> Sequence[str]:
    """Names for so many outputs, where nobody gave any: timm's or those of a model of Transformers,
    ImageNet's, or numbers."""
    known = known_of(module)
    names = known.get("labels") or getattr(getattr(module, "config", None), "id2label", None)
    if isinstance(names, Mapping | Sequence) and len(names) == outputs:
        return in_order(names, title)
    if known.get("imagenet") and outputs == 1000:
        return imagenet_labels()
    name = "output" if head == "none" else "class"
    return [f"{name} {index}" for index in range(outputs)]


def slug(title: str) -> str:
    """A title as a network's key, which stands in addresses."""
    return re.sub(r"[^\w.+=-]+", "-", title)


def _name_of(part: nn.Module, module: nn.Module) -> str:
    return next((name for name, each in module.named_modules() if each is part), "")


def _grey(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A photo's luminance for a network of greys; its gradient goes back to the three colours."""
    x, *rest = inputs
    weights = x.new_tensor(LUMINANCE).reshape(1, 3, 1, 1)
    return ((x * weights).sum(1, keepdim=True), *rest)
