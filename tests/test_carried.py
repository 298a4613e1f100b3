"""Networks and what is asked of them, pickled and copied: equal maps, and nothing shared."""

from __future__ import annotations

import copy
import io
import pickle
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

from explainers import ExplainError, Explanation, Network, again, ask, explain, read, targets, wrap
from explainers.api import question
from explainers.network.program import Program
from tests import nets

PHOTO = read(np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8))
HOW: dict[str, Any] = {"mean": 0.5, "std": 0.25, "size": 32}


class Keeping(nn.Module):
    """Answers with a dict, and keeps the maps that it saw last, with all that they hang on."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(channels, 6, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        self.kept = self.trunk(x)
        return {"logits": self.head(self.kept.mean((2, 3)))}


class Plain(Keeping):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x).mean((2, 3)))


def logits(answer: dict[str, Tensor]) -> Tensor:
    return answer["logits"]


def saved(value: Any) -> Any:
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=False)  # no weights: an object made a moment ago


WAYS = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "torch.save": saved,
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def programmed() -> Network:
    network = nets.seeded("test_resnet", classes=4)
    network.program = Program()
    return network


def built(kind: str) -> Network:
    torch.manual_seed(0)
    if kind == "built by the catalogue":
        return programmed()
    if kind == "following a module":
        return nets.wrap(Plain(), classes=3, size=32)
    if kind == "greys":
        return wrap(Keeping(1), channels=1, output=logits, **HOW)
    return wrap(Keeping(), output=logits, copy=kind != "the module itself", **HOW)


@pytest.mark.slow
@ways
@pytest.mark.parametrize(
    "kind",
    ["built by the catalogue", "following a module", "greys", "a copy", "the module itself"],
)
def test_a_network_that_is_carried_elsewhere_gives_equal_maps_and_shares_nothing(kind, way):
    network = built(kind)
    before = {method: explain(network, PHOTO, 1, method) for method in ("gradcam", "guided")}
    made = way(network)
    assert (made.labels, made.last, made.memory) == (network.labels, network.last, network.memory)
    for method, there in before.items():
        assert torch.equal(explain(made, PHOTO, 1, method).values, there.values)
    with pytest.raises(ExplainError, match="made for another network"):
        explain(made, network.prepare(PHOTO), 1)
    made.program = None  # else nobody else has the module, and its weights stay
    with torch.no_grad():
        for each in {made.module, getattr(made._weights, "original", made.module)}:
            for weights in each.parameters():
                weights.mul_(-1.5)
    cam, gradcam = (explain(made, PHOTO, 1, method).values for method in ("cam", "gradcam"))
    assert torch.allclose(cam, gradcam * cam[0].numel(), rtol=1e-4)  # by the copy's own head
    assert not torch.equal(gradcam, before["gradcam"].values)
    assert torch.equal(explain(network, PHOTO, 1).values, before["gradcam"].values)


@pytest.mark.parametrize("kind", ["greys", "a copy", "the module itself"])
def test_maps_that_a_module_keeps_are_no_hindrance_on_the_way_to_another_process(kind):
    """What `torch.multiprocessing` sends has no graph; the maps kept there have."""
    network = built(kind)
    here = explain(network, PHOTO, 1).values
    assert network.module.kept.requires_grad
    for sent in (network, question(network, PHOTO, 1)):
        there = pickle.loads(ForkingPickler.dumps(sent))
        assert torch.equal(explain(getattr(there, "network", there), PHOTO, 1).values, here)
    assert network.module.kept.requires_grad


@ways
def test_what_is_copied_takes_over_the_weights_of_its_own_module(way):
    network = built("a copy")
    made = way(network)
    with torch.no_grad():
        made._source.head.weight.mul_(-1)
    there = explain(network, PHOTO, 1).values
    assert torch.equal(explain(made, PHOTO, 1).values, there)
    assert torch.equal(explain(made.refresh(), PHOTO, 1).values, -there)


@ways
def test_a_question_goes_with_its_network(way):
    asked = question(built("a copy"), PHOTO, [1, 2], against=0)
    *_, here = ask(asked, "gradcam")
    *_, there = ask(way(asked), "gradcam")
    assert torch.equal(here.values, there.values)
    assert torch.equal(way(here).values, here.values)


@ways
def test_a_target_function_comes_along_where_it_can(way):
    network = built("a copy")
    found = explain(network, PHOTO, targets.difference(1, 2))
    assert torch.equal(again(way(found), network, PHOTO).values, found.values)
    alone: Explanation = way(explain(network, PHOTO, lambda output: output[0, 1]))
    if way is copy.deepcopy:
        assert torch.equal(again(alone, network, PHOTO).values, alone.values)
    else:
        with pytest.raises(ExplainError, match="function of one’s own did not come along"):
            again(alone, network, PHOTO)


def test_a_shallow_copy_is_the_same_network():
    network = built("a copy")
    made, there = copy.copy(network), explain(network, PHOTO, 1).values
    assert torch.equal(explain(made, network.prepare(PHOTO), 1).values, there)


def test_a_module_that_is_explained_itself_can_be_saved_and_copied():
    module = Keeping()
    network = wrap(module, output=logits, copy=False, **HOW)
    made = saved(module)
    x = network.prepare(PHOTO).tensor
    assert torch.equal(made(x), module(x))


@ways
def test_a_module_may_hold_the_network_that_explains_it(way):
    module = Plain()
    object.__setattr__(module, "network", wrap(module, **HOW))
    made = way(module)
    assert made.network._source is made
    assert torch.equal(
        explain(made.network, PHOTO, 1).values, explain(module.network, PHOTO, 1).values
    )


@pytest.mark.parametrize(
    ("make", "way", "words"),
    [
        (lambda: wrap(Keeping(), output=lambda a: a["logits"], **HOW), pickle.dumps, "def, not l"),
        (lambda: wrap(fx.symbolic_trace(Keeping()), output=logits, **HOW), copy.deepcopy, "hooks"),
    ],
    ids=["a lambda", "a graph"],
)
def test_what_can_t_be_carried_is_told(make, way, words):
    with pytest.raises(ExplainError, match=words) as caught:
        way(make())
    assert " at 0x" not in str(caught.value)
