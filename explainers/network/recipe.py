"""What a network has to be told that its module does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Head = Literal["softmax", "sigmoid", "none"]
CropMode = Literal["center", "squash", "border"]


@dataclass(frozen=True)
class Recipe:
    """How to feed a network and read its answer; see `Network` for the meaning of the fields.

    mean, std: per channel of pixels in 0..1. arch: timm's name of the architecture, or one of ours,
    where the module is yet to be built; args: what that is built with beyond its defaults.
    """

    labels: tuple[str, ...]
    size: int | tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop_pct: float
    licence: str = ""
    head: Head = "softmax"
    thresholds: tuple[float, ...] | None = None
    crop_mode: CropMode = "center"
    arch: str = ""
    args: Mapping[str, Any] = field(default_factory=dict, hash=False)
