"""What should be believed of each place of a photo: the teachers' logits, put right by annotation.

Three detectors look at every photo and at its mirror image (`teachers.py`); at each place of a grid
over the photo their logit of each class is kept, also where it is low: that a dog looks a little
like a sheep is knowledge too (Ba and Caruana 2014). Where people annotated, they are right: inside
a box its class is there, elsewhere it isn't.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training import coco

FLOOR, ABSENT, PRESENT = -2.0, -1.0, 5.0  # logits: the lowest that matters; what annotation says
MIDDLE = 0.6  # of a box's sides: there its class is; the rim around it stays the teachers'


def apart(logits: Tensor, wanted: Tensor) -> Tensor:
    """Squared differences; none where both are as low as matters."""
    return torch.where(wanted > FLOOR, logits, logits.clamp(min=FLOOR)).sub(wanted).square()


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


def read(items: Sequence[coco.Item], kept: Path) -> list[np.ndarray]:
    """For each photo its beliefs (80, h, w) float16, from what `teachers.ask_all` wrote."""
    with np.load(kept) as saved:
        return [
            annotated(saved[item.name].astype(np.float32), item).astype(np.float16)
            for item in items
        ]


def worth(kept: Path) -> Tensor:
    """What each teacher's word is worth and, last, a bias: (teachers + 1,)."""
    with np.load(kept) as saved:
        return torch.from_numpy(saved["worth"]).float()
