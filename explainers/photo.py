"""Untrusted bytes in, a small upright RGB photo out, or one clear sentence."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from threading import BoundedSemaphore

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, UnidentifiedImageError

from explainers.errors import PhotoError

MAX_BYTES = 20_000_000
MAX_PIXELS = 40_000_000
MAX_SIDE = 1280
MIN_SIDE = 8
#: The only decoders ever reached; the rest of Pillow's (EPS, PSD, ...) stay shut.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF")

_NOT_A_PHOTO = (
    "This is not a photo that can be read here; use a JPEG, PNG, WebP, GIF, BMP, TIFF or HEIC file."
)
_DAMAGED = "The photo is damaged or incomplete; export or download it once more and try again."
_TOO_MANY_PIXELS = (
    f"The photo has more than {MAX_PIXELS // 1_000_000} megapixels; scale it down and try again."
)
_TOO_HEAVY = (
    f"The file is larger than {MAX_BYTES // 1_000_000} MB; save the photo smaller and try again."
)
_TOO_NARROW = (
    f"The photo is too small or too narrow; its shorter side must have at least {MIN_SIDE} pixels "
    f"when the longer side has at most {MAX_SIDE}."
)
_BAD_ARRAY = (
    "An array must be (H, W), (H, W, 3) or (H, W, 4) with uint8 values, "
    "or finite floats between 0 and 1."
)

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
_DECODERS = BoundedSemaphore(2)


@dataclass(frozen=True)
class Photo:
    """An upright RGB photo, at most `MAX_SIDE` pixels on its longer side.

    `pixels` is (H, W, 3) uint8 and read-only, `digest` the SHA-256 of its shape and values, and
    `original_size` the upright (width, height) before it was scaled. Equal pixels make equal
    photos, so a photo can be the key of a cache.
    """

    pixels: np.ndarray = field(repr=False, compare=False)
    digest: str
    original_size: tuple[int, int] = field(compare=False)

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        return self.pixels.shape[0]


def read(source: bytes | str | Path | Image.Image | np.ndarray) -> Photo:
    """Read a photo from a file's bytes, a path, a Pillow image or an array.

    Size limits are checked from the header, before pixels are decoded. EXIF rotation is applied,
    transparency laid on white, and every colour mode and bit depth brought to 8-bit RGB; of an
    animation the first frame is taken. An array is (H, W), (H, W, 3) or (H, W, 4), uint8 or float
    in 0..1. Raises `PhotoError`, and nothing else, for whatever can't be read.
    """
    if isinstance(source, np.ndarray):
        image, owned = _from_array(source), True
    elif isinstance(source, Image.Image):
        image, owned = source, False
    else:
        image, owned = _open(_bytes_of(source)), True
    _check_size(*image.size)
    try:
        with _DECODERS:
            return _develop(image, owned)
    except Exception as error:
        # A decoder fed hostile bytes may raise anything: struct.error, KeyError, MemoryError, ...
        raise PhotoError(_DAMAGED) from error


def to_jpeg(photo: Photo | np.ndarray, quality: int = 88) -> bytes:
    """Encode a photo, or (H, W, 3) uint8 pixels, as a JPEG that holds no metadata at all."""
    pixels = photo.pixels if isinstance(photo, Photo) else np.asarray(photo)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise PhotoError("Pixels to encode must be an (H, W, 3) array of uint8.")
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def _bytes_of(source: bytes | str | Path) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source) if len(source) <= MAX_BYTES else source
    elif isinstance(source, str | Path):
        try:
            # is_file: a pipe or a device would keep the reader waiting.
            if not Path(source).is_file():
                raise PhotoError("There is no such file; choose the photo again.")
            with open(source, "rb") as file:
                content = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            if isinstance(error, PhotoError):
                raise
            # Without the cause: it names the path.
            raise PhotoError("The file can't be opened; choose the photo again.") from None
    else:
        raise PhotoError("A photo must be bytes, a path, a Pillow image or an array.")
    if len(content) > MAX_BYTES:
        raise PhotoError(_TOO_HEAVY)
    if not content:
        raise PhotoError("The file is empty; choose a photo that opens on your own device.")
    return content


def _open(content: bytes) -> Image.Image:
    """The header alone: Pillow decodes no pixel until `load`."""
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError(_TOO_MANY_PIXELS) from error
    except UnidentifiedImageError as error:
        raise PhotoError(_NOT_A_PHOTO) from error
    except Exception as error:
        raise PhotoError(_DAMAGED) from error


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise PhotoError(_BAD_ARRAY)
    _check_size(array.shape[1], array.shape[0])
    if np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= -1e-6 and array.max() <= 1 + 1e-6):  # false for NaN as well
            raise PhotoError(_BAD_ARRAY)
        array = np.rint(array.clip(0, 1) * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise PhotoError(_BAD_ARRAY)
    return Image.fromarray(np.ascontiguousarray(array))


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise PhotoError(_TOO_MANY_PIXELS)
    if min(width, height) < 1 or min(_fitted(width, height)) < MIN_SIDE:
        raise PhotoError(_TOO_NARROW)


def _fitted(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, MAX_SIDE / max(width, height))
    return round(width * scale), round(height * scale)


def _develop(image: Image.Image, owned: bool) -> Photo:
    """Decode, scale, flatten and turn, in the order that keeps the fewest bytes in memory."""
    width, height = image.size
    if owned:
        # JPEG alone can decode straight to a half, quarter or eighth; others ignore the hint.
        image.draft(None, tuple(2 * side for side in _fitted(width, height)))
    image.load()
    orientation = _orientation(image)  # after load: a PNG may hold its EXIF at its end
    image = _with_plain_mode(image)
    image = image.resize(_fitted(*image.size), Image.Resampling.LANCZOS, reducing_gap=2.0)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if orientation >= 5:
        width, height = height, width
    return _photo(image, (width, height))


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        value = None  # corrupt EXIF is no reason to refuse a photo whose pixels are well
    return value if value in range(1, 9) else 1


def _with_plain_mode(image: Image.Image) -> Image.Image:
    """L, RGB, RGBA or CMYK: the modes that can be scaled with antialiasing."""
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit(image)
    if image.mode in ("RGBA", "CMYK"):
        return image
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Greys deeper than 8 bits, scaled by their real depth rather than clipped.

    16 bits (or 12, if a TIFF says so) by what they can hold. Integers and floats of 32 bits name
    no white of their own: it is the first of 1, 255 and 65535 that holds every value, or else the
    range is stretched.
    """
    values = np.nan_to_num(np.asarray(image), posinf=0.0, neginf=0.0)
    low, white = 0.0, 65535.0
    if image.mode.startswith("I;16"):
        depth = getattr(image, "tag_v2", {}).get(ExifTags.Base.BitsPerSample, (16,))[0]
        white = 2.0 ** min(depth, 16) - 1
    else:
        low, high = float(values.min()), float(values.max())
        fitting = [top for top in (1.0, 255.0, 65535.0) if low >= 0 and high <= top]
        low, white = (0.0, fitting[0]) if fitting else (low, high)
    grey = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), 256):  # in strips: no float copy of 40 megapixels
        strip = (values[top : top + 256].astype(np.float64) - low) * (255 / max(white - low, 1e-12))
        grey[top : top + 256] = np.rint(strip.clip(0, 255))
    return Image.fromarray(grey)


def _photo(image: Image.Image, original_size: tuple[int, int]) -> Photo:
    shape = (image.height, image.width, 3)
    content = image.tobytes()
    digest = hashlib.sha256(repr(shape).encode() + content).hexdigest()
    # An array over `bytes` is read-only for good: nobody can switch writing on again.
    return Photo(np.frombuffer(content, np.uint8).reshape(shape), digest, original_size)
