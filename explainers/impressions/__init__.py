"""Class impressions: what a network remembers of a class, drawn without any photo."""

from . import pace
from .accent import Stayed, similarity, stayed
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
    "Stayed",
    "animation",
    "as_input",
    "check",
    "concentration",
    "draw",
    "pace",
    "similarity",
    "stayed",
    "to_pixels",
    "variation",
    "with_mask",
]
