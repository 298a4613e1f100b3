"""For each class the probability from which on the page calls it present.

    python -m training.thresholds --data DIR --run RUN [--network coco80] [--every N]

RUN holds `teacher.npz`, which `training.coco80` left. Over the train2017 photos, the threshold that
agrees best (F1) with what is annotated or, where nobody annotated, with the teachers. Photos with
all classes annotated are left out: the network knows them by heart, and what it is sure of there it
is not sure of elsewhere; with the teachers it agrees no better on photos that it was trained on.
One shift of all biases puts the threshold of all classes together at 50 per cent, where a visitor
looks for it, and one of their own those of classes that are in all of these photos: people. Writes
into the network's folder of weights/: the bias, and `thresholds` in config.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from explainers import load
from explainers.zoo.catalogue import CATALOGUE, WEIGHTS
from explainers.zoo.coco_labels import COCO_LABELS
from training import beliefs, coco

SURE = 0.0  # logit from which on the teachers count a class as there: 50 per cent
MISSED = 0.05  # of the photos, where all have a class
FEW = 10  # photos with a class; with fewer, the threshold of all classes counts as much


def best(chances: np.ndarray, present: np.ndarray) -> float:
    """The threshold with the highest F1 for chances (n,) of what is present (n,).

    What is in every photo, as people are where only people were annotated, says nothing of photos
    without it: then the threshold that all but a few of them pass.
    """
    if present.all():
        return float(np.quantile(chances, MISSED))
    order = np.argsort(-chances, kind="stable")
    hits = np.cumsum(present[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + present.sum())
    top = int(f1.argmax())
    return float(chances[order[top : top + 2]].mean())


def together(found: np.ndarray, present: np.ndarray) -> float:
    """One threshold for all classes but people, who are in most photos."""
    return best(found[:, 1:].ravel(), present[:, 1:].ravel())


def shifts(found: np.ndarray, present: np.ndarray) -> np.ndarray:
    """What to add to each bias (80,) for a threshold of about 50 per cent."""
    out = np.full(present.shape[1], -logit(together(found, present)))
    for index in np.flatnonzero(present.all(0)):
        out[index] = -logit(best(found[:, index], present[:, index]))
    return out


def logit(chance: Any) -> Any:
    return np.log(chance) - np.log1p(-chance)


def thresholds(found: np.ndarray, present: np.ndarray) -> dict[str, float]:
    """Class name -> threshold; found: chances (photos, 80), present: (photos, 80)."""
    common, out = together(found, present), {}
    for index, name in enumerate(COCO_LABELS):
        count = int(present[:, index].sum())
        own = best(found[:, index], present[:, index]) if count else common
        out[name] = round((count * own + FEW * common) / (count + FEW), 3)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--network", default="coco80", help="its key in the catalogue")
    parser.add_argument("--every", type=int, default=1, help="of so many photos, one")
    args = parser.parse_args()
    network = load(args.network)
    source = next(entry.source for entry in CATALOGUE if entry.key == args.network)
    items = coco.load(args.data, "train2017", full=False)[:: args.every]
    believed = beliefs.read(items, args.run / "teacher.npz")
    present = np.stack([each.max((1, 2)) > SURE for each in believed])
    path = WEIGHTS / source.folder / "config.json"
    found = coco.chances(network, items)
    shift = shifts(found, present)
    found = 1 / (1 + np.exp(-logit(found) - shift))
    config = json.loads(path.read_text("utf-8"))
    config["thresholds"] = thresholds(found, present)
    path.write_text(json.dumps(config, indent=1) + "\n", "utf-8")
    weights = load_file(path.with_name("model.safetensors"))
    bias = weights["head.cells.bias"]
    weights["head.cells.bias"] = (bias.float() + torch.from_numpy(shift)).to(bias.dtype)
    save_file(weights, path.with_name("model.safetensors"))


if __name__ == "__main__":
    main()
