"""Which of a few photos make each unit of a network fire most, found once, in the background."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from ..network import Network
from ..photo import Photo
from ..recent import Recent

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Peaks:
    """values, cells: (photos, C): each channel's maximum on each photo, and at which place
    (row * width + column) of the (height, width) in `sizes`."""

    values: Tensor
    cells: Tensor
    sizes: tuple[tuple[int, int], ...]

    def top(self, channel: int) -> float:
        """The channel's maximum on all of the photos."""
        return float(self.values[:, channel].max())

    def best(self, channel: int, count: int) -> list[tuple[int, float, tuple[int, int]]]:
        """(photo, value, (row, column)) of the photos on which the channel fires most."""
        column = self.values[:, channel]
        rows = column.topk(min(count, len(column))).indices.tolist()
        places = [divmod(int(self.cells[row, channel]), self.sizes[row][1]) for row in rows]
        return [(r, float(column[r]), place) for r, place in zip(rows, places, strict=True)]


def peaks(network: Network, photos: Sequence[Photo]) -> dict[str, Peaks]:
    """The peaks of every convolutional layer on every photo, one pass each."""
    values: dict[str, list[Tensor]] = {name: [] for name in network.maps}
    cells: dict[str, list[Tensor]] = {name: [] for name in network.maps}
    sizes: dict[str, list[tuple[int, int]]] = {name: [] for name in network.maps}
    for photo in photos:
        x = network.prepare(photo).tensor
        recording = network.record(x, tuple(network.maps), gradients=False)
        for name, a in recording.activations.items():
            best = a[0].flatten(1).max(1)
            values[name].append(best.values.cpu())
            cells[name].append(best.indices.int().cpu())
            sizes[name].append((a.shape[2], a.shape[3]))
    return {
        name: Peaks(torch.stack(values[name]), torch.stack(cells[name]), tuple(sizes[name]))
        for name in network.maps
    }


class Strongest:
    """Keeps the peaks of the networks used lately; a network's are found when first asked for."""

    def __init__(self, photos: Callable[[], Sequence[Photo]]) -> None:
        self._photos = photos
        self._known: Recent[int, Mapping[str, Peaks]] = Recent()
        self._busy: set[int] = set()
        self._lock = threading.Lock()
        # ended in order at exit: a thread that is torn down inside torch aborts the process
        self._worker = ThreadPoolExecutor(1, "strongest")

    def ask(self, network: Network) -> Mapping[str, Peaks] | None:
        """The peaks by layer, or None while they are being found."""
        found = self._known.get(network.serial)
        if found is None:
            with self._lock:
                if network.serial in self._busy:
                    return None
                self._busy.add(network.serial)
            self._worker.submit(self._find, network)
        return found

    def _find(self, network: Network) -> None:
        try:
            self._known.keep(network.serial, peaks(network, self._photos()), of=network)
        except Exception:
            _log.exception("the peaks of %s could not be found", network.key)
        finally:
            with self._lock:
                self._busy.discard(network.serial)
