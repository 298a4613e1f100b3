"""How often are maps noted without need, and are planted faults noticed?

    python benchmarks/notes.py --data DIR [--photos 200] [--slow 16] [--raw FILE]
    python benchmarks/notes.py --data DIR --mixed 60
    python benchmarks/notes.py --data DIR --cancelled 8

DIR: photos and boxes in COCO's form, of which those of val2017 are looked at and those of train2017
serve to plant faults. Healthy: EfficientNet-Lite0 (ImageNet) and Lite2 (COCO), the first guess of
each photo explained. Faults, all on Lite0's trunk:

- dead head: the last layer's weights are zero;
- random: no weight was ever trained;
- shuffled labels: the last layer learnt 20 classes that were dealt out at random;
- shortcut: the last layer learnt to tell photos with a small mark in a corner from those without;
  marked photos are looked at, and a map should lie in that corner;
- only against: the last layer's weights are turned against every class (-|w|);
- overflow: one of the last layer's channels weighs 3e38 for every class.

A note on a healthy network is taken for a false alarm, though a photo may deserve it. Two notes go
by the probability, for which there is a truth: “not seen” is false where the class is annotated
in the photo, and “saturated” where the probability's gradient is more than a hundredth of the
logit's. So has “only against”: it is false where the class is annotated. Methods of many passes
see the first --slow photos. Ends with one line of JSON; --raw keeps every number, from which
thresholds can be chosen.

--mixed looks at the one note that is of a network: does its last layer keep places? Every trained
network that is here is asked so many photos in place of the noise that the package asks it.

--cancelled looks at how much is left of what the weights of Grad-CAM and XGrad-CAM average, at all
layers of every trained network that is here, for the likeliest and the fifth class.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import itertools
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.faithfulness import meaning  # noqa: E402
from explainers import METHODS, Network, Photo, explain, load, notes, read  # noqa: E402
from explainers.methods import cam  # noqa: E402
from explainers.network import Framing, keeping  # noqa: E402
from explainers.scores import stability  # noqa: E402
from explainers.zoo.catalogue import CATALOGUE  # noqa: E402
from tests import nets  # noqa: E402
from training import coco  # noqa: E402
from training.progress import progress  # noqa: E402

OPTIONS: dict[str, dict[str, Any]] = {
    "occlusion": {"window": 32, "stride": 32},
    "rise": {"masks": 192, "tolerance": 0.0},
    "smoothgrad": {"samples": 12},
    "integrated": {"steps": 16},
}
EQUAL = ("cam", "hirescam", "xgradcam")  # Grad-CAM's map, on networks that end in an average
FINER = "layercam"  # seen at an earlier layer, of twice as many cells
LEARNT = 400  # photos of train2017 that a fault is planted with
DEALT = 20  # classes dealt out at random
MARK = 1 / 7  # of the shorter side
KEYS = ("blank", "only against", "border", "flat", "NaN", "unstable")  # of a map
TWICE = ("gradcam", "gradcam++", "layercam")  # methods whose neighbouring crops are compared
VANISHED = 0.01  # of the logit's gradient


def marked(photo: Photo) -> Photo:
    """The photo with a small chequered mark in its lower right corner."""
    pixels = photo.pixels.copy()
    side = round(min(pixels.shape[:2]) * MARK)
    rows, cols = np.indices((side, side)) * 4 // side
    pixels[-side:, -side:] = np.where(((rows + cols) % 2)[..., None], (255, 230, 0), (20, 20, 20))
    return read(pixels)


def pooled(network: Network, photos: Sequence[Photo], framing: Framing = "crop") -> Tensor:
    """(N, C): what the network's last layer is given."""
    rows = []
    for photo in photos:
        x = network.prepare(photo, framing).tensor
        seen = network.record(x, until=network.last, gradients=False).activations[network.last]
        rows.append(seen.mean((2, 3))[0])
    return torch.stack(rows)


def fitted(features: Tensor, classes: Tensor) -> nn.Linear:
    """A last layer that has learnt these by heart."""
    head = nn.Linear(features.shape[1], int(classes.max()) + 1)
    optimiser = torch.optim.Adam(head.parameters(), 3e-3)
    for _ in range(600):
        optimiser.zero_grad()
        nn.functional.cross_entropy(head(features), classes).backward()
        optimiser.step()
    right = float((head(features).argmax(1) == classes).float().mean())
    print(f"  a last layer of {head.out_features} classes knows {right:.0%} of its photos")
    return head


def headed(network: Network, head: nn.Linear, key: str) -> Network:
    """The network's trunk with another last layer."""
    built = nets.plain(network)
    built.classifier = head
    return nets.wrap(
        built,
        classes=head.out_features,
        size=network.size,
        key=key,
        mean=network.mean.flatten().tolist(),
        std=network.std.flatten().tolist(),
    )


@dataclass(frozen=True)
class Case:
    """A network, what is done to a photo before it sees it, and the class to explain."""

    name: str
    network: Network
    done: Callable[[Photo], Photo] = lambda photo: photo
    target: int | None = None
    framing: Framing = "crop"


def cases(lite0: Network, lite2: Network, items: Sequence[coco.Item]) -> Iterator[Case]:
    """The healthy networks, and those with faults; items: photos to plant them with."""
    yield Case("Lite0", lite0)
    yield Case("Lite2", lite2)
    yield Case("random", nets.seeded("tf_efficientnet_lite0", size=lite0.size, classes=1000))
    torch.manual_seed(0)
    photos = [read(item.path) for item in items]
    plain = pooled(lite0, photos)
    half = len(photos) // 2
    with_mark = pooled(lite0, [marked(photo) for photo in photos[:half]], "whole")
    told = torch.tensor([1] * half + [0] * (len(photos) - half))
    shortcut = fitted(torch.cat([with_mark, pooled(lite0, photos[half:], "whole")]), told)
    yield Case("shortcut", headed(lite0, shortcut, "shortcut"), marked, 1, "whole")
    dealt = torch.randperm(len(photos)) % DEALT
    yield Case("shuffled labels", headed(lite0, fitted(plain, dealt), "shuffled"))
    last = nets.plain(lite0).classifier
    yield Case("dead head", headed(lite0, turned(last, lambda w: w.zero_()), "dead"))
    yield Case("only against", headed(lite0, turned(last, lambda w: w.abs_().neg_()), "against"))
    loudest = int(plain.mean(0).argmax())
    huge = turned(last, lambda w: w[:, loudest].fill_(3e38))
    yield Case("overflow", headed(lite0, huge, "overflow"))


@torch.no_grad()
def turned(layer: nn.Linear, change: Callable[[Tensor], object]) -> nn.Linear:
    """A copy of a last layer whose weights were changed in place."""
    layer = copy.deepcopy(layer)
    change(layer.weight)
    return layer


def looked_at(case: Case, photos: Sequence[Photo], slow: int) -> Iterator[dict[str, Any]]:
    """Every number of every map; methods of many passes see the first `slow` photos."""
    network, step = case.network, case.network.layers[case.network.last].reduction // 2
    middle = [key for key, layer in network.layers.items() if layer.reduction == step][-1]
    start = time.perf_counter()
    for number, photo in enumerate(map(case.done, photos)):
        for key, method in METHODS.items():
            if key in EQUAL or not method.suits(network) or (method.slow and number >= slow):
                continue
            about = {"layer": middle if key == FINER else None, "framing": case.framing}
            found = explain(network, photo, case.target, key, **about, **OPTIONS.get(key, {}))
            known = vars(notes.measure(found)) | {"network": case.name, "method": key}
            known["chance"] = float(found.probabilities[found.targets[0]])
            known["kind"] = notes.kind(found)
            known["overflows"] = any(note.key == "NaN" for note in found.notes)
            if key in TWICE:
                (known["agreement"],) = stability.agreement(found, network, photo)
            yield known
        progress(case.name, (number + 1) / len(photos), start)


def chances(network: Network, items: Sequence[coco.Item]) -> dict[str, list[float]]:
    """Of the likeliest class that is annotated in a photo, and of a class that is not."""
    means, found = meaning(network), defaultdict(list)
    bounds = [notes.seen_from(network, target) for target in range(len(network.labels))]
    draw = np.random.default_rng(0)
    for item in items:
        names = {coco.COCO_LABELS[index] for index in item.classes}
        view = network.prepare(read(item.path), "crop")
        recording = network.recorded(view, network.last)
        logits = recording.logits[0].detach()
        likely = network.probabilities(logits)
        there = [index for index, name in means.items() if name in names]
        absent = [index for index, name in means.items() if name not in names]
        if there:
            top = max(there, key=lambda index: float(likely[index]))
            found["there"].append(float(likely[top]))
            found["there_bound"].append(bounds[top])
        other = int(draw.choice(absent))
        found["absent"].append(float(likely[other]))
        found["bounds"].append(bounds[other])
        asked = {"there": top, "absent": other} if there else {"absent": other}
        maps = explain(network, view, list(asked.values()), "gradcam")
        noted = {note.row for note in maps.notes if note.key == "only against"}
        for row, where in enumerate(asked):
            found[f"{where}_against"].append(row in noted)
            found[f"{where}_share"].append(notes.measure(maps, row).against)
        best = int(logits.argmax())
        activations = recording.activations[network.last]
        slope = network.probabilities(recording.logits)[0, best]
        (ours,) = torch.autograd.grad(slope, activations, retain_graph=True)
        theirs = recording.gradients((best,), layer=network.last)[0]
        found["ratio"].append(float(ours.norm() / theirs.norm()))
        found["sure"].append(float(slope.detach()))
    return found


def keys(row: dict[str, Any]) -> set[str]:
    """The notes that a map has by what was measured of it, and of its pass only “NaN”."""
    if row["overflows"]:
        return {"NaN"}
    names = [field.name for field in dataclasses.fields(notes.Measures)]
    measured = notes.Measures(**{name: row[name] for name in names})
    found = notes.of_map(measured, row["kind"])
    if "agreement" in row and measured.strongest_place:
        found.append(notes.unstable(row["agreement"]))
    return {note.key for note in found if note}


def mixed(photos: Sequence[Photo]) -> dict[str, dict[str, float | None]]:
    """How often each trained network would have the note “mixed” by one photo, and how near to it
    the photos come: the least share and the least times."""
    told = {}
    for entry in CATALOGUE:
        if not entry.here:
            continue
        network, start = load(entry.key), time.perf_counter()
        found = []
        for number, photo in enumerate(photos, 1):
            pixels = torch.from_numpy(photo.pixels.copy()).permute(2, 0, 1)[None].float() / 255
            side = min(pixels.shape[2:])
            top, left = ((length - side) // 2 for length in pixels.shape[2:])
            square = pixels[..., top : top + side, left : left + side]
            x = nn.functional.interpolate(square, network.shape, mode="area")
            x = (x - network.mean) / network.std
            found.append(keeping.kept(network, network.last, x))
            progress(entry.key, number / len(photos), start)
        shares, times = zip(*found, strict=True)
        told[entry.key] = {
            "mixed": share([keeping.hardly(*each) for each in found]),
            "least_share": round(min(shares), 3),
            "least_times": round(min(times), 2),
        }
    return told


def cancelled(photos: Sequence[Photo]) -> dict[str, dict[str, float]]:
    """The least share that is left, by network and method."""
    told: dict[str, dict[str, float]] = {}
    for entry in CATALOGUE:
        if not entry.here:
            continue
        network, least = load(entry.key), dict.fromkeys(cam.AVERAGED, 1.0)
        for photo, layer in itertools.product(photos, network.layers):
            recording = network.recorded(network.prepare(photo, "crop"), layer)
            classes = recording.logits[0].argsort(descending=True)[[0, 4]].tolist()
            g = recording.gradients(classes, layer=layer)[:, 0]
            for rule, average in cam.AVERAGED.items():
                _, left = average(recording.activations[layer].detach()[0], g)
                least[rule] = min(least[rule], float(left.min()))
        told[entry.key] = {rule.__name__: round(value, 4) for rule, value in least.items()}
    return told


def share(values: Sequence[bool]) -> float | None:
    """None where there is nothing to take a share of."""
    return round(float(np.mean(values)), 3) if len(values) else None


def report(kept: dict[str, Any]) -> dict[str, Any]:
    """Print the tables; returns the numbers of the last line."""
    told: dict[str, Any] = {}
    for case in dict.fromkeys(row["network"] for row in kept["rows"]):
        print(f"\n{case}\n\n| method | maps | {' | '.join(KEYS)} | doubt |\n|-|-:|{'-:|' * 6}")
        some = [row for row in kept["rows"] if row["network"] == case]
        for method in ["all", *dict.fromkeys(row["method"] for row in some)]:
            found = [keys(row) for row in some if method in ("all", row["method"])]
            rates = {key: share([key in each for each in found]) for key in KEYS}
            rates |= {"any": share([bool(each) for each in found])}
            tried = [row for row in some if method in ("all", row["method"]) and "agreement" in row]
            rates["unstable"] = share(["unstable" in keys(row) for row in tried])
            cells = " | ".join("–" if rate is None else f"{rate:.1%}" for rate in rates.values())
            title = METHODS[method].title if method in METHODS else method
            print(f"| {title} | {len(found)} | {cells} |")
            told.setdefault(case, {})[method] = {key: rate for key, rate in rates.items() if rate}
    for case, found in kept["chances"].items():
        bounds = np.array(found["bounds"])
        there, absent = (np.array(found[name]) for name in ("there", "absent"))
        seen = np.array(found["there_bound"])
        sure = np.array(found["sure"]) >= notes.SURE
        wrong = (np.array(found["ratio"]) > VANISHED) & sure
        told[case] |= {
            "not seen, of classes that are there": share(there < seen),
            "not seen, of classes that are absent": share(absent < bounds),
            "only against, of classes that are there": share(found["there_against"]),
            "only against, of classes that are absent": share(found["absent_against"]),
            "saturated": share(sure),
            "saturated without need": share(wrong[sure]),
        }
    print(json.dumps(told))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="photos in COCO's form")
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--slow", type=int, default=16, help="photos for methods of many passes")
    parser.add_argument("--only", nargs="+", metavar="NETWORK", help="the healthy and the faults")
    parser.add_argument("--mixed", type=int, metavar="PHOTOS", help="the note of networks alone")
    parser.add_argument("--raw", type=Path, help="keep every number there; without --data, read it")
    parser.add_argument("--cancelled", type=int, metavar="PHOTOS", help="what averages leave")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.data is None:
        report(json.loads(chosen.raw.read_text()))
        return
    order = np.random.default_rng(0).permutation
    val, train = coco.load(chosen.data, "val2017", full=True), coco.load(chosen.data, "train2017")
    items = [val[at] for at in order(len(val))[: chosen.photos]]
    photos = [read(item.path) for item in items]
    if chosen.mixed:
        print(json.dumps(mixed(photos[: chosen.mixed])))
        return
    if chosen.cancelled:
        print(json.dumps(cancelled(photos[: chosen.cancelled])))
        return
    learnt = [train[at] for at in order(len(train))[:LEARNT]]
    lite0, lite2 = load("lite0"), load("coco80")
    kept: dict[str, Any] = {"rows": [], "chances": {}}
    for case in cases(lite0, lite2, learnt):
        if chosen.only and case.name not in chosen.only:
            continue
        seen = photos if case.network is lite0 else photos[: len(photos) // 2]
        kept["rows"] += looked_at(case, seen, 0 if case.network is lite2 else chosen.slow)
        if case.network in (lite0, lite2):
            kept["chances"][case.name] = chances(case.network, items)
        if chosen.raw:
            chosen.raw.write_text(json.dumps(kept))
    report(kept)


if __name__ == "__main__":
    main()
