"""Do the multi-label networks see what is there, and do their maps point at it?

    python benchmarks/multilabel.py --data DIR [--networks coco80 yolo] [--photos N]
                                    [--mapped N] [--slow 100] [--methods cam …] [--classes]

DIR: photos and boxes in COCO's form (`instances.json`, `images/`); of photos that name their split,
those of val2017. For each network: mAP, the mean over classes of the average precision (the mean of
the precision at each photo that has the class, by falling probability); photos of which a class was
not annotated don't count for it. For each method, over every class annotated in a photo (seen by
the network or not):

- pointing: the strongest place of the class's map lies in one of its boxes;
- energy: the share of the map's positive values inside its boxes;
- discrimination: for every other class B in the photo, the strongest place for A lies in a box of A
  and in none of B.

Beside the methods: the centre of the photo and, for YOLOv3-tiny, its best cell. Occlusion is slow
and runs on the first N photos of --slow, the other methods on the first N of --mapped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from explainers import Explanation, Network, Question, ask, load, read  # noqa: E402
from explainers.api import MOST_TARGETS  # noqa: E402
from explainers.network import View  # noqa: E402
from explainers.scores.faithfulness import strength  # noqa: E402
from explainers.zoo.multilabel import YoloTiny  # noqa: E402
from tests import nets  # noqa: E402
from training import coco  # noqa: E402
from training.progress import each  # noqa: E402

METHODS: dict[str, dict[str, Any]] = {
    "cam": {},
    "gradcam": {},
    "gradcam++": {},
    "guided": {},
    "guided_gradcam": {},
    "occlusion": {"window": 64, "stride": 32},
}
SLOW = ("occlusion",)
MEASURES = ("pointing", "energy", "discrimination")


def average_precision(scores: np.ndarray, present: np.ndarray) -> float | None:
    """Mean of the precision at each positive, by falling score; None without positives."""
    if not present.any():
        return None
    hits = present[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def mean_average_precision(items: Sequence[coco.Item], chances: np.ndarray) -> dict[str, float]:
    """Class name -> average precision, for the classes that occur. chances: (photos, classes)."""
    labels = np.stack([item.labels for item in items])
    known = np.stack([item.known for item in items])
    found = {}
    for index, name in enumerate(coco.COCO_LABELS):
        rows = known[:, index]
        value = average_precision(chances[rows, index], labels[rows, index])
        if value is not None:
            found[name] = value
    return found


class Tally:
    """Sums of the measures over classes and photos, for one way of pointing."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = defaultdict(list)

    def add(self, peak: tuple[float, float], target: int, boxes: dict[int, np.ndarray]) -> None:
        """peak: (x, y) as fractions. boxes: class -> (n, 4) in the same units."""
        hit = inside(peak, boxes[target])
        self.values["pointing"].append(hit)
        for other, theirs in boxes.items():
            if other != target:
                self.values["discrimination"].append(hit and not inside(peak, theirs))

    def means(self) -> dict[str, float]:
        return {k: round(float(np.mean(self.values[k])), 4) for k in MEASURES if self.values[k]}


def inside(peak: tuple[float, float], boxes: np.ndarray) -> bool:
    x, y = peak
    left, top, right, bottom = boxes.T
    return bool(((left <= x) & (x <= right) & (top <= y) & (y <= bottom)).any())


def energy(explanation: Explanation, row: int, boxes: np.ndarray) -> float | None:
    """The share of a map's positive strength inside any of the boxes."""
    height, width = size = (96, 96)
    values = strength(explanation, row, size).clamp(min=0).double().numpy()
    left, top, right, bottom = explanation.frame
    x = left + (np.arange(width) + 0.5) / width * (right - left)
    y = top + (np.arange(height) + 0.5) / height * (bottom - top)
    mask = np.zeros(size, bool)
    for x0, y0, x1, y1 in boxes:
        mask |= np.outer((y >= y0) & (y <= y1), (x >= x0) & (x <= x1))
    total = values.sum()
    return float(values[mask].sum() / total) if total > 0 else None


def best_cell(network: Network, view: View, target: int) -> tuple[float, float]:
    """The centre of YOLOv3-tiny's surest cell for a class, as fractions of the photo."""
    best, place = -np.inf, (0.5, 0.5)
    with torch.no_grad():
        heads = network.module.heads(view.tensor)
    for raw in heads.values():
        scores = network.module.scores(raw)[0, :, target].amax(0)
        if scores.max() > best:
            best, at = float(scores.max()), int(scores.argmax())
            row, column = divmod(at, scores.shape[1])
            place = ((column + 0.5) / scores.shape[1], (row + 0.5) / scores.shape[0])
    return place


def maps(network: Network, view: View, targets: list[int], method: str) -> Iterator[tuple]:
    """(target, explanation, row) for each target."""
    for start in range(0, len(targets), MOST_TARGETS):
        some = tuple(targets[start : start + MOST_TARGETS])
        question = Question(network, view, some, network.last)
        *_, last = ask(question, method, **METHODS[method])
        yield from ((target, last, row) for row, target in enumerate(some))


def measure(
    network: Network, items: Sequence[coco.Item], slow: int, methods: Sequence[str]
) -> dict[str, dict]:
    """Method -> measure -> value."""
    defined = [m for m in methods if nets.why_not(network, m) is None]
    tallies = defaultdict(Tally)
    for number, item in enumerate(each(items, f"{network.title}, maps")):
        view = network.prepare(read(item.path), "whole")
        relative = item.boxes / np.tile(item.size, 2)
        boxes = {int(c): relative[item.classes == c] for c in set(item.classes)}
        targets = sorted(boxes)
        for target in targets:
            tallies["centre"].add((0.5, 0.5), target, boxes)
            if isinstance(network.module, YoloTiny):
                tallies["best cell"].add(best_cell(network, view, target), target, boxes)
        for method in defined:
            if method in SLOW and number >= slow:
                continue
            for target, explanation, row in maps(network, view, targets, method):
                tallies[method].add(explanation.peak(row), target, boxes)
                share = energy(explanation, row, boxes[target])
                tallies[method].values["energy"] += [] if share is None else [share]
    return {method: tally.means() for method, tally in tallies.items()}


def table(methods: dict[str, dict[str, float]]) -> None:
    print(f"\n  {'':16}" + "".join(f"{name:>16}" for name in MEASURES))
    for method, values in methods.items():
        cells = (f"{values[m]:16.3f}" if m in values else f"{'—':>16}" for m in MEASURES)
        print(f"  {method:16}" + "".join(cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=["coco80", "yolo"])
    parser.add_argument("--photos", type=int, help="only the first N")
    parser.add_argument("--mapped", type=int, help="photos for the maps (mAP always takes all)")
    parser.add_argument("--slow", type=int, default=100, help="photos for occlusion")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--classes", action="store_true", help="print every class's precision")
    args = parser.parse_args()
    items = (coco.load(args.data, "val2017") or coco.load(args.data))[: args.photos]
    results = {}
    for key in args.networks:
        network = load(key)
        classes = mean_average_precision(items, coco.chances(network, items))
        value = round(float(np.mean(list(classes.values()))), 4)
        print(f"\n{network.title}: mAP {value} over {len(classes)} classes", flush=True)
        results[key] = {
            "map": value,
            "methods": measure(network, items[: args.mapped], args.slow, args.methods),
        }
        table(results[key]["methods"])
        if args.classes:
            print(json.dumps({name: round(value, 3) for name, value in classes.items()}))
    print(json.dumps({key: {"map": r["map"], **r["methods"]} for key, r in results.items()}))


if __name__ == "__main__":
    main()
