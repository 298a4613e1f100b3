"""What of a PNG Pillow leaves to its caller: what stands beside the picture, and keys of
transparency."""

from __future__ import annotations

import zlib
from typing import Any

from PIL import Image, PngImagePlugin

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_TURNS = (b"Raw profile type", b"XML:com.adobe.xmp")  # texts that may say how it stands upright
_STEPS = {"L;2": 85, "L;4": 17}  # how far apart greys of few bits are once decoded


def without_texts(content: bytes) -> bytes:
    """The same picture without what is written beside it, with no immense profile, and without
    damaged chunks that it can do without, as browsers show it.

    Programs that draw pictures put all their settings there; at a megabyte Pillow takes them for an
    attack and refuses the picture.
    """
    kept, at = [SIGNATURE], len(SIGNATURE)
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if not _needless(content[at + 4 : end - 4], content[end - 4 : end]):
            kept.append(content[at:end])
        at = end
    return b"".join([*kept, content[at:]])


def _needless(chunk: bytes, checksum: bytes) -> bool:
    name, body = chunk[:4], chunk[4:]
    if name[:1].islower() and zlib.crc32(chunk) != int.from_bytes(checksum):
        return True
    if name == b"iCCP":
        unpacked = zlib.decompressobj()
        try:
            unpacked.decompress(body[body.find(b"\0") + 2 :], PngImagePlugin.MAX_TEXT_CHUNK)
        except zlib.error:
            return True
        return bool(unpacked.unconsumed_tail)
    return name in _TEXTS and not body.startswith(_TURNS)


def key(image: Image.Image) -> Any:
    """The colour that stands for transparency as it will be once decoded; None where Pillow's own
    is right. Asked before pixels are decoded."""
    found, how = image.info.get("transparency"), getattr(image, "tile", None)
    if image.format != "PNG" or not how:
        return None
    depth = str(how[0][3])
    if isinstance(found, int) and depth in _STEPS:
        return found * _STEPS[depth]
    if isinstance(found, tuple) and ";16" in depth:
        return tuple(each >> 8 for each in found)
    return None
