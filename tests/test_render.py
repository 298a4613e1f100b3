"""Where heat lands on the photo, in which colours, and what a download holds."""

from __future__ import annotations

import dataclasses
import io
import json
import struct
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from explainers import Explanation, Network, OptionError, Photo, explain, read, render, to_npz
from explainers.render import sheets
from tests import nets

CELL = 8  # input pixels per side of a map's cell in the network below


class RedEye(nn.Module):
    """Its two classes count red and blue places; the map must lie on them and nowhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.eye = nn.Conv2d(3, 2, CELL, stride=CELL)
        self.relu, self.head = nn.ReLU(), nn.Linear(2, 2, bias=False)
        colour = torch.tensor([[1.0, -1, -1], [-1, -1, 1]])[..., None, None]
        with torch.no_grad():
            self.eye.weight.copy_(colour.expand(2, 3, CELL, CELL) / CELL**2)
            self.eye.bias.zero_()
            self.head.weight.copy_(torch.eye(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.eye(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def red_eye() -> Network:
    return nets.wrap(RedEye(), classes=2, size=64, mean=(0.0,) * 3, std=(1.0,) * 3)


Square = tuple[float, float, float, float]  # left, top, right, bottom as fractions of the photo


def painted(width: int, height: int, square: Square) -> np.ndarray:
    """Grey with a red square."""
    pixels = np.full((height, width, 3), 90, np.uint8)
    left, top, right, bottom = square
    rows = slice(round(top * height), round(bottom * height))
    pixels[rows, round(left * width) : round(right * width)] = (255, 0, 0)
    return pixels


def rotated_file(pixels: np.ndarray) -> bytes:
    """A JPEG that is stored on its side, with the EXIF entry that says so."""
    stored = Image.fromarray(np.rot90(pixels).copy())
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    stored.save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


SHAPES = {
    "square": (400, 400),
    "4:1": (800, 200),
    "1:3": (200, 600),
    "6:1 and 6000 wide": (6000, 1000),
    "odd": (641, 427),
}


def heated(strength: np.ndarray) -> Square:
    """The bounding box of what is hotter than half the maximum, as fractions."""
    rows, columns = np.nonzero(strength > 0.5 * strength.max())
    height, width = strength.shape
    return (
        columns.min() / width,
        rows.min() / height,
        (columns.max() + 1) / width,
        (rows.max() + 1) / height,
    )


@pytest.mark.slow
@pytest.mark.parametrize("rotated", [False, True], ids=["upright", "rotated by EXIF"])
@pytest.mark.parametrize("framing", ["whole", "crop"])
@pytest.mark.parametrize("shape", SHAPES)
def test_heat_lands_on_its_place_of_the_original_photo(shape, framing, rotated, red_eye):
    width, height = SHAPES[shape]
    # off the centre, and inside the centre square that “crop” sees
    side = 0.3 * min(width, height)
    x, y = 0.5 + 0.1 * min(width, height) / width, 0.5 - 0.2 * min(width, height) / height
    square = (x, y, x + side / width, y + side / height)
    pixels = painted(width, height, square)
    photo = read(rotated_file(pixels) if rotated else pixels)
    assert photo.width / photo.height == pytest.approx(width / height, rel=0.01)
    found = explain(red_eye, photo, 0, framing=framing)
    shown = render.shrink(photo, 640)
    over = render.translucent(found, 0, (shown.shape[1], shown.shape[0]), colourmap="Inferno")
    left, top, right, bottom = found.frame
    cell = (right - left) / found.values.shape[2], (bottom - top) / found.values.shape[1]
    inside = np.zeros(over.shape[:2], bool)
    down, across = (
        slice(*(round(edge * side) for edge in edges))
        for edges, side in zip(((top, bottom), (left, right)), over.shape, strict=False)
    )
    inside[down, across] = True
    heat = np.where(inside, over[..., :3].astype(float).sum(2), 0)  # Inferno: brighter is more
    for edge, (landed, painted_at) in enumerate(zip(heated(heat), square, strict=True)):
        assert abs(landed - painted_at) <= cell[edge % 2]
    assert (over[~inside] == (0, 0, 0, 150)).all()  # what the network never saw is dimmed
    assert inside.all() == (framing == "whole")
    # and in the finished picture, the square is what changed most
    picture = render.overlay(photo, found, colourmap="Inferno", opacity=1.0).astype(float)
    row, column = (int(s * (square[i] + square[i + 2]) / 2)
                   for s, i in ((shown.shape[0], 1), (shown.shape[1], 0)))  # fmt: skip
    assert picture[row, column, 0] > 200
    assert picture[row, column, 1] > 150  # Inferno's bright end is yellow


def made(values: list, against: int | None = None, **more) -> Explanation:
    """An explanation with those values, of classes 0, 1, ..."""
    values = torch.tensor(values)
    logits = torch.arange(8.0)
    facts = {"frame": (0.0, 0.0, 1.0, 1.0), "labels": tuple("abcdefgh"), **more}
    targets = tuple(range(len(values)))
    return Explanation(
        "gradcam", values, targets, logits, logits.softmax(0), against=against, **facts
    )


def test_a_shared_scale_keeps_the_ratio_between_classes_and_each_does_not():
    found = made([[[8.0, 2], [-4, 0]], [[0, 2.0], [1, 0]]])
    each, shared = render.heat(found, "each"), render.heat(found, "shared")
    assert each[0].tolist() == shared[0].tolist() == [[1, 0.25], [0, 0]]
    assert each[1].tolist() == [[0, 1], [0.5, 0]]
    assert shared[1].tolist() == [[0, 0.25], [0.125, 0]]


def test_contrastive_maps_show_both_signs():
    found = made([[[8.0, 0], [-4, 2]]], against=5)
    assert render.heat(found)[0].tolist() == [[1, 0], [-0.5, 0.25]]
    over = render.translucent(found, 0, (64, 64))
    (r, _, b), (r2, _, b2) = over[2, 2, :3].astype(int), over[61, 2, :3].astype(int)
    assert r > b + 100  # orange where it speaks for the class
    assert b2 > r2 + 30  # blue where it speaks against it
    assert over[2, 61, 3] < 40  # nothing to say: the photo shows
    plain = render.translucent(dataclasses.replace(found, against=None), 0, (64, 64))
    assert (plain[61, 2] == plain[2, 61]).all()


@pytest.mark.parametrize("shape", [(1, 7, 7), (1, 3, 32, 32)])
def test_a_map_of_nothing_is_drawn_without_complaint(shape, photo):
    found = made(np.zeros(shape, np.float32).tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for pixels in ("colour", "strength"):
            picture = render.overlay(photo, found, pixels=pixels)
            assert picture.shape == (300, 451, 3)
        sheets.panel(photo, [found])


def chunks(png: bytes) -> list[str]:
    """The names of a PNG's chunks."""
    names, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        names.append(png[at + 4 : at + 8].decode())
        at += 12 + length
    return names


@pytest.mark.slow
def test_the_panel_has_a_row_for_each_class_and_no_metadata(lite0, photo):
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    file = io.BytesIO()
    Image.fromarray(photo.pixels).save(file, "JPEG", exif=exif, quality=95)
    with_secret = read(file.getvalue())
    found = [explain(lite0, with_secret, [281, 282], method) for method in ("gradcam", "guided")]
    one = [explain(lite0, with_secret, 281, method) for method in ("gradcam", "guided")]
    panel, smaller = sheets.panel(with_secret, found), sheets.panel(with_secret, one)
    assert set(chunks(panel)) == {"IHDR", "IDAT", "IEND"}
    assert b"secret" not in panel
    size, less = (Image.open(io.BytesIO(data)).size for data in (panel, smaller))
    assert size[0] == less[0] > 3 * 320
    assert size[1] > less[1] + 200
    picture = Image.open(io.BytesIO(found[0]._repr_png_()))
    assert picture.format == "PNG"


def test_the_raw_maps_come_back_from_the_npz(lite0, photo):
    found = [explain(lite0, photo, ["tabby", 282], method) for method in ("gradcam", "guided")]
    back = np.load(io.BytesIO(to_npz(found)))  # without pickle
    assert set(back) == {"gradcam", "guided", "about"}
    for each in found:
        np.testing.assert_array_equal(back[each.method], each.values.numpy())
    about = json.loads(str(back["about"]))[0]
    assert (about["method"], about["classes"]) == ("gradcam", ["tabby", "tiger cat"])
    assert about["targets"] == [281, 282]
    assert about["layer"] == "bn2"
    assert about["frame"] == [0, 0, 1, 1]


def test_colour_maps_and_their_legend():
    for name in render.COLOURMAPS:
        assert render.colours(name).shape == (256, 3)
    light = render.colours(render.DEFAULT).astype(float) @ (0.3, 0.59, 0.11)
    assert (np.diff(light) > -1).all()  # the default also reads in grey
    assert render.stops(render.DEFAULT)[0] == "#{:02x}{:02x}{:02x}".format(
        *render.colours(render.DEFAULT)[0]
    )
    with pytest.raises(OptionError, match="choose one of them"):
        render.colours("Rainbow")


def test_opacity_goes_from_the_photo_to_the_map(photo: Photo):
    found = made([[[1.0, 0], [0, 0]]])
    bare = render.overlay(photo, found, opacity=0.0)
    assert (bare == photo.pixels).all()
    shown = render.overlay(photo, found, opacity=1.0).astype(int)
    assert abs(shown - photo.pixels)[:40, :40].mean() > 30
    assert abs(shown - photo.pixels)[-40:, -40:].mean() < 20


def test_between_the_centres_of_cells_the_heat_changes_evenly():
    row = render.translucent(made([[[0.0, 1], [0, 1]]]), 0, (64, 64), colourmap="Inferno")[32]
    steps = row[:, :3].astype(int).sum(1)
    assert (steps[:16] == steps[0]).all()
    assert (steps[48:] == steps[-1]).all()
    assert (np.diff(steps[16:48]) > 0).all()


def test_a_saved_picture_names_the_method_by_its_title(resnet18, photo, tmp_path):
    found = explain(resnet18, photo, 3, "gradcam++")
    found.save(tmp_path / "map.png")
    by_title, by_key = (
        sheets.panel(photo, [found], titles=[name]) for name in ("Grad-CAM++", "gradcam++")
    )
    assert (tmp_path / "map.png").read_bytes() == by_title != by_key
