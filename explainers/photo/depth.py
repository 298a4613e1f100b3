"""Photos deeper than 8 bits: which of their values is white."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..errors import PhotoError

#: The whites of 1, 8 and 10 to 14 bits.
INSTRUMENTS = (1.0, 255.0, 1023.0, 2047.0, 4095.0, 8191.0, 16383.0)
FRACTIONS = {255.0: 64, 1.0: 1 / 16}  # by white, what floats stay below that mean another one
MARKED = 0.1  # of a picture, at most, is written over
DARK = 64  # of 255: no brighter are the colours of 14 bits in a file of 16

_NO_NUMBERS = "The picture holds no numbers, only NaN or infinite values; export it once more."
_DARK_COLOURS = (
    "The colours fill only a few of the file’s 16 bits and would be nearly black; stretch them to "
    "all 16, or save the photo with 8 bits a colour."
)
_WRAPPED = (
    "The JPEG 2000 holds colours of more than 8 bits, which can’t be read here; save it with 8 "
    "bits a colour, or as a 16-bit PNG."
)


def missing(values: np.ndarray, mark: float | None, notes: list[str]) -> np.ndarray:
    """Where there is no finite number, or the `mark` for none: a note tells how often. Raises
    PhotoError where nothing is left."""
    gone = np.zeros((), bool)  # nowhere, of whatever shape
    if np.issubdtype(values.dtype, np.floating):
        gone = ~np.isfinite(values)
    if mark is not None:
        gone = gone | (values == mark)
    if gone.all():
        raise PhotoError(_NO_NUMBERS)
    if gone.any():
        notes.append(
            f"{np.count_nonzero(gone)} of its {gone.size} values are no numbers or mark missing "
            "ones, and shown black."
        )
    return gone


def eight_bit(
    values: np.ndarray, own: tuple[float, ...], notes: list[str], gone: np.ndarray | None = None
) -> np.ndarray:
    """Values deeper than 8 bits as uint8, by the first white that holds them all; 0 where `gone`.

    own: the whites that their kind may mean (16 bits: what they can hold; 32 bits name none). The
    greys of instruments fill 10 to 14 of 16 bits and would be nearly black: a note says by which
    white they were stretched instead, or that the range was.
    """
    kept = values if gone is None or not gone.any() else values[~gone]
    low, high = float(kept.min()), _top(kept, own)
    whites = sorted({*own, *(white for white in INSTRUMENTS if white < own[-1])})
    white = next((white for white in whites if low >= 0 and high <= white), None)
    if np.issubdtype(values.dtype, np.floating):
        # Fractions that stay far below their white, or that no instrument counts.
        few = high < FRACTIONS.get(white, 0)
        white = None if few or (white not in own and _fractions(kept)) else white
    if not high and not low:
        low, white = 0.0, own[-1]
    elif white is None:
        white = high
        notes.append(f"Its values were stretched from {low:.5g} (black) to {high:.5g} (white).")
    else:
        low = 0.0
        if white not in own:
            what = "colours" if values.ndim > 2 else "greys"
            notes.append(
                f"Its {what} fill {high:.0f} of {own[-1]:.0f} steps, so they were stretched: white "
                f"is {white:.0f}."
            )
    eight = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), 256):  # in strips: no float copy of 40 megapixels
        strip = values[top : top + 256]
        strip = strip if kept is values else np.where(gone[top : top + 256], low, strip)
        strip = (strip.astype(np.float64) - low) * (255 / max(white - low, 1e-12))
        eight[top : top + 256] = np.rint(strip.clip(0, 255))
    return eight


def _top(values: np.ndarray, own: tuple[float, ...]) -> float:
    """The highest value, but for the few at the top of 16 bits that were written over what an
    instrument saw, such as a caption, or mark where it saw nothing."""
    high = float(values.max())
    if values.ndim < 3 and values.dtype == np.uint16 and high == own[-1]:
        below = values < high
        if np.count_nonzero(below) > (1 - MARKED) * values.size:
            top = float(values.max(where=below, initial=0))
            return top if 0 < top <= INSTRUMENTS[-1] else high
    return high


def _fractions(values: np.ndarray) -> bool:
    parts = np.array_split(values, 1 + values.size // 1_000_000)  # no copy of 40 megapixels
    return any((part != np.rint(part)).any() for part in parts)


def check_dark(image: Image.Image) -> None:
    """Colours of 16 bits lose the lower 8 in the decoder: dark ones can't be stretched any more."""
    colours = image.getextrema()[:3] if image.mode != "LA" else image.getextrema()[:1]
    if max(high for _, high in colours) < DARK:
        raise PhotoError(_DARK_COLOURS)


def is_deep(image: Image.Image) -> bool:
    """Does the file hold colours of more than 8 bits? Asked before they are decoded.

    Raises PhotoError for those of a JPEG 2000, whose white the decoder turns into black.
    """
    if image.mode not in ("RGB", "RGBA", "LA") or not getattr(image, "tile", None):
        return False
    if image.format == "JPEG2000":
        if _bits_of_jpeg2000(image) > 8:
            raise PhotoError(_WRAPPED)
        return False
    how = image.tile[0][3]
    maximum = how[1] if image.format == "PPM" and isinstance(how, tuple) else 0
    return ";16" in str(how) or (isinstance(maximum, int) and maximum > 255)


def _bits_of_jpeg2000(image: Image.Image) -> int:
    """Bits of its first colour, which Pillow keeps to itself: ISO 15444-1, A.5.1."""
    at = image.fp.tell()
    image.fp.seek(0)
    content = image.fp.read()
    image.fp.seek(at)
    size = content.find(b"\xff\x4f\xff\x51")
    return (content[size + 42] & 0x7F) + 1 if size >= 0 else 8
