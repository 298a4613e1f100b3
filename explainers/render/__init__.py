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
    indexed,
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
from .pairs import Pair, pair
from .picture import crop, fit, indexed_png, jpeg, png, shrink, webp
from .strength import Scale, from_lowest, heat, signed, strongest

__all__ = [
    "CHANCES",
    "COLOURMAPS",
    "DEFAULT",
    "DIM",
    "INK",
    "PAPER",
    "Pair",
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
    "indexed",
    "indexed_png",
    "jpeg",
    "label_colours",
    "labelled",
    "light_stops",
    "likely",
    "lit",
    "overlay",
    "pair",
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
    "webp",
]
