"""One frame of a camera: Grad-CAM, a layer's channels, the pinned ones, the likeliest classes."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import PhotoError
from ..methods.cam import gradcam
from ..network import Frame, Network, Recording
from ..photo import Photo, read
from .activations import check, layer_of
from .mosaic import Mosaic, Per, mosaic

LARGEST = 640  # pixels on the longer side of a frame
HEAVIEST = 400_000  # bytes

Pin = tuple[str, int]  # layer and channel


@dataclass(frozen=True)
class Glance:
    """heat: Grad-CAM (h, w), raw, of the class `target`. mosaic: None for a fully connected layer.
    pins: (h, w) of each pinned channel. classes: (index, probability), likeliest first.
    network_seconds: the pass alone, with Grad-CAM's gradient where it takes one."""

    photo: Photo
    heat: np.ndarray
    target: int
    mosaic: Mosaic | None
    pins: tuple[np.ndarray, ...]
    classes: tuple[tuple[int, float], ...]
    frame: Frame
    network_seconds: float


def decode(data: bytes) -> Photo:
    """A frame as the browser sends it, a small JPEG; raises PhotoError for anything else."""
    problem = "The camera’s picture can’t be read: stop the camera and start it again."
    if len(data) > HEAVIEST:
        raise PhotoError(problem)
    try:
        image = Image.open(io.BytesIO(data), formats=["JPEG"])
        if max(image.size) > LARGEST:
            raise PhotoError(problem)
        return read(np.asarray(image.convert("RGB")))
    except Exception as error:
        raise PhotoError(problem) from error


def passed(network: Network, x: Tensor, layers: Sequence[str]) -> Recording:
    """A pass that records `layers` and what `warmth` needs."""
    layers = tuple(dict.fromkeys((*layers, network.last)))
    return network.record(x, layers, gradients=network.cam_weights is None)


def warmth(network: Network, recording: Recording, target: int) -> Tensor:
    """Grad-CAM (h, w) of one class from a pass of `passed`, raw and signed.

    Behind a global average and one linear layer the gradient is known beforehand: the weight,
    divided by the number of places.
    """
    last = recording.activations[network.last].detach()[0]
    if network.cam_weights is None:
        gradient = recording.gradients((target,), None, network.last)[:, 0]
    else:
        gradient = network.cam_weights[target, :, None, None] / last[0].numel()
        gradient = gradient.expand_as(last)[None]
    return gradcam(last, gradient)[0]


def glance(
    network: Network,
    photo: Photo,
    layer: str,
    pins: Sequence[Pin] = (),
    *,
    target: int | None = None,
    width: int = 480,
    side: int = 15,
    per: Per = "layer",
    gain: float = 1.0,
    gamma: float = 1.0,
    count: int = 5,
) -> Glance:
    """One pass. target: the class whose heat is drawn; None is the likeliest one. width: of the
    mosaic, in pixels; its tiles keep the order of the channels, so that they stay where they are
    from frame to frame. Raises OptionError and TargetError."""
    layer_of(network, layer)
    chosen = [(name, check(network, name, channel)) for name, channel in pins]
    chosen = [(name, channel) for name, channel in chosen if name in network.maps]
    wanted = None if target is None else network.resolve(target)
    view = network.prepare(photo)
    start = time.perf_counter()
    recording = passed(network, view.tensor, [layer, *(name for name, _ in chosen)])
    logits = recording.logits.detach()[0]
    shown = int(logits.argmax()) if wanted is None else wanted
    heat = warmth(network, recording, shown).cpu().numpy()
    seconds = time.perf_counter() - start
    values = {
        name: a.detach()[0].float().cpu().numpy() for name, a in recording.activations.items()
    }
    sheet = None
    if layer in network.maps:
        channels = range(len(values[layer]))
        sheet = mosaic(values[layer], channels, width, side=side, per=per, gain=gain, gamma=gamma)
    chances = network.probabilities(logits)
    best = torch.topk(chances, min(count, len(chances)))
    return Glance(
        photo,
        heat,
        shown,
        sheet,
        tuple(values[name][channel] for name, channel in chosen),
        tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True)),
        view.frame,
        seconds,
    )
