"""Does a unit of AlexNet's conv5 see faces, though no class is called face?

    python benchmarks/face_units.py --data DIR [--layer conv5] [--every N]

DIR: photos and boxes in COCO's form, as for `multilabel.py`; only val2017's are used, which no
network here was trained on, and in which all 80 classes are annotated.

A channel *points* in a photo at the middle of the cell where it fires most. Asked of each channel:
in how many of the photos with heads does it point into one? COCO has no boxes of heads: the top
quarter of a person's box stands for it, in photos of at most four people, one of whom is at least
0.3 of the photo high, so that a head is at least a cell. The same is asked for every class that is
annotated often enough, with its whole boxes. The best of many channels is
flattered by its choice, so it is chosen on every other photo and measured on the rest. Beside it:

- chance: the share of the photo that the boxes cover, which a blind guess would hit;
- habit: how often the channel's places in *other* photos fall into this one's boxes, since heads
  are often where photographers put them;
- gain: (pointing - chance) / (1 - chance), by which targets of different sizes can be compared;
- of what points at a person at all, the share in the top quarter of the box;
- AUC: how well the channel's maximum tells photos with people from those without;
- next: the five best channels on all of these photos, to see how far the first one is ahead.

Not to be had from COCO's boxes: faces apart from backs of heads, faces of animals, wheels, text.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from explainers import Network, load, photo  # noqa: E402
from explainers.units.activations import strongest_cells  # noqa: E402
from explainers.zoo.coco_labels import COCO_LABELS  # noqa: E402
from training import coco  # noqa: E402
from training.progress import each  # noqa: E402

LAYER = "conv5"
MOST = 4  # people, or things of a class, in a photo
LEAST = 30  # photos of a class, below which nothing is said of it
HEAD = 0.25  # of a person's box, from the top
TALL = 0.3  # of the photo's height: a head is a cell of 13 then


@dataclass(frozen=True)
class Pointed:
    """places (photos, C, 2): x and y of each channel's strongest cell, as shares of the photo;
    tops (photos, C): its activation there."""

    places: np.ndarray
    tops: np.ndarray


@dataclass(frozen=True)
class Found:
    """The channel that points best at a kind of thing, on photos by which it was not chosen."""

    what: str
    photos: int
    channel: int
    pointing: float
    chance: float
    habit: float
    median: float  # of all channels

    @property
    def gain(self) -> float:
        return (self.pointing - self.chance) / (1 - self.chance)


def point(network: Network, layer: str, items: Sequence[coco.Item]) -> Pointed:
    """Where every channel of a layer points in every photo; one pass each."""
    places, tops = [], []
    for item in each(items, f"{network.title}, {layer}"):
        view = network.prepare(photo.read(item.path), "whole")
        values = network.record(view.tensor, (layer,), gradients=False).activations[layer][0].cpu()
        _, height, width = values.shape
        row, column = np.divmod(strongest_cells(values).numpy(), width)
        places.append(np.stack([(column + 0.5) / width, (row + 0.5) / height], 1))
        tops.append(values.amax((1, 2)).numpy())
    return Pointed(np.stack(places), np.stack(tops))


def regions(item: coco.Item, kind: int, share: float = 1.0) -> np.ndarray:
    """The boxes (n, 4) of a class as shares of the photo, cut to that share of their height."""
    boxes = item.boxes[item.classes == kind] / np.tile(item.size, 2)
    boxes[:, 3] = boxes[:, 1] + share * (boxes[:, 3] - boxes[:, 1])
    return boxes


def inside(places: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(C,) whether places (C, 2) lie in any of the boxes (n, 4)."""
    x, y = places[:, :1], places[:, 1:]
    left, top, right, bottom = boxes.T
    return ((left <= x) & (x <= right) & (top <= y) & (y <= bottom)).any(1)


def covered(boxes: np.ndarray, cells: int = 100) -> float:
    """The share of the photo that lies in any of the boxes."""
    axis = (np.arange(cells) + 0.5) / cells
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    return float(inside(grid, boxes).mean())


def best(pointed: Pointed, areas: dict[int, np.ndarray], what: str) -> Found:
    """The best channel for areas (photo -> boxes), chosen on every other one of these photos."""
    rows = sorted(areas)
    hits = np.stack([inside(pointed.places[row], areas[row]) for row in rows])
    channel = int(hits[::2].mean(0).argmax())
    rest = rows[1::2]
    others = pointed.places[rest, channel]
    habit = [inside(np.delete(others, i, 0), areas[row]).mean() for i, row in enumerate(rest)]
    return Found(
        what=what,
        photos=len(rows),
        channel=channel,
        pointing=float(hits[1::2, channel].mean()),
        chance=float(np.mean([covered(areas[row]) for row in rest])),
        habit=float(np.mean(habit)),
        median=float(np.median(hits[1::2].mean(0))),
    )


def having(
    items: Sequence[coco.Item], kind: int, share: float = 1.0, tall: float = 0.0
) -> dict[int, np.ndarray]:
    """The areas of a class in the photos that show at least one and at most `MOST` of it, the
    tallest at least that share of the photo's height."""
    areas = {}
    for row, item in enumerate(items):
        boxes = regions(item, kind)
        if 1 <= len(boxes) <= MOST and (boxes[:, 3] - boxes[:, 1]).max() >= tall:
            areas[row] = regions(item, kind, share)
    return areas


def heads(items: Sequence[coco.Item]) -> dict[int, np.ndarray]:
    """The areas of heads, by photo."""
    return having(items, coco.PERSON, HEAD, TALL)


def above_shoulders(pointed: Pointed, items: Sequence[coco.Item], channel: int) -> float:
    """Of the photos in which a channel points at a person, the share where it is the top
    quarter; a place anywhere on them would give a quarter."""
    whole, upper = having(items, coco.PERSON, tall=TALL), heads(items)
    at = {row: pointed.places[row, channel : channel + 1] for row in whole}
    on = [row for row in whole if inside(at[row], whole[row])[0]]
    return float(np.mean([inside(at[row], upper[row])[0] for row in on]))


def auc(scores: np.ndarray, present: np.ndarray) -> float:
    """The chance that a photo with people scores above one without."""
    more = scores[present][:, None] - scores[~present]
    return float((more > 0).mean() + (more == 0).mean() / 2)


def measure(data: Path, network: Network, layer: str = LAYER, every: int = 1) -> dict[str, Any]:
    """What `found` says, of every N-th photo of val2017."""
    items = coco.load(data, "val2017")[::every]
    return found(items, point(network, layer, items))


def found(items: Sequence[coco.Item], pointed: Pointed) -> dict[str, Any]:
    """`heads`, `others` (all classes, the largest gain first): `Found`; `next`: (channel, pointing)
    of the five best channels on all photos with heads; `upper`, `auc`: of the face unit."""
    areas = heads(items)
    unit = best(pointed, areas, "heads")
    shares = np.stack([inside(pointed.places[row], areas[row]) for row in areas]).mean(0)
    listed = {name: having(items, kind) for kind, name in enumerate(COCO_LABELS)}
    others = [best(pointed, rows, name) for name, rows in listed.items() if len(rows) >= LEAST]
    people = np.array([bool((item.classes == coco.PERSON).any()) for item in items])
    return {
        "heads": unit,
        "others": sorted(others, key=lambda other: -other.gain),
        "next": [(int(c), float(shares[c])) for c in shares.argsort()[::-1][:5]],
        "upper": above_shoulders(pointed, items, unit.channel),
        "auc": auc(pointed.tops[:, unit.channel], people),
    }


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """As `classics.py` reports it; of few photos, in which no other class is often enough, less."""
    heads = result["heads"]
    said = {
        "channel": heads.channel,
        "pointing": round(heads.pointing, 3),
        "chance": round(heads.chance, 3),
    }
    other = next((each for each in result["others"] if each.what != "person"), None)
    if other is not None:
        said |= {
            "best_other": round(other.pointing, 3),
            "best_other_is": other.what,
            "best_other_chance": round(other.chance, 3),
        }
    return said


def table(result: dict[str, Any]) -> None:
    print(f"\n{'':14}{'photos':>7}{'channel':>9}{'pointing':>10}{'chance':>8}{'habit':>7}"
          f"{'median':>8}{'gain':>7}")  # fmt: skip
    for row in (result["heads"], *result["others"]):
        print(
            f"{row.what:14}{row.photos:7}{row.channel:9}{row.pointing:10.3f}{row.chance:8.3f}"
            f"{row.habit:7.3f}{row.median:8.3f}{row.gain:7.3f}"
        )
    ranked = ", ".join(f"{channel} ({share:.3f})" for channel, share in result["next"])
    print(f"\nOn all photos with heads: {ranked}")
    print(f"Where it points at a person: at the top quarter in {result['upper']:.3f} (even: .25)")
    print(f"AUC of its maximum, people or none: {result['auc']:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--network", default="alexnet")
    parser.add_argument("--layer", default=LAYER)
    parser.add_argument("--every", type=int, default=1, help="only every N-th photo")
    args = parser.parse_args()
    result = measure(args.data, load(args.network), args.layer, args.every)
    table(result)
    print(json.dumps(summary(result)))


if __name__ == "__main__":
    main()
