"""The only place where numbers become colours.

Maps arrive raw and signed. Here they are scaled, coloured and laid over the right pixels of the
photo. Everything returns uint8 arrays or encoded bytes; nothing of a photo's metadata survives.
"""

from .colour import (
    CHANCES,
    COLOURMAPS,
    DEFAULT,
    DIM,
    INK,
    PAPER,
    colours,
    label_colours,
    light_stops,
    ramp,
    sheet,
    stops,
    tone_stops,
    tones,
)
from .overlays import (
    Pixels,
    blend,
    classes,
    glow,
    labelled,
    likely,
    lit,
    overlay,
    positions,
    region,
    relief,
    translucent,
)
from .picture import crop, fit, jpeg, png, shrink
from .strength import Scale, from_lowest, heat, signed, strongest

__all__ = [
    "CHANCES",
    "COLOURMAPS",
    "DEFAULT",
    "DIM",
    "INK",
    "PAPER",
    "Pixels",
    "Scale",
    "blend",
    "classes",
    "colours",
    "crop",
    "fit",
    "from_lowest",
    "glow",
    "heat",
    "jpeg",
    "label_colours",
    "labelled",
    "light_stops",
    "likely",
    "lit",
    "overlay",
    "png",
    "positions",
    "ramp",
    "region",
    "relief",
    "sheet",
    "shrink",
    "signed",
    "stops",
    "strongest",
    "tone_stops",
    "tones",
    "translucent",
]
