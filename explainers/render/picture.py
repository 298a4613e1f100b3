"""Pictures as such: their size, a part of them, their bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from PIL import Image

from ..network.frame import edges, upright
from ..photo import Photo


def enlarge(values: np.ndarray, width: int, height: int) -> np.ndarray:
    """Values (h, w, …) at (height, width): bilinear (cell centres on cell centres), or averaged
    when shrinking."""
    shrinks = values.shape[0] > height
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(values, (width, height), interpolation=how)


def laid(
    values: np.ndarray,
    frame: Sequence[float],
    size: tuple[int, int],
    resize: Callable[[np.ndarray, int, int], np.ndarray] = enlarge,
) -> tuple[tuple[slice, slice], np.ndarray]:
    """What lies over an input (h, w, …), brought onto a picture of the photo of that (W, H).

    Returns the part of the picture that the input covers, and what lies over it. frame: where the
    input is on the photo (`network.frame`).
    """
    (left, right), (top, bottom) = edges(frame, size)
    down, across = upright(frame)
    whole = resize(values, max(right - left, 1), max(bottom - top, 1))[::down, ::across]
    x, y = slice(max(left, 0), right), slice(max(top, 0), bottom)
    over = whole[y.start - top : size[1] - top, x.start - left : size[0] - left]
    return (slice(y.start, y.start + len(over)), slice(x.start, x.start + over.shape[1])), over


def shrunk(photo: Photo, longest: int) -> tuple[int, int]:
    """The photo's size (W, H) with its longer side at most `longest` pixels."""
    factor = min(1.0, longest / max(photo.width, photo.height))
    return max(1, round(photo.width * factor)), max(1, round(photo.height * factor))


def shrink(photo: Photo, longest: int) -> np.ndarray:
    """The photo (H, W, 3) with its longer side at most `longest` pixels."""
    return cv2.resize(photo.pixels, shrunk(photo, longest), interpolation=cv2.INTER_AREA)


def png(pixels: np.ndarray) -> bytes:
    """RGB or RGBA pixels (H, W, 3 or 4) uint8 as PNG: quick rather than small."""
    order = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    _, data = cv2.imencode(".png", cv2.cvtColor(pixels, order), [cv2.IMWRITE_PNG_COMPRESSION, 4])
    return data.tobytes()


def indexed_png(steps: np.ndarray, table: np.ndarray) -> bytes:
    """Steps (H, W) uint8 and their colours (256, 3) as PNG with a palette: quick, small, exact."""
    picture, file = Image.fromarray(steps), io.BytesIO()
    picture.putpalette(table.tobytes())
    picture.save(file, "PNG", compress_level=2)
    return file.getvalue()


def jpeg(pixels: np.ndarray, quality: int = 88, *, sharp: bool = True) -> bytes:
    """RGB pixels (H, W, 3) uint8 as JPEG: a few milliseconds, in which other threads go on. sharp:
    colours as fine as light and dark, which maps need and photos don't."""
    factor = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if sharp else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
    return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), settings)[1].tobytes()


def webp(pixels: np.ndarray) -> bytes:
    """RGB pixels (H, W, 3) uint8 as WebP: half of a JPEG's bytes, in several times its time, so for
    what is drawn once and sent often."""
    settings = [cv2.IMWRITE_WEBP_QUALITY, 75]
    return cv2.imencode(".webp", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), settings)[1].tobytes()


def crop(photo: Photo, box: Sequence[float], longest: int) -> np.ndarray:
    """The part of the photo (h, w, 3) in a box of fractions (left, top, right, bottom), its longer
    side `longest` pixels."""
    x = [min(max(round(box[i] * photo.width), 0), photo.width) for i in (0, 2)]
    y = [min(max(round(box[i] * photo.height), 0), photo.height) for i in (1, 3)]
    left, top = min(x[0], photo.width - 1), min(y[0], photo.height - 1)
    return fit(photo.pixels[top : max(y[1], top + 1), left : max(x[1], left + 1)], longest)


def fit(pixels: np.ndarray, longest: int) -> np.ndarray:
    """Pixels (H, W, 3) resized so that their longer side has `longest` pixels."""
    factor = longest / max(pixels.shape[:2])
    size = tuple(max(1, round(side * factor)) for side in pixels.shape[1::-1])
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(pixels), size, interpolation=how)
