"""Every colour mode and bit depth becomes the same 8-bit RGB that the eye expects."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from explainers.photo import read
from tests.test_photo import encoded, scene


def deep_grey(values: np.ndarray, format: str) -> bytes:
    return encoded(Image.fromarray(values), format)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(format):
    ramp = np.tile(np.linspace(0, 65535, 256).round().astype(np.uint16), (16, 1))
    pixels = read(deep_grey(ramp, format)).pixels
    assert np.array_equal(pixels[0, :, 0], np.arange(256))
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_32_bit_tiff_is_scaled():
    ramp = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (16, 1))
    for factor in (1, 255, 65535):
        pixels = read(deep_grey(ramp * np.float32(factor), "TIFF")).pixels
        assert np.array_equal(pixels[0, :, 0], np.arange(256)), factor
    signed = read(deep_grey(ramp * 200 - 100, "TIFF")).pixels
    assert (signed[0, 0, 0], signed[0, -1, 0]) == (0, 255)
    integers = read(deep_grey((ramp * 65535).astype(np.int32), "TIFF")).pixels
    assert np.abs(integers[0, :, 0].astype(int) - np.arange(256)).max() <= 1
    holes = ramp.copy()
    holes[3] = np.nan
    assert read(deep_grey(holes, "TIFF")).pixels[0, -1, 0] == 255


def test_16_bit_rgb():
    deep = np.asarray(scene()).astype(np.uint16)[..., ::-1] * 257
    for extension in (".png", ".tiff"):
        content = cv2.imencode(extension, deep)[1].tobytes()
        assert np.abs(read(content).pixels.astype(int) - np.asarray(scene())).max() <= 1, extension


def test_other_colour_modes():
    plain = np.asarray(scene()).astype(int)
    for mode, format, tolerance in (
        ("CMYK", "JPEG", 12),
        ("CMYK", "TIFF", 1),
        ("L", "PNG", 0),
        ("1", "PNG", 0),
        ("P", "PNG", 0),
    ):
        image = scene().convert(mode)
        pixels = read(
            encoded(image, format, **({"quality": 95} if format == "JPEG" else {}))
        ).pixels
        expected = np.asarray(image.convert("RGB")).astype(int)
        assert np.abs(pixels - expected).mean() <= tolerance, mode
    cmyk = read(encoded(scene().convert("CMYK"), "JPEG", quality=95)).pixels
    assert np.abs(cmyk - plain).mean() < 12, "an Adobe JPEG is not shown inverted"
