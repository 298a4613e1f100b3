"""A network of one's own: wrapped, explained while it trains, and left as it was."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from explainers import ModelError, explain, read, wrap
from tests import nets
from tests.nets import assert_close

HOW = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "size": 32}
PHOTO = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)


class Mine(nn.Module):
    """A classifier as people write them; `channels` of input, `answer` round its logits."""

    def __init__(self, channels: int = 3, classes: int = 3, answer=lambda y: y) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(6)
            self.body = nn.Sequential(
                nn.Conv2d(channels, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(),
                nn.Conv2d(8, 6, 3, 2, 1), nn.ReLU(),
            )  # fmt: skip
            self.head = nn.Linear(6, classes)
        self.answer = answer

    def forward(self, x: Tensor):
        return self.answer(self.head(self.body(x).mean((2, 3))))


def state(module: nn.Module) -> list[object]:
    return [
        {name: value.clone() for name, value in module.state_dict().items()},
        [part.training for part in module.modules()],
        [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()],
        [(p.requires_grad, p.grad, p.stride()) for p in module.parameters()],
    ]


def test_the_module_is_left_as_it_was_and_training_goes_on():
    module = Mine().train()
    calls = []
    module.body.register_forward_hook(lambda *_: calls.append(1))
    before = state(module)
    network = wrap(module, ["a", "b", "c"], **HOW)
    found = explain(network, PHOTO, "b", "guided")
    after = state(module)
    assert str(before) == str(after)
    assert not calls
    x = network.prepare(read(PHOTO)).tensor
    assert torch.allclose(found.logits, copy.deepcopy(module).eval()(x)[0], atol=1e-5)
    nn.functional.cross_entropy(
        module(torch.randn(4, 3, 32, 32)), torch.tensor([0, 1, 2, 0])
    ).backward()
    assert module.head.weight.grad.abs().sum() > 0


def test_refresh_takes_over_the_weights_as_they_are_now():
    module = Mine()
    network = wrap(module, **HOW)
    old = explain(network, PHOTO, 1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.5)
    assert torch.equal(explain(network, PHOTO, 1).values, old.values)
    assert network.refresh() is network
    new, fresh = explain(network, PHOTO, 1), explain(wrap(module, **HOW), PHOTO, 1)
    assert not torch.allclose(new.values, old.values)
    assert torch.equal(new.values, fresh.values)
    assert torch.equal(new.logits, fresh.logits)


def test_a_module_that_is_trained_in_its_network_is_shown_as_it_is_now():
    module = Mine()
    network = nets.wrap(module, classes=3, size=32)
    old = explain(network, PHOTO, 1)
    with torch.no_grad():
        module.head.weight.mul_(2)
    new = explain(network, PHOTO, 1)
    assert torch.allclose(new.values, 2 * old.values, atol=1e-6)
    assert torch.allclose(new.logits, network.logits(network.prepare(read(PHOTO)).tensor)[0])


def test_without_a_copy_the_module_itself_is_explained_and_hooked_once():
    module = Mine()
    network = wrap(module, copy=False, **HOW)
    assert network.module is module
    hooks = sum(len(part._forward_hooks) for part in module.modules())
    with torch.no_grad():
        module.head.weight.mul_(-1)
    network.refresh()
    assert sum(len(part._forward_hooks) for part in module.modules()) == hooks
    x = network.prepare(read(PHOTO)).tensor
    assert torch.allclose(explain(network, PHOTO, 1).logits, module(x)[0], atol=1e-5)


def test_a_network_of_greys_sees_the_photos_luminance():
    module = Mine(1).eval()
    network = wrap(module, mean=0.13, std=0.31, size=32)
    photo = read(PHOTO)
    view = network.prepare(photo)
    grey = (view.tensor * torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)).sum(1, True)
    found = explain(network, photo, 2, "gradient")
    grey.requires_grad_()
    logits = module(grey)
    assert torch.allclose(found.logits, logits[0], atol=1e-5)
    assert_close(found.values.sum(1), torch.autograd.grad(logits[0, 2], grey)[0][0], 1e-5)


@dataclass
class Answer:
    logits: Tensor


@pytest.mark.parametrize(("answer", "output"), [
    (lambda y: (y, y + 1), lambda out: out[0]),
    (lambda y: {"logits": y}, lambda out: out["logits"]),
    (Answer, lambda out: out.logits),
    (lambda y: y[:, 0], lambda out: out[:, None]),
], ids=["tuple", "dict", "dataclass", "squeezed"])  # fmt: skip
def test_the_logits_are_picked_out_of_any_answer(answer, output):
    network = wrap(Mine(answer=answer), output=output, **HOW)
    plain = Mine().eval()(network.prepare(read(PHOTO)).tensor)[0]
    found = explain(network, PHOTO, 0)
    assert torch.allclose(found.logits, plain[: len(found.logits)], atol=1e-5)
    assert network.head == ("sigmoid" if len(found.logits) == 1 else "softmax")


@pytest.mark.parametrize("as_they_come", [
    nn.DataParallel, lambda m: torch.compile(m), nn.Module.half, nn.Module.bfloat16,
    nn.Module.double, lambda m: m.to(memory_format=torch.channels_last),
], ids=["parallel", "compiled", "half", "bfloat16", "double", "channels last"])  # fmt: skip
def test_modules_are_taken_as_they_come(as_they_come):
    network = wrap(as_they_come(Mine()), **HOW)
    logits = Mine().eval()(network.prepare(read(PHOTO)).tensor)[0]
    assert torch.allclose(explain(network, PHOTO, 0).logits, logits, atol=2e-2)
    assert network.last == "body"


def test_what_is_known_of_a_module_need_not_be_said():
    module = nets.module("test_resnet", num_classes=5)
    found = explain(module, PHOTO, 3)
    assert found.labels == ("class 0", "class 1", "class 2", "class 3", "class 4")
    network = wrap(module)
    assert (network.size, network.crop_pct) == (160, 0.95)
    assert torch.equal(explain(network, PHOTO, 3).values, found.values)
    with pytest.raises(ModelError, match=r"photos are prepared for Mine is not known: .* mean=…"):
        explain(Mine(), PHOTO)


@pytest.mark.parametrize(("make", "said", "words"), [
    (lambda: Mine(4), {"channels": 4}, "takes 4 channels, and photos have 1 or 3"),
    (lambda: Mine(4), {}, "fails on an input of 3"),
    (Mine, {"output": lambda out: out.logits}, "output function of Mine fails on a Tensor"),
    (Mine, {"labels": ["a"]}, "3 outputs and 1 label"),
    (lambda: nn.Sequential(nn.ReLU()), {}, "no weights"),
    (lambda: "resnet18", {}, "torch.nn.Module"),
])  # fmt: skip
def test_what_cannot_be_wrapped_is_told(make, said, words):
    with pytest.raises(ModelError) as caught:
        wrap(make(), **{**HOW, **said})
    assert words in str(caught.value)
