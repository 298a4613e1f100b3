"""The multi-label network: EfficientNet-Lite0, fine-tuned on COCO photos, one logit per place.

    python -m training.coco80 --data DIR --teacher yolov3-tiny.weights [--minutes 90] [--out RUN]

Learns from train2017 photos alone. Cells in the middle of a box should say its class, cells outside
should not; the pooled logit should say whether the class is there at all. Where a photo's classes
were not annotated, a teacher (YOLOv3-tiny) stands in with what it believes. Half of the views are
mosaics of four photos. BatchNorm is folded into the convolutions before training. A checkpoint is
kept in RUN each few minutes, and a run that was interrupted goes on from there.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from explainers import load
from explainers.models.catalogue import BUNDLED
from explainers.models.multilabel import SpatialLite
from training import coco, yolo_tiny

STRIDE = 32
MEAN, STD = 0.5, 0.5  # what the bundled trunk was trained with
EPSILON = 1e-3  # that BatchNorm adds to the variance in this trunk


@dataclass(frozen=True)
class Recipe:
    """How to train; written into the checkpoint."""

    size: int = 352
    batch: int = 24
    minutes: float = 90.0
    rate: float = 4e-4
    head_rate: float = 3e-3
    decay: float = 0.02
    mosaics: float = 0.5
    cells: float = 1.0  # weight of the loss over the cells, beside that over pooled logits
    average: float = 0.995  # of the weights over the steps
    seed: int = 0


def trunk_weights() -> dict[str, Tensor]:
    """The bundled ImageNet weights of the trunk."""
    module = load(BUNDLED).module
    return {k: v for k, v in module.state_dict().items() if not k.startswith("classifier.")}


def fold(module: nn.Module) -> nn.Module:
    """BatchNorm layers become the identity and their convolutions take over, with a bias.

    With frozen statistics the function is the same, and a step costs a fifth less.
    """
    names = list(module._modules)
    for before, after in pairwise(names):
        conv, norm = module._modules[before], module._modules[after]
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            gain = norm.weight / (norm.running_var + norm.eps).sqrt()
            with torch.no_grad():
                conv.weight.mul_(gain[:, None, None, None])
                conv.bias = nn.Parameter((norm.bias - norm.running_mean * gain).clone())
            fused = isinstance(norm, BatchNormAct2d)
            module._modules[after] = nn.Sequential(norm.drop, norm.act) if fused else nn.Identity()
    for child in module.children():
        fold(child)
    return module


def new_network() -> SpatialLite:
    """ImageNet's trunk, folded, under an untrained head that says "absent" everywhere."""
    network = SpatialLite()
    network.trunk.load_state_dict(trunk_weights())
    fold(network.trunk)
    nn.init.normal_(network.head.cells.weight, std=0.01)
    nn.init.constant_(network.head.cells.bias, -5.0)
    return network.eval().to(memory_format=torch.channels_last)


class Views(IterableDataset):
    """Endless batches of (pixels, cell targets, cell weights, labels, label weights)."""

    def __init__(self, items: list[coco.Item], recipe: Recipe, start: int) -> None:
        self.items, self.recipe, self.start = items, recipe, start
        self.photos = [coco.read(item.path) for item in items]
        annotated = np.array([item.known.all() for item in items])
        rare = 1 / (np.sum([item.labels > 0.3 for item in items], 0) + 20)
        interest = np.array([1 + 60 * rare[item.labels > 0.3].sum() for item in items])
        self.odds = interest * np.where(annotated, 1.5, 1.0)
        self.odds /= self.odds.sum()

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.recipe.seed, self.start, worker.id if worker else 0])
        while True:
            rows = [self._one(rng) for _ in range(self.recipe.batch)]
            yield tuple(torch.from_numpy(np.stack(c)) for c in zip(*rows, strict=True))

    def _one(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        count = 4 if rng.random() < self.recipe.mosaics else 1
        picked = rng.choice(len(self.items), count, replace=False, p=self.odds)
        items = [self.items[i] for i in picked]
        size = self.recipe.size
        made = coco.sample(items, [self.photos[i] for i in picked], size, rng)
        wanted, weight = coco.targets(made, (size // STRIDE,) * 2, STRIDE)
        labels = np.zeros(len(coco.COCO_LABELS), np.float32)
        np.maximum.at(labels, made.classes, made.scores)
        sure = (~made.doubtful | (labels > 0.5)).astype(np.float32)
        return made.pixels, wanted, weight, labels, sure


def loss(network: SpatialLite, batch: list[Tensor], recipe: Recipe) -> tuple[Tensor, Tensor]:
    """The mean loss of pooled logits and that of cells, each per positive."""
    pixels, wanted, weight, labels, sure = batch
    x = (pixels.permute(0, 3, 1, 2).float() / 255 - MEAN) / STD
    features = network.trunk(x.contiguous(memory_format=torch.channels_last))
    cells = network.head.cells(F.dropout(features, 0.15))
    return (
        focal(network.head.pool(cells), labels, sure) / labels.sum().clamp(min=1),
        focal(cells, wanted, weight) / wanted.sum().clamp(min=1),
    )


def focal(logits: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy against soft targets, weighed by how far off it is (Li et al. 2020, eq. 4)."""
    apart = (logits.detach().sigmoid() - wanted).abs()
    plain = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (plain * weight * apart.square()).sum()


def taught(items: list[coco.Item], teacher: Path, out: Path) -> list[coco.Item]:
    """The photos with the teacher's detections where nobody annotated; kept in a file."""
    kept = out / "teacher.npz"
    if kept.exists():
        saved = np.load(kept)
        rows, owner = saved["rows"], saved["owner"]
    else:
        network = yolo_tiny.convert(teacher).to(memory_format=torch.channels_last)
        parts, owners, start = [], [], time.perf_counter()
        for number, item in enumerate(items):
            if not item.known.all():
                boxes, classes, scores = yolo_tiny.detect(network, coco.read(item.path))
                parts.append(np.column_stack([boxes, classes, scores]))
                owners.append(np.full(len(boxes), number))
            progress("teacher", (number + 1) / len(items), start)
        rows, owner = np.concatenate(parts), np.concatenate(owners)
        np.savez(kept, rows=rows, owner=owner)
    found = []
    for number, item in enumerate(items):
        mine = rows[owner == number]
        found.append(coco.taught(item, mine[:, :4], mine[:, 4].astype(np.int64), mine[:, 5]))
    return found


def progress(what: str, share: float, start: float, note: str = "") -> None:
    spent = time.perf_counter() - start
    bar = "#" * int(30 * share)
    left = spent / max(share, 1e-9) - spent
    print(f"\r{what} [{bar:<30}] {share:4.0%}, {left / 60:.1f} min left {note}", end="", flush=True)


class Training:
    """A run that can be stopped and taken up again."""

    def __init__(self, recipe: Recipe, out: Path) -> None:
        self.recipe, self.out = recipe, out
        self.network, self.average = new_network(), new_network()
        head = list(self.network.head.parameters())
        groups = [
            {"params": list(self.network.trunk.parameters()), "rate": recipe.rate},
            {"params": head, "rate": recipe.head_rate},
        ]
        self.optimiser = torch.optim.AdamW(groups, weight_decay=recipe.decay)
        self.step, self.spent = 0, 0.0
        if (out / "state.pt").exists():
            state = torch.load(out / "state.pt", weights_only=True)
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.spent = state["step"], state["spent"]

    def save(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        state = {"step": self.step, "spent": self.spent, "recipe": asdict(self.recipe)}
        for name in ("network", "average", "optimiser"):
            state[name] = getattr(self, name).state_dict()
        torch.save(state, self.out / "state.new")
        (self.out / "state.new").replace(self.out / "state.pt")
        save_file(plain_state(self.average), self.out / "model.safetensors")

    def one(self, batch: list[Tensor]) -> tuple[float, float]:
        share = min(self.spent / (self.recipe.minutes * 60), 1.0)
        warm = min((self.step + 1) / 100, 1.0)
        factor = warm * (0.02 + 0.98 * (1 + math.cos(math.pi * share)) / 2)
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * factor
        pooled, cells = loss(self.network, batch, self.recipe)
        self.optimiser.zero_grad()
        (pooled + self.recipe.cells * cells).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, 1 - keep)
        return pooled.item(), cells.item()

    def run(self, items: list[coco.Item]) -> None:
        loader = iter(DataLoader(Views(items, self.recipe, self.step), batch_size=None))
        start, saved, log = time.perf_counter() - self.spent, time.perf_counter(), []
        while self.spent < self.recipe.minutes * 60:
            log.append(self.one(next(loader)))
            self.spent = time.perf_counter() - start
            if self.step % 10 == 0:
                pooled, cells = np.mean(log[-100:], 0)
                note = f"step {self.step} pooled {pooled:.3f} cells {cells:.3f}"
                progress("train", self.spent / (self.recipe.minutes * 60), start, note)
            if time.perf_counter() - saved > 180:
                self.save()
                saved = time.perf_counter()
        self.save()


def plain_state(network: SpatialLite) -> dict[str, Tensor]:
    """The weights under `SpatialLite`'s own names: each folded BatchNorm becomes one that only adds
    the bias, so that whoever builds the network from timm can load them."""
    full, mine = SpatialLite().state_dict(), network.state_dict()
    norms = {name.rsplit(".", 1)[0] for name in full if name.endswith("running_var")}
    biases = [name for name in mine if name.startswith("trunk.") and name.endswith(".bias")]
    out = {name: mine[name] for name in full if name in mine}
    for norm, bias in zip([n for n in _in_order(full) if n in norms], biases, strict=True):
        out[f"{norm}.weight"] = torch.ones_like(mine[bias])
        out[f"{norm}.bias"] = mine[bias]
        out[f"{norm}.running_mean"] = torch.zeros_like(mine[bias])
        out[f"{norm}.running_var"] = torch.full_like(mine[bias], 1 - EPSILON)
    return {name: value.contiguous() for name, value in out.items()}


def _in_order(names: dict[str, Tensor]) -> list[str]:
    return list(dict.fromkeys(name.rsplit(".", 1)[0] for name in names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=Recipe.minutes)
    parser.add_argument("--size", type=int, default=Recipe.size)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--out", type=Path, default=Path("runs/coco80"))
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    items = taught(coco.load(args.data, "train2017"), args.teacher, args.out)
    recipe = Recipe(size=args.size, minutes=args.minutes, seed=args.seed)
    (args.out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    Training(recipe, args.out).run(items)
    load_file(args.out / "model.safetensors")


if __name__ == "__main__":
    main()
