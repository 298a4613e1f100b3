"""The multi-label network: EfficientNet-Lite2, fine-tuned on COCO photos, one logit per place.

    python -m training.coco80 --data DIR --teacher yolov3-tiny.weights --detectors DIR
                              [--steps N] [--out RUN] [--begin RUN] [--mix RUN …]

Learns from train2017 photos alone: from annotation where there is any, from three detectors where
there is none (`teachers.py`, `beliefs.py`). First the head, in closed form (`probe.py`); then head
and trunk on random views, some of them mosaics of four photos (`views.py`): each cell's logits
should be those believed of it, the pooled ones those of the surest cell. The early, general part of
the trunk stays as ImageNet left it, and the rest learns slowly: what it knows of ImageNet is worth
more than what 1,878 photos teach. In the end the weights go part of the way back to where they
started (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"), alone or averaged with
other runs' (the same authors' "Model soups"). A run may begin where another ended.

A checkpoint is kept in RUN every few minutes, and a run that was interrupted goes on from there.
RUN/model.safetensors is what `weights/coco80-lite2` ships.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from explainers import load
from explainers.models.multilabel import SpatialLite
from training import beliefs, coco, probe
from training.beliefs import FLOOR
from training.folding import TRUNK, new_network, plain_state
from training.probe import MEAN, STD
from training.progress import progress
from training.teachers import Teachers, ask_all
from training.views import Photo, view

KEEP_EVERY = 180.0  # seconds between checkpoints


@dataclass(frozen=True)
class Recipe:
    """How to train; written beside the weights."""

    steps: int = 1500
    size: int = 320  # of views; see also `probe.SIDE`
    batch: int = 16
    rate: float = 8e-5
    head_rate: float = 3e-4
    decay: float = 0.02
    frozen: int = 4  # of the trunk's seven groups of blocks, and the stem before them
    mosaics: float = 0.35
    cells: float = 3.0  # weight of the loss over the cells, beside that over pooled logits
    dropout: float = 0.15
    average: float = 0.996  # of the weights over the steps
    back: float = 0.4  # of the way to where the weights started, in the end
    seed: int = 0


class Views(IterableDataset):
    """Endless batches of pixels (N, S, S, 3) uint8 and beliefs (N, 80, S / 32, S / 32)."""

    def __init__(self, photos: Sequence[Photo], recipe: Recipe, start: int) -> None:
        self.photos, self.recipe, self.start = photos, recipe, start
        best = np.stack([photo.beliefs.max((1, 2)) > 0 for photo in photos])
        rare = 1 / (best.sum(0) + 20)
        self.odds = 1 + 30 * (best * rare).sum(1)
        self.odds /= self.odds.sum()

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        rng = np.random.default_rng([self.recipe.seed, self.start])
        while True:
            rows = [self._one(rng) for _ in range(self.recipe.batch)]
            pixels, wanted = (torch.from_numpy(np.stack(c)) for c in zip(*rows, strict=True))
            yield pixels, wanted

    def _one(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        count = 4 if rng.random() < self.recipe.mosaics else 1
        picked = rng.choice(len(self.photos), count, replace=False, p=self.odds)
        return view([self.photos[i] for i in picked], self.recipe.size, rng)


def features(trunk: nn.Module, x: Tensor, frozen: int) -> Tensor:
    """The trunk's last map, with gradients only for what follows the frozen groups of blocks; these
    are computed in half precision, at twice the speed."""
    with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16):
        x = trunk.blocks[:frozen](trunk.bn1(trunk.conv_stem(x))).float()
    return trunk.bn2(trunk.conv_head(trunk.blocks[frozen:](x)))


def apart(logits: Tensor, wanted: Tensor) -> Tensor:
    """Squared differences; none where both are as low as matters."""
    return torch.where(wanted > FLOOR, logits, logits.clamp(min=FLOOR)).sub(wanted).square()


def loss(
    network: SpatialLite, pixels: Tensor, wanted: Tensor, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """Of pooled logits, and of cells: summed over classes, mean over views and cells."""
    x = (pixels.permute(0, 3, 1, 2).float() / 255 - MEAN) / STD
    maps = features(network.trunk, x.contiguous(memory_format=torch.channels_last), recipe.frozen)
    cells = network.head.cells(F.dropout(maps, recipe.dropout))
    pooled = apart(network.head.peak(cells), wanted.amax((2, 3)))
    return pooled.sum(1).mean(), apart(cells, wanted).sum(1).mean()


class Training:
    """A run that can be stopped and taken up again."""

    def __init__(self, network: SpatialLite, recipe: Recipe, out: Path) -> None:
        self.recipe, self.out, self.network = recipe, out, network
        self.average = copy.deepcopy(network)
        trained = [network.trunk.blocks[recipe.frozen :], network.trunk.conv_head]
        groups = [
            {"params": [p for part in trained for p in part.parameters()], "rate": recipe.rate},
            {"params": list(network.head.parameters()), "rate": recipe.head_rate},
        ]
        self.optimiser = torch.optim.AdamW(groups, weight_decay=recipe.decay)
        self.step = 0

    def resume(self) -> None:
        state = torch.load(self.out / "state.pt", weights_only=True)
        for name in ("network", "average", "optimiser"):
            getattr(self, name).load_state_dict(state[name])
        self.step = state["step"]

    def save(self) -> None:
        state = {"step": self.step}
        for name in ("network", "average", "optimiser"):
            state[name] = getattr(self, name).state_dict()
        torch.save(state, self.out / "state.new")
        (self.out / "state.new").replace(self.out / "state.pt")

    def one(self, pixels: Tensor, wanted: Tensor) -> tuple[float, float]:
        """A step; the two losses."""
        warm = min((self.step + 1) / 50, 1.0)
        fade = (1 + math.cos(math.pi * self.step / self.recipe.steps)) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * warm * fade
        pooled, cells = loss(self.network, pixels, wanted, self.recipe)
        self.optimiser.zero_grad()
        (pooled + self.recipe.cells * cells).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 50.0)
        self.optimiser.step()
        self.step += 1
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, 1 - keep)
        return pooled.item(), cells.item()

    def run(self, photos: Sequence[Photo]) -> None:
        loader = iter(
            DataLoader(Views(photos, self.recipe, self.step), batch_size=None, num_workers=1)
        )
        first, start, log = self.step, time.perf_counter(), []
        saved = start
        while self.step < self.recipe.steps:
            log.append(self.one(*next(loader)))
            if self.step % 10 == 0:
                pooled, cells = np.mean(log[-100:], 0)
                note = f"step {self.step} pooled {pooled:.2f} cells {cells:.3f}"
                progress("train", (self.step - first) / (self.recipe.steps - first), start, note)
            if time.perf_counter() - saved > KEEP_EVERY:
                self.save()
                saved = time.perf_counter()
        self.save()


@torch.no_grad()
def export(
    runs: Sequence[Path],
    recipe: Recipe,
    items: Sequence[coco.Item],
    believed: Sequence[np.ndarray],
) -> None:
    """Average the runs, go part of the way back, put the head level with what is believed, and
    write half-precision weights beside the first run's."""
    network, start = new_network(), torch.load(runs[0] / "start.pt", weights_only=True)
    found = [torch.load(run / "state.pt", weights_only=True)["average"] for run in runs]
    for name, value in network.state_dict().items():
        mean = torch.stack([each[name] for each in found]).mean(0)
        value.copy_(mean.lerp(start[name], recipe.back))
    probe.level(network, items, believed, network.head.pool)
    tensors = {
        name: value.half() if value.is_floating_point() else value
        for name, value in plain_state(network).items()
    }
    save_file(tensors, runs[0] / "model.safetensors")


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
    if (out / "state.pt").exists():
        training.resume()
    else:
        if begin:
            shutil.copy(begin / "start.pt", out)
            network.load_state_dict(torch.load(begin / "state.pt", weights_only=True)["average"])
        else:
            probe.fit(network, items, believed, probe.kinship(load(TRUNK)))
            torch.save(network.state_dict(), out / "start.pt")
        probe.level(network, items, believed, network.head.peak)
        training.average.load_state_dict(network.state_dict())
        training.save()
    photos = [Photo(coco.read(item.path), each) for item, each in zip(items, believed, strict=True)]
    training.run(photos)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--detectors", type=Path, required=True, help="see training/teachers.py")
    parser.add_argument("--out", type=Path, default=Path("runs/coco80"))
    parser.add_argument("--begin", type=Path, help="a run to go on from")
    parser.add_argument("--mix", type=Path, nargs="*", default=[], help="runs to average it with")
    for each in fields(Recipe):
        parser.add_argument(f"--{each.name}", type=type(each.default), default=each.default)
    args = parser.parse_args()
    recipe = Recipe(**{each.name: getattr(args, each.name) for each in fields(Recipe)})
    args.out.mkdir(parents=True, exist_ok=True)
    items, kept = coco.load(args.data, "train2017"), args.out / "teacher.npz"
    if not kept.exists():
        ask_all(items, Teachers(args.teacher, args.detectors), FLOOR, kept)
    believed = beliefs.read(items, kept)
    train(recipe, args.out, items, believed, args.begin)
    export([args.out, *args.mix], recipe, items, believed)


if __name__ == "__main__":
    main()
