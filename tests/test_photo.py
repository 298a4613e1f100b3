"""Whatever a visitor uploads becomes an upright RGB photo or one sentence."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, TiffImagePlugin

from explainers.errors import PhotoError
from explainers.photo import MAX_SIDE, Photo, read, to_jpeg
from explainers.photo import reading as photo_module
from explainers.photo.source import MAX_BYTES

RED, WHITE = (220, 30, 40), (255, 255, 255)


def scene(width: int = 60, height: int = 40) -> Image.Image:
    """Smooth colours with a red block in the top left corner."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 2 % 256, y * 3 % 256, np.full_like(x, 90)], axis=-1).astype(np.uint8)
    pixels[: height // 3, : width // 3] = RED
    return Image.fromarray(pixels)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def close(pixel: np.ndarray, colour: tuple[int, int, int], tolerance: int = 6) -> bool:
    return bool(np.abs(pixel.astype(int) - colour).max() <= tolerance)


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header promises any size, with next to no data."""

    def chunk(name: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def jpeg_header(width: int, height: int) -> bytes:
    """A JPEG that promises any size and holds the data of a small one."""
    content = bytearray(encoded(scene(), "JPEG"))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def refusal(source: object) -> str:
    with pytest.raises(PhotoError) as caught:
        read(source)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert ". " not in message, "one sentence"
    assert "/" not in message, "no path"
    return message


FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF", "JPEG2000", "PPM"]


@pytest.mark.parametrize("format", FORMATS)
def test_reads_every_format(format):
    photo = read(encoded(scene(), format))
    assert photo.pixels.shape == (40, 60, 3)
    assert photo.pixels.dtype == np.uint8
    assert photo.original_size == (photo.width, photo.height) == (60, 40)
    assert close(photo.pixels[5, 8], RED, 24)


def test_sources_agree_and_the_digest_is_of_the_pixels(tmp_path):
    image = scene()
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(image, "PNG"))
    array = np.asarray(image)
    floats = array.astype(np.float32) / 255
    sources = [path, str(path), path.read_bytes(), encoded(image, "BMP"), image, array, floats]
    photos = [read(source) for source in sources]
    assert len(set(photos)) == 1, "equal pixels are one photo"
    assert len({photo.digest for photo in photos}) == 1
    other = array.copy()
    other[-1, -1, 2] ^= 1
    assert read(other).digest != photos[0].digest
    assert (
        read(np.zeros((8, 18, 3), np.uint8)).digest != read(np.zeros((18, 8, 3), np.uint8)).digest
    )
    assert len(photos[0].digest) == len(hashlib.sha256().hexdigest())


def test_pixels_are_read_only_and_the_source_is_left_alone():
    array = np.asarray(scene()).copy()
    photo = read(array)
    with pytest.raises(ValueError, match="read-only"):
        photo.pixels[0, 0] = 0
    with pytest.raises(ValueError, match="WRITEABLE"):
        photo.pixels.setflags(write=True)
    array[:] = 0
    assert close(photo.pixels[0, 0], RED)
    image = scene(1500, 1000)
    assert read(image).width == MAX_SIDE
    assert image.size == (1500, 1000)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(orientation, format):
    """Stored as EXIF 2.32 lays down, the red corner stands top left again."""
    upright = np.asarray(scene())
    turned = upright.transpose(1, 0, 2)
    stored = {  # the side of the scene that the first row shows, and the first column
        1: upright,  # top, left
        2: upright[:, ::-1],  # top, right
        3: upright[::-1, ::-1],  # bottom, right
        4: upright[::-1],  # bottom, left
        5: turned,  # left, top
        6: turned[::-1],  # right, top
        7: turned[::-1, ::-1],  # right, bottom
        8: turned[:, ::-1],  # left, bottom
    }[orientation]
    stored = Image.fromarray(np.ascontiguousarray(stored))
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = read(encoded(stored, format, exif=exif.tobytes()))
    assert photo.original_size == (photo.width, photo.height) == (60, 40)
    assert close(photo.pixels[4, 6], RED, 16)
    corners = photo.pixels[-4, 6], photo.pixels[4, -6], photo.pixels[-4, -6]
    assert not any(close(corner, RED, 60) for corner in corners)
    assert np.abs(photo.pixels.astype(int) - upright).mean() < 4


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow, of corrupt EXIF
def test_corrupt_exif_does_not_cost_the_photo():
    jpeg = encoded(scene(), "JPEG", quality=95)
    for body in (b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 40):
        segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
        assert read(jpeg[:2] + segment + jpeg[2:]).digest == read(jpeg).digest
    exif = Image.Exif()
    exif[0x0112] = 77
    assert read(encoded(scene(), "JPEG", quality=95, exif=exif)).digest == read(jpeg).digest


def test_first_frame_or_the_page_that_is_asked_for():
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, "blue", "green")]
    for format in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        content = encoded(frames[0], format, save_all=True, append_images=frames[1:])
        first = read(content)
        assert close(first.pixels[10, 10], RED, 8), format
        assert close(read(content, page=1).pixels[10, 10], (0, 0, 255), 8), format
        assert ["several pages" in note for note in first.notes] == [True] * (format == "TIFF")
        for page in (3, -1):
            with pytest.raises(PhotoError, match=f"no page {page}"):
                read(content, page=page)
    assert read(encoded(frames[0], "TIFF")).notes == ()
    large = Image.new("1", (7000, 6000))
    pages = encoded(large, "TIFF", save_all=True, append_images=frames, compression="tiff_lzw")
    assert close(read(pages, page=1).pixels[10, 10], RED, 8)
    with pytest.raises(PhotoError, match="more than 40 megapixels"):
        read(pages)


@pytest.mark.parametrize(("size", "expected"), [
    ((2560, 1280), (1280, 640)), ((1281, 1280), (1280, 1279)), ((1280, 8), (1280, 8)),
    ((8, 8), (8, 8)), ((300, 3000), (128, 1280)), ((10000, 70), (1280, 9)),
])  # fmt: skip
def test_scaled_to_the_longest_side(size, expected):
    photo = read(Image.new("RGB", size, RED))
    assert (photo.width, photo.height) == expected
    assert photo.original_size == size


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "RGBA"])
def test_downscaling_is_antialiased(mode):
    checks = (np.indices((2600, 2600)).sum(0) % 2 * 255).astype(np.uint8)
    photo = read(Image.fromarray(checks).convert(mode))
    inner = photo.pixels[20:-20, 20:-20].astype(int)
    assert abs(inner.mean() - 127.5) < 3
    assert inner.std() < 30, "a fine chequerboard turns grey, not into moire"


@pytest.mark.parametrize("passes", [{}, {"progressive": True}, {"restart_marker_blocks": 4}])
def test_a_jpeg_may_lack_its_end_but_no_part_of_its_picture(passes):
    noise = np.random.default_rng(2).integers(0, 256, (200, 300, 3), np.uint8)
    gain = encoded(scene(200, 150), "JPEG")
    for image in (scene(400, 300), Image.fromarray(noise), Image.new("RGB", (300, 200), "gray")):
        whole = encoded(image, "JPEG", quality=90, **passes)
        assert whole.endswith(b"\xff\xd9")
        for behind in (b"", b"\xff", b"junk", bytes(9), gain, gain[:30], gain[:-200]):
            assert read(whole[:-2] + behind) == read(whole)
    noisy = encoded(Image.fromarray(noise), "JPEG", quality=90, **passes)
    for cut in (12, 200, len(noisy) // 2):
        for behind in (b"", gain, bytes(500_000)):
            assert "damaged" in refusal(noisy[:-cut] + behind)
    if "progressive" not in passes:  # which lacks details alone
        assert "damaged" in refusal(noisy[:-200] + b"\xff\xd9")


def no_photos(folder: Path) -> dict[str, tuple[Any, str]]:
    """What can't be read, and a word of the reason that is given."""
    jpeg = encoded(scene(400, 300), "JPEG")
    without_head = b"\x08\0\x05\0\x0a\0\0\0ISO_IR 100" + bytes(99)
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:12ab\nsize 9\n"
    return {
        "empty": (b"", "empty"),
        "text": (b"hello, I am not a photo\n" * 20, "text"),
        "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "SVG"),
        "PDF": (b"%PDF-1.7\n1 0 obj << /Type /Catalog >> endobj\n%%EOF", "PDF"),
        "EPS": (encoded(scene(), "EPS"), "PostScript"),
        "ICO": (encoded(scene(), "ICO"), "icon"),
        "DICOM": (bytes(128) + b"DICM" + bytes(99), "pixel_array"),
        "DICOM, old": (without_head, "export the picture as PNG"),
        "text, not ASCII": ("<html>À la carte</html>".encode(), "text"),
        "text, 16 bits": ("<html>À la carte</html>".encode("utf-16"), "text"),
        "TAR": (bytes(257) + b"ustar" + bytes(99), "unpack"),
        "web page": (b"<!doctype html>\n<html><svg/></html>", "web page"),
        "raw": (raw(), "raw file"),
        "raw, CR3": (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom" + bytes(99), "raw file"),
        "JPEG XL": (b"\xff\x0a" + bytes(99), "JPEG XL"),
        "NumPy": (b"\x93NUMPY\x01\0" + bytes(99), "array"),
        "Git LFS": (pointer, "lfs pull"),
        "Word": (b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml" + bytes(99), "office"),
        "ZIP": (b"PK\x03\x04" + bytes(99), "unpack"),
        "MP4": (b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41" + bytes(200), "video"),
        "JPEG header": (b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8, ""),
        "JPEG half": (jpeg[: len(jpeg) // 2], "damaged"),
        "PNG head": (encoded(scene(), "PNG")[:60], ""),
        "nothing but a PNG header": (png_header(300, 300), ""),
        "1 pixel": (encoded(Image.new("RGB", (1, 1)), "PNG"), "8 pixels"),
        "thread": (encoded(Image.new("RGB", (30000, 1)), "PNG"), "8 pixels"),
        "strip": (np.zeros((100, 30000, 3), np.uint8), "8 pixels"),
        "none": (None, ""),
        "number": (7, ""),
        "address": ("https://somewhere.org/cat.jpg", "download"),
        "missing": (folder / "missing.jpg", ""),
        "folder": (folder, ""),
        "odd name": ("x\0y.jpg", ""),
        "long name": ("x" * 5000, ""),
        "shape": (np.zeros((40, 40, 5), np.uint8), "40 × 40 × 5"),
        "line": (np.zeros(40, np.uint8), ""),
        "batch": (np.zeros((2, 3, 40, 40), np.uint8), ""),
        "void": (np.zeros((0, 40, 3), np.uint8), ""),
        "NaN": (np.full((40, 40), np.nan), "NaN"),
        "normalised": (torch.full((3, 40, 40), -1.5), "normalisation"),
        "0 to 255 floats": (np.full((40, 40), 200.0), "divide by 255"),
        "integers": (np.zeros((40, 40), np.int64), "int64"),
        "objects": (np.full((40, 40), None), ""),
        "no pixels": (Image.new("RGB", (0, 0)), ""),
    }  # fmt: skip


def test_what_is_no_photo_gets_a_sentence(tmp_path):
    for name, (source, word) in no_photos(tmp_path).items():
        assert word in refusal(source), name


def raw() -> bytes:
    """A camera's raw file, as far as TIFF goes: a thumbnail first, the picture inside it."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254], tags[330] = 1, 8
    return encoded(scene(), "TIFF", tiffinfo=tags)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_size_limits_come_before_decoding(monkeypatch, tmp_path):
    def must_not_run(*_):
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(photo_module, "_develop", must_not_run)
    assert "80 megapixels" in refusal(jpeg_header(12000, 9000))
    for width, height in ((8000, 5001), (12000, 10000), (30000, 30000), (2**31 - 1, 2**31 - 1)):
        assert "40 megapixels" in refusal(png_header(width, height))
    assert "40 megapixels" in refusal(np.broadcast_to(np.uint8(0), (7000, 7000, 3)))
    heavy = encoded(scene(), "PNG") + bytes(MAX_BYTES)
    assert "20 MB" in refusal(heavy)
    (tmp_path / "heavy.png").write_bytes(heavy)
    assert "20 MB" in refusal(tmp_path / "heavy.png")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow, of corrupt EXIF
def test_mutilated_files_give_a_photo_or_a_sentence():
    """Seeded mutations of valid files: cut, bytes flipped, a block overwritten, spliced."""
    random = np.random.default_rng(7)
    exif = Image.Exif()
    exif[0x0112] = 6
    formats = {
        "JPEG": {"exif": exif},
        "PNG": {"exif": exif},
        "WEBP": {"exif": exif},
        "GIF": {},
        "BMP": {},
        "TIFF": {"compression": "tiff_lzw"},
        "HEIF": {},
        "AVIF": {},
        "JPEG2000": {},
        "PPM": {},
    }
    valid = [encoded(scene(), format, **options) for format, options in formats.items()]
    photos = 0
    for turn in range(400):
        content = bytearray(valid[turn % len(valid)])
        kind = turn // len(valid) % 4
        at = int(random.integers(len(content)))
        if kind == 0:
            del content[at:]
        elif kind == 1:
            for place in random.integers(len(content), size=1 + at % 5):
                content[place] ^= int(random.integers(1, 256))
        elif kind == 2:
            content[at : at + 16] = random.bytes(16)
        else:
            content[at:at] = valid[(turn + 1) % len(valid)][at : at + 64]
        try:
            photo = read(bytes(content))
        except PhotoError:
            continue
        photos += 1
        assert photo.pixels.shape == (photo.height, photo.width, 3)
        assert photo.pixels.dtype == np.uint8
    assert 20 < photos < 380, "the mutations are neither harmless nor all deadly"


def test_many_visitors_at_once():
    files = [encoded(scene(500 + n, 400), "JPEG") for n in range(4)]
    expected = [read(file).digest for file in files]
    wrong: list[int] = []

    def visit() -> None:
        for n in range(20):
            if read(files[n % 4]).digest != expected[n % 4]:
                wrong.append(n)

    threads = [Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_memory_of_a_48_megapixel_jpeg_is_bounded(tmp_path):
    """Decoded whole it would take 146 MB; at a reduced scale it takes a fraction."""
    large = Image.fromarray(np.zeros((6048, 8064), np.uint8)).convert("RGB")
    (tmp_path / "large.jpg").write_bytes(encoded(large, "JPEG"))
    script = (
        "import re, sys, types\n"
        "package = types.ModuleType('explainers'); package.__path__ = ['explainers']\n"
        "sys.modules['explainers'] = package  # without the networks, which weigh more\n"
        "from explainers.photo import read\n"
        "status = lambda: open('/proc/self/status').read()  # ru_maxrss counts the parent in\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s*(\\d+)', status())[1]) / 1024\n"
        "before = peak(); photo = read(sys.argv[1]); print(photo.width, peak() - before)"
    )
    root = Path(photo_module.__file__).parents[2]
    command = [sys.executable, "-c", script, str(tmp_path / "large.jpg")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    width, grown = done.stdout.split()
    assert width == "1280"
    assert float(grown) < 80, "megabytes"


def test_to_jpeg_holds_no_metadata():
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    content = encoded(scene(), "JPEG", exif=exif, icc_profile=b"SecretProfile", comment=b"Secret")
    photo = read(content)
    assert isinstance(photo, Photo)
    for source in (photo, photo.pixels, photo.pixels[:, ::-1]):
        jpeg = to_jpeg(source, quality=92)
        assert b"Secret" not in jpeg
        again = Image.open(io.BytesIO(jpeg))
        assert again.format == "JPEG"
        assert not set(again.info) - {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert not again.getexif()
    assert np.abs(read(to_jpeg(photo, 95)).pixels.astype(int) - photo.pixels).mean() < 3
    for wrong in (photo.pixels[..., 0], photo.pixels.astype(float), photo.pixels[:0]):
        with pytest.raises(PhotoError):
            to_jpeg(wrong)
