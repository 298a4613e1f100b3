"""What instruments leave in their files beside greys: fractions, marks, and holes."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from explainers.errors import PhotoError
from explainers.photo import read
from tests.test_photo import encoded, scene

RAMP = np.tile(np.arange(256), (16, 1))


def tiff(values: np.ndarray, nodata: str = "") -> bytes:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if nodata:
        tags[42113] = nodata
    return encoded(Image.fromarray(values), "TIFF", tiffinfo=tags)


@pytest.mark.parametrize(("low", "step"), [(280, 0.02), (1203.7, 3.1), (-40, 0.31)])
def test_measured_values_are_stretched_over_their_range_whatever_holes_they_have(low, step):
    """Kelvin, metres above the sea, degrees."""
    values = (low + step * RAMP).astype(np.float32)
    holes = RAMP.copy()
    holes[:4] = 0
    for hole, nodata in (
        (None, ""),
        (np.nan, ""),
        (-9999, "-9999"),
        (-3.4e38, "-3.4e+38"),
        (np.inf, ""),
    ):
        given = values.copy()
        if hole is not None:
            given[:4] = hole
        photo = read(tiff(given, nodata))
        expected = RAMP if hole is None else holes
        assert np.abs(photo.pixels[..., 0].astype(int) - expected).max() <= 1, hole
        marked = ["1024 of its 4096 values are no numbers or mark missing"] * (hole is not None)
        assert [note[:54] for note in photo.notes[:-1]] == marked
        assert photo.notes[-1].startswith("Its values were stretched from")
    assert read(tiff(values, "none")).notes == read(tiff(values)).notes
    with pytest.raises(PhotoError, match="holds no numbers"):
        read(tiff(np.full((16, 16), -9999, np.float32), "-9999"))
    whole = (RAMP * 16).astype(np.float32)  # as an instrument counts
    assert "white is 4095" in read(tiff(whole)).notes[0]


@pytest.mark.parametrize("form", ["array", "PNG", "TIFF"])
def test_a_caption_in_full_white_does_not_hide_what_an_instrument_saw(form):
    deep = (RAMP * 16).astype(np.uint16)
    deep[2:4, 4:60] = 65535
    photo = read(deep if form == "array" else encoded(Image.fromarray(deep), form))
    assert "white is 4095" in photo.notes[0]
    assert np.abs(photo.pixels[8, :, 0].astype(int) - RAMP[0]).max() <= 1
    assert photo.pixels[2, 30, 0] == 255
    sheet = np.where(RAMP < 200, 65535, deep).astype(np.uint16)  # a drawing on white
    for full in (sheet, np.where(RAMP < 250, 0, 65535).astype(np.uint16)):
        assert read(full).notes == ()
        assert np.array_equal(read(full).pixels[..., 0], np.rint(full / 257).astype(np.uint8))


def test_opacity_that_nobody_wrote_is_none():
    """Windows leaves the fourth byte of its bitmaps 0."""
    pixels = np.dstack([np.asarray(scene())[..., ::-1], np.zeros((40, 60), np.uint8)])[::-1]
    head = struct.pack("<IiiHHIIiiII", 124, 60, 40, 1, 32, 3, pixels.nbytes, 0, 0, 0, 0)
    head += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    content = struct.pack("<2sIHHI", b"BM", 138 + pixels.nbytes, 0, 0, 138) + head.ljust(124, b"\0")
    assert read(content + pixels.tobytes()) == read(scene())
    faint = np.dstack([np.asarray(scene()), np.ones((40, 60), np.uint8)])  # 1 of 255
    assert "transparent all over" in read(faint).notes[0]


def test_a_pillow_image_whose_file_was_closed_says_so():
    with Image.open(io.BytesIO(encoded(scene(), "PNG"))) as image:
        pass
    with pytest.raises(PhotoError, match="keep it open until it is read"):
        read(image)


def test_around_the_first_picture_of_a_gif_there_is_nothing():
    content = encoded(scene().convert("P"), "GIF")
    at = content.index(b"\x2c\0\0\0\0") + 1  # where it lies: 5 right and 2 down, on a wider sheet
    wide = content[:6] + struct.pack("<HH", 80, 50) + content[10:at] + struct.pack("<HH", 5, 2)
    photo, around = read(wide + content[at + 4 :]), np.ones((50, 80), bool)
    around[2:42, 5:65] = False
    assert np.array_equal(photo.pixels[2:42, 5:65], read(content).pixels)
    assert (photo.pixels[around] == 255).all()


def test_what_nobody_would_see_is_told():
    clear = np.dstack([np.asarray(scene()), np.zeros((40, 60), np.uint8)])
    for source in (clear, encoded(Image.fromarray(clear), "PNG")):
        assert "transparent all over" in read(source).notes[0]
    clear[0, 0, 3] = 255
    assert read(clear).notes == ()
    logo = np.full((40, 60, 4), 255, np.uint8)
    assert read(logo).notes == ()  # a white sheet
    logo[:20, :, 3] = 0
    for source in (logo, encoded(Image.fromarray(logo).quantize(4), "PNG")):
        assert "white, so that nothing is seen" in read(source).notes[0]
    mask = (np.asarray(scene())[..., 0] > 60).astype(np.uint8)
    for source in (mask, encoded(Image.fromarray(mask), "PNG"), Image.fromarray(mask * 9)):
        assert "nearly black, since its brightest value is" in read(source).notes[0]
    assert read(mask * 20).notes == ()
    for black in (mask * 0, np.zeros((40, 60), np.uint16), Image.new("CMYK", (60, 40), (0,) * 3)):
        assert "black all over" in read(black).notes[0]
