"""Untrusted bytes in, a small upright RGB photo out, or one clear sentence."""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass, field
from threading import BoundedSemaphore
from typing import Any

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, UnidentifiedImageError

from ..errors import PhotoError, sized
from . import jpeg, png, profile
from .arrays import as_array, is_array
from .depth import check_dark, eight_bit, is_deep, missing
from .sniff import RAW, reason
from .source import content_of
from .tiff import check, greys, is_negative, is_signed, nodata, white

MAX_PIXELS = 40_000_000
#: By format, where that limit is another one: a JPEG is decoded at a reduced scale, 48 megapixels
#: is what phones make, and JPEG 2000 takes 18 bytes for each pixel on the way.
LIMITS = {
    "JPEG": 80_000_000,
    "MPO": 80_000_000,
    "HEIF": 50_000_000,
    "AVIF": 50_000_000,
    "JPEG2000": 25_000_000,
}
MAX_SIDE = 1280
MIN_SIDE = 8
DIM, BLANK = 16, 250  # of 255: below and above nothing is seen
#: The only decoders ever reached; the rest of Pillow's (EPS, PSD, ...) stay shut.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF", "JPEG2000", "PPM")
COLOURS = (1, 3, 4)
# TIFF tags: what kind of page it is, where pages inside it are, and that it is a camera's raw file.
_SUBFILE, _INNER, _DNG = 254, 330, 50706

_DAMAGED = "The photo is damaged or incomplete; export or download it once more and try again."
_UNREAD = (
    "The Pillow image can’t be decoded; open its file again, and keep it open until it is read."
)
_DAMAGED_TIFF = (
    "The TIFF is damaged, or compressed in a way that can’t be read here; save it as PNG or as an "
    "uncompressed TIFF and try again."
)
_TOO_MANY_PIXELS = "The photo has more than {} megapixels; scale it down and try again."
_TOO_NARROW = (
    f"The photo is too small or too narrow; its shorter side must have at least {MIN_SIDE} pixels "
    f"when the longer side has at most {MAX_SIDE}."
)
_NO_SUCH_PAGE = "The file has no page {}; pages are counted from 0."
_SEVERAL_PAGES = "The file has several pages, and this is {}."
_CLEAR = "The photo is transparent all over, so that nothing but white is seen."
_WHITE = "What is not transparent is white, so that nothing is seen on the white ground."
_DARK = "The photo is black all over; export it once more if something is to be seen in it."
_BLACK = (
    "The photo is nearly black, since its brightest value is {} of 255; if its values mean classes "
    "or go up to 1, stretch them first."
)
_LYING = (
    "Its EXIF asks for a turn for which the HEIC itself does not ask, and that counts; if it is "
    "not upright, turn it and export it once more."
)
_LAB = "The photo’s colours are Lab; save it as RGB and try again."

# EXIF 2.32, tag 0x0112: how the stored pixels must be turned to stand upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

pillow_heif.register_heif_opener()
# The largest photos take some 500 MB to decode; many visitors at once must not add that up.
_DECODERS, _LARGE_ONES, LARGE = BoundedSemaphore(2), BoundedSemaphore(1), 12_500_000


@dataclass(frozen=True)
class Photo:
    """An upright RGB photo, at most `MAX_SIDE` pixels on its longer side.

    `pixels` is (H, W, 3) uint8 and read-only, `digest` the SHA-256 of its shape and values, and
    `original_size` the upright (width, height) before it was scaled. `notes`: sentences on what
    was decided in reading it, such as greys that were stretched. `bands` is (H, W, C) float32 for a
    picture of other than three channels (`bands`), of which `pixels` is a glimpse. Equal
    pixels make equal photos, so a photo can be the key of a cache.
    """

    pixels: np.ndarray = field(repr=False, compare=False)
    digest: str
    original_size: tuple[int, int] = field(compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    bands: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        return self.pixels.shape[0]


def read(source: Any, *, page: int = 0) -> Photo:
    """Read a photo from a path, a file's bytes, an opened file, a Pillow image, array or tensor.

    Size limits are checked from the header, before pixels are decoded. EXIF rotation is applied,
    transparency laid on white, and every colour mode and bit depth brought to 8-bit RGB, without
    its profile (`profile`). Of a file with several pages or frames, `page` is taken; of
    a Pillow image the one where it stands, unless a page is asked for. An array or tensor is
    (H, W), or has 1, 3 or 4 colours last or first; it holds uint8, booleans, floats in 0..1, or
    integers of 16 bits, which are stretched as those of a file are (`Photo.notes` says so). Raises
    `PhotoError`, and nothing else, for whatever can't be read.
    """
    notes: list[str] = []
    page = int(page) if isinstance(page, np.integer) else page
    if not isinstance(page, int) or page < 0:
        raise PhotoError(_NO_SUCH_PAGE.format(page))
    if isinstance(source, Image.Image):
        image, owned = source, False
    elif is_array(source):
        image, owned = _from_array(as_array(source, notes), notes), True
    else:
        image, owned = _open(content_of(source), notes), True
    if not page:  # of another one the size is known when it is turned to
        _check_size(*image.size, image.format)
    at = image.tell() if page and not owned else None  # where it is left as it was found
    try:
        with _LARGE_ONES if image.width * image.height > LARGE else _DECODERS:
            return _develop(image, owned, page, notes)
    except PhotoError:
        raise
    except Exception as error:
        # A decoder fed hostile bytes may raise anything: struct.error, KeyError, MemoryError, ...
        damaged = _DAMAGED_TIFF if image.format == "TIFF" else _DAMAGED
        raise PhotoError(damaged if owned else _UNREAD) from error
    finally:
        if at is not None:
            image.seek(at)


def to_jpeg(photo: Photo | np.ndarray, quality: int = 88) -> bytes:
    """Encode a photo, or (H, W, 3) uint8 pixels, as a JPEG that holds no metadata at all."""
    pixels = photo.pixels if isinstance(photo, Photo) else np.asarray(photo)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise PhotoError("Pixels to encode must be an (H, W, 3) array of uint8.")
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def _open(content: bytes, notes: list[str]) -> Image.Image:
    """The header alone: Pillow decodes no pixel until `load`."""
    if content.startswith(png.SIGNATURE):
        content = png.without_texts(content)
    elif content.startswith(jpeg.SIGNATURE):
        content = jpeg.alone(content)
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError(_TOO_MANY_PIXELS.format(MAX_PIXELS // 1_000_000)) from error
    except UnidentifiedImageError as error:
        raise PhotoError(reason(content)) from error
    except Exception as error:
        raise PhotoError(_DAMAGED) from error
    if image.format == "TIFF" and (
        _DNG in image.tag_v2 or (_reduced(image) and _INNER in image.tag_v2)
    ):
        raise PhotoError(RAW)  # what stands first in it is a thumbnail
    if image.format == "HEIF" and image.info.get("original_orientation") in _UPRIGHT:
        # which the decoder leaves aside: ISO/IEC 23008-12 has its own way to say so
        turns = any(content.find(turn, 0, 100_000) >= 0 for turn in (b"irot", b"imir"))
        notes += [] if turns else [_LYING]
    if image.format in ("PNG", "HEIF", "AVIF") and (told := profile.of_brightness(content)):
        notes.append(told)
    return image


def _from_array(array: np.ndarray, notes: list[str]) -> Image.Image:
    # A side of 1, 3 or 4 is too short for a photo, so it is the colours.
    if array.ndim == 3 and array.shape[2] not in COLOURS and array.shape[0] in COLOURS:
        array = np.moveaxis(array, 0, 2)
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in COLOURS):
        raise PhotoError(
            f"An array of {sized(array.shape)} is no photo; give one of height × width, with 1, 3 "
            "or 4 colours last or first."
        )
    _check_size(array.shape[1], array.shape[0])
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    elif np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (low >= -1e-6 and high <= 1 + 1e-6):  # true for NaN as well
            raise PhotoError(_floats(low, high))
        array = np.rint(array.clip(0, 1) * 255).astype(np.uint8)
    elif array.dtype in (np.uint16, np.int16):
        # the opacity apart: it is whole where the colours are dark
        parts = [array[..., :3], array[..., 3:]] if array.ndim == 3 else [array]
        some = [part for part in parts if part.size]
        most = (float(np.iinfo(array.dtype).max),)
        eight = [eight_bit(part, most, notes if not n else []) for n, part in enumerate(some)]
        array = np.concatenate(eight, -1)
    elif array.dtype != np.uint8:
        raise PhotoError(
            f"An array of {array.dtype} names no white of its own; give uint8, uint16, or floats "
            "between 0 and 1."
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _floats(low: float, high: float) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return "The array holds NaN or infinite values; replace them and try again."
    remedy = "divide by 255" if low >= 0 and high <= 255 else "undo the network’s normalisation"
    if low > -0.25 and high < 1.25:
        remedy = "clip them"  # as an interpolation leaves them
    return f"The array’s floats go from {low:.7g} to {high:.7g}, not from 0 to 1; {remedy} first."


def _check_size(width: int, height: int, format: str | None = None) -> None:
    most = LIMITS.get(format or "", MAX_PIXELS)
    if width * height > most:
        raise PhotoError(_TOO_MANY_PIXELS.format(most // 1_000_000))
    if min(width, height) < 1 or min(_fitted(width, height)) < MIN_SIDE:
        raise PhotoError(_TOO_NARROW)


def _fitted(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, MAX_SIDE / max(width, height))
    return round(width * scale), round(height * scale)


def _develop(image: Image.Image, owned: bool, page: int, notes: list[str]) -> Photo:
    """Decode, scale, flatten and turn, in the order that keeps the fewest bytes in memory."""
    if owned or page:
        _turn_to(image, page, notes)
    else:
        check(image, notes)
    width, height = image.size
    if owned:
        # JPEG alone can decode straight to a half, quarter or eighth; others ignore the hint.
        image.draft(None, tuple(2 * side for side in _fitted(width, height)))
    image = _decoded(image, notes)
    orientation = _orientation(image)  # after load: a PNG may hold its EXIF at its end
    image = _with_plain_mode(image, notes)
    image = image.resize(_fitted(*image.size), Image.Resampling.LANCZOS, reducing_gap=2.0)
    image = _on_white(image, notes)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if orientation >= 5:
        width, height = height, width
    return _photo(image, (width, height), tuple(notes))


def _decoded(image: Image.Image, notes: list[str]) -> Image.Image:
    """The pixels, with what the file said of them before they were decoded."""
    deep, key, box = is_deep(image), png.key(image), None
    stream = image.fp if image.format == "JPEG" else None
    if image.format == "GIF" and image.tile and not image.tell():
        box = image.tile[0][1]
    image.load()
    if isinstance(stream, io.BytesIO) and jpeg.is_cut(image, stream.getvalue()):
        raise PhotoError(_DAMAGED)
    if deep:
        check_dark(image)
    if told := profile.of_colours(image):
        notes.append(told)
    if key is not None:
        image, image.format = image.copy(), image.format
        image.info["transparency"] = key
    if box is not None and box != (0, 0, *image.size):  # around the first picture there is nothing
        inner, image = image.convert("RGBA").crop(box), Image.new("RGBA", image.size)
        image.paste(inner, box)
    return image


def _on_white(image: Image.Image, notes: list[str]) -> Image.Image:
    """In RGB without transparency, with a note where nothing would be seen."""
    opaque = (255, 255)
    if image.mode == "RGBA":
        opaque = image.getextrema()[3]
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    lows, highs = zip(*image.getextrema(), strict=True)
    darkest, brightest = min(lows), max(highs)
    if opaque[0] < 255 and darkest >= BLANK:
        notes.append(_WHITE if opaque[1] >= DIM else _CLEAR)
    if brightest < DIM:
        notes.append(_BLACK.format(brightest) if brightest else _DARK)
    return image


def _turn_to(image: Image.Image, page: int, notes: list[str]) -> None:
    """Seek a page or frame, past a preview in front; of a TIFF that has several, note which."""
    if not page and image.format != "TIFF":
        return
    several, preview = False, not page and _reduced(image)
    try:
        image.seek(page or 1)
        several = not _reduced(image)
    except Exception as error:
        if page:
            raise PhotoError(_NO_SUCH_PAGE.format(page)) from error
    if not page and not (several and preview):
        image.seek(0)
    if image.format == "TIFF":
        check(image, notes)
    if several and not preview:
        notes.append(_SEVERAL_PAGES.format(f"page {page}, counted from 0" if page else "the first"))
    _check_size(*image.size, image.format)


def _reduced(image: Image.Image) -> bool:
    """Is this page of a TIFF a smaller copy of another one?"""
    return bool(getattr(image, "tag_v2", {}).get(_SUBFILE, 0) & 1)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        value = None  # corrupt EXIF is no reason to refuse a photo whose pixels are well
    return value if value in range(1, 9) else 1


def _with_plain_mode(image: Image.Image, notes: list[str]) -> Image.Image:
    """L, RGB, RGBA or CMYK: the modes that can be scaled with antialiasing."""
    if image.mode.startswith("I;16"):
        return _of_greys(image, (white(image),), notes)
    if image.mode.startswith("I") or image.mode == "F" or is_signed(image):
        whole = image.format == "PPM" and image.mode != "F"
        return _of_greys(image, (65535.0,) if whole else (1.0, 255.0, white(image)), notes)
    if image.mode == "LAB":
        raise PhotoError(_LAB)
    if image.mode == "RGBA" and image.format == "BMP" and not image.getextrema()[3][1]:
        return image.convert("RGB")  # Windows leaves these bytes 0 and shows the colours
    if image.mode in ("RGBA", "CMYK"):
        return image
    if image.mode == "La":
        image = image.convert("LA")
    # In memory, a colour that meant transparency may be there on purpose: as after convert("RGB").
    solid = image.format is None and image.mode in ("1", "L", "RGB")
    if image.has_transparency_data and not solid:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _of_greys(image: Image.Image, own: tuple[float, ...], notes: list[str]) -> Image.Image:
    values, key = greys(image), image.info.get("transparency")
    keyed = isinstance(key, int)  # of a PNG of 16 bits
    gone = values == key if keyed else missing(values, nodata(image), notes)
    eight = eight_bit(values, own, notes, gone if not gone.all() else None)
    eight = np.where(gone, 0, 255 - eight) if is_negative(image) else eight
    if not keyed:
        return Image.fromarray(eight)
    return Image.fromarray(np.dstack([*[eight] * 3, np.where(gone, 0, 255).astype(np.uint8)]))


def _photo(image: Image.Image, original_size: tuple[int, int], notes: tuple[str, ...]) -> Photo:
    shape = (image.height, image.width, 3)
    content = image.tobytes()
    digest = hashlib.sha256(repr(shape).encode() + content).hexdigest()
    # An array over `bytes` is read-only for good: nobody can switch writing on again.
    return Photo(np.frombuffer(content, np.uint8).reshape(shape), digest, original_size, notes)
