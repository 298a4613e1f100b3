"""A module that cuts, pads or mirrors photos itself says so, where its maps are laid over them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from explainers import explain, wrap
from tests import nets
from tests.test_own_forms import HOW, PHOTO, Form, plain

#: What it does to its input, what is said of that, and the part that its maps are of.
DOES: dict[str, tuple[Callable[[Tensor], Tensor], str, str]] = {
    "crop": (lambda x: x[..., 8:24, 8:24], "cuts", "25% to 75% of the width and from 25% to 75%"),
    "edge": (lambda x: x[..., 4:, :], "cuts", "0% to 100% of the width and from 12% to 100%"),
    "border": (lambda x: F.pad(x, (8,) * 4), "pads", "-25% to 125% of the width"),
    "reflected": (lambda x: F.pad(x, (16, 0, 0, 0), "reflect"), "pads", "-50% to 100% of the wid"),
    "mirror": (lambda x: x.flip(3), "mirrors", "100% to 0% of the width and from 0% to 100%"),
    "normalised": (lambda x: (x[..., 8:24, 8:24] - 0.4) / 3, "cuts", "25% to 75% of the width"),
    "enlarged": (lambda x: F.interpolate(x[..., 8:24, :], (64, 64)), "cuts", "from 25% to 75% of"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DOES)
def test_what_a_module_does_to_photos_is_said_of_maps_of_its_layers(name):
    do, verb, part = DOES[name]
    network = wrap(Form(lambda m, x: m.net(do(x)), net=plain()), **HOW)
    said = [note.sentence for note in explain(network, PHOTO, 1).notes if note.key == "trimmed"]
    assert said[0].startswith(f"Form {verb} photos itself before its first convolution: maps of")
    assert part in said[0]
    for method, options in {"gradient": {}, "occlusion": {"window": 16}}.items():
        notes = explain(network, PHOTO, 1, method, **options).notes  # on what it is given
        assert "trimmed" not in {note.key for note in notes}


@pytest.mark.slow
@pytest.mark.parametrize("make", [
    lambda: nets.module("tf_efficientnet_lite0", num_classes=3),  # pads as its windows need it
    lambda: nn.Sequential(nn.ZeroPad2d(3), nn.Conv2d(3, 6, 7), nn.ReLU(), nn.Flatten(),
                          nn.Linear(6 * 32 * 32, 3)),
    lambda: Form(lambda m, x: m.net(F.interpolate(x, (48, 48))), net=plain()),
    lambda: Form(lambda m, x: m.net(x / x.std((1, 2, 3), keepdim=True)), net=plain()),
    lambda: plain(trunk=nn.Sequential(nn.Conv2d(3, 6, 8, 8), nn.ReLU())),  # patches
], ids=["same padding", "its own", "resized", "by its deviation", "patches"])  # fmt: skip
def test_what_leaves_a_photo_where_it_is_says_nothing(make):
    assert not {"trimmed", "bordered"} & wrap(make(), **HOW).remarks.keys()


#: What is done to the map of 32 x 32 behind the first convolution, and what is said of the last.
BORDERS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "round it": (
        lambda x: F.pad(x, (4,) * 4),
        "10 × 10 places where all of the photo would be 8 × 8",
    ),
    "at one side": (
        lambda x: F.pad(x, (0, 8, 0, 0)),
        "8 × 10 places where all of the photo would be 8 × 8",
    ),
    "cut off": (lambda x: x[..., 4:-4, 4:-4], "6 × 6 places where all of the photo would be 8 × 8"),
    "too little": (lambda x: F.pad(x, (0, 1, 0, 1))[..., 1:, 1:], ""),
    "a size for all": (lambda x: F.interpolate(x, (24, 24)), ""),
}


@pytest.mark.parametrize("name", BORDERS)
def test_a_border_behind_the_first_convolution_is_said_of_the_last_map(name):
    do, words = BORDERS[name]
    net = Form(lambda m, x: m.net(do(m.stem(x).relu())), stem=nn.Conv2d(3, 3, 3, 1, 1), net=plain())
    network = wrap(net, **HOW)
    said = [note.sentence for note in explain(network, PHOTO, 1).notes if note.key == "bordered"]
    assert len(said) == bool(words)
    assert words in "".join(said)
    assert "bordered" not in {note.key for note in explain(network, PHOTO, 1, layer="stem").notes}
    assert "bordered" not in {note.key for note in explain(network, PHOTO, 1, "gradient").notes}


@pytest.mark.parametrize("cut", [
    lambda x: x[..., 8:24, 8:24],
    lambda x: x[..., 8:, :],  # most places stay where they were, or near it
    lambda x: x[..., :-8],
    lambda x: x[..., :16],  # as wide for any photo
    lambda x: x[..., 16:32, :],
])  # fmt: skip
def test_a_cut_behind_the_first_convolution_is_said_of_the_last_map(cut):
    net = Form(
        lambda m, x: m.net(cut(m.stem(x).relu())), stem=nn.Conv2d(3, 3, 3, 1, 1), net=plain()
    )
    network = wrap(net, **HOW)
    said = [note.sentence for note in explain(network, PHOTO, 1).notes if note.key == "mixed"]
    assert len(said) == 1
    assert "sees nothing of" in said[0]
    early = explain(network, PHOTO, 1, layer="stem")  # which no cut came before
    assert "mixed" not in {note.key for note in early.notes}


def test_scores_that_come_past_the_last_layer_are_said_of_its_map():
    """Of an ensemble, of a photo and its mirror image; one network's come through it alone."""
    both = Form(lambda m, x: m.one(x) + m.other(x), one=plain(), other=plain())
    views = Form(lambda m, x: m.net(x) + m.net(F.avg_pool2d(x, 2)), net=plain())
    for module in (both, views):
        said = [n.sentence for n in explain(wrap(module, **HOW), PHOTO, 1).notes if n.key == "past"]
        assert "its map is of one of them" in said[0]
        notes = explain(wrap(module, **HOW), PHOTO, 1, "gradient").notes
        assert "past" not in {note.key for note in notes}
    for module in (plain(), nets.module("test_resnet", num_classes=3)):
        assert "past" not in wrap(module, **HOW).remarks


@pytest.mark.parametrize(("size", "shape"), [
    ((None, 9), (32, 9)), ((9, None), (9, 32)), ((7, 9), (7, 9)), ((1, None), (1, 32)),
    ((None, 1), (32, 1)),
])  # fmt: skip
def test_a_side_that_is_pooled_to_as_many_cells_is_a_side_of_the_last_map(size, shape):
    module = plain(trunk=nn.Sequential(
        nn.Conv2d(3, 6, 3, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(size),
        nn.Conv2d(6, 6, 3, 1, 1), nn.ReLU(),
    ))  # fmt: skip
    network = wrap(module, **HOW)
    assert network.last == "trunk"
    assert explain(network, PHOTO, 1).values.shape == (1, *shape)
