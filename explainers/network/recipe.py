"""What a network has to be told that its module does not say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal, get_args

from ..errors import ModelError

Head = Literal["softmax", "sigmoid", "none"]
CropMode = Literal["center", "squash", "border"]

#: How a photo may be brought to a network's size.
FILTERS = ("bilinear", "bicubic", "nearest", "lanczos", "box", "hamming")
MOST_CROP = 10  # times as long as the photo the input may be; more are a percentage


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


def check_said(
    title: str,
    labels: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
    interpolation: str,
    crop_pct: float,
    crop_mode: str,
    thresholds: Sequence[float] | None,
) -> None:
    """Raises ModelError where what is said of a network can't be."""
    if isinstance(labels, str):
        raise ModelError(f"The labels of {title} are one text: give a list with a name each.")
    if len(mean) != len(std) or len(mean) < 2:
        raise ModelError(
            f"Give {title} three numbers each for mean and std, one for each colour; a network of "
            "greys goes through wrap()."
        )
    if not all(deviation > 0 for deviation in std):
        raise ModelError(f"The std of {title} must be positive: give that of pixels in 0 to 1.")
    if interpolation not in FILTERS:
        raise ModelError(f"The interpolation of {title} is one of {', '.join(FILTERS)}.")
    if not (isinstance(crop_pct, Real) and 0 < crop_pct <= MOST_CROP):
        raise ModelError(
            f"The crop_pct of {title} is the input’s share of the photo, such as 0.875, and no "
            "per cent: give a number above 0, where more than 1 pads the photo."
        )
    if crop_mode not in get_args(CropMode):
        raise ModelError(f"The crop_mode of {title} is one of {', '.join(get_args(CropMode))}.")
    if thresholds is not None and not (
        isinstance(thresholds, Iterable) and all(map(_is_share, thresholds))
    ):
        raise ModelError(f"The thresholds of {title} are probabilities: give one for each label.")
    if thresholds is not None and len(thresholds) != len(labels):
        raise ModelError(
            f"{title} has {len(thresholds)} thresholds and {len(labels)} labels: give one each."
        )


def _is_share(value: Any) -> bool:
    try:
        return 0 <= float(value) <= 1
    except (TypeError, ValueError):
        return False
