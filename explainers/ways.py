"""How photos are prepared for a module of one's own: as it says itself, or as is said of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

from PIL import Image
from torch import Tensor, nn

from .errors import ModelError
from .network.recipe import CropMode
from .network.transform import Transform
from .network.views import Size

Numbers = float | Sequence[float]

HOW = ("interpolation", "crop_pct", "crop_mode")  # a photo is brought to a network's size


@dataclass(frozen=True)
class Way:
    """How photos are prepared. channels: what the module takes; seen: what views have, three
    colours for a network of greys."""

    mean: list[float]
    std: list[float]
    shape: Size
    channels: int
    transform: Transform | None = None
    interpolation: str = "bicubic"
    crop_pct: float = 0.875
    crop_mode: CropMode = "center"

    @property
    def seen(self) -> int:
        return 3 if self.channels == 1 else self.channels

    def but(self, **how: Any) -> Way:
        """With those of HOW that are said."""
        return replace(self, **{name: each for name, each in how.items() if each is not None})

    def facts(self) -> dict[str, Any]:
        """What a `Network` is told of it."""
        height, width = self.shape
        size = height if height == width else self.shape
        how = {name: getattr(self, name) for name in HOW}
        return {"mean": self.mean, "std": self.std, "size": size, **how}


MAX_SIZE = 4096  # pixels of an input's side, which are all held at once


def way_of(
    module: nn.Module,
    title: str,
    transform: Callable[[Image.Image], Tensor] | None,
    mean: Numbers | None,
    std: Numbers | None,
    size: int | Size | None,
    channels: int | None,
) -> Way:
    """What `wrap` was told, completed by what is known; raises ModelError."""
    if channels is not None and not (isinstance(channels, Integral) and channels > 0):
        raise ModelError(f"The channels of {title} are a whole number, such as 1, 3 or 4.")
    if transform is not None:
        if mean is not None or std is not None or size is not None:
            raise ModelError(
                f"The transform of {title} says mean, std and size already: give either it or them."
            )
        tried = Transform(transform, title, grey=channels == 1)
        wide = 3 if tried.channels == 1 else 1
        return Way(tried.mean * wide, tried.std * wide, tried.shape, tried.channels, tried)
    known = known_of(module)
    mean = known.get("mean") if mean is None else mean
    std = known.get("std") if std is None else std
    size = known.get("size") if size is None else size
    if mean is None or std is None or size is None:
        raise ModelError(
            f"How photos are prepared for {title} is not known: wrap it with wrap(module, "
            "transform=…), or with mean=…, std=… and size=…, as it was trained."
        )
    means, deviations = _listed(mean, title), _listed(std, title)
    several = max(len(means), len(deviations))
    channels = channels or (several if several > 1 else _first_channels(module))
    if not {len(means), len(deviations)} <= {1, channels}:
        raise ModelError(
            f"{title} takes {channels} channel{'s' * (channels != 1)}, with {len(means)} means and "
            f"{len(deviations)} deviations: give one each."
        )
    if channels in (1, 3) and max(means) > 1:
        raise ModelError(
            f"The mean of {title} is not that of pixels in 0 to 1: divide mean and std by 255."
        )
    seen = 3 if channels == 1 else channels
    means, deviations = (each * (seen // len(each)) for each in (means, deviations))
    how = {name: known[name] for name in HOW if name in known}
    return Way(means, deviations, _shape(size, title), channels, **how)


def known_of(module: nn.Module) -> dict[str, Any]:
    """What a model of timm's says of its photos."""
    cfg = getattr(module, "pretrained_cfg", None)
    if not isinstance(cfg, Mapping) or not cfg.get("input_size"):
        return {}
    told = {name: cfg[name] for name in ("mean", "std", *HOW) if name in cfg}
    told["imagenet"] = cfg.get("num_classes") == 1000
    if cfg.get("label_names"):
        told["labels"] = cfg["label_names"]
    return told | {"size": tuple(cfg["input_size"][-2:])}


def _listed(value: Any, title: str) -> list[float]:
    try:
        found = [float(each) for each in ([value] if isinstance(value, Real) else value)]
    except (TypeError, ValueError):
        found = []
    if not found or not all(map(math.isfinite, found)):
        raise ModelError(f"Mean and std of {title} are numbers: give one for each channel.")
    return found


def _shape(size: Any, title: str) -> Size:
    sides = size if isinstance(size, list | tuple) else (size, size)
    if len(sides) != 2 or not all(isinstance(each, Integral) and each > 0 for each in sides):
        raise ModelError(f"The size of {title} is a number of pixels, or (height, width).")
    if max(sides) > MAX_SIZE:
        raise ModelError(
            f"The size of {title} is at most {MAX_SIZE} pixels a side: give that of its inputs."
        )
    return int(sides[0]), int(sides[1])


def _first_channels(module: nn.Module) -> int:
    """How many channels the first convolution takes."""
    return next((each.in_channels for each in module.modules() if isinstance(each, nn.Conv2d)), 1)
