"""Every colour mode and bit depth becomes the same 8-bit RGB that the eye expects."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from explainers.errors import PhotoError
from explainers.photo import read
from tests.test_photo import WHITE, close, encoded, scene


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
    assert told.notes == (
        "256 of its 4096 values are no numbers or mark missing ones, and shown black.",
    )
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


def tiff(
    *pages: np.ndarray,
    kinds: tuple[int, ...] = (0, 0),
    white: int | None = None,
    colours: Sequence[int] = (),
    order: str = "<",
    packed: bool = False,
) -> bytes:
    """TIFF pages (H, W), or (C, H, W) of colours plane by plane, uncompressed, in that byte order.

    kinds: tag 254 of each page; white: tag 262, what its numbers mean; colours: the palette's;
    packed: is a page of one plane compressed?
    """
    content = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8)
    for page, kind in zip(pages, kinds, strict=False):
        planes = page if page.ndim == 3 else page[None]
        count, (height, width), begin = len(planes), page.shape[-2:], len(content)
        stored = planes.astype(planes.dtype.newbyteorder(order)).tobytes()
        stored = zlib.compress(stored) if packed else stored
        size = len(stored) // count
        lists = begin + 2 + 12 * (11 + bool(colours)) + 4  # where what is too long for a tag lies
        data = lists + 4 * 4 * count + 4 * len(colours)
        tags = {
            254: [kind],
            256: [width],
            257: [height],
            258: [8 * page.itemsize] * count,
            259: [8 if packed else 1],
            262: [(1 if count == 1 else 2) if white is None else white],
            273: [data + size * plane for plane in range(count)],
            277: [count],
            279: [size] * count,
            284: [1 if count == 1 else 2],
            339: [{"u": 1, "i": 2, "f": 3}[page.dtype.kind]] * count,
        } | ({320: colours} if colours else {})
        entries, behind = struct.pack(f"{order}H", len(tags)), b""
        for tag, values in sorted(tags.items()):
            body = struct.pack(f"{order}{len(values)}I", *values)
            if len(values) > 1:
                body, behind = struct.pack(f"{order}I", lists + len(behind)), behind + body
            entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + body
        following = struct.pack(f"{order}I", 0 if page is pages[-1] else data + len(stored))
        content += (entries + following + behind).ljust(data - begin, b"\0") + stored
    return content


def test_a_tiff_is_read_as_its_tags_say():
    ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    deep, fractions = ramp.astype(np.uint16) * 257, (ramp / 255).astype(np.float32)
    for name, (content, stretched) in {
        "greys": (tiff(ramp), False),
        "white is 0": (tiff(65535 - deep, white=0), False),
        "white is 0, 12 bits": (tiff(4095 - deep // 16, white=0), True),
        "white is 0.0": (tiff(1 - fractions, white=0), False),
        "unsigned": (tiff(ramp.astype(np.uint32) * 16843009), True),
        "signed": (tiff((ramp.astype(int) - 128).astype(np.int8)), True),
        "signed, from 0 on": (tiff((deep // 2).astype(np.int16)), False),
        "planes": (tiff(np.stack([ramp] * 3)), False),
        "colours of 8 bits": (tiff(255 - ramp, white=3, colours=[*range(255, -1, -1)] * 3), False),
        "behind a preview": (tiff(ramp[:, ::4], ramp, kinds=(1, 0)), False),
        "before a preview": (tiff(ramp, ramp[:, ::4], kinds=(0, 1)), False),
    }.items():
        photo = read(content)
        assert photo.pixels.shape == (16, 256, 3), name
        assert np.abs(photo.pixels[0].astype(int) - np.arange(256)[:, None]).max() <= 1, name
        assert bool(photo.notes) == stretched, name
    whole = (deep // 2).astype(np.int16), deep.astype(np.int32) << 8
    for values in (deep, *whole, fractions, fractions * 255):
        assert read(tiff(values, order=">", packed=True)) == read(tiff(values))
    opacity, infrared = b"\x52\1\3\0\1\0\0\0\2", b"\x52\1\3\0\1\0\0\0\0"  # tag 338
    content = encoded(scene().convert("RGBA"), "TIFF").replace(opacity, infrared)
    assert read(content) == read(scene())
    assert read(content).notes == ("Of its 4 channels only the first 3 can be shown.",)
    with pytest.raises(PhotoError, match="keeps each of its colours apart, with more than 8 bits"):
        read(tiff(np.stack([ramp.astype(np.uint16)] * 3)))


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
    for source in (ramp, deep_grey(ramp, "PNG"), scene()):
        assert read(source).notes == ()
    for source in (black, deep_grey(black, "PNG")):
        assert read(source).notes == read(Image.new("RGB", (16, 16))).notes
    signed = read((ramp.astype(np.int32) - 32768).astype(np.int16))  # as a CT's
    assert np.array_equal(signed.pixels[0, :, 0], np.arange(256))
    assert "stretched from -32768 (black) to 32767 (white)" in signed.notes[0]
    assert "Its colours fill 255 of 65535" in read(np.stack([ramp // 257] * 3, -1)).notes[0]
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
    for deep in (colours, np.full_like(colours, 65535)):  # of which Pillow makes black
        with pytest.raises(PhotoError, match="JPEG 2000 holds colours of more than 8 bits"):
            read(cv2.imencode(".jp2", deep)[1].tobytes())
    dark = Image.fromarray(np.asarray(scene()) // 8)
    assert read(encoded(dark, "JPEG2000")) == read(dark)


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
    assert read((colours.astype(np.uint16) * 257).astype(">u2")) == read(colours)
    assert read(Image.fromarray(grey).convert("LA").convert("La")) == read(grey)
    assert read(torch.complex(tensor / 255, -(tensor / 255)).conj().imag) == read(colours)
    rough = read((tensor / 255).bfloat16()).pixels.astype(int)
    assert np.abs(rough - colours).max() <= 1


def png(values: np.ndarray, bits: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of greys (H, W), or of colours (H, W, 3), of that many bits, with more chunks."""
    height, width = values.shape[:2]
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in values]
    else:
        places = 1 << np.arange(bits)[::-1]
        rows = [np.packbits((row[:, None] & places) > 0).tobytes() for row in values]
    head = struct.pack(">IIBB3x", width, height, bits, 0 if values.ndim == 2 else 2)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    content = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", head), *chunks, (b"IDAT", data), (b"IEND", b"")):
        check = struct.pack(">I", zlib.crc32(name + body))
        content += struct.pack(">I", len(body)) + name + body + check
    return content


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_png_may_call_one_of_its_colours_transparent(bits):
    """Whatever its depth, on whose scale that one is given."""
    grey = np.asarray(scene())[..., 1].astype(np.uint16) * 257 >> (16 - bits)
    key = int(grey[20, 30])
    seen = np.where(grey == key, 255, np.rint(grey * (255 / (2**bits - 1))))
    photo = read(png(grey, bits, (b"tRNS", struct.pack(">H", key))))
    assert np.abs(photo.pixels[..., 0] - seen).max() <= 1
    if bits < 16:
        return
    colours = np.asarray(scene()) * np.uint16(256) + 7  # of which the decoder keeps the upper half
    key = colours[20, 30]
    seen = np.where((colours == key).all(-1, keepdims=True), 255, colours >> 8)
    found = read(png(colours, 16, (b"tRNS", struct.pack(">3H", *key)))).pixels
    assert np.array_equal(found, seen)
    dark = np.where(grey == grey[0, 0], 65535, grey >> 4)  # of an instrument, nothing in places
    photo = read(png(dark, 16, (b"tRNS", struct.pack(">H", 65535))))
    assert "white is 2047" in photo.notes[0]
    assert np.abs(photo.pixels[-1, :, 0] - np.rint(dark[-1] / 2047 * 255)).max() <= 1
    assert photo.pixels[0, 0, 0] == 255


def tagged(space: bytes, parts: dict[bytes, bytes]) -> bytes:
    """An ICC profile of those parts, in their order."""
    at, tags = 132 + 12 * len(parts), struct.pack(">I", len(parts))
    for name, body in parts.items():
        tags += struct.pack(">4sII", name, at, len(body))
        at += len(body)
    return struct.pack(">I12x4s", at, space).ljust(128, b"\0") + tags + b"".join(parts.values())


def test_a_converted_pillow_image_is_taken_as_it_is():
    """Pillow leaves on it the colour that meant transparency, which others may have, too."""
    palette = Image.new("P", (40, 40), 0)
    palette.putpalette([0, 0, 0, 200, 0, 0, 0, 0, 0])
    palette.paste(1, (0, 0, 20, 20))
    palette.paste(2, (20, 20, 40, 40))
    for format in ("GIF", "PNG"):
        with Image.open(io.BytesIO(encoded(palette, format, transparency=0))) as image:
            assert [read(image).pixels[y, 30, 0] for y in (5, 30)] == [255, 0]
            assert [read(image.copy()).pixels[y, 30, 0] for y in (5, 30)] == [255, 0]
            for mode in ("RGB", "L"):
                flat = image.convert(mode)
                assert np.array_equal(read(flat).pixels, np.asarray(flat.convert("RGB")))


def profile(*columns: tuple[float, float, float]) -> bytes:
    """One for RGB with that matrix."""
    bodies = [struct.pack(">4s4x3i", b"XYZ ", *(round(n * 65536) for n in c)) for c in columns]
    return tagged(b"RGB ", dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), bodies, strict=True)))


SRGB = profile((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
P3 = profile((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
ADOBE = profile((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
PROPHOTO = profile((0.7977, 0.2880, 0), (0.1352, 0.7119, 0), (0.0313, 0.0001, 0.8249))


def test_pixels_are_those_that_are_stored_and_a_note_tells_of_a_profile_far_from_srgb():
    plain, print_ = read(scene()), scene().convert("CMYK")
    for format in ("PNG", "TIFF"):
        for icc, far in ((SRGB, False), (P3, False), (ADOBE, True), (PROPHOTO, True)):
            photo = read(encoded(scene(), format, icc_profile=icc))
            assert photo == plain
            assert ["far from sRGB" in note for note in photo.notes] == [True] * far
    curves = {
        b"curv\0\0\0\0" + struct.pack(">I", 0): True,
        b"curv\0\0\0\0" + struct.pack(">IH", 1, 256): True,
        b"curv\0\0\0\0" + struct.pack(">IH", 1, 461): False,
        b"para\0\0\0\0\0\0\0\0" + struct.pack(">I", 65536): True,
        b"para\0\0\0\0\0\3\0\0" + struct.pack(">5i", 157286, 62128, 3407, 5072, 2651): False,
        b"curv\0\0\0\0" + struct.pack(">I5H", 5, *range(0, 65536, 16383)): True,
        b"curv\0\0\0\0" + struct.pack(">I5H", 5, 0, 3104, 14264, 34800, 65535): False,
        b"curv\0\0\0\0" + struct.pack(">I", 10**9): False,
    }
    for curve, linear in curves.items():
        for space, name in ((b"RGB ", b"rTRC"), (b"GRAY", b"kTRC")):
            told = read(encoded(scene(), "TIFF", icc_profile=tagged(space, {name: curve}))).notes
            assert bool(told) == linear
    for name, told in ((b"a scanner", 1), (b"IEC sRGB", 0), ("sRGB v4".encode("utf-16-be"), 0)):
        icc = tagged(b"RGB ", {b"A2B0": b"mft2", b"desc": name})
        assert len(read(encoded(scene(), "PNG", icc_profile=icc)).notes) == told
    for stored, chunks in ((100_000, []), (45_455, []), (100_000, [(b"sRGB", b"\0")])):
        chunks = [(b"gAMA", struct.pack(">I", stored)), *chunks]
        told = read(png(np.asarray(scene())[..., 0], 8, *chunks)).notes
        assert len(told) == (stored == 100_000 and len(chunks) == 1)
    for broken in (ADOBE[:150], b"", b"no profile" * 20, b"\xff" * 200):
        assert read(encoded(scene(), "TIFF", icc_profile=broken or None)).notes == ()
    for icc in (None, tagged(b"CMYK", {})):
        photo = read(encoded(print_, "TIFF", icc_profile=icc))
        assert np.array_equal(photo.pixels, np.asarray(print_.convert("RGB")))
        assert ["made for printing" in note for note in photo.notes] == [True] * (icc is not None)


def test_a_note_tells_of_values_that_are_coded_for_hdr():
    greys = np.asarray(scene())[..., 0].astype(np.uint16) * 257
    for transfer, words in ((16, "HDR (PQ)"), (18, "HDR (HLG)"), (13, "")):
        notes = read(png(greys, 16, (b"cICP", bytes((9, transfer, 0, 1))))).notes
        assert [words in note for note in notes] == [True] * bool(words)
        content = encoded(scene(), "AVIF")
        assert content.count(b"colrnclx") == 1
        at = content.index(b"colrnclx") + 10
        coded = content[:at] + struct.pack(">H", transfer) + content[at + 2 :]
        assert [words in note for note in read(coded).notes] == [True] * bool(words)
        assert read(coded + b"\0\0\0\x0cfreetmap").notes == ()  # of what would brighten it


def test_the_remedy_for_floats_suits_them():
    fractions = np.asarray(scene()) / np.asarray(scene()).max()
    for values, remedy in (
        (fractions * 1.15, "clip them"),
        (fractions - 0.001, "clip them"),
        (fractions * 255, "divide by 255"),
        (fractions * 2 - 1, "normalisation"),
    ):
        with pytest.raises(PhotoError, match=remedy):
            read(values)
    with pytest.raises(PhotoError, match=r"from 0 to 1\.0001, not from 0 to 1; clip"):
        read(np.linspace(0, 1.0001, 400).reshape(20, 20))


def test_transparency_is_laid_on_white():
    clear = Image.new("RGBA", (20, 20), (200, 0, 0, 0))
    clear.paste((200, 0, 0, 255), (0, 0, 10, 20))
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([200, 0, 0, 10, 10, 10])
    palette.paste(0, (0, 0, 10, 20))
    grey = Image.merge("LA", [Image.new("L", (20, 20), 60), clear.getchannel("A")])
    keyed = Image.new("RGB", (20, 20), (1, 2, 3))
    keyed.paste((200, 0, 0), (0, 0, 10, 20))
    cases = {
        "RGBA": encoded(clear, "PNG"),
        "RGBA WebP": encoded(clear, "WEBP", lossless=True),
        "P": encoded(palette, "PNG", transparency=1),
        "P GIF": encoded(palette, "GIF", transparency=1),
        "LA": encoded(grey, "PNG"),
        "PA": grey.convert("RGBA").convert("PA"),
        "RGB key": encoded(keyed, "PNG", transparency=(1, 2, 3)),
        "array": np.asarray(clear),
    }
    for name, source in cases.items():
        pixels = read(source).pixels
        solid = (60, 60, 60) if name in ("LA", "PA") else (200, 0, 0)
        assert close(pixels[10, 16], WHITE), name
        assert close(pixels[10, 3], solid), name
    half = Image.new("RGBA", (10, 10), (0, 0, 0, 128))
    assert close(read(half).pixels[5, 5], (127, 127, 127), 2)
