"""Does the gradient of a network say how its scores change? Behind detach() it may not."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .doubled import doubled
from .strides import read_right
from .swaps import copied
from .views import noise

if TYPE_CHECKING:
    from .frozen import Network

STEPS = (1e-5, 1e-6)  # of the input, in float64: the slopes over both are the same
OFF = 0.01  # of the slope; rounding is far below it


@torch.inference_mode(False)
def remark(network: Network) -> Mapping[str, str]:
    """What to say, by key, of a network that cuts its gradient where that counts: where the slope
    of its scores, seen in float64, is another one than the gradient's."""
    if not network.cuts:
        return {}
    try:
        module, device = doubled(network.module)
        x, way, weights = (
            noise(shape, seed).double().to(device) for seed, shape in enumerate(_shapes(network))
        )

        def score(x: Tensor) -> Tensor:
            return (module(x.clone()).double() * weights).sum()

        with torch.no_grad():
            slopes = [float(score(x + s * way) - score(x - s * way)) / (2 * s) for s in STEPS]
            moved = bool(score(x + way) != score(x))
        with torch.enable_grad(), copied() if network.overwrites else nullcontext():
            value = score(x.requires_grad_())
            read_right(value)
            (gradient,) = torch.autograd.grad(value, x)
    except Exception:  # what can't be copied or computed in float64 is not known to be wrong
        return {}
    found, size = float((gradient * way).sum()), max(map(abs, slopes))
    rounds = moved and not gradient.any()
    right = abs(slopes[0] - slopes[1]) > OFF * size or abs(found - slopes[1]) <= OFF * size
    if right and not rounds:
        return {}
    where = "where values are rounded" if rounds else "behind detach(), .data or no_grad()"
    return {
        "cut": f"The gradient of {network.title} is not how its scores change, as {where}: maps "
        "that go by gradients miss what passes there, and muting does not."
    }


def _shapes(network: Network) -> tuple[tuple[int, ...], ...]:
    """Of an input, of a way in which it is changed, and of a weight for each score."""
    shape = (1, len(network.mean), *network.shape)
    return shape, shape, (1, len(network.labels))
