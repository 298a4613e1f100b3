"""The small detector beside the multi-label network's trunk: NanoDet-g, with ReLUs.

    python -m training.nano --data DIR --detectors DIR [--out RUN] [--steps N]

NanoDet-g learned from all of COCO's train2017 photos; its ReLUs are leaky, for which guided
backprop is not defined. So a copy learns to say what it says of random views of train2017 photos,
whatever is annotated, while the slope of its ReLUs goes down to zero: the "function matching" of
Beyer et al. 2021, "Knowledge distillation: A good teacher is patient and consistent". DIR of the
detectors holds nanodet.json and nanodet.bin (`teachers.py` says whence). RUN/nano.safetensors is
what `training.coco80 --nano` puts into the network.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from explainers.zoo.coco_labels import COCO_LABELS
from explainers.zoo.nano import Nano
from training import coco, runs, views
from training.beliefs import FLOOR
from training.probe import MEAN, STD, seen
from training.published import known
from training.teachers import LEVELS, NANO_MEAN, NANO_STD, SHA256
from training.tfjs import Graph
from training.views import Photo, Views

LEAK = 0.1  # slope of NanoDet's ReLUs below zero
LOW = -6.0  # logit below which it does not matter how low
STRAIGHT = 0.6  # share of the steps until the slope is zero
PEAKS, GRIDS = 0.3, 10.0  # weights of those losses


@dataclass(frozen=True)
class Recipe(views.Recipe):
    """How to train."""

    steps: int = 1900
    size: int = 320
    batch: int = 12
    rate: float = 5e-5
    decay: float = 0.0
    mosaics: float = 0.3
    average: float = 0.99


def new_network() -> Nano:
    return Nano(len(COCO_LABELS)).eval().to(memory_format=torch.channels_last)


def leaky(network: nn.Module) -> list[nn.LeakyReLU]:
    """Give the convolutions of a network leaky ReLUs, and hand these over."""
    found = []
    for part in network.modules():
        if isinstance(part, nn.Sequential) and isinstance(part[-1], nn.ReLU):
            part[-1] = nn.LeakyReLU(LEAK)
            found.append(part[-1])
    return found


def convert(folder: Path) -> Nano:
    """NanoDet-g itself, but for its boxes: leaky, and for pixels in -1..1."""
    for name in ("nanodet.json", "nanodet.bin"):
        known(folder / name, SHA256[name])
    return filled(Graph(folder / "nanodet.json", LEVELS).convolutions())


@torch.no_grad()
def filled(found: Sequence[tuple[Tensor, Tensor]]) -> Nano:
    """A leaky network with NanoDet's kernels and biases; what it makes of boxes, behind what it
    makes of classes, is left out."""
    network = new_network()
    stages = [m for stage in network.stages for m in stage.modules() if isinstance(m, nn.Conv2d)]
    levels = zip(network.read, network.classify, strict=True)
    order = [network.stem[0], *stages, *network.narrow]
    order += [conv for read, classify in levels for conv in (read[0], classify)]
    for conv, (weight, bias) in zip(order, found, strict=True):
        conv.weight.copy_(weight[: conv.out_channels])
        conv.bias.copy_(bias[: conv.out_channels])
    stem = network.stem[0]
    weight = stem.weight.flip(1)  # it reads blue first
    shift = (255 * MEAN - NANO_MEAN) / NANO_STD
    stem.bias.add_((weight * shift[:, None, None]).sum((1, 2, 3)))
    stem.weight.copy_(weight * (255 * STD / NANO_STD)[:, None, None])
    leaky(network)
    return network


def losses(network: Nano, original: Nano, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How far apart two networks are for pixels (N, 3, H, W): in their logits, likely ones more; in
    the highest of each grid; and in the grids, as a share of their variance."""
    with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16):
        theirs = original.grids(x)
        wanted = [level.float() for level in original.logits(theirs)]
    ours = network.grids(x)
    cells = peaks = grids = torch.zeros(())
    for found, want in zip(network.logits(ours), wanted, strict=True):
        off = torch.where(want > LOW, found, found.clamp(min=LOW)) - want.clamp(min=LOW)
        cells = cells + ((0.2 + 3 * (want + 3).sigmoid()) * off.square()).sum(1).mean()
        peaks = peaks + (found.amax((2, 3)) - want.amax((2, 3))).square().sum(1).mean()
    for found, want in zip(ours, map(Tensor.float, theirs), strict=True):
        grids = grids + (found - want).square().mean() / want.var()
    return cells, peaks, grids


class Training(runs.Run):
    """Of all weights, towards what the original says."""

    def __init__(self, original: Nano, recipe: Recipe, out: Path) -> None:
        network = copy.deepcopy(original)
        groups = [{"params": list(network.parameters()), "rate": recipe.rate}]
        super().__init__(network, groups, recipe, out)
        self.original = original

    def one(self, pixels: Tensor, _: Tensor) -> tuple[float, ...]:
        """A step; the three losses."""
        slope = LEAK * max(1 - self.step / (STRAIGHT * self.recipe.steps), 0.0)
        for part in self.network.modules():
            if isinstance(part, nn.LeakyReLU):
                part.negative_slope = slope
        cells, peaks, grids = losses(self.network, self.original, seen(pixels))
        self.descend(cells + PEAKS * peaks + GRIDS * grids)
        return cells.item(), peaks.item(), grids.item()


def keep(network: Nano, run: Path) -> None:
    """Write what a run is for."""
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(tensors, run / "nano.safetensors")


def kept(run: Path) -> Nano:
    """The network that a run left."""
    network = new_network()
    network.load_state_dict(load_file(run / "nano.safetensors"))
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--detectors", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/nano"))
    runs.options(parser, Recipe)
    args = parser.parse_args()
    recipe = runs.chosen(Recipe, args)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    training = Training(convert(args.detectors), recipe, args.out)
    training.resume()
    nothing = np.full((1, 1, 1), FLOOR, np.float16)
    items = coco.load(args.data, "train2017")
    photos = [Photo(coco.read(item.path), nothing) for item in items]
    loader = DataLoader(Views(photos, recipe, training.step), batch_size=None, num_workers=1)
    training.go(iter(loader), training.one, "cells, peaks, grids")
    keep(training.average, args.out)


if __name__ == "__main__":
    main()
