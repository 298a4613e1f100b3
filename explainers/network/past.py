"""Do the scores depend on the photo by the last layer alone? Of an ensemble its map is one part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .views import noise

if TYPE_CHECKING:
    from .frozen import Network

MUCH = 0.1  # of the gradient; of 21 families of convolutional networks it is none, to 4 digits


@torch.inference_mode(False)
def remark(network: Network) -> dict[str, str]:
    """What to say, by key, of every map of a convolutional network's last layer past which its
    scores depend on the photo, too."""
    share = _past(network)
    if not share > MUCH:
        return {}
    return {
        "past": f"The scores of {network.title} depend on the photo past its last layer as well "
        f"({share:.0%} of their gradient), as where several networks, views or scales are "
        "averaged: its map is of one of them; choose another layer for another one, or ask by "
        "muting windows, which take all."
    }


def _past(network: Network) -> float:
    """The share of the gradient at the input that does not come through the last layer; 0 where
    that can't be told."""
    x = noise((1, len(network.mean), *network.shape), 5)
    try:
        seen = network.record(x, (network.last,), inputs=True)
        weights = noise(seen.logits.shape, 6).to(seen.logits)
        last, inputs = seen.activations[network.last], seen.inputs
        score = (seen.logits * weights).sum()
        total, at = torch.autograd.grad(score, (inputs, last), retain_graph=True)
        (through,) = torch.autograd.grad((last * at).sum(), inputs)
    except RuntimeError:  # told by the maps that are made of it
        return 0.0
    return float((total - through).norm() / total.norm())
