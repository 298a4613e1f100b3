"""What a unit reads and what it feeds, measured by switching units off.

Candidates are found by activation times gradient, and then each is switched off by itself: what
counts is what the network then says. After Zeiler and Fergus 2014 and Zhou et al. 2018, *Revisiting
the importance of individual units in CNNs via ablation*. Nothing of the network is touched.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from ..network import Network, View
from ..network.swaps import Unbounded
from ..recent import Recent
from .activations import check, strongest_cells

TRIED = 8  # units that are switched off
TOLD = 6  # of which so many are told


@dataclass(frozen=True)
class Link:
    """Another unit, or a class where `layer` is None. effect: what is lost when the one that feeds
    is switched off: of a unit the share of its activation, of a class its logit; the mean over the
    photos, and negative where something rises."""

    layer: str | None
    index: int
    effect: float


@dataclass(frozen=True)
class Wiring:
    """One unit. reads: units of the layer before; feeds: units of the layer behind; classes: those
    that lose most, and those that gain. before, behind: the layers, None where there is none.
    photos: on how many it was measured."""

    reads: tuple[Link, ...]
    feeds: tuple[Link, ...]
    classes: tuple[Link, ...]
    before: str | None
    behind: str | None
    photos: int


@dataclass(frozen=True)
class Needs:
    """Units of the last convolution that a class needs most; effects are of its logit."""

    target: int
    layer: str
    units: tuple[Link, ...]
    photos: int


T = TypeVar("T")
Links = tuple[Link, ...]
Passes = Generator[None, None, T]  # work that yields after each pass, and what comes of it

_wirings: Recent[Hashable, Wiring] = Recent()
_needs: Recent[Hashable, Needs] = Recent()


def beside(network: Network, layer: str) -> tuple[str | None, str | None]:
    """The layers with maps before and behind this one."""
    names = list(network.maps)
    at = names.index(layer)
    return (names[at - 1] if at else None, names[at + 1] if at + 1 < len(names) else None)


def wiring(
    network: Network, layer: str, channel: int, views: Sequence[View]
) -> Iterator[float | Wiring]:
    """What the unit reads and feeds on these photos: the share done, then the answer."""
    channel = check(network, layer, channel)
    key = (network.serial, layer, channel, *(view.key for view in views))
    found = _wirings.get(key)
    if found is None:
        passes = 2 + (1 + TRIED) * (beside(network, layer)[0] is not None)
        work = _wired(network, layer, channel, views)
        found = yield from _shares(work, passes * len(views))
        _wirings.keep(key, found, of=network)
    yield found


def needs(network: Network, target: int, views: Sequence[View]) -> Iterator[float | Needs]:
    """The units of the last convolution that the class needs on these photos: the share done, then
    the answer."""
    key = (network.serial, target, *(view.key for view in views))
    found = _needs.get(key)
    if found is None:
        work = _needed(network, target, views)
        found = yield from _shares(work, (1 + TRIED) * len(views))
        _needs.keep(key, found, of=network)
    yield found


def _shares(work: Passes[T], count: int) -> Generator[float, None, T]:
    """What comes of the work, which has so many passes; yields the share that is done."""
    for done in itertools.count(1):
        try:
            next(work)
        except StopIteration as end:
            return end.value
        yield done / count


def _wired(network: Network, layer: str, channel: int, views: Sequence[View]) -> Passes[Wiring]:
    before, behind = beside(network, layer)
    feeds, classes = yield from _outgoing(network, layer, channel, behind, views)
    reads: Links = ()
    if before is not None:
        reads = yield from _incoming(network, layer, channel, before, views)
    return Wiring(reads, feeds, classes, before, behind, len(views))


def _outgoing(
    network: Network, layer: str, channel: int, behind: str | None, views: Sequence[View]
) -> Passes[tuple[Links, Links]]:
    """The units of the layer behind and the classes that the unit feeds."""
    names = (layer, behind) if behind else (layer,)
    lost, had, fallen = 0.0, 0.0, torch.zeros(len(network.labels))
    for view in views:
        whole = network.record(view.tensor, names, gradients=False)
        yield
        muted = network.record(view.tensor, names, gradients=False, muted={layer: channel})
        fallen += (whole.logits - muted.logits)[0].cpu() / len(views)
        if behind:
            sums = [each.activations[behind][0].sum((1, 2)).cpu() for each in (whole, muted)]
            lost = lost + sums[0] - sums[1]
            had = had + whole.activations[behind][0].abs().sum((1, 2)).cpu()
        yield
    feeds: list[Link] = []
    if behind:
        share = lost / had.clamp(min=1e-3 * float(had.max()) + 1e-9)
        ranked = lost.abs().argsort(descending=True)[:TOLD].tolist()
        feeds = [Link(behind, each, float(share[each])) for each in ranked]
        feeds.sort(key=lambda link: -link.effect)
    order = fallen.argsort(descending=True).tolist()
    chosen = [*order[:TOLD], *(each for each in order[-3:] if fallen[each] < 0)]
    classes = [Link(None, each, float(fallen[each])) for each in dict.fromkeys(chosen)]
    return tuple(feeds), tuple(classes)


def _incoming(
    network: Network, layer: str, channel: int, before: str, views: Sequence[View]
) -> Passes[Links]:
    """The units of the layer before that the unit reads."""
    shares, peaks = 0.0, []
    for view in views:
        with Unbounded() as bounds:
            recording = network.record(view.tensor, (before, layer), until=layer)
        a = bounds.of(recording.activations[layer])[0][0, channel]
        row, column = divmod(int(strongest_cells(a.detach()[None])[0]), a.shape[1])
        top = a[row, column]
        peaks.append((row, column, float(top.detach())))
        fed = recording.activations[before]
        gradient = torch.autograd.grad(top, fed, allow_unused=True)[0]
        gradient = torch.zeros_like(fed) if gradient is None else gradient
        scale = max(abs(peaks[-1][2]), 1e-9)
        shares = shares + (gradient * fed.detach())[0].sum((1, 2)).cpu() / scale
        yield
    reads = []
    for each in shares.abs().argsort(descending=True)[:TRIED].tolist():
        effect = 0.0
        for view, (row, column, top) in zip(views, peaks, strict=True):
            with Unbounded() as bounds:
                muted = network.record(
                    view.tensor, (before, layer), gradients=False, muted={before: each}, until=layer
                )
            now = float(bounds.of(muted.activations[layer])[0][0, channel, row, column])
            effect += (top - now) / max(abs(top), 1e-9) / len(views)
            yield
        reads.append(Link(before, each, effect))
    strongest = sorted(reads, key=lambda link: -abs(link.effect))[:TOLD]
    return tuple(sorted(strongest, key=lambda link: -link.effect))


def _needed(network: Network, target: int, views: Sequence[View]) -> Passes[Needs]:
    layer, adds, logits = network.last, 0.0, []
    for view in views:
        recording = network.recorded(view, layer)
        gradient = recording.gradients((target,), None, layer)[0, 0]
        a = recording.activations[layer].detach()[0]
        adds = adds + (a * gradient).sum((1, 2)).cpu()
        logits.append(float(recording.logits.detach()[0, target]))
        yield
    units = []
    for each in adds.argsort(descending=True)[:TRIED].tolist():
        effect = 0.0
        for view, logit in zip(views, logits, strict=True):
            muted = network.record(view.tensor, gradients=False, muted={layer: each}).logits
            effect += (logit - float(muted[0, target])) / len(views)
            yield
        units.append(Link(layer, each, effect))
    units.sort(key=lambda link: -link.effect)
    return Needs(target, layer, tuple(units[:TOLD]), len(views))


def confused(logits: Tensor, target: int, count: int = TOLD) -> list[tuple[int, float]]:
    """The classes whose logits (photos, classes) rise and fall with the target's over the photos,
    each photo's mean over all classes taken away: (class, correlation)."""
    centred = logits - logits.mean(1, keepdim=True)
    centred = centred - centred.mean(0)
    unit = centred / centred.norm(dim=0).clamp(min=1e-9)
    alike = unit.T @ unit[:, target]
    alike[target] = -2
    best = alike.topk(min(count, len(alike) - 1))
    return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
