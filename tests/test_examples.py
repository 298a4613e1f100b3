"""Every example photo is listed, credited, light, without metadata, and known to the network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from timm.data import ImageNetInfo

from explainers.photo import read

FOLDER = Path(__file__).parents[1] / "assets" / "examples"
LISTED = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))
CREDITS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (FOLDER / "CREDITS.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
]
FREE = ("CC0 1.0", "CC BY 4.0", "Public domain")


def test_the_list_the_credits_and_the_folder_agree():
    names = {entry["file"] for entry in LISTED}
    assert len(LISTED) == len(names) >= 10
    assert {path.name for path in FOLDER.glob("*.jpg")} == names
    assert {row[0].strip("`") for row in CREDITS} == names
    composed = [name for name in names if sum(row[0] == f"`{name}`" for row in CREDITS) > 1]
    assert len(composed) >= 3


def test_every_credit_is_whole_and_free():
    for file, title, author, source, licence, changes in CREDITS:
        assert all((title, author, source, changes)), file
        assert any(name in licence for name in FREE), file
        assert "http" in licence or licence == "Public domain", file


@pytest.mark.slow
@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry["file"])
def test_example(entry):
    path = FOLDER / entry["file"]
    photo = read(path)
    assert 300 <= max(photo.width, photo.height) <= 1024
    assert path.stat().st_size <= 150_000
    with Image.open(path) as image:
        assert image.format == "JPEG"
        assert not image.getexif()
        assert not {"exif", "icc_profile", "comment", "xmp", "photoshop"} & set(image.info)
    assert entry["title"]
    assert len(entry["alt"]) > 20
    assert entry["alt"].endswith(".")
    assert ". " not in entry["alt"], "one sentence"
    info = ImageNetInfo()
    classes = {info.index_to_description(index) for index in range(1000)}
    assert entry["targets"]
    assert set(entry["targets"]) <= classes
