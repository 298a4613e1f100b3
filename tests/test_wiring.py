"""What units read and feed, against networks small enough to switch units off by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explainers import read
from explainers.network.swaps import Unbounded
from explainers.sizes import size
from explainers.units.wiring import Needs, Wiring, beside, confused, needs, wiring
from tests import nets


class Wired(nn.Module):
    """Unit 0 of `second` is 2 x unit 1 of `first` minus half of unit 2; class 1 reads unit 0 alone.

    A ReLU6 behind the second bounds what a bright photo makes of that.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(3, 2, 1, stride=2), nn.ReLU6())
        self.head = nn.Linear(2, 3)
        with torch.no_grad():
            for part in (self.first[0], self.second[0], self.head):
                part.weight.zero_()
                part.bias.zero_()
            self.first[0].weight[:, :, 0, 0] = 4 * torch.eye(3)
            self.second[0].weight[0, :, 0, 0] = torch.tensor([0.0, 2.0, -0.5])
            self.second[0].weight[1, :, 0, 0] = torch.tensor([1.0, 0.0, 0.0])
            self.head.weight.copy_(torch.tensor([[0.0, 1.0], [3.0, 0.0], [-1.0, 2.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x)).mean((2, 3)))


@pytest.fixture
def network():
    named = {"first": "First", "second": "Second"}
    facts = {"mean": (0,) * 3, "std": (1,) * 3, "layers": named}
    return nets.wrap(Wired(), classes=3, size=32, **facts)


def last(steps):
    *shares, found = steps
    assert shares == sorted(shares)
    assert all(0 < each <= 1.0001 for each in shares)
    return found


def views(network, *colours):
    """One view of each colour, (red, green, blue) of 255."""
    return [
        network.prepare(read(np.broadcast_to(np.array(c, np.uint8), (32, 32, 3)).copy()))
        for c in colours
    ]


def test_what_a_unit_reads_is_found_by_switching_off(network):
    first, second = network.maps
    assert beside(network, first) == (None, second)
    assert beside(network, second) == (first, None)
    found = last(wiring(network, second, 0, views(network, (0, 102, 51))))
    assert isinstance(found, Wiring)
    # 2 * 4 * 0.4 - 0.5 * 4 * 0.2 = 2.8, of which green gives 3.2 and blue takes 0.4
    effects = {each.index: each.effect for each in found.reads}
    assert effects[1] == pytest.approx(1, rel=1e-3)  # a ReLU shows no less than nothing
    assert effects[2] == pytest.approx(-0.4 / 2.8, rel=1e-2)
    assert effects[0] == pytest.approx(0, abs=1e-4)
    assert found.reads[0].index == 1
    assert {each.index: each.effect for each in found.classes} == pytest.approx(
        {1: 8.4, 0: 0, 2: -2.8}, rel=1e-2, abs=1e-4
    )


def test_a_unit_at_its_bound_still_says_what_it_reads(network):
    """White makes 8 - 2 = 6 and more of it, where ReLU6 hides what green adds."""
    second = network.last
    found = last(wiring(network, second, 0, views(network, (255, 255, 0))))
    assert found.reads[0].index == 1
    assert found.reads[0].effect == pytest.approx(1, rel=1e-3)


def test_what_a_unit_feeds(network):
    first = next(iter(network.maps))
    found = last(wiring(network, first, 1, views(network, (51, 51, 0), (51, 51, 51))))
    effects = {each.index: each.effect for each in found.feeds}
    assert found.reads == ()
    assert effects[0] == pytest.approx(1, rel=1e-3)
    assert effects[1] == pytest.approx(0, abs=1e-4)
    assert found.classes[0].index == 1
    again = last(wiring(network, first, 1, views(network, (51, 51, 0), (51, 51, 51))))
    assert again is found  # work already done


def test_the_units_that_a_class_needs(network):
    found = last(needs(network, 2, views(network, (102, 51, 0))))
    assert isinstance(found, Needs)
    best = found.units[0]
    assert (best.layer, best.index) == (network.last, 1)
    assert best.effect == pytest.approx(2 * 4 * 0.4, rel=1e-3)


def test_classes_that_rise_together_are_confused():
    rising = torch.linspace(0, 1, 6)
    logits = torch.stack([rising, rising * 2 + 1, -rising, torch.zeros(6)], 1)
    (first, alike), *_rest, (last_one, other) = confused(logits, 0)
    assert (first, last_one) == (1, 2)
    assert alike > 0 > other


def test_what_was_before_a_bound_is_kept_of_layers_that_are_kept():
    """Of all layers of a large network it would be half a gigabyte."""
    x = nets.noise(1, 8, 16, 16, seed=3) * 9
    with torch.no_grad(), Unbounded() as before:
        first = F.relu6(x)
        y = first * 9
        for _ in range(30):
            y = F.relu6(y) * 9
        last = F.relu6(y)
    assert size(before) < 5 * x.nbytes
    assert torch.equal(before.of(first)[0], x.relu())
    assert torch.equal(before.of(last)[0], y)
    assert before.of(y) == (y, torch.inf)
