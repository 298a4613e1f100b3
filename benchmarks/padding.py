"""How much heat lies off the photo, on what a transform pads it with, and when is that told?

    python benchmarks/padding.py --data DIR [--photos 24]

DIR: photos in COCO's form. Healthy: EfficientNet-Lite0 behind a letterbox whose bars are grey,
black, white or the photo's reflection, the first guess explained, on photos as they are and cut to
twice as long as high. Fault: a last layer on the same trunk that learnt to tell photos with bars
from those without, so that a map should lie on the bars; nothing of a reflection tells it is one.

A note on a healthy network is taken for a false alarm. `above` are the shares of maps that would be
noted from other thresholds on. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import normalize, to_tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.notes import fitted, pooled
from explainers import Network, Photo, explain, load, notes, read, wrap
from tests import nets
from training import coco

FILLS = {"grey": 114, "black": 0, "white": 255, "reflected": None}  # of bars
ONE_PASS = ("gradcam", "gradcam++", "layercam", "gradient", "guided", "guided_gradcam")
LEARNT = 100  # photos that the fault is planted with, each with bars and without
QUANTILES = (5, 50, 95)
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)


def letterbox(network: Network, fill: int | None) -> Callable[[Image.Image], Tensor]:
    """A transform that shows all of a photo on a square, beside bars of that colour, or of its
    reflection."""
    mean, std = (each.flatten().tolist() for each in (network.mean, network.std))

    def prepare(image: Image.Image) -> Tensor:
        missing = [max(image.size) - side for side in image.size[::-1]]
        pads = [(each // 2, each - each // 2) for each in missing] + [(0, 0)]
        how = {"mode": "reflect"} if fill is None else {"constant_values": fill}
        wide = Image.fromarray(np.pad(np.asarray(image), pads, **how))
        pixels = to_tensor(wide.resize(network.shape, Image.Resampling.BILINEAR))
        return normalize(pixels, mean, std)

    return prepare


def cut(photo: Photo, times: float) -> Photo:
    """The middle of a photo, so many times as long as it is high."""
    high, wide = photo.pixels.shape[:2]
    short = min(high, wide, round(max(high, wide) / times))
    long = round(short * times)
    down, across = (short, long) if wide >= high else (long, short)
    top, left = (high - down) // 2, (wide - across) // 2
    return read(photo.pixels[top : top + down, left : left + across])


def told(network: Network, photos: Sequence[Photo], target: int | None) -> dict[str, Any]:
    """How often the note is raised by each method, and the shares of heat that it goes by."""
    rows = np.array([
        [notes.off_photo(explain(network, photo, target, method)) for method in ONE_PASS]
        for photo in photos
    ])  # fmt: skip
    noted = (rows >= notes.OFF).mean(0).round(3).tolist()
    return {
        "maps": rows.size,
        "noted": round(float((rows >= notes.OFF).mean()), 3),
        "by": dict(zip(ONE_PASS, noted, strict=True)),
        "shares": [round(float(np.quantile(rows, each / 100)), 2) for each in QUANTILES],
        "above": {each: round(float((rows >= each).mean()), 3) for each in THRESHOLDS},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="photos in COCO's form")
    parser.add_argument("--photos", type=int, default=24)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    val, train = (coco.load(chosen.data, part, full=True) for part in ("val2017", "train2017"))
    order = np.random.default_rng(0).permutation
    photos = [read(val[at].path) for at in order(len(val))[: chosen.photos]]
    learnt = [read(train[at].path) for at in order(len(train))[:LEARNT]]
    lite0, found, start = load("lite0"), {}, time.perf_counter()
    long = [cut(photo, 2) for photo in photos]
    for name, fill in FILLS.items():
        prepare = letterbox(lite0, fill)
        network = wrap(nets.plain(lite0), lite0.labels, transform=prepare)
        shown = [cut(photo, times) for times in (2, 1) for photo in learnt]
        cheat = nets.plain(lite0)
        bars = torch.tensor([1] * len(learnt) + [0] * len(learnt))
        cheat.classifier = fitted(pooled(network, shown), bars)
        cheat = wrap(cheat, ["no bars", "bars"], transform=prepare)
        found[name] = told(network, photos, None)
        found[f"{name}, 2 : 1"] = told(network, long, None)
        found[f"{name}, 2 : 1, learnt the bars"] = told(cheat, long, 1)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    print(f"\n| bars | maps | {' | '.join(ONE_PASS)} | shares, 5, 50, 95 % of maps |")
    print(f"|-|-:|{'-:|' * len(ONE_PASS)}-:|")
    for name, each in found.items():
        rates = " | ".join(f"{rate:.1%}" for rate in each["by"].values())
        print(f"| {name} | {each['maps']} | {rates} | {', '.join(map(str, each['shares']))} |")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
