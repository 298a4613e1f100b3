"""Random transformations between steps: what survives them is no pattern of single pixels.

A shake is a list of plain numbers, drawn first and applied afterwards, so that several pictures
can be shaken alike and tests can say what should come out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


@dataclass(frozen=True)
class Ranges:
    """How far a shake goes at most.

    shift: as a share of the side. rotation: degrees either way. zoom: 0.25 is from 1 / 1.25 to
    1.25 times. colour: of the RGB jitter; each channel's brightness moves by up to half of that
    (pixels are 0..1), its contrast by a factor of up to 1 + colour. noise: standard deviation.
    """

    shift: float = 0.1
    rotation: float = 10.0
    zoom: float = 0.25
    colour: float = 0.2
    noise: float = 0.02


@dataclass(frozen=True)
class Shake:
    """Numbers for n copies. shift: (n, 2) shares of the side, to the right and down; turn: (n,)
    degrees, clockwise; zoom: (n,); gain, offset: (n, 3, 1, 1); noise: (n, 3, S, S) or None."""

    shift: Tensor
    turn: Tensor
    zoom: Tensor
    gain: Tensor
    offset: Tensor
    noise: Tensor | None = None


def draw(ranges: Ranges, copies: int, size: int, generator: Generator) -> Shake:
    """A random shake for so many copies of `size` pixels."""

    def between(*shape: int) -> Tensor:
        return torch.rand(copies, *shape, generator=generator, dtype=torch.float32) * 2 - 1

    shift, turn = between(2) * ranges.shift, between() * ranges.rotation
    zoom = (1 + ranges.zoom) ** between()
    gain, offset = (1 + ranges.colour) ** between(3, 1, 1), between(3, 1, 1) * ranges.colour / 2
    noise = None
    if ranges.noise:
        noise = torch.randn(copies, 3, size, size, generator=generator, dtype=torch.float32)
        noise = noise * ranges.noise
    return Shake(shift, turn, zoom, gain, offset, noise)


def apply(picture: Tensor, shake: Shake, size: int) -> Tensor:
    """Copies (n, 3, size, size) of the picture (1, 3, S, S): turned and zoomed round its centre,
    then moved, in one resampling; then recoloured round mid-grey, then noisy. Of N pictures
    (N, 3, S, S): (n * N, ...), copy by copy, all shaken alike.

    What comes in from outside is the picture mirrored at its border.
    """
    copies, device, count = len(shake.turn), picture.device, len(picture)

    def each(values: Tensor) -> Tensor:
        """Of each copy -> of each copy of each picture."""
        return values.to(device).repeat_interleave(count, 0) if count > 1 else values.to(device)

    shape = [copies * count, 3, size, size]
    moved = F.grid_sample(
        picture.expand(copies, -1, -1, -1) if count == 1 else picture.repeat(copies, 1, 1, 1),
        F.affine_grid(each(matrices(shake)), shape, align_corners=False),
        mode="bilinear",
        padding_mode="reflection",
        align_corners=False,
    )
    offset = shake.offset + 0.5 * (1 - shake.gain)
    shaken = moved * each(shake.gain) + each(offset)
    return shaken if shake.noise is None else shaken + each(shake.noise)


def matrices(shake: Shake) -> Tensor:
    """(n, 2, 3): where each place of the result, in -1..1, is read from the picture."""
    angle = torch.deg2rad(shake.turn)
    cos, sin = torch.cos(angle) / shake.zoom, torch.sin(angle) / shake.zoom
    linear = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)
    return torch.cat([linear, -linear @ (2 * shake.shift)[..., None]], 2)
