"""However a photo is handed over, it is the same photo, and what it was taken from is as before."""

from __future__ import annotations

import base64
import io
import mmap
import os
import struct
import zipfile
import zlib
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explainers import PhotoError, explain, wrap
from explainers import __main__ as command
from explainers.photo import jpeg, read
from explainers.photo.bands import bands
from explainers.photos import paths_in
from tests.test_photo import encoded, refusal, scene

PNG = encoded(scene(), "PNG")


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        parts = nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        return wrap(nn.Sequential(*parts, nn.Linear(4, 3)), mean=0.5, std=0.25, size=32)


class Placed:
    """A path of another library's."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


class Quacks:
    """An array of another library's."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self.values


def test_files_are_read_however_they_are_given(tmp_path, network):
    path = tmp_path / "photo.png"
    path.write_bytes(PNG)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    archive = zipfile.ZipFile(tmp_path / "all.zip", "x")
    archive.writestr("photo.png", PNG)
    at_its_end = io.BytesIO(PNG)
    at_its_end.seek(0, io.SEEK_END)
    sources = {
        "opened": path.open("rb"),
        "mapped to memory": mapped,
        "read already": at_its_end,
        "in an archive": archive.open("photo.png"),
        "another path": Placed(path),
        "entry of a folder": next(each for each in os.scandir(tmp_path) if each.name == path.name),
        "NumPy's text": np.str_(path),
        "data URL": "data:image/png;base64," + base64.b64encode(PNG).decode(),
        "escaped": "data:image/png; base64," + quote(base64.b64encode(PNG), safe=""),
        "of an address": "data:;base64," + base64.urlsafe_b64encode(PNG).decode().rstrip("="),
        "batch of one": np.asarray(scene())[None],
        "masked": np.ma.masked_array(scene(), mask=False),
    }
    for name, source in sources.items():
        assert read(source) == read(scene()), name
    assert at_its_end.tell() == len(PNG)
    one = explain(network, path, 1)
    for source in (io.BytesIO(PNG), [io.BytesIO(PNG)], np.array([str(path)]), np.array([path])):
        found = explain(network, source, 1)
        found = found[0] if isinstance(found, list) else found
        assert torch.equal(found.values, one.values)
    row = {"image": {"bytes": None, "path": str(path)}, "label": 3}
    stored = {"image": {"bytes": PNG, "path": "elsewhere.png"}}
    for record in (row, stored, row["image"], {"img": Quacks(np.asarray(scene()))}):
        assert torch.equal(explain(network, record, 1).values, one.values)
        assert torch.equal(explain(network, [record], 1)[0].values, one.values)
    with pytest.raises(PhotoError, match="must be bytes, a path"):
        explain(network, {"label": 3}, 1)
    mask = Image.fromarray((np.asarray(scene())[..., 0] > 60).astype(np.uint8))
    doubt = explain(network, mask, 1).notes[0]
    assert doubt.key == "photo"
    assert "nearly black" in doubt.sentence
    masked = read(np.ma.masked_array(scene(), mask=np.asarray(scene()) > 200))
    assert "are masked, and taken for 0" in masked.notes[0]
    five = np.ma.masked_equal(np.arange(320).reshape(8, 8, 5).astype(np.uint8), 7)
    found = bands(five, 5)
    assert found.notes == ("2 of its 320 values are masked, and taken for 0.",)
    assert np.array_equal(found.bands * 255, five.filled(0))
    assert (masked.pixels == np.where(np.asarray(scene()) > 200, 0, scene())).all()


@pytest.mark.parametrize(("source", "says"), [
    ("s3://bucket/cat.jpg", "download this address first"),
    (Path("https://there.org/cat.jpg"), "download this address first"),
    (io.StringIO("text"), "opened as text"),
    ("data:image/png,%89PNG", "data URL holds no photo"),
    ("data:image/png;base64,x", "data URL holds no photo"),
    ("data:image/png;base64,iVBO!Rw0", "data URL holds no photo"),
    (b"", "is empty"),
])  # fmt: skip
def test_what_can_t_be_read_from_says_why(source, says):
    with pytest.raises(PhotoError, match=says):
        read(source)


@pytest.mark.parametrize("format", ["GIF", "TIFF", "WEBP"])
def test_a_pillow_image_is_read_where_it_stands_and_stays_there(format):
    frames = [Image.new("RGB", (20, 20), (shade,) * 3) for shade in (50, 100, 200)]
    content = encoded(frames[0], format, save_all=True, append_images=frames[1:], lossless=True)
    image = Image.open(io.BytesIO(content))
    image.seek(1)
    assert read(image).pixels[9, 9, 0] == 100
    assert read(image, page=2).pixels[9, 9, 0] == 200
    assert image.tell() == 1
    image.load()
    image.paste("white", (0, 0, 20, 20))
    assert read(image).pixels[9, 9, 0] == 255


def test_what_systems_and_programs_hide_in_a_folder_is_no_photo_of_it(tmp_path, network):
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "folder.png").mkdir()
    for name in ("b.png", "a.JFIF", "c.hif", ".ipynb_checkpoints/b-checkpoint.png"):
        (tmp_path / name).write_bytes(PNG)
    for name in ("._b.png", "__MACOSX/b.png", ".trashed.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7no picture")
    assert [path.name for path in paths_in(tmp_path)] == ["a.JFIF", "b.png", "c.hif"]
    assert len(explain(network, tmp_path, 1)) == 3
    hidden = tmp_path / ".ipynb_checkpoints"  # asked for by name
    assert len(explain(network, hidden, 1)) == 1


def test_names_of_photos_may_be_anything(tmp_path, capsys):
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    names = ["x" * 250 + ".png", "two\nlines\x1b[31m.png", os.fsdecode(b"caf\xe9.png"), "🐈.png"]
    for name in names:
        (folder / name).write_bytes(PNG)
    missing = tmp_path / os.fsdecode(b"\xe9.png")
    asked = [str(folder), str(missing), "https://there.org/cat.png"]
    how = ["--methods", "gradcam", "--no-scores", "--out", str(out)]
    assert command.main([*asked, *how]) == 1
    said = capsys.readouterr().err
    assert "4 made, 0 were there already, 2 failed." in said
    assert "no such file" in said
    assert "cat.png: A photo is read from a file; download" in said
    assert "\x1b" not in said
    assert "two\n" not in said
    assert len(list(out.glob("*.zip"))) == 4


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_png_may_hold_a_book_beside_its_picture(name, place):
    """As programs that draw pictures leave it: their settings, megabytes of them."""
    head = {b"zTXt": b"workflow\0\0", b"iTXt": b"prompt\0\1\0\0\0", b"iCCP": b"scanner\0\0"}[name]
    book = chunk(name, head + zlib.compress(bytes(3_000_000)))
    at = 33 if place == "before" else PNG.index(b"IEND") - 4
    assert read(PNG[:at] + book + PNG[at:]) == read(PNG)
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(scene())))
    exif = Image.Exif()
    exif[0x0112] = 6
    xmp = b'<rdf:Description tiff:Orientation="6" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"/>'
    upright = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    content = encoded(turned, "PNG")
    assert read(content[:33] + book * (place == "before") + upright + content[33:]) == read(scene())


@pytest.mark.parametrize("name", [b"pHYs", b"tIME", b"iCCP", b"gAMA", b"eXIf"])
def test_a_png_may_hold_a_damaged_chunk_that_it_can_do_without(name):
    damaged = chunk(name, b"whatever")[:-4] + b"oops"
    assert read(PNG[:33] + damaged + PNG[33:]) == read(PNG)
    assert "damaged" in refusal(PNG[:33] + chunk(b"PLTE", b"abc")[:-4] + b"oops" + PNG[33:])


@pytest.mark.parametrize("turned", [False, True])
def test_of_a_jpeg_with_further_pictures_the_first_is_read(turned):
    """Phones put a gain map or depth behind it; a broken index of them is no broken photo."""
    photo, gain = scene(), [Image.new("L", (60, 40), 128), Image.new("RGB", (900, 600), "white")]
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    told = {"quality": 90, "exif": exif}
    plain = read(encoded(photo, "JPEG", **told))
    whole = encoded(photo, "MPO", save_all=True, append_images=gain, **told)
    count = whole.index(struct.pack("<HHII", 0xB001, 4, 1, 3)) + 8
    hdr = b'http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version="1.0"/>'
    for content in (
        whole,
        whole[:2] + b"\xff\xe1" + struct.pack(">H", len(hdr) + 2) + hdr + whole[2:],
        whole[:-200],
        *(whole[:count] + struct.pack("<I", wrong) + whole[count + 4 :] for wrong in (0, 1, 99)),
        encoded(photo, "JPEG", **told) + encoded(gain[1], "JPEG"),
    ):
        assert read(content).pixels.shape == plain.pixels.shape
        assert np.array_equal(read(content).pixels, plain.pixels)


def test_a_jpeg_of_countless_parts_keeps_nobody_waiting():
    whole = encoded(scene(), "JPEG")
    for part in (b"\xff\xe1\0\2", b"\xff"):
        few, many = (whole[:2] + part * n + whole[2:-2] for n in (100, jpeg.PARTS))
        assert jpeg.alone(few) == few + whole[-2:]
        assert jpeg.alone(many) == many  # looked at no longer


def test_a_turn_that_only_the_exif_of_a_heic_asks_for_is_told():
    """Which its viewers leave aside, as ISO/IEC 23008-12 says (libvips #2551)."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(scene(), "HEIF", quality=-1, exif=exif.tobytes())
    turned, lying = read(content), read(content.replace(b"irot", b"free"))
    assert (turned.width, turned.height) == (40, 60)
    assert turned.notes == ()
    assert (lying.width, lying.height) == (60, 40)
    assert "asks for a turn" in lying.notes[0]
