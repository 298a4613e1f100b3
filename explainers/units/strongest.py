"""On which of many photos each unit fires most, and which units answer alike.

A network is asked about every photo once, photo by photo; what is kept is small. Where a bound
such as ReLU6's cuts what a unit says, photos are ranked by what it was before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from ..network import Network
from ..network.frame import Frame, shown
from ..network.swaps import Unbounded
from ..photo import Photo
from ..recent import Recent
from .activations import strongest_cells
from .reference import Reference

BEST = 12  # photos kept of each unit
NEAR = 8  # neighbours kept of each unit
BUDGET = 120.0  # seconds of passes, after which a slow network is content with what it has seen
LEAST = 48  # photos, however slow
SOME = 16  # channels looked at together

Layers = Mapping[str, "Peaks"]


@dataclass(frozen=True)
class Best:
    """One channel on one of the photos. photo: its number. peak: the activation's maximum, before
    a bound; mean: of the activation. cell: (row, column) of the peak; size: (height, width) of the
    layer there."""

    photo: int
    peak: float
    mean: float
    cell: tuple[int, int]
    size: tuple[int, int]


@dataclass(frozen=True)
class Neighbour:
    """A channel of the same layer, and how its peaks correlate over the photos."""

    channel: int
    correlation: float


@dataclass(frozen=True)
class Peaks:
    """One layer. photos, values, means, cells: (C, n), the photos on which each channel fires most,
    its maximum and mean there, and the maximum's place as row * width + column in the (height,
    width) of sizes (photos, 2). near, alike: (C, m), the channels that answer most alike, and the
    correlation. bound: what the activation never exceeds."""

    photos: Tensor
    values: Tensor
    means: Tensor
    cells: Tensor
    sizes: Tensor
    near: Tensor
    alike: Tensor
    bound: float = torch.inf

    def top(self, channel: int) -> float:
        """The channel's largest activation on all of the photos."""
        return min(float(self.values[channel, 0]), self.bound)

    def best(self, channel: int, count: int) -> list[Best]:
        """The photos on which the channel fires most, by its maximum; of equals by its mean."""
        found = []
        for rank, number in enumerate(self.photos[channel, :count].tolist()):
            height, width = self.sizes[number].tolist()
            cell = divmod(int(self.cells[channel, rank]), width)
            value, mean = float(self.values[channel, rank]), float(self.means[channel, rank])
            found.append(Best(number, value, mean, cell, (height, width)))
        return found

    def neighbours(self, channel: int, count: int = NEAR) -> list[Neighbour]:
        """The channels whose peaks rise and fall with this one's over the photos."""
        pairs = zip(self.near[channel].tolist(), self.alike[channel].tolist(), strict=True)
        return [Neighbour(other, r) for other, r in pairs if r > 0][:count]


@dataclass(frozen=True)
class Answers:
    """What a network answered: peaks by layer; seen: numbers of the photos that it was asked about;
    logits (photos seen, classes)."""

    layers: Layers
    seen: tuple[int, ...]
    logits: Tensor


@dataclass
class Survey:
    """A network being asked about the photos, one a step, by whoever comes."""

    photos: Sequence[Photo | Reference]
    budget: float = BUDGET
    values: dict[str, Tensor] = field(default_factory=dict)
    means: dict[str, Tensor] = field(default_factory=dict)
    cells: dict[str, Tensor] = field(default_factory=dict)
    sizes: dict[str, Tensor] = field(default_factory=dict)
    bounds: dict[str, float] = field(default_factory=dict)
    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    asked: int = 0
    seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def done(self) -> float:
        """0 to 1."""
        if not self.asked:
            return 0.0
        late = self.seconds / max(self.budget, 1e-9)
        return max(self.asked / len(self.photos), min(self.asked / LEAST, late))

    @property
    def over(self) -> bool:
        enough = self.asked >= LEAST and self.seconds >= self.budget
        return enough or self.asked >= len(self.photos)

    def order(self) -> list[int]:
        """The photos in the order in which they are asked about: mixed, so that a part will do."""
        mixed = torch.randperm(len(self.photos), generator=torch.Generator().manual_seed(0))
        return mixed.tolist()

    def step(self, network: Network) -> None:
        """Ask about one photo more."""
        with self.lock:
            if self.over:
                return
            start = time.perf_counter()
            number = self.order()[self.asked]
            photo = self.photos[number]
            photo = photo.photo if isinstance(photo, Reference) else photo
            if not self.asked:
                self._begin(network)
            view = network.prepare(photo)
            with Unbounded() as before:
                look = partial(self._read, number, view.frame, before)
                recording = network.record(
                    view.tensor, tuple(network.maps), gradients=False, look=look
                )
            self.logits[self.asked] = recording.logits[0]
            self.asked += 1
            self.seconds += time.perf_counter() - start

    def _read(
        self, number: int, frame: Frame, before: Unbounded, name: str, activation: Tensor
    ) -> None:
        """What is kept of a layer of the photo with that number, some channels at a time: all maps
        of VGG-16's first layers, several times over, are hundreds of megabytes."""
        self.sizes[name][number] = torch.tensor(activation.shape[2:])
        raw, bound = before.of(activation)
        self.bounds[name] = min(self.bounds.get(name, torch.inf), bound)
        here = shown(frame, *activation.shape[2:])
        first = 0
        for a, part in zip(activation[0].split(SOME), raw[0].split(SOME), strict=True):
            some = slice(first, first := first + len(a))
            self.values[name][self.asked, some] = part[:, *here].amax((1, 2))
            self.means[name][self.asked, some] = a[:, *here].mean((1, 2))
            self.cells[name][self.asked, some] = strongest_cells(part, frame).int()

    def _begin(self, network: Network) -> None:
        count = len(self.photos)
        for name, layer in network.maps.items():
            self.values[name] = torch.zeros(count, layer.channels)
            self.means[name] = torch.zeros(count, layer.channels)
            self.cells[name] = torch.zeros(count, layer.channels, dtype=torch.int32)
            self.sizes[name] = torch.zeros(count, 2, dtype=torch.int32)
        self.logits = torch.zeros(count, len(network.labels))

    def answers(self) -> Answers:
        """What is known by now; raises IndexError before the first photo."""
        with self.lock:
            seen = torch.tensor(self.order()[: self.asked])
            layers = {name: self._peaks(name, seen) for name in self.values}
            return Answers(layers, tuple(seen.tolist()), self.logits[: self.asked].clone())

    def _peaks(self, name: str, seen: Tensor) -> Peaks:
        values, means = self.values[name][: self.asked].T, self.means[name][: self.asked].T
        ranked = means.argsort(dim=1, descending=True, stable=True)
        ranked = ranked.gather(
            1, values.gather(1, ranked).argsort(dim=1, descending=True, stable=True)
        )[:, :BEST]
        near, alike = _neighbours(values)
        return Peaks(
            photos=seen[ranked].to(torch.int16),
            values=values.gather(1, ranked),
            means=means.gather(1, ranked),
            cells=self.cells[name][: self.asked].T.gather(1, ranked),
            sizes=self.sizes[name].clone(),
            near=near,
            alike=alike,
            bound=self.bounds[name],
        )


def _neighbours(values: Tensor) -> tuple[Tensor, Tensor]:
    """The channels of values (C, photos) that correlate most with each: indices and correlations,
    (C, up to NEAR) each."""
    centred = values - values.mean(1, keepdim=True)
    unit = centred / centred.norm(dim=1, keepdim=True).clamp(min=1e-9)
    alike = (unit @ unit.T).fill_diagonal_(-1)
    best = alike.topk(min(NEAR, len(values)), dim=1)
    return best.indices.to(torch.int16), best.values


class Strongest:
    """Keeps what networks answered lately; a network is asked when that is first wanted, and goes
    on where it was left.

    shipped: gives the answers of a network that lie ready, or None.
    """

    def __init__(
        self,
        photos: Callable[[], Sequence[Photo | Reference]],
        shipped: Callable[[Network], Answers | None] = lambda _network: None,
    ) -> None:
        self._photos, self._shipped = photos, shipped
        self._known: Recent[int, Answers] = Recent()
        self._surveys: Recent[int, Survey] = Recent()

    def answers(self, network: Network) -> Answers | None:
        """All that the network answered, if that is known."""
        return self._known.get(network.serial)

    def known(self, network: Network) -> Layers | None:
        """The peaks by layer, if they have been found."""
        found = self.answers(network)
        return None if found is None else found.layers

    def asking(self, network: Network) -> Iterator[Survey | Answers]:
        """Ask: the survey after each photo, then the answers."""
        found = self.answers(network) or self._shipped(network)
        if found is None:
            survey = self._surveys.found(network.serial, lambda: Survey(self._photos()), of=network)
            while not survey.over:
                survey.step(network)
                yield survey
            found = self.answers(network) or survey.answers()
        self._known.keep(network.serial, found, of=network)
        yield found
