"""Networks for tests and benchmarks that need no weights: seeded, and the same on every run."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
import timm
import torch
from timm.models import vgg
from torch import Tensor, nn

from explainers import METHODS, Network, Question, View, ask
from explainers.network.dense import DenseConv
from explainers.zoo.catalogue import CATALOGUE, Entry
from explainers.zoo.multilabel import BUILDERS

_asked = itertools.count()

# VGG-16's fully connected layers hold 124 of its 138 million weights, ResNet-18's last two stages
# 10 of its 11, ResNet-50's 22 of its 26; tests need fewer.
SLIM = {
    "vgg16": {"mlp_ratio": 1 / 32},
    "resnet18": {"channels": (64, 80, 96, 112)},
    "resnet50": {"channels": (32, 40, 48, 56)},
}


def module(arch: str, *, seed: int = 0, slim: bool = True, **options: Any) -> nn.Module:
    """timm's `arch`, or one of ours, with seeded random weights and BatchNorm statistics, in eval.
    slim: with fewer channels, where we have said so; False where its speed is measured.

    As built, BatchNorm in eval mode does next to nothing, and timm's residual branches end in
    zero: a mistake in either would not show.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if arch in BUILDERS:
            built = BUILDERS[arch](options.get("num_classes", 80))
        else:
            fewer = SLIM.get(arch, {}) if slim else {}
            built = timm.create_model(arch, pretrained=False, **{**fewer, **options})
        return randomise(built).eval()


@torch.no_grad()
def randomise(built: nn.Module) -> nn.Module:
    """Draw every BatchNorm's statistics, scale and shift, from torch's current random state."""
    for part in built.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 1.5)
            part.weight.uniform_(0.5, 1.5)
            part.bias.normal_(0, 0.2)
    return built


def wrap(
    built: nn.Module, *, classes: int, size: int = 64, key: str = "net", **facts: Any
) -> Network:
    """A `Network` round `built`, its classes called “class 0”, “class 1”, … That it answers each
    photo as if it were alone is taken for granted, unless that is what is tried: alone=False."""
    labels: Sequence[str] = [f"class {index}" for index in range(classes)]
    defaults = {"title": key, "labels": labels, "mean": (0.5,) * 3, "std": (0.25,) * 3}
    return Network(built, key=key, size=size, **{**defaults, "alone": True, **facts})


def seeded(arch: str, *, size: int = 64, classes: int = 20, seed: int = 0, **options: Any):
    """A `Network` of timm's `arch` with seeded random weights, for inputs of `size` pixels."""
    built = module(arch, seed=seed, num_classes=classes, **options)
    return wrap(built, classes=classes, size=size, key=arch)


def narrow_vgg16() -> Network:
    """VGG-16 with a quarter of its channels: its layers by their names, a sixteenth of the work."""
    widths = [each if each == "M" else each // 4 for each in vgg.cfgs["vgg16"]]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = vgg.VGG(widths, num_classes=20, **SLIM["vgg16"]).eval()
    return wrap(built, classes=20, key="vgg16")


@cache
def like(entry: Entry) -> Network:
    """The architecture of a catalogue entry with seeded random weights, 20 classes, 64 pixels."""
    built = module(entry.arch, num_classes=20)
    tried = wrap(built, classes=20, key=entry.key, head=entry.head)
    assert tried.memory == torch.channels_last  # which the zoo takes for granted
    return tried


#: For a test of every network of the catalogue, by what it is, not by its name.
each_network = pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.key)


def plain(network: Network) -> nn.Module:
    """A copy of a network's module as other libraries get it: no taps, contiguous memory."""
    copied = copy.deepcopy(network.module).to(memory_format=torch.contiguous_format)
    for part in copied.modules():
        part._forward_hooks.clear()
        if isinstance(part, DenseConv):
            part.__class__ = nn.Conv2d
    return copied.eval()


def exact(network: Network) -> Network:
    """A twin in float64, where no rounding error flips a ReLU or a maximum near a tie."""
    titles = {name: name for name in network.layers}
    twin = wrap(plain(network), classes=len(network.labels), size=64, layers=titles)
    twin.module.double()
    return twin


def why_not(network: Network, method: str) -> str | None:
    """Why the method is not defined for this network, seeing noise at its own size; or None."""
    view = network.view(noise(1, 3, network.size, network.size))
    return METHODS[method].why_not(Question(network, view, (0,), network.last))


def suited(network: Network, method: str) -> Network:
    """That network, or a small transformer where the method is of attention."""
    return network if METHODS[method].suits(network) else _transformer()


@cache
def _transformer() -> Network:
    return seeded("test_vit", img_size=64)


def maps(
    network: Network,
    x: Tensor,
    method: str,
    *targets: int,
    layer: str | None = None,
    against: int | None = None,
    **options: Any,
) -> Tensor:
    """The final values (K, h, w) or (K, 3, H, W) for the input x (1, 3, H, W), nothing cached."""
    view = View(x.detach(), (0.0, 0.0, 1.0, 1.0), f"{network.key}, asked for {next(_asked)}")
    question = Question(network, view, targets, layer or network.last, against)
    return list(ask(question, method, **options))[-1].values


def assert_close(ours: Tensor, theirs: Tensor, share: float) -> None:
    """Nowhere further apart than that share of the reference's range, which must not be nil."""
    ours, theirs = ours.detach().double(), theirs.detach().double()
    span = float(theirs.max() - theirs.min())
    assert span > 1e-9
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= share * span


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Seeded normal noise: an input that no other test sees if its seed is its own."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Between(nn.Module):
    """Two convolutions, and what is computed between them."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.between, self.kept = between, torch.zeros(1)
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        self.kept = x.detach().mean()  # as for a log, and of no consequence
        return self.second(self.between(x)).mean((2, 3))
