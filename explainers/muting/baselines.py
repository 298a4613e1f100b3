"""What a muted part of the photo is replaced with."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import OptionError
from ..network import Network
from ..options import OneOf

BASELINES = {
    "grey": "middle grey",
    "mean": "the photo’s mean colour",
    "blur": "a blurred copy",
    "black": "black",
    "noise": "coloured noise",
}
Baseline = Annotated[str, OneOf(BASELINES)]  # as a method's option


def baseline(network: Network, x: Tensor, kind: str = "grey", seed: int = 0) -> Tensor:
    """The image (1, 3, H, W) that shows wherever x (1, 3, H, W) is muted, normalised as x is.

    kind: a key of `BASELINES`; seed: of the noise. Raises OptionError for another kind.
    """
    if kind not in BASELINES:
        raise OptionError(f"A muted part can be {', '.join(BASELINES)}: choose one of them.")
    if kind == "mean":
        return x.mean((2, 3), keepdim=True).expand_as(x).contiguous()
    if kind == "blur":
        return _blur(x, max(x.shape[2:]) / 20)
    how = {"dtype": torch.float32, "device": "cpu"}
    pixels = torch.full(x.shape, 0.0 if kind == "black" else 0.5, **how)
    if kind == "noise":
        pixels = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed), **how)
    return network.normalised(pixels).to(x)


def _blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, the border repeated."""
    reach = int(3 * sigma)
    at = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    channels = x.shape[1]
    kernel = (kernel / kernel.sum()).expand(channels, 1, 1, -1)
    x = F.conv2d(F.pad(x, (reach, reach, 0, 0), mode="replicate"), kernel, groups=channels)
    kernel = kernel.transpose(2, 3)
    return F.conv2d(F.pad(x, (0, 0, reach, reach), mode="replicate"), kernel, groups=channels)
