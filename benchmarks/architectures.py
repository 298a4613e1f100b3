"""Is Grad-CAM right on the architectures of timm and torchvision? One of each family, seeded.

Each is given a head that has learnt one thing: a checkered square in a photo of noise. Then

- the last layer is found by `wrap`, with nothing told;
- Grad-CAM there equals autograd's, written out by hand in float64;
- its strongest place follows the square through the photo;

or a sentence says why there is no map. Weights are random, so that nothing is fetched; all
weights that are built as nothing (zeros, tiny scales) are drawn anew, so that every part counts.

    python -m benchmarks.architectures [--only NAME …] [--table docs/architectures.md]

Ends with one line of JSON: tried, right, refused_with_reason, wrong, seconds.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from explainers import ExplainError, Question, wrap
from explainers.methods.cam import gradcam, layer_map
from explainers.network import Layer, Network

CLASSES = 7
ASKED = 1
SAME = 1e-6  # of the map's range
SQUARE = 0.25  # of the photo's side
AT = ((0.02, 0.3), (0.7, 0.05), (0.3, 0.72), (0.73, 0.6))  # left and top of the square
PHOTOS = 16  # that a head learns from
SEEN = 3  # photos that are explained, each with the square everywhere

#: One architecture of each family of timm's: its name, the side of its input, and what it is built
#: with, where that makes it smaller.
TIMM: tuple[tuple[str, int, dict[str, Any]], ...] = ()
#: torchvision's, with the side of their input.
TORCHVISION: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Found:
    """What came of one architecture. gap: to autograd's map, as a share of its range. hits: of the
    squares. reason: why there is no map. wrong: what does not hold."""

    name: str
    layer: Layer | None = None
    gap: float = 0.0
    hits: int = 0
    reason: str = ""
    wrong: str = ""
    seconds: float = 0.0


def photos(count: int, side: int, seed: int) -> Tensor:
    """Smooth noise (N, 3, side, side)."""
    drawn = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(drawn, (side, side), mode="bicubic") * 0.15


def put(photo: Tensor, left: float, top: float) -> Tensor:
    """The same photo (3, H, W) with the square there."""
    side = photo.shape[-1]
    length, cell = round(SQUARE * side), max(side // 28, 2)
    steps = torch.arange(length) // cell
    checks = (steps[:, None] + steps[None]) % 2 * 2.0 - 1
    photo, x, y = photo.clone(), round(left * side), round(top * side)
    colours = torch.tensor([2.5, -2.0, 2.5])[:, None, None]
    photo[:, y : y + length, x : x + length] = checks * colours + 0.5
    return photo


@torch.no_grad()
def enliven(module: nn.Module, side: int) -> nn.Module:
    """Weights with which every part counts, and statistics as of a network that has seen photos."""
    for weight in module.parameters():
        if weight.numel() and float(weight.abs().max()) <= 0.1 and weight.ndim == 1:
            weight.uniform_(0.2, 0.6) if weight.any() else weight.normal_(0, 0.02)
        elif weight.numel() and not weight.any():
            weight.normal_(0, 0.02)
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d)]
    for part in norms:
        part.weight.uniform_(0.5, 1.5)
        part.bias.normal_(0, 0.2)
        part.momentum = None
    for part in norms:
        part.train()
    module(torch.stack([put(photo, *at) for photo, at in zip(photos(4, side, 1), AT, strict=True)]))
    return module.eval()


@torch.no_grad()
def teach(module: nn.Module, side: int) -> None:
    """Let class `ASKED` be the square: the difference of the head's inputs with and without one."""
    heads = [
        part
        for part in module.modules()
        if (isinstance(part, nn.Linear) and part.out_features == CLASSES)
        or (isinstance(part, nn.Conv2d) and part.out_channels == CLASSES)
    ]
    without = photos(PHOTOS, side, 2)
    spots = torch.rand(PHOTOS, 2, generator=torch.Generator().manual_seed(3)) * (1 - SQUARE)
    having = torch.stack([put(a, *map(float, at)) for a, at in zip(without, spots, strict=True)])
    read: dict[nn.Module, list[Tensor]] = {head: [] for head in heads}
    hooks = [
        head.register_forward_pre_hook(lambda head, given: read[head].append(given[0]))
        for head in heads
    ]
    for part in (*having.split(8), *without.split(8)):
        module(part)
    for hook in hooks:
        hook.remove()
    for head, given in read.items():
        if not given:
            continue
        seen = torch.cat(given)
        seen = seen.movedim(1, -1) if isinstance(head, nn.Conv2d) else seen
        seen = seen.flatten(1, -2).mean(1) if seen.ndim > 2 else seen
        a, b = seen[:PHOTOS], seen[PHOTOS:]
        spread = torch.cat([a - a.mean(0), b - b.mean(0)]).std(0)
        toward = (a.mean(0) - b.mean(0)) / (spread**2 + spread.square().mean() + 1e-12)
        head.weight[ASKED] = (toward / (toward.norm() + 1e-12)).reshape(head.weight[ASKED].shape)


def by_hand(module: nn.Module, x: Tensor, name: str, layer: Layer) -> Tensor:
    """Grad-CAM (h, w) of class `ASKED`, from a hook and autograd alone."""
    held: list[Tensor] = []
    hook = module.get_submodule(name).register_forward_hook(lambda _m, _i, out: held.append(out))
    logit = module(x.clone().requires_grad_().clone())[0, ASKED]
    hook.remove()
    (gradient,) = torch.autograd.grad(logit, held[-1])
    pair = [_places(each.detach(), layer) for each in (held[-1], gradient)]
    return (pair[0] * pair[1].mean((0, 1))).sum(-1)


def _places(value: Tensor, layer: Layer) -> Tensor:
    """(h, w, C), whichever way the activation (1, …) of a layer holds them."""
    if value.ndim == 3:
        return value[0, -layer.height * layer.width :].reshape(layer.height, layer.width, -1)
    first = value.shape[1] == layer.channels and value.shape[2:] == (layer.height, layer.width)
    return value[0].permute(1, 2, 0) if first else value[0]


def question(network: Network, x: Tensor) -> Question:
    return Question(network, network.view(x), (ASKED,), network.last)


def hits(network: Network, side: int) -> int:
    """For how many places of the square the map, less the average of all maps, is strongest there.

    Untrained networks have bright borders and corners that are the same for every photo.
    """
    found = torch.stack([
        torch.stack([
            layer_map(question(network, put(photo, *at)[None]), gradcam)[0].cpu()
            for photo in photos(SEEN, side, 4)
        ]).mean(0)
        for at in AT
    ])  # fmt: skip
    return sum(map(_inside, found - found.mean(0), AT))


def _inside(values: Tensor, at: tuple[float, float]) -> bool:
    """Does the strongest cell (h, w) touch the square?"""
    height, width = values.shape
    row, column = divmod(int(values.argmax()), width)
    where = ((column + 0.5) / width, 0.5 / width), ((row + 0.5) / height, 0.5 / height)
    return all(
        low - half < middle < low + SQUARE + half
        for low, (middle, half) in zip(at, where, strict=True)
    )


def tried(name: str, module: nn.Module, side: int) -> Found:
    """Try one architecture, built and with weights."""
    start = time.perf_counter()
    module = enliven(module, side)
    teach(module, side)
    try:
        network = wrap(module, mean=[0.5] * 3, std=[0.25] * 3, size=side, title=name)
    except ExplainError as error:
        return Found(name, reason=str(error), seconds=time.perf_counter() - start)
    layer = network.layers[network.last]
    found = hits(network, side)
    wrong = "" if found == len(AT) else f"{found} of {len(AT)} squares"
    twin = copy.deepcopy(module).double().requires_grad_(False)
    network.module.double()
    x = put(photos(1, side, 4)[0], *AT[0])[None].double()
    recording = network.record(x, (network.last,))
    gradients = recording.gradients((ASKED,), None, network.last)[:, 0]
    ours = gradcam(recording.activations[network.last].detach()[0], gradients)[0]
    theirs = by_hand(twin, x, network.last, layer)
    gap = float((ours - theirs).abs().max() / (theirs.max() - theirs.min()))
    if not gap <= SAME:
        wrong = f"{gap:.1e} from autograd's map"
    return Found(name, layer, gap, found, "", wrong, time.perf_counter() - start)


def built(only: list[str]) -> Iterator[tuple[str, nn.Module, int]]:
    """Each architecture with seeded weights, and the side of its input."""
    for name, side, facts in TIMM:
        if not only or name in only:
            torch.manual_seed(0)
            yield name, timm.create_model(name, num_classes=CLASSES, **facts), side
    for name, side in TORCHVISION:
        if not only or name in only:
            torch.manual_seed(0)
            make = getattr(torchvision.models, name)
            facts = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
            yield f"torchvision {name}", make(num_classes=CLASSES, **facts), side
