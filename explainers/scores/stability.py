"""Does a map stay where it is when the photo is cropped a little differently?

Two neighbouring crops of one photo show the network the same things. Where their maps disagree, a
map says as much about the crop as about the class (compare Ghorbani et al. 2019, "Interpretation of
Neural Networks Is Fragile", who look for the worst such change; this one is nobody's choice).
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..api import again
from ..explanation import Explanation
from ..network import Frame, Network
from ..network.frame import ALL, part
from ..notes import cells, measure, unstable
from ..photo import Photo, read
from ..photo.bands import bands
from .agreement import rank_correlation

SHIFT = 1 / 16  # of each side: what one crop has and the other has not
POINTS = 16  # each way, at which the two maps are compared


def steady(explanation: Explanation, network: Network, photo: Photo) -> Explanation:
    """The explanation with a note for each target whose map changes with the crop.

    A map that has nothing to show has nothing to change, and gets no such note.

    Costs two more runs of its method: on the photo without its left and upper sixteenth, and on the
    photo without its right and lower one. Raises PhotoError where a crop is too small to be read.
    """
    rates = enumerate(agreement(explanation, network, photo))
    shows = [measure(explanation, row).strongest_place for row in range(len(explanation.targets))]
    found = [unstable(rate, row) for row, rate in rates if shows[row]]
    return replace(explanation, notes=(*explanation.notes, *(note for note in found if note)))


def agreement(explanation: Explanation, network: Network, photo: Photo) -> list[float]:
    """For each target the rank correlation of the two crops' maps where both see the photo."""
    down, right = (round(side * SHIFT) for side in photo.pixels.shape[:2])
    first = again(explanation, network, _cropped(photo, slice(down, None), slice(right, None)))
    low, side = slice(-down or None), slice(-right or None)
    second = again(explanation, network, _cropped(photo, low, side))
    y, x = down / photo.height, right / photo.width
    seen = [
        _within(first.frame, (x, y, 1.0, 1.0)),
        _within(second.frame, (0.0, 0.0, 1 - x, 1 - y)),
    ]
    shown = [
        _within(part(ALL, first.frame), (x, y, 1.0, 1.0)),
        _within(part(ALL, second.frame), (0.0, 0.0, 1 - x, 1 - y)),
    ]
    left, top = (max(frame[side] for frame in shown) for side in (0, 1))
    across, low = (min(frame[side] for frame in shown) for side in (2, 3))
    shared = (left, top, across, low)
    return [
        rank_correlation(
            _sampled(first, row, seen[0], shared), _sampled(second, row, seen[1], shared)
        )
        for row in range(len(explanation.targets))
    ]


def _cropped(photo: Photo, rows: slice, columns: slice) -> Photo:
    """That part of a photo, in as many channels as it has."""
    if photo.bands is not None:
        return bands(photo.bands[rows, columns], photo.bands.shape[2])
    return read(photo.pixels[rows, columns])


def _within(frame: Frame, crop: Frame) -> Frame:
    """A part of a crop as a part of the photo."""
    wide, tall = crop[2] - crop[0], crop[3] - crop[1]
    left, top, right, bottom = frame
    return (
        crop[0] + left * wide,
        crop[1] + top * tall,
        crop[0] + right * wide,
        crop[1] + bottom * tall,
    )


def _sampled(explanation: Explanation, row: int, seen: Frame, shared: Frame) -> Tensor:
    """Values at a grid of points of the part `shared`, of a map that covers `seen`."""
    values = explanation.values[row]
    values = cells(values.abs().amax(0) if explanation.per_pixel else values)
    steps = (torch.arange(POINTS, device="cpu") + 0.5) / POINTS
    x = ((shared[0] + steps * (shared[2] - shared[0])) - seen[0]) / (seen[2] - seen[0])
    y = ((shared[1] + steps * (shared[3] - shared[1])) - seen[1]) / (seen[3] - seen[1])
    at = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None] * 2 - 1
    return F.grid_sample(values[None, None], at, padding_mode="border", align_corners=False)[0, 0]
