"""What an explanation says of itself, and what a method may be told."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from explainers import METHODS, Network, OptionError, again, ask, explain, to_npz
from explainers.api import question
from explainers.options import OneOf, Within
from explainers.scores import sanity
from tests import nets

FEW = {"masks": 20, "samples": 3, "steps": 3, "window": 16, "patch": 24, "grid": 3}


def drawn(method: str, draw: random.Random) -> dict[str, Any]:
    """Some of a method's options, each with a value that is possible, and little work."""
    found: dict[str, Any] = {}
    for name, option in METHODS[method].options.items():
        limit = option.limit
        if name in FEW:
            found[name] = FEW[name] - draw.randrange(2)
        elif isinstance(limit, OneOf):
            found[name] = draw.choice(list(limit.words))
        elif name == "stride":
            found[name] = draw.randint(8, 15)
        elif isinstance(limit, Within) and option.kind is int:
            found[name] = draw.randint(int(limit.low), int(min(limit.high, limit.low + 5)))
        elif isinstance(limit, Within):
            found[name] = draw.uniform(limit.low + 0.01, min(limit.high, limit.low + 1) - 0.01)
    return {name: value for name, value in found.items() if name in FEW or draw.random() < 0.7}


def small() -> Network:
    """Two convolutions and a head that is no average: no CAM."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        parts = [nn.Conv2d(3, 6, 5, 4), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU()]
        head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 20)]
        return nets.wrap(nn.Sequential(*parts, *head), classes=20, key="small")


@pytest.fixture(scope="module", params=["resnet18", "tf_efficientnet_lite0", "small"])
def pair(request) -> tuple[Network, Network]:
    """The same network twice: what one has remembered, the other has not."""
    if request.param == "small":
        return small(), small()
    return nets.seeded(request.param, seed=5), nets.seeded(request.param, seed=5)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_map_can_be_repeated_from_what_it_says_of_itself(pair, method, photo) -> None:
    network, twin = pair
    if nets.why_not(network, method):
        return
    draw = random.Random(method)
    layer, against = draw.choice(list(network.layers)), draw.choice([None, 0])
    given = {"layer": layer, "against": against, "framing": draw.choice(["crop", "whole"])}
    first = explain(network, photo, [3, 1], method, **given, **drawn(method, draw))
    once = again(first, twin, photo)
    assert torch.equal(once.values, first.values)
    for name in ("targets", "against", "layer", "options", "facts", "notes", "framing"):
        assert getattr(once, name) == getattr(first, name), name
    assert set(first.options) == set(METHODS[method].options)  # the defaults, too
    assert first.title == METHODS[method].title
    json.dumps([dict(first.options), dict(first.facts)])


def test_a_ready_made_input_is_repeated_too_but_not_with_another_s_network(pair) -> None:
    network, twin = pair
    x = nets.noise(1, 3, 64, 96, seed=31)
    first = explain(network, network.view(x), 2, "hirescam", against=0)
    assert torch.equal(again(first, twin, twin.view(x)).values, first.values)
    with pytest.raises(OptionError, match="another network"):
        again(first, twin, network.view(x))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_asked_again_as_it_was_while_the_network_forgets(resnet18, method) -> None:
    network = nets.suited(resnet18, method)
    asked = question(network, network.view(nets.noise(1, 3, 64, 64, seed=32)), 3)
    *_, first = ask(asked, method, **drawn(method, random.Random(7)))
    stage = next(sanity.check(asked, [first]))
    assert stage.absent == {}
    assert stage.maps[method].options == first.options
    assert stage.similarity[method].signed < 1 or method == "rollout"  # which asks no head


@pytest.mark.parametrize("method", METHODS)
def test_what_a_method_can_not_be_told_is_an_option_error_that_says_what_it_can(
    resnet18, method
) -> None:
    network = nets.suited(resnet18, method)
    asked = question(network, network.view(nets.noise(1, 3, 64, 64, seed=33)), 3)
    known = METHODS[method].options
    with pytest.raises(OptionError) as caught:
        list(ask(asked, method, colour="red"))
    assert "“colour”" in str(caught.value)
    assert all(name in str(caught.value) for name in known) or "none" in str(caught.value)
    for name, option in known.items():
        wrong: list[Any] = [[], {}, b"x", "plaid", object(), True, float("nan"), 2j]
        if isinstance(option.limit, Within):
            wrong += [option.limit.low - 1, option.limit.high * 2, None if not option.empty else -1]
            wrong += [1.5, "3"] if option.kind is int else ["0.3", float("inf")]
        for value in wrong:
            with pytest.raises(OptionError, match=name) as caught:
                list(ask(asked, method, **{name: value}))
            assert str(caught.value).endswith(".")
            assert METHODS[method].title in str(caught.value)


def test_numbers_of_numpy_are_numbers(resnet18) -> None:
    asked = question(resnet18, resnet18.view(nets.noise(1, 3, 64, 64, seed=34)), 3)
    *_, found = ask(asked, "smoothgrad", samples=np.int64(2), noise=np.float32(0.5), seed=1)
    assert found.options == {"samples": 2, "noise": 0.5, "seed": 1, "batch": 4}
    assert type(found.options["samples"]) is int
    *_, found = ask(asked, "smoothgrad", samples=2, noise=1)
    assert found.options["noise"] == 1.0


def test_the_raw_maps_carry_what_repeats_them_what_came_out_and_the_notes(resnet18) -> None:
    view = resnet18.view(nets.noise(1, 3, 64, 64, seed=35))
    found = explain(resnet18, view, 3, "rise", masks=32)
    about = json.loads(str(np.load(io.BytesIO(to_npz([found])))["about"]))[0]
    assert about["options"]["masks"] == about["facts"]["used"] == 32
    assert about["network"] == "resnet18"


def test_a_network_of_one_size_says_which_when_it_is_shown_another(photo) -> None:
    class Flat(nn.Module):
        """Flattens by a view, which makes two answers of one input of twice the size."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3, 4, 1), nn.Linear(4 * 8 * 8, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.conv(x).relu().view(-1, 4 * 8 * 8))

    network = nets.wrap(Flat(), classes=5, size=32)
    assert explain(network, photo, framing="crop").values.shape == (1, 8, 8)
    for x in (torch.zeros(1, 3, 32, 64), torch.zeros(1, 3, 40, 40)):
        for method in ("gradcam", "gradient", "rise", "occlusion"):
            with pytest.raises(OptionError, match="can’t take in"):
                explain(network, network.view(x), 1, method)
    whole = explain(network, photo)  # squeezed to a square
    assert whole.values.shape == (1, 8, 8)
    assert whole.frame == (0, 0, 1, 1)
