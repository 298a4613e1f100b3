"""JPEGs that every viewer shows and Pillow refuses: without their end, as some cameras write them,
or with a broken index of further pictures."""

from __future__ import annotations

import io
import re

from PIL import Image

SIGNATURE = b"\xff\xd8\xff"
_SCAN, _END = b"\xff\xda", b"\xff\xd9"
_NOISE = b"\xaa\x55" * 32
_INDEX = re.compile(rb"(?s)(\xff\xe2..)MPF\0")  # of pictures behind the first: depth, gain maps


def ended(content: bytes) -> bytes:
    """The same with the mark of its end if that alone is missing; else as it is."""
    if content.rfind(_END) > content.rfind(_SCAN):
        return content
    # What follows changes no pixel of a picture that is there to its last.
    plain, noisy = (_coarse(content + more + _END) for more in (b"", _NOISE))
    return content + _END if plain is not None and plain == noisy else content


def alone(content: bytes) -> bytes:
    """The same without its index of further pictures, of which none is looked at."""
    return _INDEX.sub(rb"\1mpf\0", content, count=1)


def _coarse(content: bytes) -> bytes | None:
    """Its pixels at an eighth of the scale; None of one in several passes, whose last ones that
    does not show."""
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            if image.info.get("progressive"):
                return None
            image.draft(None, (1, 1))
            return image.tobytes()
    except Exception:  # whatever a hostile file raises: it is refused where it is read
        return None
