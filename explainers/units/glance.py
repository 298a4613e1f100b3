"""One frame of a camera: a layer's channels, a few of them large, the likeliest classes."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from ..errors import PhotoError
from ..network import Network
from ..photo import Photo, read
from .activations import check, layer_of
from .mosaic import Mosaic, Per, mosaic

LARGEST = 640  # pixels on the longer side of a frame
HEAVIEST = 400_000  # bytes

Pin = tuple[str, int]  # layer and channel


@dataclass(frozen=True)
class Glance:
    """mosaic: None for a fully connected layer. pins: (h, w) of each pinned channel. classes:
    (index, probability), likeliest first. network_seconds: the forward pass alone."""

    photo: Photo
    mosaic: Mosaic | None
    pins: tuple[np.ndarray, ...]
    classes: tuple[tuple[int, float], ...]
    frame: tuple[float, float, float, float]
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


def glance(
    network: Network,
    photo: Photo,
    layer: str,
    pins: Sequence[Pin] = (),
    *,
    width: int = 480,
    side: int = 15,
    per: Per = "layer",
    gain: float = 1.0,
    gamma: float = 1.0,
    count: int = 5,
) -> Glance:
    """One pass that keeps nothing for gradients. width: of the mosaic, in pixels; its tiles keep
    the order of the channels, so that they stay where they are from frame to frame."""
    layer_of(network, layer)
    chosen = [(name, check(network, name, channel)) for name, channel in pins]
    chosen = [(name, channel) for name, channel in chosen if name in network.maps]
    view = network.prepare(photo)
    start = time.perf_counter()
    layers = tuple(dict.fromkeys([layer, *(name for name, _ in chosen)]))
    recording = network.record(view.tensor, layers, gradients=False)
    seconds = time.perf_counter() - start
    values = {name: a[0].float().cpu().numpy() for name, a in recording.activations.items()}
    sheet = None
    if layer in network.maps:
        channels = range(len(values[layer]))
        sheet = mosaic(values[layer], channels, width, side=side, per=per, gain=gain, gamma=gamma)
    chances = network.probabilities(recording.logits[0])
    best = torch.topk(chances, min(count, len(chances)))
    return Glance(
        photo,
        sheet,
        tuple(values[name][channel] for name, channel in chosen),
        tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True)),
        view.frame,
        seconds,
    )
