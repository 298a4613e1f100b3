"""Gradients of the input, plain and guided, against captum and by hand."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from captum.attr import GuidedBackprop, GuidedGradCam, LayerGradCam, Saliency
from torch import Tensor, nn

from explainers import OptionError, Question, ask
from explainers.methods.backprop import RECTIFIERS, _plain_recording, guided_recording
from explainers.network import sparing
from explainers.sizes import _saved
from tests import nets
from tests.nets import assert_close, maps
from tests.test_cam import LAYERS, RED_GREEN_BLUE, Paper

NETWORKS = list(LAYERS)


class HandGuided(nn.Module):
    """Guided backprop of one ReLU written out: its output's gradient is cut at zero."""

    def __init__(self, top: float) -> None:
        super().__init__()
        self.top = top

    def forward(self, x: Tensor) -> Tensor:
        y = F.hardtanh(x, 0.0, self.top)
        y.register_hook(lambda gradient: gradient.clamp(min=0))
        return y


def by_hand(module: nn.Module) -> nn.Module:
    """Replace every ReLU and ReLU6 in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU | nn.ReLU6):
            setattr(module, name, HandGuided(6.0 if isinstance(child, nn.ReLU6) else torch.inf))
        else:
            by_hand(child)
    return module


def gradient_of(module: nn.Module, x: Tensor, target: int) -> Tensor:
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(module(x)[0, target], x)[0][0]


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="captum")
        yield


def test_paper_and_pencil():
    network = nets.wrap(Paper(), classes=2, size=2)
    x = torch.tensor(RED_GREEN_BLUE)
    # With g0, g1 at the first convolution's two maps, red gets g0, green g1 - g0, blue -g1.
    plain = maps(network, x, "gradient", 1)[0]
    np.testing.assert_allclose(plain[0], [[-0.25, 0], [0, 0]])
    np.testing.assert_allclose(plain[1], [[0, -0.25], [0, 0]])
    np.testing.assert_allclose(plain[2], [[0.25, 0.25], [0, 0]])
    # Guided: A0 counts against class 1, so only A1's place is left, and there red.
    guided = maps(network, x, "guided", 1)[0]
    np.testing.assert_allclose(guided[0], [[0, 0], [0, 0.25]])
    np.testing.assert_allclose(guided[1], [[0, 0], [0, -0.25]])
    np.testing.assert_allclose(guided[2], [[0, 0], [0, 0]])


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_is_captums(name, exact):
    network = exact(name)
    x = nets.noise(1, 3, *LAYERS[name][0], seed=11).double()
    ours = maps(network, x, "gradient", 2, 3)
    for row, target in enumerate((2, 3)):
        theirs = Saliency(nets.plain(network)).attribute(x.requires_grad_(), target, abs=False)[0]
        assert_close(ours[row], theirs, 1e-6)


@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
def test_guided_is_captums(name, exact):
    network = exact(name)
    plain, layer = nets.plain(network), LAYERS[name][1][1]
    x = nets.noise(1, 3, *LAYERS[name][0], seed=12).double().requires_grad_()
    theirs = GuidedBackprop(plain).attribute(x, 4)[0]
    assert_close(maps(network, x, "guided", 4)[0], theirs, 1e-6)
    product = GuidedGradCam(plain, plain.get_submodule(layer))
    theirs = product.attribute(x, 4, interpolate_mode="bilinear")[0].detach()
    assert_close(maps(network, x, "guided_gradcam", 4, layer=layer)[0], theirs, 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_large_maps_are_not_kept_and_the_gradient_is_the_same(name, exact, monkeypatch):
    network, shape = exact(name), LAYERS[name][0]
    for record in (_plain_recording, guided_recording, partial(guided_recording, open_top=True)):
        found = []
        for large in (2**62, 1):
            monkeypatch.setattr(sparing, "LARGE", large)
            recording = record(network, nets.noise(1, 3, *shape, seed=14).double())
            kept = sum(t.nbytes for t in _saved(recording.logits.grad_fn) if t.shape[0] == 1)
            found.append((kept, recording.gradients((3,))))
        (usual, expected), (spared, gradient) = found
        assert torch.equal(gradient, expected)
        assert spared < usual / 3


@pytest.mark.slow
def test_guided_through_relu6_is_guided_by_hand(exact):
    """captum knows nn.ReLU alone, and silently gives the plain gradient here."""
    network = exact("lite0")
    plain = nets.plain(network)
    x = nets.noise(1, 3, 96, 64, seed=13).double()
    cam = LayerGradCam(plain, plain.bn2).attribute(x.requires_grad_(), 9, relu_attributions=True)
    theirs = gradient_of(by_hand(plain), x, 9)
    assert_close(maps(network, x, "guided", 9)[0], theirs, 1e-6)
    where = F.interpolate(cam.detach(), (96, 64), mode="bilinear")[0]
    assert_close(maps(network, x, "guided_gradcam", 9)[0], theirs * where, 1e-6)


class Wired(nn.Module):
    """Two convolutions and a head, wired by `between`, a function of the module and its input."""

    def __init__(self, between: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
            self.head = nn.Linear(6, 3)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.between(self, x).mean((2, 3)))


class Small(Wired):
    """The same nonlinearity after each of them, given as a function."""

    def __init__(self, nonlinearity: Callable[[Tensor], Tensor]) -> None:
        super().__init__(lambda m, x: m.act(m.second(m.act(m.first(4 * x)))))
        self.act = nonlinearity


RELUS = {
    "nn.ReLU": (nn.ReLU(), torch.inf),
    "nn.ReLU, in place": (nn.ReLU(inplace=True), torch.inf),
    "F.relu": (F.relu, torch.inf),
    "F.relu, in place": (lambda x: F.relu(x, True), torch.inf),
    "torch.relu": (torch.relu, torch.inf),
    "torch.relu_": (torch.relu_, torch.inf),
    "Tensor.relu": (lambda x: x.relu(), torch.inf),
    "Tensor.relu_": (lambda x: x.relu_(), torch.inf),
    "nn.ReLU6": (nn.ReLU6(), 6.0),
    "nn.ReLU6, in place": (nn.ReLU6(inplace=True), 6.0),
    "F.relu6": (F.relu6, 6.0),
    "F.hardtanh": (lambda x: F.hardtanh(x, 0, 6), 6.0),
    "F.hardtanh, by name": (lambda x: F.hardtanh(x, min_val=0, max_val=6), 6.0),
    "F.hardtanh_": (lambda x: F.hardtanh_(x, 0.0, 6.0), 6.0),
    "F.relu, by keyword": (lambda x: F.relu(input=x), torch.inf),
    "F.threshold": (lambda x: F.threshold(x, 0, 0), torch.inf),
    "nn.Threshold": (nn.Threshold(0, 0, inplace=True), torch.inf),
    "Tensor.clamp": (lambda x: x.clamp(min=0), torch.inf),
    "torch.clip": (lambda x: torch.clip(x, 0, 6), 6.0),
    "Tensor.clamp_min_": (lambda x: x.clamp_min_(0), torch.inf),
    "aten.relu": (torch.ops.aten.relu.default, torch.inf),
}


def input_used_again(act):
    def between(net, x):
        x = net.first(4 * x)
        skip = x
        return net.second(act(x)) + skip

    return between


def value_dropped(act):
    def between(net, x):
        x = net.first(4 * x)
        act(x)
        return net.second(x)

    return between


def reworked(act, rest):
    def between(net, x):
        y = act(net.first(4 * x) + 3)
        rest(y)
        return net.second(y)

    return between


def half_of_it(act):
    def between(net, x):
        x = net.first(4 * x)
        act(x[:, :3])
        return net.second(x)

    return between


def overwritten_input(act):
    def between(net, x):
        x.sub_(0.5).mul_(8)
        return net.second(act(net.first(x)))

    return between


def added_to(act):  # what trains with no network, since autograd refuses it
    def between(net, x):
        x = net.first(4 * x)
        y = net.second(x)
        z = act(x)
        z += y
        return z

    return between


# In place, and the same network written out of place round `act`.
IN_PLACE = {
    "relu_, input used again": (
        input_used_again(F.relu_),
        lambda act: lambda n, x: n.second(y := act(n.first(4 * x))) + y,
        torch.inf,
    ),
    "ReLU6, input used again": (
        input_used_again(nn.ReLU6(inplace=True)),
        lambda act: lambda n, x: n.second(y := act(n.first(4 * x))) + y,
        6.0,
    ),
    "F.relu6, value dropped": (
        value_dropped(lambda x: F.relu6(input=x, inplace=True)),
        lambda act: lambda n, x: n.second(act(n.first(4 * x))),
        6.0,
    ),
    "hardtanh_, value dropped": (
        value_dropped(lambda x: F.hardtanh_(x, 0.0, 4.0)),
        lambda act: lambda n, x: n.second(act(n.first(4 * x))),
        4.0,
    ),
    "clamp_, value dropped": (
        value_dropped(lambda x: x.clamp_(min=0)),
        lambda act: lambda n, x: n.second(act(n.first(4 * x))),
        torch.inf,
    ),
    "Threshold, value dropped": (
        value_dropped(nn.Threshold(0, 0, inplace=True)),
        lambda act: lambda n, x: n.second(act(n.first(4 * x))),
        torch.inf,
    ),
    "relu6_ /= 6": (
        reworked(lambda x: F.relu6(x, inplace=True), lambda y: y.div_(6)),
        lambda act: lambda n, x: n.second(act(n.first(4 * x) + 3) / 6),
        6.0,
    ),
    "relu6 /= 6": (
        reworked(F.relu6, lambda y: y.div_(6)),
        lambda act: lambda n, x: n.second(act(n.first(4 * x) + 3) / 6),
        6.0,
    ),
    "clamp_(0, 6) *= 2": (
        reworked(lambda x: x.clamp_(0, 6), lambda y: y.mul_(2)),
        lambda act: lambda n, x: n.second(act(n.first(4 * x) + 3) * 2),
        6.0,
    ),
    "half of the channels": (
        half_of_it(F.relu_),
        lambda act: (
            lambda n, x: n.second(torch.cat([act((y := n.first(4 * x))[:, :3]), y[:, 3:]], 1))
        ),
        torch.inf,
    ),
    "the input itself": (
        overwritten_input(F.relu_),
        lambda act: lambda n, x: n.second(act(n.first((x - 0.5) * 8))),
        torch.inf,
    ),
    "a sum": (
        added_to(F.relu_),
        lambda act: lambda n, x: act(y := n.first(4 * x)) + n.second(y),
        torch.inf,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_PLACE)
def test_what_works_in_place_is_explained_as_it_computes(name):
    wired, apart, top = IN_PLACE[name]
    network = nets.wrap(Wired(wired), classes=3, size=8)
    x = nets.noise(1, 3, 8, 8, seed=16)
    view, kept = network.view(x), x.clone()
    same = Wired(apart(lambda y: y.clamp(0, top)))
    plain, logits = gradient_of(same, x, 1), same(x)
    for method, theirs in {
        "gradient": plain,
        "guided": gradient_of(Wired(apart(HandGuided(top))), x, 1),
        "gradcam": None,
        "smoothgrad": None,
    }.items():
        (*_, found) = ask(Question(network, view, (1,), network.last), method)
        assert_close(found.logits[None], logits, 1e-5)
        if theirs is not None:
            assert_close(found.values[0], theirs, 1e-5)
        assert torch.equal(view.tensor, kept)
    shares = maps(network, x, "integrated", 1, steps=256).sum()
    gained = (logits - same(torch.zeros_like(x)))[0, 1]
    assert float(shares) == pytest.approx(float(gained.detach()), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", RELUS)
def test_every_way_to_write_a_relu_is_guided(name):
    relu, top = RELUS[name]
    x = nets.noise(1, 3, 8, 8, seed=14)
    network = nets.wrap(Small(relu), classes=3, size=8)
    guided = gradient_of(Small(HandGuided(top)), x, 1)
    plain = gradient_of(Small(relu), x, 1)
    assert (guided - plain).abs().max() > 0.01 * plain.abs().max()
    assert_close(maps(network, x, "guided", 1)[0], guided, 1e-5)
    assert_close(maps(network, x, "gradient", 1)[0], plain, 1e-5)


@pytest.mark.slow
@nets.each_network
def test_guided_is_no_gradient_in_disguise(entry):
    network = nets.like(entry)
    if other := network.nonlinearities - RECTIFIERS:
        assert sorted(other)[0] in nets.why_not(network, "guided")
        return
    assert nets.why_not(network, "guided") is None
    x = nets.noise(1, 3, 64, 64, seed=15)
    guided, plain = maps(network, x, "guided", 1), maps(network, x, "gradient", 1)
    alike = F.cosine_similarity(guided.flatten(), plain.flatten(), dim=0)
    assert guided.abs().max() > 0
    assert alike < 0.9


class ByHand(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * (ctx.saved_tensors[0] > 0)


@torch.jit.script
def scripted(x: Tensor) -> Tensor:
    return torch.relu(x) * 1.0


REFUSED = {
    "comparisons (gt)": lambda x: F.relu(x) * (x > 1),
    "comparisons (lt)": lambda x: F.relu(x).masked_fill(x < 1, 0),
    "comparisons (maximum)": lambda x: torch.maximum(F.relu(x), torch.ones(1)),
    "comparisons (abs)": lambda x: (F.relu(x) + F.relu(x).abs()) / 2,
    "comparisons (max)": lambda x: (lambda y: torch.max(y / 8, y))(F.relu(x) - 1),
    "an autograd.Function (ByHand)": lambda x: ByHand.apply(F.relu(x)),
    "TorchScript": lambda x: scripted(F.relu(x)),
    "silu": F.silu,
    "gelu": F.gelu,
    "leaky_relu": F.leaky_relu,
    "silu in a mix": lambda x: F.silu(F.relu(x)),
    "hardtanh": F.hardtanh,  # from -1 to 1: no rectifier
    "no activation function": lambda x: x,
}


def test_the_largest_of_several_maps_is_no_rectifier():
    network = nets.wrap(Small(lambda x: torch.maximum(F.relu(x), F.relu(1 - x))), classes=3, size=8)
    assert maps(network, nets.noise(1, 3, 8, 8), "guided", 1).abs().max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_guided_is_refused_where_it_is_not_defined(name):
    network = nets.wrap(Small(REFUSED[name]), classes=3, size=8)
    for method in ("guided", "guided_gradcam"):
        words = re.escape(f"rule for ReLUs, and net uses {name.split(' in')[0]}")
        with pytest.raises(OptionError, match=words):
            maps(network, nets.noise(1, 3, 8, 8), method, 1)
    assert maps(network, nets.noise(1, 3, 8, 8), "gradient", 1).abs().max() > 0
