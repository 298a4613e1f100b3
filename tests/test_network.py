"""A network that visitors share: what it says of itself, what it sees, what it remembers."""

from __future__ import annotations

import hashlib
import itertools
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from skimage import data
from torch import Tensor, nn

from explainers import METHODS, Network, OptionError, Question, TargetError, ask, read
from explainers.api import explain, question
from explainers.network import Recipe, frozen, recording
from explainers.recent import memory
from tests import nets
from tests.nets import maps

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"


@pytest.mark.parametrize("side", [(300, 300), (900, 225), (200, 600), (231, 227)])
def test_crop_is_timms_own_evaluation_transform(side, lite0):
    width, height = side
    photo = read(np.resize(data.chelsea(), (height, width, 3)))
    transform = timm.data.create_transform(
        (3, 224, 224), interpolation="bicubic", crop_pct=0.875, mean=[0] * 3, std=[1] * 3
    )
    theirs = transform(Image.fromarray(photo.pixels))
    view = lite0.prepare(photo, "crop")
    ours = view.tensor[0] * lite0.std + lite0.mean
    assert float((ours - theirs).abs().max()) < 1.5 / 255
    left, top, right, bottom = view.frame
    assert (left + right, top + bottom) == pytest.approx((1, 1), abs=0.01)  # the centre
    shorter = (bottom - top) if width >= height else (right - left)
    assert shorter == pytest.approx(0.875, abs=1e-6)
    assert (right - left) * width == pytest.approx((bottom - top) * height, rel=0.01)


@pytest.mark.parametrize(
    ("side", "shape"),
    [((300, 300), (224, 224)), ((800, 200), (224, 896)), ((200, 600), (672, 224)),
     ((1200, 100), (224, 896)), ((301, 299), (224, 224)), ((400, 300), (224, 288))],
)  # fmt: skip
def test_whole_keeps_all_of_the_photo_up_to_four_to_one(side, shape, lite0):
    view = lite0.prepare(read(np.zeros((side[1], side[0], 3), np.uint8)))
    assert tuple(view.tensor.shape) == (1, 3, *shape)
    assert view.frame == (0, 0, 1, 1)


def test_targets_are_found_by_number_or_name(lite0):
    label = lite0.labels[281]
    assert lite0.resolve(281) == lite0.resolve(np.int64(281)) == 281
    assert lite0.resolve(label) == lite0.resolve(f"  {label.upper()} ") == 281
    assert lite0.resolve("tabby, tabby cat") == 281  # as ImageNet's own list has it
    for target in (-1, 1000):
        with pytest.raises(TargetError, match="a whole number from 0 to 999"):
            lite0.resolve(target)
    for target in (True, 2.0, None, b"tabby", [281]):
        with pytest.raises(TargetError, match="its name or a whole number"):
            lite0.resolve(target)
    with pytest.raises(TargetError, match=f"try.*“{label.casefold()}”"):
        lite0.resolve(label[:-1] + "x")
    with pytest.raises(TargetError, match="try another name"):
        lite0.resolve("")


def test_targets_may_be_one_or_many_or_left_open(lite0, photo):
    first = int(lite0.logits(lite0.prepare(photo).tensor).argmax())
    assert question(lite0, photo).targets == question(lite0, photo, np.int64(first)).targets
    assert question(lite0, photo, [3, lite0.labels[3], 4]).targets == (3, 4)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"targets": range(8)}, "between one and 7"),
        ({"targets": []}, "between one and 7"),
        ({"targets": 1, "against": 1}, "contrasted with itself"),
        ({"layer": "nowhere"}, "no such layer"),
        ({"framing": "round"}, "“whole” or “crop”"),
    ],
)
def test_what_cannot_be_asked_is_said(wrong, words, lite0, photo):
    with pytest.raises(OptionError, match=words):
        question(lite0, photo, **wrong)


def test_what_a_network_says_of_itself(lite0, resnet18, vgg16):
    assert (lite0.last, resnet18.last, vgg16.last) == ("bn2", "layer4", "features.29")
    assert [net.cam_weights is None for net in (lite0, resnet18, vgg16)] == [False, False, True]
    layer = lite0.layers["blocks.4"]
    assert (layer.channels, layer.height, layer.width, layer.reduction) == (112, 14, 14, 16)
    with pytest.raises(OptionError, match="no layer “nowhere”: choose one of"):
        lite0.record(nets.noise(1, 3, 64, 64), ["nowhere"])


@pytest.mark.slow
def test_a_dense_layer_written_as_a_convolution_answers_alike_with_and_without_gradients():
    """As VGG's: large, so that it is computed in two ways, also where it slides."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        wide, head = nn.Conv2d(512, 1024, 4), nn.AdaptiveAvgPool2d(1)
        built = nn.Sequential(nn.Conv2d(3, 512, 3, 8, 1), nn.ReLU(), wide, head, nn.Flatten())
    net = nets.wrap(built, classes=1024, size=32)
    assert type(net.module[2]) is not nn.Conv2d
    for width in (32, 48):
        x = nets.noise(1, 3, 32, width, seed=22)
        plain = nets.plain(net)
        nets.assert_close(net.record(x).logits, plain(x), 1e-5)
        nets.assert_close(net.logits(x), plain(x), 1e-5)
        x.requires_grad_()
        theirs = torch.autograd.grad(plain(x)[0, 5], x)[0][0]
        nets.assert_close(maps(net, x, "gradient", 5)[0], theirs, 1e-4)


def state(net: Network) -> list[object]:
    """All that a visitor could leave behind in a network, or in this thread."""
    parts = net.module.modules()
    tensors = [*net.module.parameters(), *net.module.buffers()]
    digest = hashlib.sha256(b"".join(t.contiguous().numpy().tobytes() for t in tensors))
    hooks = [
        [len(found) for name, found in vars(part).items() if name.endswith("_hooks")]
        for part in parts
    ]
    return [
        digest.hexdigest(),
        hooks,
        [type(part) for part in net.module.modules()],
        [part.training for part in net.module.modules()],
        [(t.requires_grad, t.grad, t.is_inference()) for t in tensors],
        recording.passing.get(),
        torch._C._len_torch_function_stack(),
        torch.is_grad_enabled(),
        torch.get_rng_state().tolist(),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
def test_no_method_leaves_a_trace(name, request):
    net = request.getfixturevalue(name)
    before = state(net)
    for method, known in METHODS.items():
        if known.cost != "hundreds" and not nets.why_not(net, method):
            few = {"smoothgrad": {"samples": 2}, "integrated": {"steps": 2}}.get(method, {})
            maps(net, nets.noise(1, 3, 64, 64), method, 1, 2, **few)
    half = Question(net, net.view(nets.noise(1, 3, 64, 64, seed=21)), (1,), net.last)
    running = ask(half, "smoothgrad", samples=9)
    next(running)
    assert state(net) == before  # nothing is held while the caller has the turn
    running.close()
    assert state(net) == before


class Breaks(nn.Module):
    """A network that fails on demand: behind its tapped layer, or on the way back."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()
        self.head, self.fails = nn.Linear(4, 3), ""

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv(x))
        if self.fails == "forward":
            raise MemoryError("in the middle of a pass")
        if self.fails == "backward" and x.requires_grad:
            x.register_hook(self._fail)
        return self.head(x.mean((2, 3)))

    def _fail(self, _gradient: Tensor) -> None:
        raise MemoryError("in the middle of a pass")


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("method", ["gradcam", "guided", "smoothgrad"])
def test_an_error_in_the_middle_of_a_pass_leaves_no_trace(way, method):
    net = nets.wrap(Breaks(), classes=3, size=8)
    x, before = nets.noise(1, 3, 8, 8), state(net)
    good = maps(net, x, method, 1)
    net.module.fails = way
    with pytest.raises(MemoryError, match="middle of a pass"):
        maps(net, x, method, 1)
    net.module.fails = ""
    assert state(net) == before
    torch.testing.assert_close(maps(net, x, method, 1), good)
    free = torch.tensor([1.0, 2], requires_grad=True)
    F.relu(free).backward(torch.tensor([-1.0, 1]))
    assert free.grad.tolist() == [-1, 1]  # ReLUs outside are nobody's business


@pytest.mark.slow
def test_a_twin_is_the_same_network_with_parameters_of_its_own(lite0):
    thresholds = [0.1 + index / 100 for index in range(20)]
    many = nets.wrap(
        nets.module("resnet18", num_classes=20),
        classes=20,
        head="sigmoid",
        thresholds=thresholds,
        interpolation="bilinear",
        crop_pct=0.9,
        licence="MIT",
        layers={"layer2": "Middle", "layer4": "Last"},
    )
    for net in (many, lite0):
        twin, x = net.twin(), nets.noise(1, 3, 64, 64, seed=31)
        for each in fields(Recipe):
            assert getattr(twin.recipe, each.name) == getattr(net.recipe, each.name), each.name
        assert twin.thresholds == net.thresholds
        assert (twin.key, twin.title, twin.layers, twin.maps) == (
            net.key, net.title, net.layers, net.maps,
        )  # fmt: skip
        assert twin.serial != net.serial
        assert torch.equal(maps(twin, x, "gradcam", 1), maps(net, x, "gradcam", 1))
        before = state(net)
        with torch.no_grad():
            for parameter in twin.module.parameters():
                parameter.zero_()
        assert state(net) == before
        seen = twin.record(x, (twin.last,)).activations
        assert list(seen) == [twin.last]  # its own taps, and no one else's
    assert (
        many.twin().present(torch.full((20,), -1.2)) == many.present(torch.full((20,), -1.2)) != []
    )


def test_all_that_a_network_is_told_is_in_its_recipe():
    told = set(signature(Network).parameters) - {
        "module",
        "key",
        "title",
        "layers",
        "last",
        "device",
        "alone",
        "taken",
        "memory",
    }
    assert told == {each.name for each in fields(Recipe)} - {"arch", "args"}


@pytest.mark.slow
def test_two_threads_get_what_one_gets(resnet18, vgg16):
    """80 maps of two networks: methods, inputs and targets in another order for each thread."""
    methods = ("gradcam", "guided", "gradient", "layercam", "guided_gradcam")
    inputs = [nets.noise(1, 3, 32, 32 + 32 * (seed % 2), seed=30 + seed) for seed in range(2)]
    jobs = list(itertools.product((resnet18, vgg16), methods, inputs, ((1,), (7, 2))))
    before = state(resnet18), state(vgg16)

    def work(job) -> Tensor:
        net, method, x, targets = job
        return maps(net, x, method, *targets)

    alone = [work(job) for job in jobs]
    with ThreadPoolExecutor(2) as pool:
        forth = pool.map(lambda jobs: [work(job) for job in jobs], (jobs, jobs[::-1]))
        there, back = forth
    results = zip(jobs * 2, [*there, *back[::-1]], alone * 2, strict=True)
    wrong = [
        job[1]
        for job, found, expected in results
        if (found - expected).abs().max() > 1e-4 * expected.abs().max()
    ]
    assert len(jobs) * 2 == 80
    assert wrong == []
    assert (state(resnet18), state(vgg16)) == before


@pytest.mark.slow
def test_threads_may_share_one_recorded_pass(resnet18):
    view = resnet18.view(nets.noise(1, 3, 64, 64, seed=40))
    keys = ["gradcam", "layercam", "hirescam", "xgradcam", "gradcam++", "cam"]

    def work(target: int) -> list[Tensor]:
        asked = Question(resnet18, view, (target,), resnet18.last)
        return [next(iter(METHODS[key].run(asked))).values for key in keys]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, [index % 20 for index in range(40)]))
    for target in range(20):
        for key, values in zip(keys, together[target + 20], strict=True):
            nets.assert_close(values, maps(resnet18, view.tensor, key, target), 1e-4)


def test_one_pass_serves_the_whole_family_and_every_class(lite0, photo, monkeypatch):
    passes = []
    record = Network.record
    monkeypatch.setattr(lite0, "program", None)  # its passes would not be seen
    monkeypatch.setattr(
        Network, "record", lambda *args, **more: passes.append(1) or record(*args, **more)
    )
    other = read(photo.pixels[::-1].copy())
    for method, targets in (("cam", 1), ("gradcam", [1, 2]), ("layercam", 3), ("gradcam", 2)):
        explain(lite0, other, targets, method)
    assert len(passes) == 1


@torch.no_grad()
def test_layers_that_are_only_looked_at_leave_before_the_next_one_comes(vgg16):
    """The maps of all layers of VGG-16 at once are hundreds of megabytes, of one at a time tens."""
    x, names, met = nets.noise(1, 3, 64, 64), tuple(vgg16.maps), {}
    kept = vgg16.record(x, names, gradients=False)
    last: list[weakref.ref] = []

    def look(name: str, activation: Tensor) -> None:
        assert not any(each() for each in last), f"{name} came while another was held"
        met[name] = activation.clone()
        last[:] = [weakref.ref(activation)]

    looked = vgg16.record(x, names, gradients=False, look=look)
    assert met.keys() == kept.activations.keys()
    for name, activation in kept.activations.items():
        assert torch.equal(met[name], activation), name
        assert not looked.activations[name].numel()
    assert torch.equal(looked.logits, kept.logits)


def test_networks_do_not_share_what_they_remember(resnet18):
    """Two networks of one architecture and one photo: each answers for itself."""
    other = nets.seeded("resnet18", seed=1)
    photo = read(np.full((64, 64, 3), 128, np.uint8))
    found = [explain(net, photo, 1).values for net in (resnet18, other)]
    assert not torch.allclose(*found)


def test_memory_of_past_visitors_is_bounded(resnet18, monkeypatch):
    monkeypatch.setattr(memory, "_limit", 3_000_000)
    for seed in range(20):
        asked = question(resnet18, np.full((64, 64, 3), seed, np.uint8), 1, layer="layer1")
        list(ask(asked, "gradcam"))
        assert memory.bytes <= 3_000_000
    last = resnet18.recorded(asked.view, "layer1")
    assert resnet18.recorded(asked.view, "layer1") is last


def test_large_inputs_go_through_a_few_at_a_time(resnet18, monkeypatch):
    """A batch takes no more memory than two photos do, whatever their size and number."""
    x, sizes, alive = nets.noise(6, 3, 64, 96), [], []
    whole = resnet18.logits(x)
    smooth, integrated = (
        maps(resnet18, x[:1], each, 1, **options)
        for each, options in (("smoothgrad", {"samples": 5}), ("integrated", {"steps": 5}))
    )
    monkeypatch.setattr(frozen, "PIXELS", 2 * 64 * 96)
    record = Network.record

    def noted(network, x, *args, **kwargs):
        made = record(network, x, *args, **kwargs)
        if kwargs.get("inputs"):
            assert not any(each() for each in alive), "two graphs at a time"
            alive.append(weakref.ref(made))
            assert len(x) <= 2
        return made

    monkeypatch.setattr(Network, "record", noted)
    with monkeypatch.context() as patch:
        forward = resnet18.module.forward
        patch.setattr(resnet18.module, "forward", lambda x: sizes.append(len(x)) or forward(x))
        nets.assert_close(resnet18.logits(x), whole, 1e-5)
    assert sizes == [2, 2, 2]
    nets.assert_close(maps(resnet18, x[:1], "smoothgrad", 1, samples=5), smooth, 1e-4)
    nets.assert_close(maps(resnet18, x[:1], "integrated", 1, steps=5), integrated, 1e-4)
    assert len(alive) > 4


GRID = {"cat": "Egyptian cat", "espresso": "espresso", "honey-bee": "bee", "tripod": "tripod"}


def test_gradcam_finds_each_class_in_its_cell_of_a_grid_of_photos(lite0):
    tiles = []
    for name in GRID:
        image = Image.fromarray(read(EXAMPLES / f"{name}.jpg").pixels)
        tiles.append(np.asarray(ImageOps.fit(image, (224, 224))))
    grid = np.concatenate([np.concatenate(tiles[:2], 1), np.concatenate(tiles[2:], 1)])
    found = explain(lite0, read(grid), list(GRID.values()))
    assert found.values.shape == (4, 7, 7)
    peaks = [divmod(int(values.argmax()), 7) for values in found.values]
    sides = [(np.sign(y - 3), np.sign(x - 3)) for y, x in peaks]
    assert sides == [(-1, -1), (-1, 1), (1, -1), (1, 1)]
