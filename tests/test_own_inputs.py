"""Photos for a network of one's own: any channels, any source, any transform, the right place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms

from explainers import (
    METHODS,
    ModelError,
    OptionError,
    PhotoError,
    explain,
    explain_each,
    read,
    steady,
    wrap,
)
from explainers.impressions.drawing import Drawing
from explainers.impressions.goals import Classes
from explainers.impressions.knobs import Knobs
from explainers.mil import as_batch
from explainers.muting import to_pixels
from tests.nets import assert_close

PHOTO = np.random.default_rng(3).integers(0, 255, (60, 90, 3), np.uint8)
HOW = {"mean": 0.5, "std": 0.25, "size": 32}


class Sees(nn.Module):
    """A classifier for `channels`; its first class is what the middle of channel 0 shows."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(9)
            self.body = nn.Sequential(
                nn.Conv2d(channels, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 5, 3, 2, 1), nn.ReLU()
            )
            self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


class Fixed(nn.Module):
    """Its one size is 24 x 40."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(10)
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU())
            self.head = nn.Linear(4 * 12 * 20, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).flatten(1))


# --- channels


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_any_number_of_channels_is_explained_by_every_method(channels):
    module, array = Sees(channels), np.random.default_rng(1).random((32, 48, channels), np.float32)
    network = wrap(module, **HOW)
    photo = array if channels > 1 else array[..., 0]
    found = explain(network, photo, 1, "gradient")
    if channels == 1:
        photo, array = (array * 255).round().astype(np.uint8)[..., 0], array.round(8)
        found = explain(network, photo, 1, "gradient")
        array = photo[..., None] / np.float32(255)
    x = ((torch.tensor(array).permute(2, 0, 1)[None] - 0.5) / 0.25).requires_grad_()
    view = network.prepare(found.photo)
    assert view.frame == (0, 0, 1, 1)
    if channels > 1:  # 32 by 48 is brought to 32 by 64
        x = view.tensor.clone().requires_grad_()
        rows = torch.tensor(array[:, 24]).mean(0)
        assert torch.allclose((x.detach()[0, :, :, 32].mean(1) * 0.25 + 0.5), rows, atol=0.05)
        gradient = torch.autograd.grad(module(x)[0, 1], x)[0]
        assert_close(found.values, gradient, 1e-5)
    for method in METHODS.values():
        few = {"masks": 16, "samples": 2, "steps": 2, "window": 16}
        options = {name: value for name, value in few.items() if name in method.options}
        if method.run is not None:
            try:
                values = explain(network, photo, 1, method.key, **options).values
            except OptionError:
                assert method.key not in ("gradcam", "gradient", "occlusion", "rise", "patches")
                continue
            assert values.isfinite().all()
            assert values.shape[-2:] in {(8, 16), (16, 32), (32, 64)}
    assert found._repr_png_().startswith(b"\x89PNG")
    batch = explain(network, torch.tensor(array).permute(2, 0, 1)[None].repeat(2, 1, 1, 1), 1)
    assert len(batch) == 2


def test_a_channel_that_alone_decides_is_where_the_gradient_is():
    module = Sees(4)
    with torch.no_grad():
        module.body[0].weight[:, [0, 1, 3]] = 0
    bands = np.random.default_rng(2).integers(0, 65535, (4, 40, 40), np.uint16)
    found = explain(wrap(module, **HOW), bands, 0, "gradient")
    each = found.values[0].abs().sum((1, 2))
    assert float(each[2]) == pytest.approx(float(each.sum()))


def test_bands_that_are_dark_by_the_white_that_is_taken_say_so():
    """torchgeo #1025: reflectances go up to 10000 of 65535."""
    network = wrap(Sees(4), **HOW)
    dark = np.random.default_rng(2).integers(0, 10000, (4, 40, 40), np.uint16)
    for bands in (dark, (dark // 1000).astype(np.uint8)):
        doubt = explain(network, bands, 0).notes[0]
        assert doubt.key == "photo"
        assert f"highest value is {bands.max()}, and" in doubt.sentence
        found = explain(network, bands, 0)
        assert steady(found, network, found.photo).notes[0] == doubt  # of crops of all channels
    for bands in (dark * 6, (dark // 40).astype(np.uint8), dark > 5000, dark.astype(np.float32)):
        assert "photo" not in {note.key for note in explain(network, bands, 0).notes}


@pytest.mark.parametrize(("photo", "words"), [
    (PHOTO, "of 60 × 90 × 3 is no picture of 4 channels"),
    (Image.fromarray(PHOTO), "takes 4 channels, and this photo has 3"),
    (np.full((20, 20, 4), np.nan, np.float32), "NaN or infinite"),
    (np.zeros((20, 20, 4), np.int64), "names no white"),
    (np.zeros((4, 4, 4), np.uint8), "too small"),
])  # fmt: skip
def test_a_picture_of_other_channels_is_told(photo, words):
    with pytest.raises((PhotoError, OptionError)) as caught:
        explain(wrap(Sees(4), **HOW), photo, 0)
    assert words in str(caught.value)


# --- sizes


def test_a_network_of_one_oblong_size_sees_all_of_the_photo_in_it():
    module = Fixed()
    network = wrap(module, mean=0.5, std=0.25, size=(24, 40))
    found = explain(network, PHOTO, 1)
    assert found.values.shape == (1, 12, 20)
    pixels = torch.tensor(np.asarray(Image.fromarray(PHOTO).resize((40, 24), 3))) / 255
    x = (pixels.permute(2, 0, 1)[None] - 0.5) / 0.25
    assert torch.allclose(found.logits, module(x)[0], atol=1e-5)
    crop = explain(network, PHOTO, 1, framing="crop")
    assert crop.values.shape == (1, 12, 20)
    assert crop.frame[0] == pytest.approx(1 - crop.frame[2], abs=0.03)
    assert explain(network, PHOTO, 1, "patches", patch=16).values.shape == (1, 24, 40)
    with pytest.raises(ModelError, match="fails on an input of 3 × 32 × 32"):
        wrap(module, **HOW)


# --- a transform of one's own


NORMALISED = [
    transforms.ToTensor(),
    transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
]
#: Steps before that, and the part of a photo of 90 x 60 that they take.
STEPS = {
    "squeezed": ([transforms.Resize((32, 32))], (0, 0, 1, 1)),
    "a centre": (
        [transforms.Resize(40), transforms.CenterCrop(32)],
        (14 / 60, 4 / 40, 46 / 60, 36 / 40),
    ),
    "the centre's pixels": ([transforms.CenterCrop(32)], (29 / 90, 14 / 60, 61 / 90, 46 / 60)),
    "a corner": (
        [transforms.Lambda(lambda im: im.crop((10, 20, 55, 60))), transforms.Resize((32, 48))],
        (10 / 90, 20 / 60, 55 / 90, 1),
    ),
    "mirrored": ([transforms.Resize((32, 32)), transforms.RandomHorizontalFlip(1.0)], (1, 0, 0, 1)),
    "padded": ([transforms.Pad((0, 15)), transforms.Resize((32, 32))], (0, -0.25, 1, 1.25)),
    "padded below, then cut": (
        [transforms.Pad((0, 0, 0, 30)), transforms.CenterCrop((80, 60)), transforms.Resize(32)],
        (15 / 90, 5 / 60, 75 / 90, 85 / 60),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_the_part_of_the_photo_that_a_transform_takes_is_found(name):
    steps, frame = STEPS[name]
    transform, module = transforms.Compose([*steps, *NORMALISED]), Sees()
    network = wrap(module, transform=transform)
    found = explain(network, PHOTO, 1)
    x = transform(Image.fromarray(PHOTO))[None]
    assert torch.equal(network.prepare(read(PHOTO)).tensor, x)
    assert torch.allclose(found.logits, module(x)[0], atol=1e-5)
    assert found.frame == pytest.approx(frame, abs=0.004)
    assert not [note for note in found.notes if note.key == "place"]
    assert network.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406], abs=1e-4)
    assert network.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225], abs=1e-4)
    whole = explain(network, PHOTO, 1, framing="whole")
    assert whole.frame == ((0, 0, 1, 1) if name != "mirrored" else found.frame)


def standardised(image: Image.Image) -> Tensor:
    pixels = transforms.functional.to_tensor(image.resize((32, 32)))
    return (pixels - pixels.mean()) / pixels.std().clamp(min=1e-6)


def upright(image: Image.Image) -> Image.Image:
    """Mirrored by what is in the photo, which pictures that are made up for a trial do not show."""
    dark = np.asarray(image)[0, 0, 1] == PHOTO[0, 0, 1]
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if dark else image


UNPLACED = {
    "mirrored by its content": transforms.Compose(
        [transforms.Lambda(upright), transforms.Resize((32, 32)), *NORMALISED]
    ),
    "turned": transforms.Compose(
        [transforms.Lambda(lambda im: im.rotate(30)), transforms.Resize((32, 32)), *NORMALISED]
    ),
    "standardised": standardised,
}


@pytest.mark.parametrize("name", UNPLACED)
def test_where_that_is_not_to_be_found_the_map_stands_on_what_the_network_saw(name):
    network = wrap(Sees(), transform=UNPLACED[name])
    found = explain(network, PHOTO, 1)
    assert [note.row for note in found.notes if note.key == "place"] == [0]
    assert found.frame == (0, 0, 1, 1)
    assert (found.photo.height, found.photo.width) == (32, 32)
    x = UNPLACED[name](Image.fromarray(PHOTO))[None]
    assert torch.allclose(found.logits, Sees()(x)[0], atol=1e-5)
    if name == "mirrored by its content":
        shown = np.asarray(Image.fromarray(PHOTO).resize((32, 32), 2))[:, ::-1]
        assert np.abs(found.photo.pixels.astype(int) - shown).max() <= 3


@pytest.mark.parametrize(("steps", "channels"), [
    ([transforms.Grayscale(), transforms.Resize((32, 32)), transforms.ToTensor()], None),
    ([transforms.Resize((32, 32)), transforms.ToTensor()], 1),
], ids=["makes greys", "is handed greys"])  # fmt: skip
def test_a_transform_to_greys_feeds_a_network_of_greys(steps, channels):
    transform = transforms.Compose(steps)
    module = Sees(1)
    found = explain(wrap(module, transform=transform, channels=channels), PHOTO, 2, "gradient")
    x = transform(Image.fromarray(PHOTO).convert("L"))[None].requires_grad_()
    logits = module(x)
    assert torch.allclose(found.logits, logits[0], atol=1e-5)
    assert_close(found.values.sum(1), torch.autograd.grad(logits[0, 2], x)[0][0], 1e-5)


def test_a_transform_that_mixes_colours_is_asked_for_every_photo():
    steps = [transforms.Resize((32, 32)), transforms.ToTensor()]
    swapped = transforms.Compose([*steps, transforms.Lambda(lambda x: x.flip(0))])  # as OpenCV
    four = transforms.Compose(
        [*steps, transforms.Lambda(lambda x: torch.cat([x, x.amax(0)[None]]))]
    )
    for channels, transform in ((3, swapped), (4, four)):
        x = transform(Image.fromarray(PHOTO))[None]
        for framing in ("crop", "whole"):
            found = explain(wrap(Sees(channels), transform=transform), PHOTO, 1, framing=framing)
            assert torch.allclose(found.logits, Sees(channels)(x)[0], atol=1e-5), framing
        network = wrap(Sees(channels), transform=transform)
        patch = PHOTO[:40, :40]
        seen = as_batch([patch, patch], 32, network)
        assert torch.equal(seen, transform(Image.fromarray(patch)).expand(2, -1, -1, -1))
        with pytest.raises(OptionError, match="something else than red, green and blue"):
            Drawing(network, Classes((1,)), Knobs())
        shown = to_pixels(network, network.prepare(read(PHOTO)).tensor)
        assert shown.shape == (32, 32, 3)


@pytest.mark.parametrize(("transform", "words"), [
    (transforms.Compose([transforms.RandomCrop(32), *NORMALISED]), "another input of the same"),
    (transforms.Compose([transforms.RandomGrayscale(0.15), transforms.Resize(32), *NORMALISED]),
     "another input of the same"),
    (transforms.Resize(32), "makes a Image of a photo"),
    (transforms.PILToTensor(), "of uint8 of a photo"),
    (lambda image: image.nothing, "fails on a photo"),
    (lambda image: torch.ones(3, 32, 32), "makes the same input of every photo"),
    (lambda image: torch.full((3, 32, 32), torch.nan), "makes NaN or infinite values of a photo"),
    (lambda image: torch.tensor(np.asarray(image.resize((32, 32))) / 255), "makes height × width"),
])  # fmt: skip
def test_a_transform_that_prepares_no_photo_is_told(transform, words):
    with pytest.raises(ModelError) as caught:
        wrap(Sees(), transform=transform)
    assert words in str(caught.value)
    with pytest.raises(ModelError, match="give either it or them"):
        wrap(Sees(), transform=transforms.Compose(NORMALISED), **HOW)


# --- many photos


class Pairs(Dataset):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.full((3, 32, 40), index / 4), index


def test_many_photos_come_as_many_explanations(tmp_path: Path):
    network = wrap(Sees(), **HOW)
    for number, name in enumerate(["b.png", "a.jpg", "deeper/c.avif"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((32, 40, 3), 60 * number, np.uint8)).save(tmp_path / name)
    batch = torch.stack([Pairs()[index][0] for index in range(3)])
    one = [float(explain(network, each, 1).logits[1]) for each in batch]
    sources = {
        "list": list(batch),
        "tuple": tuple(each.numpy() for each in batch),
        "batch": batch,
        "array": batch.permute(0, 2, 3, 1).numpy(),
        "data set": Pairs(),
        "subset": Subset(Pairs(), [0, 1, 2]),
        "loader": DataLoader(Pairs(), batch_size=2),
        "records": [{"image": each, "label": 1} for each in batch],
    }
    for name, source in sources.items():
        found = explain(network, source, 1)
        assert [float(each.logits[1]) for each in found] == pytest.approx(one), name
        lazy = explain_each(network, source, 1)
        assert float(next(lazy).logits[1]) == pytest.approx(one[0])
    names = [explain(network, tmp_path / name, 1) for name in ("a.jpg", "b.png", "deeper/c.avif")]
    for found, each in zip(explain(network, tmp_path, 1), names, strict=True):
        assert torch.equal(found.logits, each.logits)
    (tmp_path / "d.png").write_text("no picture")
    with pytest.raises(PhotoError, match=r"^d\.png: "):
        explain(network, tmp_path, 1)
    for nothing in ([], batch[:0]):
        with pytest.raises(PhotoError, match="no photo here"):
            explain(network, nothing, 1)
    with pytest.raises(PhotoError, match="no such file"):  # and not the folder that one is in
        explain(network, "", 1)


def test_inputs_that_were_prepared_already_are_taken_as_they_are():
    network, module = wrap(Sees(), **HOW), Sees()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    found = explain(network, x, 1, prepared=True)
    assert torch.allclose(torch.stack([each.logits for each in found]), module(x), atol=1e-5)
    assert found[0].photo is not None
    assert torch.equal(explain(network, x[0], 1, prepared=True).values, found[0].values)
    with pytest.raises(PhotoError, match="undo the network’s normalisation"):
        explain(network, x[0], 1)
    grey = wrap(Sees(1), **HOW)
    shown = explain(grey, x[:1, :1], 1, prepared=True)
    assert torch.allclose(shown.logits, Sees(1)(x[:1, :1])[0], atol=1e-5)
    with pytest.raises(OptionError, match=r"shape \(1, 1, height, width\)"):
        explain(grey, x[0, :2], 1, prepared=True)
    with pytest.raises(OptionError, match="tensor of floats"):
        explain(network, PHOTO, 1, prepared=True)
