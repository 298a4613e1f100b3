"""A photo with what a class or unit answers to in it made stronger: what stayed of the photo?

Feature accentuation: Hamblin et al. 2024, arXiv 2402.10039. Theirs keeps the photo near in the
features of a layer; ours keeps its coarse waves as they are, and pulls every pixel back.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..network import Network
from .impression import Impression, as_input

COARSE_SIDE = 56  # pixels, at which the coarse structure is compared
_WINDOW = 7


@dataclass(frozen=True)
class Stayed:
    """What is left of the photo. structure: SSIM of both at a low resolution, 1 if nothing coarse
    changed. second: title of another network; before, after: its first guess of either."""

    structure: float
    second: str = ""
    before: str = ""
    after: str = ""


@torch.no_grad()
def stayed(drawn: Impression, second: Network | None = None) -> Stayed | None:
    """Compare a drawing with the photo that it started from; None if it started from noise."""
    if drawn.photo is None:
        return None
    both = torch.stack([drawn.photo, drawn.values])
    structure = similarity(both[:1], both[1:])
    if second is None:
        return Stayed(structure)
    guesses = second.logits(as_input(second, both)).argmax(1).tolist()
    before, after = (second.labels[guess] for guess in guesses)
    return Stayed(structure, second.title, before, after)


def similarity(one: Tensor, other: Tensor) -> float:
    """Mean structural similarity of two pictures (1, 3, S, S) in 0..1, in greys and reduced to
    56 x 56 pixels (Wang et al. 2004)."""
    size = (COARSE_SIDE, COARSE_SIDE)
    a, b = (F.interpolate(each, size=size, mode="area").mean(1, True) for each in (one, other))

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, _WINDOW, 1)

    light, shade = mean(a), mean(b)
    spread = mean(a * a) - light**2 + mean(b * b) - shade**2
    together = mean(a * b) - light * shade
    alike = (2 * light * shade + 1e-4) * (2 * together + 9e-4)
    return float((alike / ((light**2 + shade**2 + 1e-4) * (spread + 9e-4))).mean())
