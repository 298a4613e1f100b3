"""COCO-form photos: boxes, and which classes are known to be absent.

DIR holds `instances.json` (COCO's own form; an image may say `labels: person-only`, meaning that
the other classes are unknown, and `coco_split`) and `images/`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from explainers import Network, photo
from explainers.zoo.coco_labels import COCO_LABELS
from training.pixels import read as read
from training.progress import each

PERSON = COCO_LABELS.index("person")


@dataclass(frozen=True)
class Item:
    """One photo. size: wide and tall, pixels; boxes (n, 4): left, top, right, bottom in pixels;
    classes (n,); known (80,): annotated at all?"""

    path: Path
    size: tuple[int, int]
    boxes: np.ndarray
    classes: np.ndarray
    known: np.ndarray

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def labels(self) -> np.ndarray:
        """(80,) whether a class is annotated somewhere in the photo."""
        found = np.zeros(len(COCO_LABELS), bool)
        found[self.classes] = True
        return found


def load(folder: Path, split: str | None = None, full: bool | None = None) -> list[Item]:
    """The photos of a split ("train2017", "val2017"; None: all), by file name."""
    data = json.loads((folder / "instances.json").read_text())
    order = {c["id"]: COCO_LABELS.index(c["name"]) for c in data["categories"]}
    rows = defaultdict(list)
    for a in data["annotations"]:
        left, top, width, height = a["bbox"]
        rows[a["image_id"]].append((left, top, left + width, top + height, order[a["category_id"]]))
    items = []
    for image in sorted(data["images"], key=lambda image: image["file_name"]):
        whole = image.get("labels", "full") == "full"
        if split not in (None, image.get("coco_split")) or full not in (None, whole):
            continue
        table = np.array(rows[image["id"]], np.float32).reshape(-1, 5)
        known = np.full(len(COCO_LABELS), whole)
        known[PERSON] = True
        path = folder / "images" / image["file_name"]
        size = image["width"], image["height"]
        items.append(Item(path, size, table[:, :4], table[:, 4].astype(np.int64), known))
    return items


def chances(network: Network, items: Sequence[Item]) -> np.ndarray:
    """(photos, classes): what the network says of each photo as a whole."""
    rows = []
    for item in each(items, network.title):
        view = network.prepare(photo.read(item.path), "whole")
        rows.append(network.probabilities(network.logits(view.tensor))[0].cpu().numpy())
    return np.stack(rows)
