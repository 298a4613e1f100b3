"""The last step of `training/coco80.py`: its head, fitted anew on the finished trunk.

    python -m training.coco80_head --data DIR --run RUN [--out weights/coco80-lite0]

The trunk's features of each train2017 photo are computed once, at the size at which the page shows
photos, so that many passes over them cost little. Same losses, same teacher. First every fifth
annotated photo is kept back, and the mean average precision on them printed after each pass; then
the head is fitted on all, and the network written as half-precision safetensors.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.multilabel import mean_average_precision
from explainers.models.multilabel import SpatialHead, SpatialLite
from training import coco, coco80
from training.coco80 import MEAN, STD, STRIDE, focal, progress

SIDE = 320
BATCH = 32
Row = tuple[Tensor, Tensor, Tensor, Tensor]  # features, cells, their weights, labels


def fitted(item: coco.Item) -> tuple[np.ndarray, coco.Sample]:
    """The whole photo with its shorter side at SIDE, as the page prepares it, and its boxes."""
    pixels = coco.read(item.path)
    scale = SIDE / min(pixels.shape[:2])
    tall, wide = (max(round(side * scale / STRIDE), 1) * STRIDE for side in pixels.shape[:2])
    boxes = item.boxes * np.array([wide / pixels.shape[1], tall / pixels.shape[0]] * 2, np.float32)
    pixels = cv2.resize(pixels, (wide, tall), interpolation=cv2.INTER_AREA)
    nothing = np.zeros(len(coco.COCO_LABELS), bool)
    return pixels, coco.Sample(pixels, boxes, item.classes, item.scores, nothing)


@torch.no_grad()
def rows(network: SpatialLite, items: list[coco.Item]) -> list[Row]:
    """Features (C, h, w) in half precision, and targets, of every photo."""
    found, start = [], time.perf_counter()
    for number, item in enumerate(items):
        pixels, made = fitted(item)
        x = (torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255 - MEAN) / STD
        features = network.trunk(x.contiguous(memory_format=torch.channels_last))[0]
        cells = coco.targets(made, tuple(features.shape[1:]), STRIDE)
        wanted, weight = (torch.from_numpy(each) for each in cells)
        found.append((features.half(), wanted, weight, torch.from_numpy(item.labels)))
        progress("features", (number + 1) / len(items), start)
    print()
    return found


def batches(found: list[Row], rng: np.random.Generator) -> list[list[Row]]:
    """Shuffled batches of one shape each."""
    shapes: dict[tuple[int, ...], list[Row]] = {}
    for index in rng.permutation(len(found)):
        shapes.setdefault(tuple(found[index][0].shape), []).append(found[index])
    made = [
        some[start : start + BATCH]
        for some in shapes.values()
        for start in range(0, len(some), BATCH)
    ]
    rng.shuffle(made)
    return made


def fit(head: SpatialHead, found: list[Row], passes: int, rate: float, decay: float, after) -> None:
    """Train the head on features; after(number) is called behind each pass."""
    optimiser = torch.optim.AdamW(head.parameters(), rate, weight_decay=decay)
    rng = np.random.default_rng(0)
    for number in range(passes):
        for group in optimiser.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * number / passes)) / 2
        for batch in batches(found, rng):
            features, wanted, weight, labels = (
                torch.stack(column) for column in zip(*batch, strict=True)
            )
            cells = head.cells(torch.nn.functional.dropout(features.float(), 0.3))
            pooled = focal(head.pool(cells), labels, torch.ones_like(labels)) / labels.sum().clamp(
                min=1
            )
            placed = focal(cells, wanted, weight) / wanted.sum().clamp(min=1)
            optimiser.zero_grad()
            (pooled + placed).backward()
            optimiser.step()
        after(number)


@torch.no_grad()
def precision(head: SpatialHead, found: list[Row], items: list[coco.Item]) -> float:
    """Mean average precision on photos whose features are there."""
    chances = torch.stack([head(row[0][None].float())[0].sigmoid() for row in found])
    return float(np.mean(list(mean_average_precision(items, chances.numpy()).values())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="what training.coco80 left")
    parser.add_argument("--out", type=Path, default=Path("weights/coco80-lite0"))
    parser.add_argument("--passes", type=int, default=12)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--decay", type=float, default=0.05)
    args = parser.parse_args()
    torch.manual_seed(0)
    network = SpatialLite().eval().to(memory_format=torch.channels_last)
    network.load_state_dict(load_file(args.run / "model.safetensors"), strict=False)
    items = coco.load(args.data, "train2017")
    full = [number for number, item in enumerate(items) if item.known.all()]
    found = rows(network, coco80.taught(items, args.run / "none", args.run))
    held = set(full[::5])
    kept, theirs = [items[n] for n in sorted(held)], [found[n] for n in sorted(held)]
    others = [row for number, row in enumerate(found) if number not in held]
    trial = copy.deepcopy(network.head)

    def after(number: int) -> None:
        value = precision(trial, theirs, kept)
        print(
            f"pass {number + 1} of {args.passes}: mAP {value:.4f} on photos kept back", flush=True
        )

    after(-1)
    fit(trial, others, args.passes, args.rate, args.decay, after)
    fit(network.head, found, args.passes, args.rate, args.decay, lambda number: None)
    args.out.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    save_file(tensors, args.out / "model.safetensors")


if __name__ == "__main__":
    main()
