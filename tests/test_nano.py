"""The small detector beside the multi-label network: what it reads, learns and weighs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from explainers import load
from explainers.zoo import checkpoint
from explainers.zoo.nano import LOWEST
from training import folding, nano
from training.teachers import NANO_MEAN, NANO_STD

from . import nets


def noisy() -> nano.Nano:
    """NanoDet with kernels of noise."""
    torch.manual_seed(0)
    network = nano.new_network()
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    heads = len(network.read) * 2
    levels = zip(network.read, network.classify, strict=True)
    order = convs[:-heads] + [conv for read, classify in levels for conv in (read[0], classify)]
    return nano.filled([kernel(conv) for conv in order])


def kernel(conv: nn.Conv2d) -> tuple[torch.Tensor, torch.Tensor]:
    classify = conv.out_channels == 80  # there are boxes behind the classes
    shape = (conv.out_channels + 44 * classify, *conv.weight.shape[1:])
    weight = torch.randn(shape) * (2 / conv.weight[0].numel()) ** 0.5
    return (weight / 10, torch.randn(shape[0]) - 5) if classify else (weight, torch.zeros(shape[0]))


def test_it_reads_pixels_as_nanodet_does() -> None:
    torch.manual_seed(0)
    first = torch.randn(32, 3, 3, 3)
    network = nano.new_network()
    plain = [(m.weight.detach(), m.bias.detach()) for m in network.modules()
             if isinstance(m, nn.Conv2d)]  # fmt: skip
    order = [*plain[:-6], *(plain[-6 + i] for i in (0, 3, 1, 4, 2, 5))]
    network = nano.filled([(first, torch.zeros(32)), *order[1:]])
    rgb = torch.rand(1, 3, 32, 48) * 255
    theirs = ((rgb.permute(0, 2, 3, 1) - NANO_MEAN) / NANO_STD).permute(0, 3, 1, 2).flip(1)
    hand = nn.functional.leaky_relu(nn.functional.conv2d(theirs, first, stride=2, padding=1), 0.1)
    ours = network.stem(rgb / 127.5 - 1)
    assert torch.allclose(ours[..., 1:, 1:], hand[..., 1:, 1:], atol=1e-4)  # away from the rim


@torch.no_grad()
def test_its_opinion_is_the_surest_place_of_each_cell() -> None:
    network, x = noisy(), torch.rand(2, 3, 64, 96) * 2 - 1
    fine, middle, coarse = network.logits(network.grids(x))
    assert [level.shape[2:] for level in (fine, middle, coarse)] == [(8, 12), (4, 6), (2, 3)]
    said = network(x, (2, 3))
    places = fine[1, 7, 4:8, 8:12], middle[1, 7, 2:4, 4:6], coarse[1, 7, 1:, 2:]
    best = max(LOWEST, *(place.max().item() for place in places))
    assert said[1, 7, 1, 2].item() == pytest.approx(best - LOWEST, abs=1e-5)
    assert (said >= 0).all()
    assert network(x[..., :61, :75], (2, 3)).shape == said.shape  # any size will do


@pytest.mark.slow
def test_its_copy_learns_to_do_without_a_slope(tmp_path: Path) -> None:
    recipe = nano.Recipe(steps=40, size=64, batch=2, rate=2e-4)
    training = nano.Training(noisy(), recipe, tmp_path)
    pixels = torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8)
    first = training.one(pixels, pixels)
    assert max(first) < 0.1  # the same, but for half precision
    training.step = round(nano.STRAIGHT * recipe.steps)
    bent = training.one(pixels, pixels)
    slopes = [m.negative_slope for m in training.network.modules() if isinstance(m, nn.LeakyReLU)]
    assert len(slopes) == 28
    assert set(slopes) == {0.0}
    while training.step < recipe.steps:
        last = training.one(pixels, pixels)
    assert all(after < before / 2 for after, before in zip(last, bent, strict=True))

    nano.keep(training.network, tmp_path)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        ours, theirs = nano.kept(tmp_path)(x, (2, 2)), training.network(x, (2, 2))
    assert torch.allclose(ours, theirs, atol=1e-5)


@torch.no_grad()
def test_the_head_adds_what_the_detector_says_of_each_class() -> None:
    single, detector = folding.new_network(), noisy()
    nn.init.normal_(single.head.cells.weight)
    both = folding.joined(single, detector, 0.5)
    x = torch.rand(1, 3, 64, 96) * 2 - 1
    maps = single.trunk(x)
    said = detector(x, maps.shape[2:])
    assert torch.allclose(both(x), single.head.pool(single.head.cells(maps) + said / 2), atol=1e-3)


def test_large_weights_in_8_bits_are_within_half_a_step(tmp_path: Path) -> None:
    torch.manual_seed(0)
    large, small = torch.randn(256, 256, 1, 1), torch.randn(16, 16, 3, 3)
    large[3] = 0.0  # a dead channel
    found = {"a": large, "b": small, "c.scale": torch.ones(2), "n": torch.tensor(3)}
    save_file(folding.narrowed(found), tmp_path / "x.safetensors")
    assert load_file(tmp_path / "x.safetensors")["a"].dtype == torch.int8
    read = checkpoint.read(tmp_path / "x.safetensors", "x")
    assert read.keys() == found.keys()
    steps = large.flatten(1).abs().amax(1) / 127
    assert ((read["a"] - large).flatten(1).abs().amax(1) <= 0.51 * steps + 1e-6).all()
    assert torch.allclose(read["b"].float(), small, rtol=1e-3)
    assert (read["n"], read["c.scale"].tolist()) == (3, [1.0, 1.0])


def test_the_shipped_detector_is_beside_the_trunk() -> None:
    """Without what it says, the network's answer is another one."""
    network = load("coco80")
    x = nets.noise(1, 3, 96, 96)
    with torch.no_grad():
        head = network.module.head.cells.weight[:, -80:, 0, 0]
    assert torch.equal(head, torch.eye(80) * head[0, 0])
    assert head[0, 0] > 0.5
    assert network.record(x, (network.last,)).activations[network.last].shape[1] == 1280 + 80
