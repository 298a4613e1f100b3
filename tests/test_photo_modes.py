"""Every colour mode and bit depth becomes the same 8-bit RGB that the eye expects."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from explainers.errors import PhotoError
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
    told = read(deep_grey(holes, "TIFF"))
    assert told.pixels[0, -1, 0] == 255
    assert told.notes == ("256 of its 4096 values are no numbers, and taken for 0.",)
    with pytest.raises(PhotoError, match="holds no numbers, only NaN"):
        read(deep_grey(holes * np.nan, "TIFF"))
    faint = read(deep_grey(ramp * np.float32(1e-4), "TIFF"))  # nearly black, and told
    assert faint.pixels[0, -1, 0] == 255
    assert faint.notes[0].startswith("Its values were stretched from 0 (black) to 0.0001 (white)")


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


@pytest.mark.parametrize("bits", [8, 10, 11, 12, 13, 14])
@pytest.mark.parametrize("source", ["PNG", "TIFF", "JPEG2000", "PPM", "array", "float"])
def test_greys_of_an_instrument_are_stretched_and_the_note_says_so(bits, source):
    white = 2**bits - 1
    ramp = np.tile(np.linspace(0, white, 256).round().astype(np.uint16), (16, 1))
    given = ramp if source == "array" else deep_grey(ramp, source) if source != "float" else None
    if source == "float":
        given = encoded(Image.fromarray(ramp.astype(np.float32)), "TIFF")
    photo = read(given)
    assert np.abs(photo.pixels[0, :, 0].astype(int) - np.arange(256)).max() <= 1
    if source == "float" and bits == 8:  # floats from 0 to 255 are common
        assert photo.notes == ()
    else:
        assert len(photo.notes) == 1
        assert f"white is {white}" in photo.notes[0]


def test_what_fills_its_depth_needs_no_note():
    ramp = np.tile(np.linspace(0, 65535, 256).round().astype(np.uint16), (16, 1))
    black = np.zeros((16, 16), np.uint16)
    for source in (ramp, deep_grey(ramp, "PNG"), black, deep_grey(black, "PNG"), scene()):
        assert read(source).notes == ()
    signed = read((ramp.astype(np.int32) - 32768).astype(np.int16))  # as a CT's
    assert np.array_equal(signed.pixels[0, :, 0], np.arange(256))
    assert "stretched from -32768 (black) to 32767 (white)" in signed.notes[0]
    fractions = read(encoded(Image.fromarray(ramp.astype(np.float32) / 20000), "TIFF"))
    assert fractions.pixels.max() == 255
    assert "stretched" in fractions.notes[0]


def test_colours_of_few_bits_in_16_are_never_black_without_a_word():
    colours = np.asarray(scene()).astype(np.uint16) * 16
    photo = read(colours)
    assert np.abs(photo.pixels.astype(int) - np.asarray(scene())).max() <= 1
    assert "white is 4095" in photo.notes[0]
    opaque = np.dstack([colours, np.full(colours.shape[:2], 65535, np.uint16)])
    assert read(opaque) == photo
    for extension in (".png", ".tiff", ".ppm"):  # the decoders keep the upper 8 bits alone
        content = cv2.imencode(extension, colours[..., ::-1])[1].tobytes()
        with pytest.raises(PhotoError, match="nearly black; stretch them"):
            read(content)


def test_arrays_and_tensors_of_every_shape_are_the_same_photo():
    colours = np.asarray(scene())
    grey = colours[..., 0]
    tensor = torch.from_numpy(colours.copy()).permute(2, 0, 1)
    same = [
        [colours, colours / 255, (colours / 255).astype(np.float16), tensor, tensor / 255,
         tensor[None] / 255, (tensor / 255).requires_grad_(), colours.transpose(2, 0, 1),
         tensor.permute(1, 2, 0), colours.astype(np.uint16) * 257],
        [grey, grey[..., None], grey[None], tensor[:1], tensor[0], (tensor[:1] / 255).double(),
         np.stack([grey] * 3, -1), grey.astype(np.uint16) * 257],
        [grey > 100, np.where(grey > 100, 255, 0).astype(np.uint8), torch.tensor(grey > 100)],
    ]  # fmt: skip
    for sources in same:
        assert len({read(source) for source in sources}) == 1
    rough = read((tensor / 255).bfloat16()).pixels.astype(int)
    assert np.abs(rough - colours).max() <= 1
