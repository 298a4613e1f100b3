"""What the tags of a TIFF say of its numbers where Pillow's modes are silent."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from PIL import Image, ImagePalette

from ..errors import PhotoError

# Tags of TIFF 6.0; what is left out has the value behind it.
_BITS, _WHITE_AT, _CHANNELS, _PLANES, _NUMBERS = (258, 1), (262, 1), (277, 1), (284, 1), (339, 1)
_COLOURS = 320
_NODATA = 42113  # GDAL's, as text
_WHITE_IS_ZERO, _APART, _UNSIGNED, _SIGNED = 0, 2, 1, 2

_DEEP_PLANES = (
    "The TIFF keeps each of its colours apart, with more than 8 bits, which can’t be read here; "
    "save it with interleaved colours or as PNG and try again."
)


def _tag(image: Image.Image, tag: tuple[int, int]) -> Any:
    value = getattr(image, "tag_v2", {}).get(*tag)
    return value[0] if isinstance(value, tuple) else value


def check(image: Image.Image, notes: list[str]) -> None:
    """Notes the channels that are left out, and mends a palette; raises PhotoError where Pillow
    would misread planes."""
    colours = getattr(image, "tag_v2", {}).get(_COLOURS)
    if image.mode == "P" and colours and max(colours) < 256:  # of 8 bits, as libtiff has it
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))
    channels, kept = _tag(image, _CHANNELS), len(image.getbands())
    if channels > 1 and _tag(image, _PLANES) == _APART and _tag(image, _BITS) > 8:
        raise PhotoError(_DEEP_PLANES)
    if channels > kept:
        first = "first" if kept == 1 else f"first {kept}"
        notes.append(f"Of its {channels} channels only the {first} can be shown.")


def greys(image: Image.Image) -> np.ndarray:
    """The values (H, W) of a picture of one channel, with the sign that they have, or have not."""
    values, kind = np.asarray(image), (_tag(image, _NUMBERS), _tag(image, _BITS))
    if (kind[1] == 32 or kind == (_SIGNED, 16)) and _is_swapped(image):
        values = values.astype(np.int16 if kind[1] == 16 else values.dtype).byteswap()
    if kind == (_UNSIGNED, 32) and values.dtype == np.int32:
        return values.view(np.uint32)
    return values.view(np.int8) if is_signed(image) else values


def _is_swapped(image: Image.Image) -> bool:
    """Does Pillow take what libtiff unpacked, in this machine's order, for the file's order? So it
    does with all but unsigned 16 bits."""
    file = {b"II": "little", b"MM": "big"}.get(getattr(image.tag_v2, "prefix", b""), sys.byteorder)
    return file != sys.byteorder and image.info.get("compression", "raw") != "raw"


def white(image: Image.Image) -> float:
    """The highest value that its bits can hold; of more than 16, which name none, that of 16."""
    bits = _tag(image, (_BITS[0], 16))
    return 65535.0 if bits > 16 else 2.0 ** (bits - (_tag(image, _NUMBERS) == _SIGNED)) - 1


def nodata(image: Image.Image) -> float | None:
    """The value that marks where nothing was measured."""
    try:
        return float(getattr(image, "tag_v2", {}).get(_NODATA))
    except (TypeError, ValueError):
        return None


def is_signed(image: Image.Image) -> bool:
    """Are these 8 bits from -128 to 127?"""
    return image.mode == "L" and (_tag(image, _NUMBERS), _tag(image, _BITS)) == (_SIGNED, 8)


def is_negative(image: Image.Image) -> bool:
    """Is the lowest value white? Up to 8 bits the decoder has turned them round."""
    return _tag(image, _WHITE_AT) == _WHITE_IS_ZERO
