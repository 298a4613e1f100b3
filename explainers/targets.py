"""What to explain besides a class: functions of a network's output, ready-made.

    explain(network, photo, difference("tabby", "tiger cat"))
    explain(network, photo, similar_to("another.jpg"))

Any function of one's own does as well: it is given what the module hands over for one photo (a
batch of one: (1, classes) for a classifier; what `output=` picks out, if `wrap` was given one) and
returns one number. Methods that go by gradients need a tensor that hangs on the output; muting
windows, RISE and patches take any number. `lambda output: output[0, 3] - output[0, 5]`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import OptionError, TargetError
from .network import Function, Network, View
from .network.frame import as_mask, cut
from .network.outputs import squeezed
from .photos import view_of
from .recent import Recent

Class = int | str


@dataclass(frozen=True)
class Bound:
    """A function whose names and photos were looked up for one network and view."""

    label: str
    function: Function
    classes: bool = False  # is its value a class's logit, or that times -1?

    def __call__(self, output: Any) -> Any:
        return self.function(output)


@dataclass(frozen=True)
class Aim:
    """A target that has to know the network, such as to find a class by its name.

    bound: looks that up; raises TargetError or OptionError.
    """

    bound: Callable[[Network, View], Bound]


def logit(target: Class) -> Aim:
    """The logit of a class: what is explained when a class is given."""

    return Aim(partial(_logit, target))


def _logit(target: Class, network: Network, _view: View) -> Bound:
    index, logits = network.resolve(target), _reading(network)
    return Bound(network.labels[index], lambda output: logits(output)[0, index], True)


def no(target: Class) -> Aim:
    """What speaks against a class: its logit times -1. Of a sigmoid, "not tabby" says it, too."""

    return Aim(partial(_no, target))


def _no(target: Class, network: Network, _view: View) -> Bound:
    index, logits = network.resolve(target), _reading(network)
    name, classes = f"not {network.labels[index]}", network.head == "sigmoid"
    return Bound(name, lambda output: -logits(output)[0, index], classes)


def difference(first: Class, second: Class) -> Aim:
    """The logit of one class less that of another: why the first and not the second?"""

    return Aim(partial(_difference, first, second))


def _difference(first: Class, second: Class, network: Network, _view: View) -> Bound:
    one, other = network.resolve(first), network.resolve(second)
    if one == other:
        raise OptionError("A class does not differ from itself: choose another second class.")
    name, logits = f"{network.labels[one]} less {network.labels[other]}", _reading(network)

    def value(output: Any) -> Tensor:
        found = logits(output)[0]
        return found[one] - found[other]

    return Bound(name, value)


def up(place: int = 0) -> Aim:
    """What raises one number of the output, such as a regression's, by its place in it."""
    return Aim(partial(_moved, "up", 1, place))


def down(place: int = 0) -> Aim:
    """What lowers one number of the output."""
    return Aim(partial(_moved, "down", -1, place))


def _moved(way: str, sign: int, place: int, _network: Network, _view: View) -> Bound:
    return Bound(f"output {place} {way}", lambda output: sign * _number(output, place))


def similar_to(photo: Any) -> Aim:
    """The cosine similarity, -1 to 1, of the output to that of another photo.

    Of an embedding network that is the similarity of embeddings. photo: all that `explain` takes.
    """

    return Aim(partial(_similar_to, photo))


def _similar_to(photo: Any, network: Network, view: View) -> Bound:
    other, _ = view_of(network, photo, view.framing)
    there = _others.found(other.key, lambda: _vector(network.output(other.tensor)), of=network)
    return Bound(
        "similarity to the other photo",
        lambda output: F.cosine_similarity(_vector(output), there, 0),
    )


_others: Recent[str, Tensor] = Recent()


def inside(target: Class, mask: Any = None) -> Aim:
    """The mean of a class's logit over a mask, for networks that answer place by place.

    Such as a segmentation, with (1, classes, h, w). mask: (H, W) of the photo, booleans or weights
    0..1, brought to the output's resolution (a smaller one of the photo's proportions will do);
    None for everywhere.
    """

    return Aim(partial(_inside, target, mask))


def _inside(target: Class, mask: Any, network: Network, view: View) -> Bound:
    index = network.resolve(target)
    weights = None if mask is None else _cut(_weights(mask), view)

    def value(output: Any) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim != 4:
            raise TargetError(
                f"{network.title} gives no logits for each place, as “inside” needs: give the "
                "class alone."
            )
        if weights is None:
            return output[0, index].mean()
        logits, size = output[0, index], tuple(output.shape[2:])
        here = F.interpolate(weights[None, None].to(logits), size, mode="area")[0, 0]
        if not bool(here.sum() > 0):
            raise OptionError("The mask is empty where the network sees the photo: enlarge it.")
        return (logits * here).sum() / here.sum()

    where = "everywhere" if mask is None else "inside the mask"
    return Bound(f"{network.labels[index]}, {where}", value)


def _reading(network: Network) -> Function:
    """What finds the logits (1, classes) in an output that is handed over whole."""
    return network.read or squeezed


def _vector(output: Any) -> Tensor:
    if not isinstance(output, Tensor):
        raise TargetError(
            f"A similarity is one of tensors, and this output is a {type(output).__name__}: say "
            "wrap(module, output=…), which picks the embedding out of it."
        )
    return output.float().flatten()


def _number(output: Any, place: int) -> Tensor:
    numbers = squeezed(output).flatten() if isinstance(output, Tensor) else None
    if (
        numbers is None
        or not isinstance(place, Integral)
        or not -len(numbers) <= place < len(numbers)
    ):
        raise TargetError(
            "The output has no such number: give its place in a tensor, a whole number from 0 on, "
            "or a function that finds it."
        )
    return numbers[place]


def _weights(mask: Any) -> Tensor:
    """A mask as floats (H, W)."""
    try:
        found = as_mask(mask).float()
    except (TypeError, ValueError, RuntimeError):
        found = torch.empty(0, device="cpu")
    if found.ndim != 2 or not found.numel() or not bool(((found >= 0) & (found <= 1)).all()):
        raise OptionError(
            "A mask is an array of height × width, of booleans or weights from 0 to 1."
        )
    return found


def _cut(mask: Tensor, view: View) -> Tensor:
    """The part of a photo's mask that the view shows; raises OptionError for another shape's."""
    height, width = mask.shape
    if not view.placed:
        raise OptionError(
            "Which part of the photo the network sees is not known, so a mask can’t be laid over "
            "it: give a transform that only resizes, crops, pads and mirrors."
        )
    high, wide = view.photo_size or (height, width)
    if abs(height * wide - width * high) > (high + wide) / 2:  # half a pixel of each side
        raise OptionError(
            f"The mask is {width} × {height} and the photo {wide} × {high}: give one of the "
            "photo’s proportions."
        )
    return cut(mask, view.frame)
