"""Networks whose gradient is not how their scores change: that is told, where it counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from captum.attr import GuidedBackprop
from torch import Tensor, nn
from torchvision.ops import DeformConv2d

from explainers import OptionError, explain, wrap
from tests import nets
from tests.nets import Between


class Signed(torch.autograd.Function):
    """A sign whose gradient is said to be one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def rectified_behind(x: Tensor) -> Tensor:
    x.data.relu_()
    return x


@torch.no_grad()
def gate(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True).sigmoid()


CUTS = {
    "a ReLU behind .data": (rectified_behind, True),
    "rounded straight through": (lambda x: x + (x.round() - x).detach(), True),
    "the same by name": (lambda x: x + torch.detach(input=x.round() - x), True),
    "a gate without gradients": (lambda x: F.relu(x) * gate(x), True),
    "a gradient of its own": (lambda x: x + Signed.apply(x), True),
    "rounded": (lambda x: (x * 8).round() / 8, True),
    "rounded in place": (lambda x: (x * 8).floor_() / 8, True),
    "as it should be": (F.relu, False),
    "rounded where nothing comes of it": (lambda x: x + 0 * x.round(), False),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CUTS)
def test_a_gradient_that_is_not_how_the_scores_change_is_told(name: str) -> None:
    between, cut = CUTS[name]
    torch.manual_seed(0)
    network = wrap(Between(between), mean=0.5, std=0.25, size=16)
    view = network.view(nets.noise(1, 3, 16, 16))
    for method, by_gradients in (("gradient", True), ("gradcam", True), ("occlusion", False)):
        options = {"window": 8, "stride": 8} if method == "occlusion" else {}
        told = any(note.key == "cut" for note in explain(network, view, 0, method, **options).notes)
        assert told == (cut and by_gradients), method


def test_a_relu_that_no_gradient_passes_is_none_to_guide() -> None:
    network = wrap(Between(rectified_behind), mean=0.5, std=0.25, size=16)
    with pytest.raises(OptionError, match="no activation function"):
        explain(network, network.view(nets.noise(1, 3, 16, 16)), 0, "guided")


def test_a_function_without_a_derivative_is_named() -> None:
    network = wrap(Between(lambda x: x // 0.1), mean=0.5, std=0.25, size=16)
    view = network.view(nets.noise(1, 3, 16, 16))
    with pytest.raises(OptionError, match=r"no derivative in torch \(floor_divide\)"):
        explain(network, view, 0, "gradient")
    assert explain(network, view, 0, "gradcam").values.any()  # from behind it


class Deformed(nn.Module):
    """A deformable convolution between two rectifiers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.offsets = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 18, 3)
        self.bent, self.head = DeformConv2d(8, 6, 3, padding=1), nn.Conv2d(6, 3, 1)
        self.act, self.last = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        bent = self.bent(self.act(self.first(x)), self.offsets(x))
        return self.head(self.last(bent)).mean((2, 3))


def test_operators_of_torchvision_are_guided_past() -> None:
    torch.manual_seed(0)
    module = Deformed().eval()
    network = wrap(module, mean=0.5, std=0.25, size=16)
    x = nets.noise(1, 3, 16, 16)
    ours = explain(network, network.view(x), 1, "guided").values[0]
    theirs = GuidedBackprop(module).attribute(x.requires_grad_(), target=1)[0]
    nets.assert_close(ours, theirs, 1e-5)
