"""A transform that crops, squeezes, pads or mirrors: what is found lies on the photo itself."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torchvision.transforms import Compose, ToTensor, functional

from explainers import Question, explain, render, wrap
from explainers.muting import mute
from explainers.muting.brush import score_mask, smallest_flip
from explainers.network import Network
from explainers.network.frame import as_photo
from explainers.network.transform import Transform
from explainers.photo import read
from explainers.units.activations import activation, unit
from explainers.units.activations import inside as firing_inside
from tabs.muting import windows

SIDE = 64
SHAPES = {"wide": (150, 60), "tall": (60, 150)}
LETTER = {"method": Image.Resampling.BILINEAR, "color": "#727272"}


class Bright(nn.Module):
    """Its first class is how much there is of what is brighter than the ground and any padding."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Conv2d(3, 1, 4, 4)
        nn.init.constant_(self.mean.weight, 1 / 48)
        nn.init.constant_(self.mean.bias, -0.6)
        self.head = nn.Linear(1, 2)
        self.head.weight = nn.Parameter(torch.tensor([[90.0], [0.0]]))
        self.head.bias = nn.Parameter(torch.tensor([0.0, 0.05]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mean(x).relu().mean((2, 3)))


def reflected(image: Image.Image) -> Image.Image:
    missing = [(max(image.size) - side) // 2 for side in image.size[::-1]]
    wide = np.pad(np.asarray(image), [(each, each) for each in missing] + [(0, 0)], "reflect")
    return Image.fromarray(wide).resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def photo(shape: str) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """A dark photo with a bright square in it, and where that is."""
    width, height = SHAPES[shape]
    pixels = np.random.default_rng(4).integers(20, 60, (height, width, 3), np.uint8)
    left, top = (88, 8) if shape == "wide" else (8, 88)
    pixels[top : top + 22, left : left + 22] = 250
    return pixels, (left / width, top / height, (left + 22) / width, (top + 22) / height)


WAYS = {
    "crop": lambda image: functional.center_crop(image.resize((image.width, image.height)), 60),
    "squash": lambda image: image.resize((SIDE, SIDE), Image.Resampling.BILINEAR),
    "letterbox": lambda image: ImageOps.pad(image, (SIDE, SIDE), **LETTER),
    "reflected": reflected,
    "mirror": lambda image: ImageOps.mirror(image.resize((SIDE, SIDE))),
    "letterbox, upside down": lambda image: ImageOps.flip(
        ImageOps.pad(image, (SIDE, SIDE), centering=(1, 1), **LETTER)
    ),
}


def near(place: tuple[float, float], box: tuple[float, ...], by: float = 0.03) -> bool:
    return all(box[i] - by <= place[i] <= box[i + 2] + by for i in (0, 1))


def asked(way: str, shape: str) -> tuple[Network, np.ndarray, tuple[float, ...]]:
    pixels, box = photo(shape)

    def transform(image: Image.Image) -> Tensor:
        return functional.to_tensor(WAYS[way](image))

    return wrap(Bright(), ["bright", "dark"], transform=transform), pixels, box


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", WAYS)
def test_evidence_lies_where_the_photo_has_it(way, shape):
    network, pixels, box = asked(way, shape)
    for method, options, by in (
        ("gradcam", {}, 0.03),
        ("gradient", {}, 0.03),
        ("occlusion", {"window": 8, "stride": 4}, 0.03),
        ("patches", {"patch": 16, "overlap": 0.75}, 0.15),  # which are larger than what is there
    ):
        found = explain(network, pixels, "bright", method, **options)
        assert (found.photo.width, found.photo.height) == SHAPES[shape]
        assert near(found.peak(), box, by), method
    over = render.translucent(explain(network, pixels, "bright"), 0, SHAPES[shape])
    hot = np.argwhere(over[..., 3] == over[..., 3].max()).mean(0)[::-1]
    assert near(tuple((hot + 0.5) / SHAPES[shape]), box)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_covered_is_covered_on_the_photo(way, shape):
    network, pixels, box = asked(way, shape)
    view = network.prepare(read(pixels))
    *_, muting = mute(network, view, window=8, stride=8)
    for row, col in np.ndindex(len(muting.rows), len(muting.cols)):  # no window without photo
        left, top, right, bottom = windows.box(muting, (row, col))
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
    if way != "reflected":  # where the square has a copy off the photo
        *_, flip = smallest_flip(muting, 0)
        assert flip.flipped
        for left, top, right, bottom in (windows.box(muting, each) for each in flip.positions):
            assert max(left, box[0]) < min(right, box[2])
            assert max(top, box[1]) < min(bottom, box[3])
    here, there = np.zeros((2, *pixels.shape[:2]), bool)
    left, top, right, bottom = (round(e * s) for e, s in zip(box, SHAPES[shape] * 2, strict=True))
    here[top:bottom, left:right] = there[-1 - bottom : -1 - top, -1 - right : -1 - left] = True
    change, other = (score_mask(network, view, mask) for mask in (here, there))
    assert change.before[0] - change.after[0] > 0.05
    assert abs(other.before[0] - other.after[0]) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "where"),
    [("edge", 0.5), ("reflect", 0), ("reflect", 0.5), ("symmetric", 0), ("wrap", 1)],
)
def test_a_long_photo_is_not_placed_on_a_copy_of_itself(mode, where):
    """Where padding shows all of it several times, it lies where a less long one does, or nowhere
    that is known."""

    def prepare(image: Image.Image) -> Tensor:
        missing = [max(image.size) - side for side in image.size[::-1]]
        pads = [(first := round(where * each), each - first) for each in missing]
        wide = np.pad(np.asarray(image), [*pads, (0, 0)], mode)
        return functional.to_tensor(Image.fromarray(wide).resize((SIDE * 2,) * 2))

    way = Transform(prepare, "padded")
    for width, height in ((120, 60), (60, 300)):
        _, found = way(
            read(np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8))
        )
        side, short = max(width, height), min(width, height)
        first = -round(where * (side - short)) / short
        along = (first, first + side / short)
        true = (0, along[0], 1, along[1]) if width > height else (along[0], 0, along[1], 1)
        assert found == pytest.approx(true, abs=0.1)
    _, found = way(read(np.zeros((20, 600, 3), np.uint8)))
    assert found is None


def test_heat_on_the_padding_is_told():
    pixels, _ = photo("wide")
    for colour, told in (("white", 1), ("black", 0)):
        prepare = Compose([partial(ImageOps.pad, size=(SIDE, SIDE), color=colour), ToTensor()])
        found = explain(wrap(Bright(), transform=prepare), pixels, 0)
        assert len([note for note in found.notes if note.key == "padding"]) == told


@pytest.mark.parametrize("way", ["letterbox", "mirror"])
def test_a_unit_and_its_field_lie_on_the_photo(way):
    network, pixels, box = asked(way, "wide")
    view = network.prepare(read(pixels))
    question = Question(network, view, (0,), "mean")
    found = unit(question, 0)
    assert near(found.place, box)
    assert near(found.field[:2], box, 0.08)
    assert all(0 <= edge <= 1 for edge in (*found.field, *found.core))
    assert firing_inside(question, box, 1)[0][1] > 0.1
    for values in (activation(question)[0], found.pixels[0].abs().sum(0)):
        tile = as_photo(values.numpy(), view.frame)  # as Activations and Cards show it
        y, x = np.unravel_index(tile.argmax(), tile.shape)
        assert near(((x + 0.5) / tile.shape[1], (y + 0.5) / tile.shape[0]), box, 0.08)
