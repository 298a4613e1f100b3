"""JPEGs that every viewer shows and Pillow refuses: without their end, as some cameras write them,
or with a gain map behind it, or with a broken index of further pictures."""

from __future__ import annotations

import io
import re

from PIL import Image

SIGNATURE = b"\xff\xd8\xff"
MOST = 12_500_000  # pixels of one in several passes that are looked at all
PARTS = 4096  # that are looked at: what has more was made to keep the reader busy
_SCAN, _END = b"\xff\xda", b"\xff\xd9"
_NOISE = b"\xaa\x55" * 2048
_MISSING = bytes(4096)  # what was never downloaded; a flat picture, too, may end in zeros
_INDEX = re.compile(rb"(?s)(\xff\xe2..)MPF\0")  # of pictures behind the first: depth, gain maps
_MARK = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # what ends a scan: neither a byte nor a restart
_BETWEEN = frozenset(b"\xc4\xcc\xda\xdb\xdc\xdd\xfe" + bytes(range(0xE0, 0xF0)))  # two scans


def alone(content: bytes) -> bytes:
    """Its first picture, without an index of further ones, of which none is looked at; with the
    mark of its end if that alone is missing, and without it if anything else is."""
    content = _INDEX.sub(rb"\1mpf\0", content, count=1)
    end = _end(content)
    if end is None:
        return content
    ends, content = content.startswith(_END, end), content[:end]
    if not ends:
        content = content.removesuffix(b"\xff")  # half of the mark
        content = content.rstrip(b"\0") if content.endswith(_MISSING) else content
    return content + _END if ends or _is_whole(content) else content


def is_cut(image: Image.Image, content: bytes) -> bool:
    """Is the end mark of a decoded picture there, but not all that is before it?"""
    last = image.getpixel((image.width - 1, image.height - 1))
    grey = {127, 128}.issuperset(last if isinstance(last, tuple) else (last,))
    return grey and content.endswith(_END) and _is_whole(content.removesuffix(_END)) is False


def _end(content: bytes) -> int | None:
    """Where the first picture's last scan ends; None of one whose parts are none of JPEG's."""
    at, scans = 2, False
    for _ in range(PARTS):
        if content[at : at + 1] != b"\xff" or at + 4 > len(content):
            break
        if content[at + 1] == 0xFF:  # to fill up
            at += 1
            continue
        scan = content.startswith(_SCAN, at)
        at += 2 + int.from_bytes(content[at + 2 : at + 4])
        if scan:
            mark = _MARK.search(content, at)
            scans, at = True, mark.start() if mark else len(content)
        if scans and (at >= len(content) - 1 or content[at + 1] not in _BETWEEN):
            return min(at, len(content))
    return None


def _is_whole(content: bytes) -> bool | None:
    """Is a picture without its end there to its last? Then what follows changes no pixel of it.
    None where that can't be told."""
    plain, noisy = (_seen(content + more + _END) for more in (b"", _NOISE))
    return None if plain is None or noisy is None else plain == noisy


def _seen(content: bytes) -> bytes | None:
    """Its pixels at an eighth of the scale, or all of one in several passes, whose last ones that
    does not show; None of one that is too large for that."""
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            if not image.info.get("progressive"):
                image.draft(None, (1, 1))
            elif image.width * image.height > MOST:
                return None
            return image.tobytes()
    except Exception:  # whatever a hostile file raises: it is refused where it is read
        return None
