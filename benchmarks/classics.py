"""The classics: what they see and where, and what AlexNet's filters and units are like.

    python benchmarks/classics.py --data DIR [--photos N] [--mapped N] [--networks alexnet vgg16]

DIR: photos and boxes in COCO's form, as for `multilabel.py`, of which val2017's are used. Mean
average precision and pointing of CAM are `multilabel.py`'s; the face unit is `face_units.py`'s; the
share of AlexNet's first filters of which the best Gabor explains at least 80 % is beside that of
random and shuffled filters (`explainers/filters/gabor.py`); atlas units are those that are drawn in
`assets/atlas/`. VGG-16 takes a second a photo and more, so --photos and --mapped can make do with
the first N for precision and for maps.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import face_units, multilabel  # noqa: E402
from explainers import Network, filters, load  # noqa: E402
from explainers.filters import gabor  # noqa: E402
from explainers.units import atlas  # noqa: E402
from training import coco  # noqa: E402

KEYS = {"alexnet": "alexnet", "vgg16": "vgg16-coco"}


def sees(network: Network, data: Path, photos: int | None, mapped: int | None) -> dict[str, float]:
    """map: mean average precision. pointing: of CAM, over every class annotated in a photo."""
    items = coco.load(data, "val2017")[:photos]
    classes = multilabel.mean_average_precision(items, coco.chances(network, items))
    found = multilabel.measure(network, items[:mapped], 0, ["cam"])
    print(
        f"\n{network.title}: mAP over {len(classes)} classes, CAM on {len(items[:mapped])} photos"
    )
    multilabel.table(found)
    return {
        "map": round(float(np.mean(list(classes.values()))), 4),
        "pointing": found["cam"]["pointing"],
    }


def gabors(network: Network) -> dict[str, float]:
    """The share of the first filters that are Gabor filters, and that of chance."""
    conv = next(iter(filters.convolutions(network).values()))
    *_, found = gabor.compare(filters.weights(network, conv.name).numpy())
    result = gabor.verdict(found.fits, found.null, conv.kernel[0], found.shuffled)
    print(f"\n{network.title}, {conv.title}: {result}")
    return {
        "gabor_share": round(result.good / conv.filters, 4),
        "gabor_null": round(result.lucky / result.tried, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=list(KEYS), choices=list(KEYS))
    parser.add_argument("--photos", type=int, help="only the first N")
    parser.add_argument("--every", type=int, default=1, help="face unit: every N-th photo")
    parser.add_argument("--mapped", type=int, help="photos for the maps")
    args = parser.parse_args()
    results: dict[str, Any] = {}
    for name in args.networks:
        results[name] = sees(load(KEYS[name]), args.data, args.photos, args.mapped)
    alexnet = load("alexnet")
    results.setdefault("alexnet", {}).update(gabors(alexnet))
    found = face_units.measure(args.data, alexnet, every=args.every)
    face_units.table(found)
    results["face_unit"] = face_units.summary(found)
    results["atlas_units"] = sum(sheet.units for sheet in atlas.sheets())
    print(json.dumps(results))


if __name__ == "__main__":
    main()
