"""COCO-form photos: boxes, which classes are known to be absent, and views of them for training.

DIR holds `instances.json` (COCO's own form; an image may say `labels: person-only`, meaning that
the other classes are unknown, and `coco_split`) and `images/`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from explainers.models.coco_labels import COCO_LABELS

PERSON = COCO_LABELS.index("person")
VISIBLE = 0.25  # of a box's area: with less left in view, the class is unknown there


@dataclass(frozen=True)
class Item:
    """One photo. boxes (n, 4): left, top, right, bottom in pixels of the file; classes (n,);
    scores (n,): 1 for an annotated box, a teacher's belief else; known (80,): annotated at all?"""

    path: Path
    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    known: np.ndarray
    name: str

    @property
    def labels(self) -> np.ndarray:
        """(80,) the best score of each class."""
        found = np.zeros(len(COCO_LABELS), np.float32)
        np.maximum.at(found, self.classes, self.scores)
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
        known = np.ones(len(COCO_LABELS), bool)
        if not whole:
            known[:] = False
            known[PERSON] = True
        path = folder / "images" / image["file_name"]
        classes = table[:, 4].astype(np.int64)
        scores = np.ones(len(table), np.float32)
        items.append(Item(path, table[:, :4], classes, scores, known, image["file_name"]))
    return items


def taught(item: Item, boxes: np.ndarray, classes: np.ndarray, scores: np.ndarray) -> Item:
    """The photo with a teacher's detections added for the classes that nobody annotated."""
    new = ~item.known[classes]
    return replace(
        item,
        boxes=np.concatenate([item.boxes, boxes[new].astype(np.float32)]),
        classes=np.concatenate([item.classes, classes[new]]),
        scores=np.concatenate([item.scores, scores[new].astype(np.float32)]),
    )


@dataclass(frozen=True)
class Sample:
    """A view for training: pixels (S, S, 3) uint8, its boxes in pixels of the view, and classes of
    which too little is left in view to say anything."""

    pixels: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    doubtful: np.ndarray


def _place(
    item: Item, pixels: np.ndarray, window: Sequence[int], rng: np.random.Generator, zoom: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale, turn over and shift a photo into a window (x0, y0, x1, y1) of the view.

    Returns the window's pixels, the boxes in pixels of the view, and the share of each in view.
    """
    x0, y0, x1, y1 = window
    width, height = x1 - x0, y1 - y0
    tall, wide = pixels.shape[:2]
    scale = zoom * max(width / wide, height / tall) * rng.uniform(0.65, 1.35)
    stretch = float(np.exp(rng.uniform(-0.2, 0.2)))
    sx, sy = scale * stretch**0.5, scale / stretch**0.5
    flip = rng.random() < 0.5
    shift_x = rng.uniform(*sorted((0.0, width - sx * wide)))
    shift_y = rng.uniform(*sorted((0.0, height - sy * tall)))
    matrix = np.array(
        [[-sx if flip else sx, 0, shift_x + (sx * wide if flip else 0)], [0, sy, shift_y]],
        np.float32,
    )
    out = cv2.warpAffine(
        pixels,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(124, 116, 104),
    )
    boxes = item.boxes.copy()
    if len(boxes):
        across = boxes[:, [0, 2]] * matrix[0, 0] + matrix[0, 2]
        boxes[:, [0, 2]] = np.sort(across, axis=1)
        boxes[:, [1, 3]] = boxes[:, [1, 3]] * sy + shift_y
    clipped = boxes.copy()
    clipped[:, [0, 2]] = clipped[:, [0, 2]].clip(0, width)
    clipped[:, [1, 3]] = clipped[:, [1, 3]].clip(0, height)
    share = area(clipped) / np.maximum(area(boxes), 1)
    return out, clipped + np.array([x0, y0, x0, y0], np.float32), share


def area(boxes: np.ndarray) -> np.ndarray:
    """Of boxes (n, 4), in square pixels."""
    return (boxes[:, 2] - boxes[:, 0]).clip(0) * (boxes[:, 3] - boxes[:, 1]).clip(0)


def sample(
    items: Sequence[Item], photos: Sequence[np.ndarray], size: int, rng: np.random.Generator
) -> Sample:
    """One photo (zoomed and shifted) or four of them (a mosaic), as a square of `size` pixels."""
    if len(items) == 1:
        windows, zoom = [(0, 0, size, size)], 1.1
    else:
        x, y = (int(v) for v in rng.uniform(0.35, 0.65, 2) * size)
        windows = [(0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)]
        zoom = 0.85
    view = np.empty((size, size, 3), np.uint8)
    parts = []
    for item, pixels, window in zip(items, photos, windows, strict=True):
        out, boxes, share = _place(item, pixels, window, rng, zoom)
        view[window[1] : window[3], window[0] : window[2]] = out
        parts.append((boxes, item.classes, item.scores, share))
    boxes, classes, scores, share = (np.concatenate(column) for column in zip(*parts, strict=True))
    doubtful = np.zeros(len(COCO_LABELS), bool)
    doubtful[classes[(share > 0.02) & (share < VISIBLE)]] = True
    seen = share >= VISIBLE
    return Sample(_tint(view, rng), boxes[seen], classes[seen], scores[seen], doubtful)


def _tint(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast and colour a little off, through one table for each channel."""
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.93, 1.07, 3)
    table = (np.arange(256)[:, None] - 128) * gain + 128 + rng.uniform(-20, 20)
    table = table.clip(0, 255).astype(np.uint8)
    out = cv2.LUT(view, np.ascontiguousarray(table[None]))
    if rng.random() < 0.1:
        out = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return out


def targets(made: Sample, cells: tuple[int, int], stride: int) -> tuple[np.ndarray, np.ndarray]:
    """What each cell should say: (80, rows, columns) scores, and weights (0 where nobody knows).

    The middle of a box is its class's place; its rim counts neither way.
    """
    wanted = np.zeros((len(COCO_LABELS), *cells), np.float32)
    weight = np.ones_like(wanted)
    weight[made.doubtful] = 0
    centres = [(np.arange(count) + 0.5) * stride for count in reversed(cells)]  # x, then y
    for box, name, score in zip(made.boxes, made.classes, made.scores, strict=True):
        middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
        inside, rim = (
            [
                abs(places - m) <= max(h * share, stride / 2)
                for places, m, h in zip(centres, middle, half, strict=True)
            ]
            for share in (0.6, 1.0)
        )
        outer = np.outer(rim[1], rim[0])
        inner = np.outer(inside[1], inside[0])
        weight[name][outer & ~inner & (wanted[name] == 0)] = 0
        wanted[name][inner] = np.maximum(wanted[name][inner], score)
        weight[name][inner] = 1
    return wanted, weight


def read(path: Path) -> np.ndarray:
    """RGB pixels (H, W, 3) uint8."""
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
