"""Photos whose numbers mean other colours than sRGB's. They are taken as they are stored, as the
networks' own photos were (neither torchvision nor timm converts); a note tells where it shows."""

from __future__ import annotations

import struct

from PIL import Image

# The columns of red, green and blue of sRGB's matrix, in XYZ by the white of ICC.
_SRGB = {
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7141),
}
_FAR = 0.15  # Display P3, which phones have, is 0.09 away; Adobe RGB 0.18 and ProPhoto 0.37
_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273

_WIDE = (
    "Its colours are those of a wide profile and taken as they are stored, as networks learn from "
    "them, so they look duller than in a viewer; for what a viewer shows, convert it to sRGB first."
)
_PRINT = (
    "Its colours are made for printing (CMYK) and brought to RGB without a profile, as networks "
    "learn from them; for what a viewer shows, convert it to sRGB first."
)
_BRIGHT = (
    "The photo is HDR ({}) and its values are taken as they are stored, so it looks flatter than "
    "on a screen; for what a screen shows, save it in standard range first."
)


def of_colours(image: Image.Image) -> str | None:
    """A note where its profile is far from sRGB, or it has one for printing."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or len(profile) < 132:
        return None
    if image.mode == "CMYK":
        return _PRINT
    columns = _columns(profile) if profile[16:20] == b"RGB " else {}
    if len(columns) < len(_SRGB):
        return None
    far = max(abs(a - b) for name in _SRGB for a, b in zip(_SRGB[name], columns[name], strict=True))
    return _WIDE if far > _FAR else None


def _columns(profile: bytes) -> dict[bytes, tuple[float, ...]]:
    """What a profile of ICC.1:2022, 7.3 and 10.31, says of red, green and blue."""
    found = {}
    for tag in range(min(struct.unpack_from(">I", profile, 128)[0], 100)):
        entry = profile[132 + 12 * tag : 144 + 12 * tag]
        at = int.from_bytes(entry[4:8], "big")
        if entry[:4] in _SRGB and len(profile) >= at + 20:
            found[entry[:4]] = tuple(n / 65536 for n in struct.unpack_from(">3i", profile, at + 8))
    return found


def of_brightness(content: bytes) -> str | None:
    """A note where a HEIC, AVIF or PNG says that its values are coded for HDR (H.273)."""
    if content.find(b"tmap", 0, 100_000) >= 0:  # in standard range, with what would brighten it
        return None
    for sign, place, size in ((b"colrnclx", 10, 2), (b"\0\0\0\4cICP", 9, 1)):
        at = content.find(sign, 0, 100_000)
        if at >= 0:
            transfer = int.from_bytes(content[at + place : at + place + size], "big")
            return _BRIGHT.format(_HDR[transfer]) if transfer in _HDR else None
    return None
