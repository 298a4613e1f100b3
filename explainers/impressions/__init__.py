"""Class impressions: what a network remembers of a class, drawn without any photo."""

from . import pace
from .impression import (
    MOST_PICTURES,
    PRESETS,
    TRIES,
    Check,
    Impression,
    Point,
    animation,
    as_input,
    check,
    concentration,
    draw,
    to_pixels,
    variation,
    with_mask,
)

__all__ = [
    "MOST_PICTURES",
    "PRESETS",
    "TRIES",
    "Check",
    "Impression",
    "Point",
    "animation",
    "as_input",
    "check",
    "concentration",
    "draw",
    "pace",
    "to_pixels",
    "variation",
    "with_mask",
]
