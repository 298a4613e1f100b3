"""The shared pass as one program: the same bits, from however many threads; or none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from explainers import Network
from explainers.network import program
from explainers.network.program import Program
from explainers.network.recording import Recording
from tests import nets


def _asked(network: Network, seed: int, width: int = 96) -> Recording:
    return network.recorded(network.view(nets.noise(1, 3, 64, width, seed=seed)), network.last)


def _counted(network: Network) -> list[int]:
    """Grows by one with every pass that goes through the module itself."""
    passes: list[int] = []
    network.module.register_forward_pre_hook(lambda *_: passes.append(1))
    return passes


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["tf_efficientnet_lite0", "resnet18"])
def test_a_network_that_is_asked_often_answers_the_same_without_being_called(arch: str) -> None:
    plain, network = nets.seeded(arch), nets.seeded(arch)
    network.program = Program()
    for seed in range(program.SELDOM + 1):
        _asked(network, seed)
    passes = _counted(network)
    _asked(network, 90, width=160)  # of another size: tried once
    with ThreadPoolExecutor(4) as threads:
        seeds = [*range(20, 24)] * 2
        found = list(threads.map(lambda s: _asked(network, s, 96 if s % 2 else 160), seeds))
    assert len(passes) == 1
    for seed, ours in zip(seeds, found, strict=True):
        theirs = _asked(plain, seed, 96 if seed % 2 else 160)
        layer = network.last
        assert torch.equal(ours.logits, theirs.logits)
        assert torch.equal(ours.activations[layer], theirs.activations[layer])
        assert torch.equal(
            ours.gradients([3, 5], 1, layer=layer), theirs.gradients([3, 5], 1, layer=layer)
        )


class _Moody(nn.Module):
    """What it computes hangs on what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 8, 3), nn.ReLU()
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.act(self.conv(x))
        pooled = maps.mean((2, 3))
        return self.head(pooled if float(x.mean()) > 0 else -pooled)


def test_a_network_whose_way_hangs_on_the_photo_is_called_each_time() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nets.wrap(_Moody().eval(), classes=4, alone=True)  # one photo at a time
    network.program = Program()
    passes = _counted(network)
    for seed in range(6):
        view = network.view(nets.noise(1, 3, 64, 64, seed=seed) + (-1) ** seed)
        found = network.recorded(view, network.last).logits
        assert torch.equal(found, network.logits(view.tensor))
    assert len(passes) >= 12
