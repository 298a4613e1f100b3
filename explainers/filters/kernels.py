"""The kernels of a network's convolutions, and what the first of them do to a photo.

Orientation and frequency come from the peak of a filter's spectrum: orientation is the direction
across the stripes in degrees, counterclockwise from the x axis, 0 to 180; frequency is in cycles
per pixel, 0 to 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import OptionError
from ..network import Network, View
from ..options import index_in

Order = Literal["index", "orientation", "frequency"]

SPECTRUM = 64  # samples of the spectrum along each axis


@dataclass(frozen=True)
class Conv:
    """A convolution. filters: how many; inputs: channels that each filter reads; kernel: (height,
    width) in pixels; first: it reads the photo itself."""

    name: str
    title: str
    filters: int
    inputs: int
    kernel: tuple[int, int]
    first: bool


def convolutions(network: Network) -> dict[str, Conv]:
    """All two-dimensional convolutions by name, in the order of the network's definition."""
    found = {}
    for name, module in network.module.named_modules():
        if isinstance(module, nn.Conv2d):
            filters, inputs, *kernel = module.weight.shape
            first = not found and inputs == 3
            title = f"{len(found) + 1} · {name} · {kernel[0]} × {kernel[1]}, {filters} filters"
            if module.groups > 1:
                title += ", one input each" if inputs == 1 else f", {inputs} inputs each"
            found[name] = Conv(name, title, filters, inputs, tuple(kernel), first)
    return found


def weights(network: Network, name: str) -> Tensor:
    """The kernels (filters, inputs, height, width) of a convolution; raises OptionError."""
    if name not in convolutions(network):
        raise OptionError(f"{network.title} has no such convolution: choose one from the list.")
    return network.module.get_submodule(name).weight.detach().float().cpu()


def check(conv: Conv, index: int) -> int:
    """The filter's index, if the convolution has it; raises OptionError."""
    found = index_in(index, conv.filters)
    if found is None:
        raise OptionError(f"This layer has the filters 0 to {conv.filters - 1}: choose one.")
    return found


@dataclass(frozen=True)
class Parts:
    """A colour filter (3, h, w) as its best product of a colour (3,) and a plane (h, w).

    share: of the filter's energy that the product keeps, the first singular value's.
    """

    colour: np.ndarray
    plane: np.ndarray
    share: float


def separate(kernel: np.ndarray) -> Parts:
    """Split a filter (channels, h, w) into colour and plane by its first singular vectors."""
    channels, height, width = kernel.shape
    left, values, right = np.linalg.svd(kernel.reshape(channels, -1), full_matrices=False)
    sign = 1.0 if left[:, 0].sum() >= 0 else -1.0
    energy = float((values**2).sum())
    share = float(values[0] ** 2) / energy if energy > 0 else 1.0
    return Parts(sign * left[:, 0], sign * values[0] * right[0].reshape(height, width), share)


def spectrum(plane: np.ndarray) -> np.ndarray:
    """Magnitude of the frequency response of a plane (h, w): (SPECTRUM, SPECTRUM), zero frequency
    in the middle, -0.5 to 0.5 cycles per pixel, upwards and to the right."""
    return np.fft.fftshift(np.abs(np.fft.fft2(plane, (SPECTRUM, SPECTRUM))))[::-1]


def tuning(plane: np.ndarray) -> tuple[float, float]:
    """(orientation in degrees, frequency in cycles per pixel) at the peak of the spectrum of a
    plane (h, w)."""
    return tuned(plane)[:2]


def tuned(plane: np.ndarray) -> tuple[float, float, float]:
    """`tuning`, and what the plane answers to such stripes across, as a share of its most."""
    size = np.abs(np.fft.fft2(plane, (SPECTRUM, SPECTRUM)))
    y, x = np.unravel_index(int(size.argmax()), size.shape)
    most = max(float(size[y, x]), 1e-12)
    y, x = ((each + SPECTRUM // 2) % SPECTRUM - SPECTRUM // 2 for each in (y, x))
    angle = float(np.degrees(np.arctan2(-y, x)) % 180)  # rows grow downwards
    return angle, float(np.hypot(y, x)) / SPECTRUM, float(size[x, -y]) / most


def order(kernels: np.ndarray, by: Order) -> list[int]:
    """The filters (F, C, h, w), sorted: by index, by orientation, or from coarse to fine."""
    if by not in get_args(Order):
        raise OptionError("Filters are sorted by index, orientation or frequency: choose one.")
    if by == "index":
        return list(range(len(kernels)))
    tuned = [tuning(separate(kernel).plane) for kernel in kernels]
    place = 0 if by == "orientation" else 1
    return sorted(range(len(kernels)), key=lambda index: tuned[index][place])


def slices(kernels: np.ndarray, index: int, most: int) -> list[tuple[int, np.ndarray, float]]:
    """(input channel, slice (h, w), norm) of a filter, strongest inputs first, at most `most`.

    Input channels are counted from the first that this filter reads.
    """
    norms = np.sqrt((kernels[index] ** 2).sum((1, 2)))
    best = np.argsort(-norms, kind="stable")[:most]
    return [(int(i), kernels[index, i], float(norms[i])) for i in best]


def half(kernels: np.ndarray, index: int) -> int:
    """On how many input channels half of the energy of one of the filters (F, C, h, w) lies."""
    energy = np.sort((kernels[index] ** 2).sum((1, 2)))[::-1]
    return int((energy.cumsum() < energy.sum() / 2).sum()) + 1


def first_input(network: Network, conv: Conv, index: int) -> int:
    """The number of the first channel that a filter of a grouped convolution reads."""
    groups = network.module.get_submodule(conv.name).groups
    return index // (conv.filters // groups) * conv.inputs


@torch.no_grad()
def response(network: Network, view: View, conv: Conv, index: int) -> Tensor:
    """What a filter of the first convolution answers to the photo: (h, w), signed, without bias.

    Raises OptionError for a deeper convolution, which never sees the photo itself.
    """
    if not conv.first:
        raise OptionError("Only the first convolution reads the photo: choose that one.")
    module = network.module.get_submodule(conv.name)
    x = view.tensor.to(network.device)
    bias = 0.0 if module.bias is None else module.bias[check(conv, index)]
    return (module(x)[0, check(conv, index)] - bias).float().cpu()
