"""Photos whose numbers mean other colours than sRGB's. They are taken as they are stored, as the
networks' own photos were (neither torchvision nor timm converts); a note tells where it shows."""

from __future__ import annotations

import math
import struct

from PIL import Image

# The columns of red, green and blue of sRGB's matrix, in XYZ by the white of ICC.
_SRGB = {
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7141),
}
_FAR = 0.15  # Display P3, which phones have, is 0.09 away; Adobe RGB 0.18 and ProPhoto 0.37
_LINEAR, _GAMMA = 1.5, 2.2  # gammas: below the first, what is stored is light itself, and dark
_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273

_OTHER = (
    "Its colours are those of a profile far from sRGB and taken as they are stored, as networks "
    "learn from them, so they look other than in a viewer; for what that shows, convert it to sRGB "
    "first."
)
_PRINT = (
    "Its colours are made for printing (CMYK) and brought to RGB without a profile, as networks "
    "learn from them; for what a viewer shows, convert it to sRGB first."
)
_BRIGHT = (
    "It is HDR ({}) and its values are taken as they are stored, so it looks flatter than on a "
    "screen; for what a screen shows, save it in standard range first."
)


def of_colours(image: Image.Image) -> str | None:
    """A note where its profile is far from sRGB, or it has one for printing."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or len(profile) < 132:
        gamma = image.info.get("gamma", 0)  # a PNG's, of what is stored over light
        bright = image.format == "PNG" and "srgb" not in image.info and gamma * _LINEAR > 1
        return _OTHER if bright else None
    if image.mode == "CMYK":
        return _PRINT
    tags = _tags(profile)
    columns = {
        name: [n / 65536 for n in struct.unpack_from(">3i", tags[name], 8)]
        for name in _SRGB
        if len(tags.get(name, b"")) >= 20
    }
    far = any(
        abs(a - b) > _FAR
        for name, column in columns.items()
        for a, b in zip(_SRGB[name], column, strict=True)
    )
    # By a table alone, as those of scanners, but also one of the ICC's own for sRGB.
    table = profile[16:20] == b"RGB " and b"A2B0" in tags and not columns
    named = any("sRGB".encode(code) in profile for code in ("ascii", "utf-16-be"))
    curve = tags.get(b"rTRC") or tags.get(b"kTRC")
    linear = curve is not None and _gamma(curve) < _LINEAR
    return _OTHER if far or linear or (table and not named) else None


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """The parts of a profile by name: ICC.1:2022, 7.3."""
    found = {}
    for tag in range(min(struct.unpack_from(">I", profile, 128)[0], 100)):
        entry = profile[132 + 12 * tag : 144 + 12 * tag]
        at, size = (int.from_bytes(entry[n : n + 4], "big") for n in (4, 8))
        found[entry[:4]] = profile[at : at + size]
    return found


def _gamma(body: bytes) -> float:
    """The exponent of a curve by which stored values become light, or that at its middle: 10.6 and
    10.18; sRGB's where none can be read."""
    kind, values = body[:4], body[12:]
    if kind == b"para" and len(values) >= 4:
        return int.from_bytes(values[:4], "big") / 65536
    count = int.from_bytes(body[8:12], "big") if kind == b"curv" and len(body) >= 12 else -1
    if not 0 <= 2 * count <= len(values):
        return _GAMMA
    if count < 2:
        return int.from_bytes(values[:2], "big") / 256 if count else 1.0
    middle = int.from_bytes(values[count // 2 * 2 :][:2], "big") / 65535
    return math.log(max(middle, 1e-6)) / math.log(count // 2 / (count - 1)) if count > 2 else 1.0


def of_brightness(content: bytes) -> str | None:
    """A note where a HEIC, AVIF or PNG says that its values are coded for HDR (H.273)."""
    if content.find(b"tmap", 0, 100_000) >= 0:  # in standard range, with what would brighten it
        return None
    for sign, place, size in ((b"colrnclx", 10, 2), (b"\0\0\0\4cICP", 9, 1)):
        at = content.find(sign, 0, 100_000)
        if at >= 0:
            transfer = int.from_bytes(content[at + place : at + place + size], "big")
            return of_transfer(transfer)
    return None


def of_transfer(transfer: int) -> str | None:
    """The note on these transfer characteristics (H.273, 8.2), if they are HDR's."""
    return _BRIGHT.format(_HDR[transfer]) if transfer in _HDR else None
