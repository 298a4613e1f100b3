"""Does a layer keep places: does a change in one part of a photo change that part of its map?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import interpolate

from .tokens import PLACES, changed, noise, share

if TYPE_CHECKING:
    from .frozen import Network

HARDLY = 0.7  # share of the other places that change less; 0.5 by chance


def kept(network: Network, layer: str) -> float:
    """The share of all other places that change less than those where the input was changed, on
    average over `PLACES`: 1 where a map says what is where, 0.5 where it could be anywhere."""
    coarse = noise((1, len(network.mean), 8, 8), 4)
    photo = interpolate(coarse, network.shape, mode="bicubic")
    regions = torch.stack([changed(at, network.shape) for at in PLACES])
    x = torch.cat([photo, photo + regions[:, None] * noise(photo.shape, 1)])
    maps = torch.cat([
        network.record(each, (layer,), gradients=False, until=layer).activations[layer]
        for each in x.split(1)  # some answer one photo at a time
    ])  # fmt: skip
    change = (maps[1:] - maps[:1]).abs().mean(1)
    shares = [share(*pair) for pair in zip(change, regions.to(change.device), strict=True)]
    return sum(shares) / len(shares)


def remark(network: Network) -> dict[str, str]:
    """What to say of every map of a network whose last layer hardly keeps places, by key."""
    found = kept(network, network.last)
    if found >= HARDLY:
        return {}
    return {
        "mixed": f"The last layer of {network.title} hardly keeps places: what is changed in a "
        f"photo changes its own place there more than {found:.0%} of all others, and chance would "
        "be half, so a map says little about where; choose an earlier layer."
    }
