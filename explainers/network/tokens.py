"""Networks that keep their places as sequences of tokens: which token is which place.

A shape says how many tokens there are, and not where they lie: a class token may stand first or
last, and some networks unroll their places in another order than row by row. So a part of the input
is changed, here and there, and the tokens that change most must be those of that part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..errors import ModelError
from .calls import Calls, Outputs
from .layout import Layout, Size, sequences
from .swaps import copied
from .views import noise

#: Where the input is changed: (x, y) as fractions, none of which is another's mirror image.
PLACES = ((0.1, 0.35), (0.8, 0.1), (0.35, 0.9), (0.65, 0.6), (0.9, 0.75), (0.2, 0.65))
PART = 1 / 8  # of a side
SURE = 0.8  # of all tokens that change less; by chance it would be half of them
SLACK = 0.05  # where no map that the tokens are made of is surer: coarse ones behind a stem


class Way(NamedTuple):
    """A way to read tokens of that shape; () for the maps, whose way is known."""

    shape: tuple[int, ...]
    layout: Layout


def follow(outputs: Outputs, grids: set[int], size: Size) -> bool:
    """Is what these modules hand out, one after the other, the places of a photo as tokens?"""
    blocks = [
        name
        for name, child, output in outputs
        if sequences(output.shape, grids, size)
        and _may_be(child, output)
        and any(True for _ in child.parameters(recurse=False))
    ]
    return len(blocks) > 1


def token_layouts(
    module: nn.Module,
    probe: Tensor,
    grids: set[int],
    maps: Mapping[str, Layout],
) -> dict[str, Layout]:
    """How the tokens and maps of each module that the logits depend on lie on the photo, by name.

    maps: the layouts of those that hand over maps, and grids their sides. Raises ModelError where
    the order of the tokens is none that can be told.
    """
    changes = _changes(module, probe, grids, maps)
    of_maps = [sure for name in maps for sure in changes.pop(name, {}).values()]
    sure_enough = min(SURE, max(of_maps, default=1.0) - SLACK)
    votes: dict[tuple[int, ...], dict[Layout, list[float]]] = defaultdict(lambda: defaultdict(list))
    for ways in changes.values():
        for way, sure in ways.items():
            votes[way.shape][way.layout].append(sure)
    best = {
        shape: max(found, key=lambda layout: round(sum(found[layout]) / len(found[layout]), 2))
        for shape, found in votes.items()
    }
    placed = {
        name: way.layout
        for name, ways in changes.items()
        for way, sure in ways.items()
        if way.layout == best[way.shape] and sure >= sure_enough
    }
    felt = _felt(module, probe, {**maps, **placed}) if placed else set()
    if not felt & placed.keys():
        raise ModelError(
            "This network keeps its places as tokens in an order that can’t be told, so no map "
            "can be laid over the photo: choose another network."
        )
    return {name: layout for name, layout in {**maps, **placed}.items() if name in felt}


@torch.no_grad()
def _changes(
    module: nn.Module,
    probe: Tensor,
    grids: set[int],
    maps: Mapping[str, Layout],
) -> dict[str, dict[Way, float]]:
    """For each module and way to read its tokens: the share of places that change less than those
    where the input was changed, over all `PLACES`."""
    coarse = noise((1, probe.shape[1], 8, 8), 4).to(probe.device)
    photo = nn.functional.interpolate(coarse, tuple(probe.shape[2:]), mode="bicubic")
    with Calls(module) as before:
        module(photo.clone())
    plain = {name: output for name, child, output in before.outputs if _may_be(child, output)}
    size = tuple(probe.shape[2:])
    found: dict[str, dict[Way, list[float]]] = {
        name: {Way(tuple(output.shape), each): [] for each in sequences(output.shape, grids, size)}
        for name, output in plain.items()
    }
    plain |= {name: output for name, _, output in before.outputs if name in maps}
    found |= {name: {Way((), layout): []} for name, layout in maps.items()}
    other = noise(probe.shape, 1).to(probe.device)
    for x, y in PLACES:
        region = changed((x, y), size).to(probe.device)
        with Calls(module) as after:
            module(photo + region * other)
        for name, _, output in after.outputs:
            if name not in plain or output.shape != plain[name].shape:
                continue
            change = (output - plain[name]).abs()
            for way, sure in found[name].items():
                if way.layout.fits(output, size):
                    sure.append(share(way.layout.maps(change, size)[0].mean(0), region))
    return {
        name: {way: sum(sure) / len(sure) for way, sure in ways.items() if sure}
        for name, ways in found.items()
    }


def _may_be(child: nn.Module, output: Tensor) -> bool:
    """A norm or a block; a lone projection hands out keys and values, which are no places."""
    if output.ndim != 3 or not any(True for _ in child.parameters()):
        return False
    return sum(weight.ndim > 1 for weight in child.parameters()) != 1


def changed(at: tuple[float, float], size: Size) -> Tensor:
    """(H, W): 1 in the part of an input of that size round one of `PLACES`, 0 elsewhere."""
    (x, y), (height, width) = at, size
    region = torch.zeros(height, width, dtype=torch.float32, device="cpu")
    top, left = round((y - PART / 2) * height), round((x - PART / 2) * width)
    top, left = max(top, 0), max(left, 0)
    region[top : top + max(round(PART * height), 1), left : left + max(round(PART * width), 1)] = 1
    return region


def share(change: Tensor, region: Tensor) -> float:
    """The share of cells (h, w) that changed less than those of the region (H, W) on average."""
    inside = nn.functional.adaptive_avg_pool2d(region[None], change.shape)[0]
    there = (change * inside).sum() / inside.sum()
    return float((change[inside == 0] < there).float().mean()) if (inside == 0).any() else 1.0


def _felt(
    module: nn.Module,
    probe: Tensor,
    placed: dict[str, Layout],
) -> set[str]:
    """Those whose places the logits depend on: behind the last attention, a class token is all."""
    with torch.enable_grad(), copied(), Calls(module) as noted:
        logits = awake(module, probe.clone().requires_grad_().clone())
    outputs = {  # each at its last call; what knows nothing of the input is left out
        name: out for name, _, out in noted.outputs if name in placed and out.requires_grad
    }
    toward = noise(logits.shape, 2).to(logits.device)
    gradients = torch.autograd.grad(
        (logits * toward).sum(), list(outputs.values()), allow_unused=True
    )
    size = tuple(probe.shape[2:])
    return {
        name
        for name, gradient in zip(outputs, gradients, strict=True)
        if gradient is not None and bool(placed[name].maps(gradient, size).any())
    }


def awake(module: nn.Module, x: Tensor) -> Any:
    """What it answers to x (N, C, H, W) with noise in place of the weights that are all zero, as
    those of a head that is yet to be trained: what can depend on a place at all is asked, not what
    does today."""
    values = {
        name: 0.02 * noise(weight.shape, index).to(weight.device)
        for index, (name, weight) in enumerate(module.named_parameters())
        if not weight.any()
    }
    # Each at one name alone: a part that stands at two would be handed back with the noise.
    return functional_call(module, values, x, tie_weights=False)
