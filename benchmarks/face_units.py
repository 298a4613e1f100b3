"""Does a unit of AlexNet's conv5 see faces, though no class is called face?

    python benchmarks/face_units.py --data DIR [--layer conv5] [--photos N]

DIR: photos and boxes in COCO's form, as for `multilabel.py`; only val2017's are used, which no
network here was trained on, and in which all 80 classes are annotated.

A channel *points* in a photo at the middle of the cell where it fires most. Asked of each channel:
in how many of the photos with heads does it point into one? COCO has no boxes of heads: the top
quarter of a person's box stands for it, in photos of at most four people. The same is asked for
every class that is annotated often enough, with its whole boxes. The best of many channels is
flattered by its choice, so it is chosen on every other photo and measured on the rest. Beside it:

- chance: the share of the photo that the boxes cover, which a blind guess would hit;
- habit: how often the channel's places in *other* photos fall into this one's boxes, since heads
  are often where photographers put them;
- gain: (pointing - chance) / (1 - chance), by which targets of different sizes can be compared;
- of what points at a person at all, the share in the top quarter of the box;
- AUC: how well the channel's maximum tells photos with people from those without.

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


def having(items: Sequence[coco.Item], kind: int, share: float = 1.0) -> dict[int, np.ndarray]:
    """The areas of a class in the photos that show at least one and at most `MOST` of it."""
    counts = {row: int((item.classes == kind).sum()) for row, item in enumerate(items)}
    return {row: regions(items[row], kind, share) for row, n in counts.items() if 1 <= n <= MOST}


def above_shoulders(pointed: Pointed, items: Sequence[coco.Item], channel: int) -> float:
    """Of the photos in which a channel points at a person, the share where it is the top
    quarter; a place anywhere on them would give a quarter."""
    whole, heads = having(items, coco.PERSON), having(items, coco.PERSON, HEAD)
    at = {row: pointed.places[row, channel : channel + 1] for row in whole}
    on = [row for row in whole if inside(at[row], whole[row])[0]]
    return float(np.mean([inside(at[row], heads[row])[0] for row in on]))


def auc(scores: np.ndarray, present: np.ndarray) -> float:
    """The chance that a photo with people scores above one without."""
    more = scores[present][:, None] - scores[~present]
    return float((more > 0).mean() + (more == 0).mean() / 2)


def measure(
    data: Path, network: Network, layer: str = LAYER, most: int | None = None
) -> dict[str, Any]:
    """`heads`, `others` (all classes, the largest gain first): `Found`; `alone`: how often the
    face unit points into a head where nobody and nothing but people is annotated; `upper`, `auc`:
    of the face unit."""
    items = coco.load(data, "val2017")[:most]
    pointed = point(network, layer, items)
    areas = having(items, coco.PERSON, HEAD)
    heads = best(pointed, areas, "heads")
    alone = [row for row in sorted(areas)[1::2] if set(items[row].classes) == {coco.PERSON}]
    unit = heads.channel
    hits = [inside(pointed.places[row, unit : unit + 1], areas[row])[0] for row in alone]
    listed = {name: having(items, kind) for kind, name in enumerate(COCO_LABELS)}
    others = [
        best(pointed, found, name) for name, found in listed.items() if len(found) >= LEAST
    ]  # fmt: skip
    with_people = np.array([bool((item.classes == coco.PERSON).any()) for item in items])
    return {
        "heads": heads,
        "others": sorted(others, key=lambda found: -found.gain),
        "alone": (len(alone), float(np.mean(hits)) if hits else 0.0),
        "upper": above_shoulders(pointed, items, unit),
        "auc": auc(pointed.tops[:, unit], with_people),
    }


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """As `classics.py` reports it."""
    heads = found["heads"]
    other = next(each for each in found["others"] if each.what != "person")
    return {
        "channel": heads.channel,
        "pointing": round(heads.pointing, 3),
        "chance": round(heads.chance, 3),
        "best_other": round(other.pointing, 3),
        "best_other_is": other.what,
        "best_other_chance": round(other.chance, 3),
    }


def table(found: dict[str, Any]) -> None:
    print(f"\n{'':14}{'photos':>7}{'channel':>9}{'pointing':>10}{'chance':>8}{'habit':>7}"
          f"{'median':>8}{'gain':>7}")  # fmt: skip
    for row in (found["heads"], *found["others"]):
        print(
            f"{row.what:14}{row.photos:7}{row.channel:9}{row.pointing:10.3f}{row.chance:8.3f}"
            f"{row.habit:7.3f}{row.median:8.3f}{row.gain:7.3f}"
        )
    count, alone = found["alone"]
    print(
        f"\nOf {count} photos with people alone, its face unit points into a head in {alone:.3f}."
    )
    print(
        f"Pointing at a person, it points at the top quarter in {found['upper']:.3f} (even: .25)."
    )
    print(f"AUC of its maximum, people or none: {found['auc']:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--network", default="alexnet")
    parser.add_argument("--layer", default=LAYER)
    parser.add_argument("--photos", type=int, help="only the first N")
    args = parser.parse_args()
    found = measure(args.data, load(args.network), args.layer, args.photos)
    table(found)
    print(json.dumps(summary(found)))


if __name__ == "__main__":
    main()
