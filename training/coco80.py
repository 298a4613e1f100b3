"""The multi-label network: EfficientNet-Lite2, fine-tuned on COCO photos, one logit per place, and
a small detector beside it.

    python -m training.nano --data DIR --detectors DIR
    python -m training.coco80 --data DIR --teacher yolov3-tiny.weights --detectors DIR
                              [--steps N] [--out RUN] [--begin RUN] [--mix RUN …] [--nano RUN]

Learns from train2017 photos alone: from annotation where there is any, from three detectors where
there is none (`teachers.py`, `beliefs.py`). First the head, in closed form (`probe.py`); then head
and trunk on random views, some of them mosaics of four photos (`views.py`): each cell's logits
should be those believed of it, the pooled ones those of the surest cell. The early, general part of
the trunk stays as ImageNet left it, and the rest learns slowly: what it knows of ImageNet is worth
more than what 1,878 photos teach. Then the weights go part of the way back to where they started
(Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"), alone or averaged with other runs'
(the same authors' "Model soups"). A run may begin where another ended.

In the end the detector that `nano.py` left, whose first author trained it on all of train2017's
118,287 photos, is put beside the trunk: the head adds what it says of a class to what the trunk's
maps say.

A checkpoint is kept in RUN every few minutes, and a run that was interrupted goes on from there.
RUN/model.safetensors is what `weights/coco80-lite2` ships.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from explainers import load
from explainers.zoo.multilabel import SpatialLite
from explainers.zoo.nano import Nano
from training import beliefs, coco, nano, probe, runs, views
from training.beliefs import FLOOR, apart
from training.folding import TRUNK, joined, narrowed, new_network, plain_state
from training.teachers import Teachers, ask_all
from training.views import Photo, Views

GAIN = 0.9  # weight of what the detector says of a class, beside the trunk's maps


@dataclass(frozen=True)
class Recipe(views.Recipe):
    """How to train; written beside the weights."""

    steps: int = 1500
    size: int = 320  # see also `probe.SIDE`
    batch: int = 16
    rate: float = 8e-5
    decay: float = 0.02
    mosaics: float = 0.35
    average: float = 0.996
    head_rate: float = 3e-4
    frozen: int = 4  # of the trunk's seven groups of blocks, and the stem before them
    cells: float = 3.0  # weight of the loss over the cells, beside that over pooled logits
    dropout: float = 0.15
    back: float = 0.4  # of the way to where the weights started, in the end


def features(trunk: nn.Module, x: Tensor, frozen: int) -> Tensor:
    """The trunk's last map, with gradients only for what follows the frozen groups of blocks; these
    are computed in half precision, at twice the speed."""
    with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16):
        x = trunk.blocks[:frozen](trunk.bn1(trunk.conv_stem(x))).float()
    return trunk.bn2(trunk.conv_head(trunk.blocks[frozen:](x)))


def loss(
    network: SpatialLite, pixels: Tensor, wanted: Tensor, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """Of pooled logits, and of cells: summed over classes, mean over views and cells."""
    maps = features(network.trunk, probe.seen(pixels), recipe.frozen)
    cells = network.head.cells(F.dropout(maps, recipe.dropout))
    pooled = apart(network.head.peak(cells), wanted.amax((2, 3)))
    return pooled.sum(1).mean(), apart(cells, wanted).sum(1).mean()


class Training(runs.Run):
    """Of head and trunk, but for the trunk's frozen part."""

    def __init__(self, network: SpatialLite, recipe: Recipe, out: Path) -> None:
        trained = [network.trunk.blocks[recipe.frozen :], network.trunk.conv_head]
        groups = [
            {"params": [p for part in trained for p in part.parameters()], "rate": recipe.rate},
            {"params": list(network.head.parameters()), "rate": recipe.head_rate},
        ]
        super().__init__(network, groups, recipe, out)

    def one(self, pixels: Tensor, wanted: Tensor) -> tuple[float, float]:
        """A step; the two losses."""
        pooled, cells = loss(self.network, pixels, wanted, self.recipe)
        self.descend(pooled + self.recipe.cells * cells)
        return pooled.item(), cells.item()


@torch.no_grad()
def export(
    ended: Sequence[Path],
    recipe: Recipe,
    items: Sequence[coco.Item],
    believed: Sequence[np.ndarray],
    detector: Nano,
) -> None:
    """Average the runs, go part of the way back, put the detector beside the trunk and the head
    level with what is believed, and write the weights, as shipped, beside the first run's."""
    network, start = new_network(), torch.load(ended[0] / "start.pt", weights_only=True)
    found = [torch.load(run / "state.pt", weights_only=True)["average"] for run in ended]
    for name, value in network.state_dict().items():
        mean = torch.stack([each[name] for each in found]).mean(0)
        value.copy_(mean.lerp(start[name], recipe.back))
    both = joined(network, detector, GAIN)
    bias = both.head.cells.bias
    probe.level(bias, items, believed, lambda pixels: both(probe.fitted(pixels)))
    save_file(narrowed(plain_state(both)), ended[0] / "model.safetensors")


def train(
    recipe: Recipe,
    out: Path,
    items: Sequence[coco.Item],
    believed: Sequence[np.ndarray],
    begin: Path | None = None,
) -> None:
    """A run from its start, from the end of the run `begin` or from its own last checkpoint to its
    end."""
    torch.manual_seed(recipe.seed)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    network = new_network()
    training = Training(network, recipe, out)
    if not training.resume():
        if begin:
            shutil.copy(begin / "start.pt", out)
            network.load_state_dict(torch.load(begin / "state.pt", weights_only=True)["average"])
        else:
            probe.fit(network, items, believed, probe.kinship(load(TRUNK)))
            torch.save(network.state_dict(), out / "start.pt")
        head = network.head

        def peaks(pixels: np.ndarray) -> Tensor:
            return head.peak(head.cells(network.trunk(probe.fitted(pixels))))

        probe.level(head.cells.bias, items, believed, peaks)
        training.average.load_state_dict(network.state_dict())
        training.save()
    photos = [Photo(coco.read(item.path), each) for item, each in zip(items, believed, strict=True)]
    loader = DataLoader(Views(photos, recipe, training.step), batch_size=None, num_workers=1)
    training.go(iter(loader), training.one, "pooled, cells")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--detectors", type=Path, required=True, help="see training/teachers.py")
    parser.add_argument("--nano", type=Path, default=Path("runs/nano"), help="see training/nano.py")
    parser.add_argument("--out", type=Path, default=Path("runs/coco80"))
    parser.add_argument("--begin", type=Path, help="a run to go on from")
    parser.add_argument("--mix", type=Path, nargs="*", default=[], help="runs to average it with")
    runs.options(parser, Recipe)
    args = parser.parse_args()
    recipe = runs.chosen(Recipe, args)
    args.out.mkdir(parents=True, exist_ok=True)
    items, kept = coco.load(args.data, "train2017"), args.out / "teacher.npz"
    if not kept.exists():
        ask_all(items, Teachers(args.teacher, args.detectors), FLOOR, kept)
    believed = beliefs.read(items, kept)
    train(recipe, args.out, items, believed, args.begin)
    export([args.out, *args.mix], recipe, items, believed, nano.kept(args.nano))


if __name__ == "__main__":
    main()
