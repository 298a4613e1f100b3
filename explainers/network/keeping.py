"""Does a layer keep places: does a change in one part of a photo change that part of its map?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from .tokens import PLACES, changed, share
from .views import noise

if TYPE_CHECKING:
    from .frozen import Network

HARDLY = 0.7  # share of the other places that change less; 0.5 by chance
TURNED = 0.3  # share below which it is other places that change, and not by chance
SPREAD = 2.0  # times as much as the others; networks that were trained: 3 (Lite0) to 18 (VGG-16)


def kept(network: Network, layer: str, photo: Tensor | None = None) -> tuple[float, float]:
    """The share of all other places that change less than those where the input was changed, and
    how many times as much these change, on average over `PLACES`.

    1 and infinity where a map says what is where; 0.5 and 1 where it could be anywhere. photo: what
    is changed, (1, C, H, W) of the network's own size; coarse noise, if none is given.
    """
    return _kept(*_changes(network, layer, photo))


def _changes(network: Network, layer: str, photo: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """How much each cell of a layer changes (N, h, w) where a photo is changed (N, H, W)."""
    if photo is None:
        photo = interpolate(noise((1, len(network.mean), 8, 8), 4), network.shape, mode="bicubic")
    regions = torch.stack([changed(at, network.shape) for at in PLACES])
    x = torch.cat([photo, photo + regions[:, None] * noise(photo.shape, 1)])
    maps = torch.cat([
        network.record(each, (layer,), gradients=False, until=layer).activations[layer]
        for each in x.split(1)  # some answer one photo at a time
    ])  # fmt: skip
    change = (maps[1:] - maps[:1]).abs().mean(1)
    return change, regions.to(change.device)


def _kept(change: Tensor, regions: Tensor) -> tuple[float, float]:
    shares = [share(*pair) for pair in zip(change, regions, strict=True)]
    return sum(shares) / len(shares), _times(change, regions)


def _times(change: Tensor, regions: Tensor) -> float:
    """How many times as much the cells (N, h, w) of the regions (N, H, W) change as all others."""
    inside = adaptive_avg_pool2d(regions, change.shape[1:])
    there = (change * inside).sum((1, 2)) / inside.sum((1, 2))
    others = (change * (inside == 0)).sum((1, 2)) / (inside == 0).sum((1, 2))
    return float((there / others).nan_to_num(torch.inf, torch.inf).mean())


def hardly(share: float, times: float) -> bool:
    """Is what `kept` found so little that a map says nothing about where?"""
    return share < HARDLY or times < SPREAD


def remark(network: Network) -> dict[str, str]:
    """What to say of every map of a network whose last layer hardly keeps places, by key."""
    change, regions = _changes(network, network.last)
    seen = change.flatten(1).amax(1) > 0
    if seen.any() and not seen.all():
        return {
            "mixed": f"The last layer of {network.title} sees nothing of {int((~seen).sum())} of "
            f"{len(seen)} parts of a photo that were changed, as where a module cuts photos itself "
            "behind its first convolution: its map is laid over all of the photo, and says nothing "
            "about where; leave the cut to wrap(…, transform=…)."
        }
    found, times = _kept(change, regions)
    if not hardly(found, times):
        return {}
    if found < HARDLY:
        why = f"its own place there more than {found:.0%} of all others, and chance would be half"
    else:
        why = f"its own place there only {times:.1f} times as much as all others"
    remedy = "choose an earlier layer"
    if found < TURNED and kept(network, next(iter(network.places)))[0] < TURNED:
        remedy = "see whether the module mirrors, turns or cuts photos itself, and leave that out"
    return {
        "mixed": f"The last layer of {network.title} hardly keeps places: what is changed in a "
        f"photo changes {why}, so a map says little about where; {remedy}."
    }
