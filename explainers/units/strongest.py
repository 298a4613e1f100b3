"""Which of a few photos make each unit of a network fire most: found once, and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..network import Network
from ..photo import Photo
from ..recent import Recent
from .activations import strongest_cells

Layers = Mapping[str, "Peaks"]


@dataclass(frozen=True)
class Best:
    """One channel on one of the photos. photo: its number. peak, mean: of the activation.
    cell: (row, column) of the peak; size: (height, width) of the layer there."""

    photo: int
    peak: float
    mean: float
    cell: tuple[int, int]
    size: tuple[int, int]


@dataclass(frozen=True)
class Peaks:
    """values, means, cells: (photos, C): each channel's maximum and mean on each photo, and the
    place of the maximum (row * width + column) in the (height, width) of `sizes`."""

    values: Tensor
    means: Tensor
    cells: Tensor
    sizes: tuple[tuple[int, int], ...]

    def top(self, channel: int) -> float:
        """The channel's maximum on all of the photos."""
        return float(self.values[:, channel].max())

    def best(self, channel: int, count: int) -> list[Best]:
        """The photos on which the channel fires most, by its maximum; of equals, which a bound
        such as ReLU6's makes of all that reach it, by its mean."""
        peaks, means = self.values[:, channel], self.means[:, channel]
        by_mean = means.argsort(descending=True, stable=True)
        ranked = by_mean[peaks[by_mean].argsort(descending=True, stable=True)][:count].tolist()
        found = []
        for row in ranked:
            cell = divmod(int(self.cells[row, channel]), self.sizes[row][1])
            found.append(Best(row, float(peaks[row]), float(means[row]), cell, self.sizes[row]))
        return found


def peaks(network: Network, photos: Sequence[Photo]) -> Layers:
    """The peaks of every convolutional layer on every photo, one pass each."""
    found: Layers = {}
    for step in looking(network, photos):
        found = step or found
    return found


def looking(network: Network, photos: Sequence[Photo]) -> Iterator[Layers | None]:
    """`peaks`, yielding None after each photo and the peaks at the end."""
    values, means, cells, sizes = ({name: [] for name in network.maps} for _ in range(4))
    for photo in photos:
        x = network.prepare(photo).tensor
        recording = network.record(x, tuple(network.maps), gradients=False)
        for name, a in recording.activations.items():
            values[name].append(a[0].amax((1, 2)).cpu())
            means[name].append(a[0].mean((1, 2)).cpu())
            cells[name].append(strongest_cells(a[0]).int().cpu())
            sizes[name].append((a.shape[2], a.shape[3]))
        yield None
    yield {
        name: Peaks(*(torch.stack(each[name]) for each in (values, means, cells)), tuple(size))
        for name, size in sizes.items()
    }


class Strongest:
    """Keeps the peaks of the networks used lately; a network's are found when first asked for."""

    def __init__(self, photos: Callable[[], Sequence[Photo]]) -> None:
        self._photos = photos
        self._known: Recent[int, Layers] = Recent()

    def known(self, network: Network) -> Layers | None:
        """The peaks by layer, if they have been found."""
        return self._known.get(network.serial)

    def find(self, network: Network) -> Iterator[Layers | None]:
        """Find them: None while it goes on, then the peaks by layer."""
        found = self.known(network)
        if found is None:
            for step in looking(network, self._photos()):
                found = step
                yield None
            self._known.keep(network.serial, found, of=network)
        yield found
