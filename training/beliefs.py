"""What should be believed of each place of a photo: the teacher's logits, put right by annotation.

YOLOv3-tiny looks at every photo and at its mirror image; at each place of a grid over the photo its
mean logit of each class is kept, also where it is low: that a dog looks a little like a sheep is
knowledge too (Ba and Caruana 2014). Where people annotated, they are right: inside a box its class
is there, elsewhere it isn't.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from explainers.models.multilabel import YoloTiny
from training import coco, yolo_tiny
from training.progress import progress

LOWEST = -7.0  # logit, of a photo and of its mirror image, before their mean
FLOOR, ABSENT, PRESENT = -5.0, -4.0, 2.0  # logits: the lowest that matters; what annotation says
SIDE = 512  # pixels of the photo's longer side, for the teacher; it sees more than at 416
MIDDLE = 0.6  # of a box's sides: there its class is; the rim around it stays the teacher's


@torch.no_grad()
def teacher_logits(network: YoloTiny, pixels: np.ndarray) -> np.ndarray:
    """(80, h, w): the teacher's logit of each class at each place of a grid over the photo."""
    grow = SIDE / max(pixels.shape[:2])
    tall, wide = (max(round(side * grow / 32), 1) * 32 for side in pixels.shape[:2])
    resized = torch.from_numpy(cv2.resize(pixels, (wide, tall))).permute(2, 0, 1)[None] / 255
    x = torch.cat([resized, resized.flip(-1)]).contiguous(memory_format=torch.channels_last)
    best = {stride: network.scores(raw).amax(1) for stride, raw in network.heads(x).items()}
    coarse = F.interpolate(best[32], scale_factor=2.0, mode="nearest")
    plain, mirrored = torch.maximum(coarse, best[16]).clamp(min=LOWEST)
    return ((plain + mirrored.flip(-1)) / 2).clamp(min=FLOOR).numpy()


def annotated(logits: np.ndarray, item: coco.Item) -> np.ndarray:
    """The logits (80, h, w) with what people annotated written over them."""
    out = logits.copy()
    inside = np.zeros(logits.shape, bool)
    rim = np.zeros(logits.shape, bool)
    places = np.array(logits.shape[:0:-1]) / item.size
    for box, name in zip(item.boxes * np.tile(places, 2), item.classes, strict=True):
        for mask, share in ((rim, 1.0), (inside, MIDDLE)):
            mask[name][_covered(box, share, logits.shape[1:])] = True
    known = item.known[:, None, None]
    out[known & ~rim] = np.minimum(out, ABSENT)[known & ~rim]
    out[inside] = np.maximum(out, PRESENT)[inside]
    return out


def _covered(box: np.ndarray, share: float, size: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns whose centres lie in the middle `share` of a box; at least one of each."""
    slices = []
    for low, high, count in ((box[1], box[3], size[0]), (box[0], box[2], size[1])):
        middle, half = (low + high) / 2, (high - low) / 2 * share
        first = int(np.ceil(middle - half - 0.5))
        last = int(np.floor(middle + half - 0.5))
        if last < first:
            first = last = int(middle)
        slices.append(slice(min(max(first, 0), count - 1), max(last, 0) + 1))
    return slices[0], slices[1]


def ask_teacher(items: Sequence[coco.Item], weights: Path, kept: Path) -> None:
    """Write the teacher's logits for every photo into the file `kept`."""
    network = yolo_tiny.convert(weights).to(memory_format=torch.channels_last)
    start, found = time.perf_counter(), {}
    for number, item in enumerate(items):
        found[item.name] = teacher_logits(network, coco.read(item.path)).astype(np.float16)
        progress("teacher", (number + 1) / len(items), start)
    print()
    np.savez(kept, **found)


def read(items: Sequence[coco.Item], kept: Path) -> list[np.ndarray]:
    """For each photo its beliefs (80, h, w) float16, from what `ask_teacher` wrote."""
    with np.load(kept) as saved:
        return [
            annotated(saved[item.name].astype(np.float32), item).astype(np.float16)
            for item in items
        ]
