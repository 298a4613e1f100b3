"""How a network is read: inputs of one size, maps held channels last, heads that CAM reads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explainers import METHODS, Question, ask, read
from tests import nets
from tests.nets import assert_close, maps


class Flat(nn.Module):
    """Reads its last map in the order of memory, and takes one size only."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.head = nn.Linear(400, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.b(F.max_pool2d(F.relu(self.a(x)), 2))), 2)
        return self.head(x.view(len(x), -1))


def test_a_network_of_one_size_sees_the_whole_photo_as_a_square():
    module = Flat()
    x = nets.noise(1, 3, 32, 32, seed=60)
    theirs = module(x).detach()
    network = nets.wrap(module, classes=3, size=32)
    assert torch.allclose(network.logits(x), theirs, atol=1e-6)
    view = network.prepare(read(np.zeros((40, 90, 3), np.uint8)))
    assert tuple(view.tensor.shape) == (1, 3, 32, 32)
    assert view.frame == (0, 0, 1, 1)
    assert maps(network, x, "gradcam", 1).shape == (1, 10, 10)


class Filtered(nn.Module):
    """Filters each photo with kernels of its own, by one convolution of as many groups as the
    photos have channels: the view of their maps can't be had of several photos channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.kernels, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 72), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        n, channels, height, width = x.shape
        kernels = self.kernels(x.mean((2, 3))).view(n * channels, 1, 3, 3)
        x = F.conv2d(x.view(1, n * channels, height, width), kernels, groups=n * channels)
        return self.head(x.view(n, channels, *x.shape[2:]).relu().mean((2, 3)))


def test_a_network_that_reads_several_photos_in_the_order_of_memory_is_explained():
    module = Filtered()
    x = nets.noise(2, 3, 32, 32, seed=60)
    theirs = module(x).detach()
    network = nets.wrap(module, classes=3, size=32, alone=False)
    assert torch.allclose(network.logits(x), theirs, atol=1e-6)
    assert maps(network, x[:1], "gradcam", 1).abs().max() > 0


# --- channels last


class Last(nn.Module):
    """A convolution, then layers that hold their maps channels last, as MambaOut's do."""

    def __init__(self, channels: int = 8, stride: int = 4) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(4)
            self.stem = nn.Conv2d(3, channels, stride, stride)
            self.norm, self.mix = nn.LayerNorm(channels), nn.Linear(channels, channels)
            self.near = nn.Conv2d(channels, channels, 3, padding=1)
            self.block, self.head = nn.Sequential(nn.LayerNorm(channels)), nn.Linear(channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(4 * x).permute(0, 2, 3, 1))
        x = self.mix(x) + self.near(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.head(self.block(x).mean((1, 2)))


@pytest.mark.parametrize("channels", [8, 12])
def test_maps_that_are_held_channels_last_are_read_so(channels):
    """Of 8 channels at 8 x 8 places, one shape can't tell; two input sizes do."""
    network = nets.wrap(Last(channels), classes=3, size=32)
    layer = network.layers[network.last]
    assert (layer.channels, layer.height, layer.width) == (channels, 8, 8)
    x = nets.noise(1, 3, 32, 64, seed=61)
    held: dict[str, Tensor] = {}
    plain = Last(channels)
    plain.block.register_forward_hook(lambda _m, _i, out: held.update(out=out))
    gradient = torch.autograd.grad(plain(x)[0, 1], held["out"])[0]
    theirs = (held["out"] * gradient.mean((1, 2))).sum(-1)
    assert_close(maps(network, x, "gradcam", 1), theirs, 1e-5)
    assert_close(maps(network, x, "cam", 1), theirs * 128, 1e-5)
    muted = network.record(x, muted={network.last: 2}).logits
    held["out"].data[..., 2] = 0
    assert_close(muted, plain.head(held["out"].mean((1, 2))), 1e-5)


# --- heads that CAM reads


class Headed(nn.Module):
    def __init__(self, classify: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.a, self.b = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 6, 3, 2, 1)
            self.cells, self.linear = nn.Conv2d(6, 3, 1), nn.Linear(6, 3)
            self.weight, self.bias = nn.Parameter(torch.randn(3, 6)), nn.Parameter(torch.randn(3))
        self.classify, self.act, self.spare = classify, nn.ReLU(), nn.Linear(9, 9)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self, self.act(self.b(F.relu(self.a(4 * x)))))


HEADS = {
    "average, 1 x 1 convolution": lambda n, x: n.cells(F.adaptive_avg_pool2d(x, 1)).flatten(1),
    "1 x 1 convolution, average": lambda n, x: n.cells(x).mean((2, 3)),
    "a module and a spare one": lambda n, x: n.linear(x.mean((2, 3))),
    "F.linear": lambda n, x: F.linear(x.mean((2, 3)), n.weight, n.bias),
    "F.linear, by name": lambda n, x: F.linear(x.mean((2, 3)), bias=n.bias, weight=n.weight),
    "F.conv2d": lambda n, x: F.conv2d(
        x.mean((2, 3), keepdim=True), n.weight[..., None, None], n.bias
    )[..., 0, 0],
    "a matrix product": lambda n, x: x.mean((2, 3)) @ n.weight.T,
    "torch.addmm": lambda n, x: torch.addmm(n.bias, x.mean((2, 3)), n.weight.T),
    "maximum": lambda n, x: n.linear(x.amax((2, 3))),
}


@pytest.mark.parametrize("name", HEADS)
def test_cam_reads_every_head_that_is_linear_behind_an_average(name):
    network = nets.wrap(Headed(HEADS[name]), classes=3, size=32)
    x = nets.noise(1, 3, 32, 48, seed=62)
    question = Question(network, network.view(x), (1,), network.last)
    assert METHODS["cam"].why_not(question) is None
    cam, gradcam = (list(ask(question, key))[-1].values for key in ("cam", "gradcam"))
    assert_close(gradcam * cam[0].numel(), cam, 1e-5)


NORMS = {
    "parametrized": nn.utils.parametrizations.weight_norm,
    "by a hook": nn.utils.weight_norm,
    "spectral": nn.utils.parametrizations.spectral_norm,
}


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
def test_cam_reads_weights_that_are_computed_as_they_are_now(norm):
    module = Headed(HEADS["a module and a spare one"])
    norm(module.linear)
    twin = nets.wrap(module, classes=3, size=32).twin()
    with torch.no_grad():
        for weights in twin.module.linear.parameters():
            weights.add_(0.3)
    x = nets.noise(1, 3, 32, 48, seed=64)
    cam, gradcam = (maps(twin, x, method, 1) for method in ("cam", "gradcam"))
    assert_close(gradcam * cam[0].numel(), cam, 1e-5)


def test_cam_is_refused_where_the_head_is_not_linear():
    for classify in (
        lambda n, x: n.linear(F.relu(x.mean((2, 3)) - 0.1)),
        lambda n, x: n.linear(F.normalize(x.mean((2, 3)))),
        lambda n, x: x.mean((2, 3)) @ (2 * n.weight).T,  # which nothing holds: others once trained
    ):
        network = nets.wrap(Headed(classify), classes=3, size=32)
        assert network.cam_weights is None


def test_class_0_and_channel_0_count_like_any_other():
    network = nets.wrap(Headed(HEADS["F.linear"]), classes=3, size=32)
    x = nets.noise(1, 3, 32, 32, seed=63)
    for method in ("gradcam", "cam", "gradient", "patches", "integrated", "guided", "occlusion"):
        one, nought = maps(network, x, method, 1), maps(network, x, method, 0)
        between = maps(network, x, method, 1, against=0)
        assert not torch.equal(between, one)
        if method not in ("guided", "occlusion"):  # linear in the classes
            assert_close(between, one - nought, 1e-4)
    muted = network.record(x, muted={network.last: 0}, gradients=False).logits
    assert not torch.allclose(muted, network.logits(x))
