"""What single channels of a layer do: how strongly, where, for which classes, on which photos.

After Yosinski et al. 2015, *Understanding neural networks through deep visualization*, and Zeiler
and Fergus 2014, *Visualizing and understanding convolutional networks*.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import OptionError
from ..explanation import Question
from ..methods.backprop import guided_recording
from ..network import Frame, Layer, Network
from ..network.frame import ALL, in_input, shown
from ..options import index_in
from ..recent import Recent
from ..registry import METHODS
from .receptive import field, on_photo

Order = Literal["index", "mean", "contribution"]

FINE = 10  # cells across
CORE = 0.05  # the share of a unit's gradient that may lie beyond each side of the core
NOT_HERE = "Fully connected layers have no places on the photo: choose a convolutional layer."


def layer_of(network: Network, layer: str) -> Layer:
    """The layer of that name, convolutional or fully connected; raises OptionError."""
    found = network.maps.get(layer) or network.flat.get(layer)
    if found is None:
        raise OptionError(f"{network.title} has no such layer: choose one from the list.")
    return found


def default_layer(network: Network) -> str:
    """A layer to start with: deep, but fine enough for a face or a wheel to fill a few cells."""
    rectified = [name for name in network.maps if name not in network.layers] or network.layers
    fine = [name for name in rectified if network.maps[name].width >= FINE]
    return fine[-1] if fine else network.last


def check(network: Network, layer: str, channel: int) -> int:
    """The channel, if the layer has it; raises OptionError that says which there are."""
    count = layer_of(network, layer).channels
    index = index_in(channel, count)
    if index is None:
        raise OptionError(f"This layer has the units 0 to {count - 1}: choose one of them.")
    return index


def activation(question: Question) -> Tensor:
    """The layer's activation (C, h, w) of the photo; (C, 1, 1) if it is fully connected."""
    recording = question.network.recorded(question.view, question.layer)
    return _maps(recording.activations[question.layer].detach()[0])


def _maps(value: Tensor) -> Tensor:
    """(C,) or (C, h, w) as (C, h, w)."""
    return value[:, None, None] if value.ndim == 1 else value


def contributions(question: Question) -> Tensor:
    """Activation x gradient of the first target's logit, summed over places: (C,).

    On the last layer of a GAP head these add up to the logit without its bias.
    """
    recording = question.network.recorded(question.view, question.layer)
    gradient = recording.gradients(question.targets[:1], question.against, question.layer)[0, 0]
    value = recording.activations[question.layer].detach()[0]
    return (value * gradient).flatten(1).sum(1) if value.ndim > 1 else value * gradient


def order(question: Question, by: Order) -> list[int]:
    """The layer's channels, sorted: by index, or the strongest first; of those that contribute the
    same, such as nothing, the one with the larger mean."""
    if by not in get_args(Order):
        raise OptionError("Channels are sorted by index, mean or contribution: choose one.")
    a = activation(question)
    if by == "index":
        return list(range(len(a)))
    ranked = a.mean((1, 2)).argsort(descending=True, stable=True)
    if by == "contribution":
        shares = contributions(question)[ranked]
        ranked = ranked[shares.argsort(descending=True, stable=True)]
    return ranked.tolist()


def sharpest(question: Question, among: Sequence[int] | None = None) -> int:
    """Of these channels (None: of all) the one whose activation is most concentrated in places:
    largest maximum over mean, of those that reach a quarter of the strongest one's maximum."""
    a = activation(question)
    among = list(range(len(a)) if among is None else among)
    tops, means = a[among].amax((1, 2)), a[among].mean((1, 2))
    ratio = tops / means.clamp(min=1e-6)
    return among[int(torch.where(tops >= tops.max() / 4, ratio, -torch.inf).argmax())]


def peak(question: Question, channel: int) -> float:
    """The channel's maximum on the photo."""
    return float(activation(question)[check(question.network, question.layer, channel)].max())


def inside(question: Question, box: Frame, count: int) -> list[tuple[int, float]]:
    """The `count` channels that fire most inside a box minus outside: (channel, difference)."""
    scores = inside_out(activation(question), box, question.view.frame)
    best = scores.topk(min(count, len(scores)))
    return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))


def inside_out(a: Tensor, box: Frame, frame: Frame) -> Tensor:
    """How much more each channel of `a` (C, h, w) fires inside a box than outside of it: (C,).

    box and frame: (left, top, right, bottom) as fractions of the photo; cells on the border count
    by the share of them that is inside. Raises OptionError where either side would be empty.
    """
    if a.shape[1:] == (1, 1):
        raise OptionError(NOT_HERE)
    inside, photo = (
        _covered(a.shape[1], top, bottom)[:, None] * _covered(a.shape[2], left, right)
        for left, top, right, bottom in (in_input(box, frame), in_input(ALL, frame))
    )
    outside = photo - inside
    if box[0] >= box[2] or box[1] >= box[3] or not inside.sum() > 1e-6:
        raise OptionError("The box is empty or outside of what the network sees: drag another one.")
    if not outside.sum() > 1e-3:
        raise OptionError("The box covers all that the network sees: leave something outside.")
    inside, outside = inside.to(a.device), outside.to(a.device)
    within = (a * inside).sum((1, 2)) / inside.sum()
    without = (a * outside).sum((1, 2)) / outside.sum()
    return within - without


def _covered(cells: int, low: float, high: float) -> Tensor:
    """The share of each of `cells` equal parts of 0..1 that lies in low..high."""
    edges = torch.linspace(0, 1, cells + 1, dtype=torch.float64)
    share = edges[1:].clamp(max=high) - edges[:-1].clamp(min=low)
    return (share.clamp(min=0) * cells).float()


@dataclass(frozen=True)
class Unit:
    """One channel on one photo.

    mean, peak: of its activation. cell: (row, column) of the peak; place: the middle of that cell
    on the photo. field: its receptive field; core: the part of it from which 90 % of the peak's
    gradient comes along each axis; both boxes as fractions of the photo. field_pixels: (width,
    height) of the uncut field in input pixels. pixels: gradient of the peak (1, 3, H, W), guided
    if `guided`.
    """

    channel: int
    mean: float
    peak: float
    cell: tuple[int, int]
    place: tuple[float, float]
    field: Frame
    core: Frame
    field_pixels: tuple[int, int]
    pixels: Tensor
    guided: bool


_units: Recent[Hashable, Unit] = Recent()


def unit(question: Question, channel: int) -> Unit:
    """Where the channel fires most, and the pixels that make it do so.

    Guided backprop of the strongest place where the network's ReLUs allow it (Springenberg et al.
    2015), saturated ReLU6s being taken as open; else the plain gradient. Raises OptionError for a
    layer without geometry.
    """
    network, layer, view = question.network, question.layer, question.view
    if layer in network.flat:
        raise OptionError(NOT_HERE)
    channel = check(network, layer, channel)
    return _units.found((view.key, layer, channel), lambda: _unit(question, channel), of=network)


def _unit(question: Question, channel: int) -> Unit:
    network, layer, view = question.network, question.layer, question.view
    a = activation(question)[channel]
    row, column = divmod(int(strongest_cells(a[None], view.frame)[0]), a.shape[1])
    guided = METHODS["guided"].why_not(question) is None
    if guided:
        recording = guided_recording(network, view.tensor, (layer,), open_top=True)
    else:
        recording = network.record(view.tensor, (layer,), inputs=True)
    peak = recording.activations[layer][0, channel, row, column]
    pixels = torch.autograd.grad(peak, recording.inputs)[0].cpu()
    height, width = view.tensor.shape[2:]
    seen = field(network, layer, height, width)
    box = seen.box(row, column)
    middle = ((column + 0.5) / a.shape[1] * width, (row + 0.5) / a.shape[0] * height)
    place = on_photo((*middle, *middle), (width, height), view.frame)
    return Unit(
        channel=channel,
        mean=float(a.mean()),
        peak=float(a[row, column]),
        cell=(row, column),
        place=place[:2],
        field=on_photo(box, (width, height), view.frame),
        core=on_photo(_core(pixels[0], box), (width, height), view.frame),
        field_pixels=(seen.x.size, seen.y.size),
        pixels=pixels,
        guided=guided,
    )


def strongest_cells(a: Tensor, frame: Frame = ALL) -> Tensor:
    """(C,) of (C, h, w): each channel's strongest cell on the photo, as row * w + column; of
    equals, which a ReLU6 makes, the one in the strongest surroundings."""
    here = shown(frame, *a.shape[1:])
    around, part = F.avg_pool2d(a[None], 3, 1, 1)[0], a[:, *here]
    best = torch.full_like(a, -torch.inf)
    best[:, *here] = torch.where(
        part == part.amax((1, 2), keepdim=True), around[:, *here], -torch.inf
    )
    return best.flatten(1).argmax(1)


def _core(pixels: Tensor, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The box in which most of a gradient (3, H, W) lies, or `box` where there is none."""
    strength = pixels.abs().sum(0)
    if not strength.sum() > 0:
        return box
    (left, right), (top, bottom) = (_middle(strength.sum(axis)) for axis in (0, 1))
    return left, top, right, bottom


def _middle(strength: Tensor) -> tuple[int, int]:
    shares = strength.cumsum(0) / strength.sum()
    return int((shares < CORE).sum()), int((shares < 1 - CORE).sum()) + 1


@dataclass(frozen=True)
class Feeds:
    """Classes that a channel raises most. exact: values are the head's own weights; else how much
    each logit falls on this photo when the channel is switched off."""

    classes: tuple[int, ...]
    values: tuple[float, ...]
    exact: bool


def feeds(question: Question, channel: int, count: int = 5) -> Feeds:
    """The `count` classes that the channel feeds most."""
    network, layer = question.network, question.layer
    channel = check(network, layer, channel)
    exact = network.cam_weights is not None and layer == network.last
    effect = network.cam_weights[:, channel].cpu() if exact else _effect(question, channel)
    best = effect.topk(min(count, len(effect)))
    return Feeds(tuple(best.indices.tolist()), tuple(best.values.tolist()), exact)


def _effect(question: Question, channel: int) -> Tensor:
    """How much each logit falls when the channel is switched off: (classes,)."""
    network, layer = question.network, question.layer
    without = network.record(question.view.tensor, gradients=False, muted={layer: channel}).logits
    return (network.recorded(question.view, layer).logits.detach() - without)[0].cpu()
