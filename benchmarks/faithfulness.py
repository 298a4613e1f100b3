"""Which maps name the pixels that the network needs? Mean scores of every method over photos.

    python benchmarks/faithfulness.py --data DIR [--photos 50] [--methods ...] [--steps 12]
                                      [--model lite0] [--baseline blur|mean] [--threads N]
    python benchmarks/faithfulness.py --data DIR --grid [--photos 5]

DIR is a folder in COCO's form: instances.json and images/. COCO has no ImageNet labels: by the
table of training/coco_imagenet.py, a photo counts if the network gives at least 10 per cent to a
class that means the same as one of its boxes, and the likeliest such class is explained; `pointing`
asks for those boxes. Beside ours: ROAD (Rong et al. 2022) as pytorch-grad-cam computes it, least
minus most relevant first, halved, of the same maps; and, over the first few photos, torchcam's
deletion and insertion of the same maps. The network sees each photo's centre square; muting and
RISE are coarse here (`COARSE`). --grid measures what the Compare tab waits for instead. Both end
with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch
from pytorch_grad_cam.metrics.road import ROADCombined
from torchcam.metrics import DeletionInsertionMetric

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from explainers import METHODS, ExplainError, Network, Photo, Question, load, read  # noqa: E402
from explainers.api import question  # noqa: E402
from explainers.imagenet import imagenet_labels  # noqa: E402
from explainers.muting.baselines import baseline as baseline_image  # noqa: E402
from explainers.network import Frame  # noqa: E402
from explainers.scores import faithfulness as ours  # noqa: E402
from explainers.scores.boxes import pointing  # noqa: E402
from explainers.scores.comparison import Comparison, applicable  # noqa: E402
from tests import nets  # noqa: E402
from training import coco  # noqa: E402
from training.coco_imagenet import same  # noqa: E402

SURE = 0.1  # probability from which a class is explained
CHECKED = 3  # photos whose areas are computed by torchcam, too: that doubles their time
#: Options of the methods that take hundreds of passes, so that 50 photos take minutes.
COARSE = {
    "occlusion": {"window": 32, "stride": 32},
    "rise": {"masks": 192, "tolerance": 0.0},
}


def meaning(network: Network) -> dict[int, str]:
    """Class of the network -> COCO category that means the same."""
    if network.labels == imagenet_labels():
        return {i: name for name in coco.COCO_LABELS for i in same(name, network.labels)}
    return dict(enumerate(network.labels))  # a network that was trained on COCO


def photos(folder: Path, seed: int = 0) -> Iterator[tuple[Photo, list[tuple[str, Frame]]]]:
    """The photos with every category annotated, in an order of their own, and what is where."""
    items = coco.load(folder, full=True)
    for at in np.random.default_rng(seed).permutation(len(items)):
        item = items[at]
        names = [coco.COCO_LABELS[index] for index in item.classes]
        boxes = (item.boxes / np.tile(item.size, 2)).tolist()
        yield read(item.path), list(zip(names, map(tuple, boxes), strict=True))


def asked_of(network: Network, folder: Path, count: int) -> Iterator[tuple[Question, list[Frame]]]:
    """`count` photos that hold something the network knows and sees: what to ask, its boxes."""
    means, found = meaning(network), 0
    for photo, boxes in photos(folder):
        names = {name for name, _ in boxes}
        known = [index for index, name in means.items() if name in names]
        if not known or found == count:
            continue
        view = network.prepare(photo, "crop")
        chances = network.probabilities(network.logits(view.tensor)[0])
        best = max(known, key=lambda index: float(chances[index]))
        if chances[best] >= SURE:
            found += 1
            around = [box for name, box in boxes if name == means[best]]
            yield question(network, photo, best, framing="crop"), around


class Given:
    """A map that exists already, in the form that torchcam's metric asks its maps in."""

    def __init__(self, network: Network, strengths: torch.Tensor) -> None:
        self.model, self.strengths = network.module, strengths

    def __call__(self, *_args, **_more) -> list[torch.Tensor]:
        return [self.strengths[None]]

    def fuse_cams(self, maps: list[torch.Tensor]) -> torch.Tensor:
        return maps[0]

    def _hooks_off(self):
        return torch.no_grad()


def torchcam_areas(asked: Question, strengths: torch.Tensor, kind: str, steps: int) -> np.ndarray:
    """Deletion and insertion as torchcam computes them; softmax networks only."""
    x = asked.view.tensor
    metric = DeletionInsertionMetric(
        Given(asked.network, strengths),
        partial(torch.softmax, dim=-1),
        steps=steps,
        baseline=baseline_image(asked.network, x, kind),
        batch_size=asked.network.at_once(x.shape[2:]),
    )
    metric.update(x, asked.targets[0])
    found = metric.summary()
    return np.array([found["deletion_auc"], found["insertion_auc"]])


def road(asked: Question, strengths: torch.Tensor) -> float:
    """pytorch-grad-cam's combined ROAD in probability, removing 20 per cent.

    Its least relevant first is `1 - map`, so the map is scaled to 0..1. It solves a linear system
    over the pixels removed: taking more of them out costs minutes a photo.
    """
    scaled = (strengths - strengths.min()) / (strengths.max() - strengths.min()).clamp(min=1e-12)
    target = asked.targets[0]
    scores = ROADCombined(percentiles=[80])(
        asked.view.tensor,
        scaled[None].numpy(),
        [lambda logits: asked.network.probabilities(logits)[target]],
        asked.network.module,
    )
    return float(scores[0])


def bare_ratio(asked: Question, strengths: torch.Tensor, steps: int, rounds: int = 3) -> float:
    """Processor time of both curves of one map, in units of their forward passes alone."""
    network, x = asked.network, asked.view.tensor
    fill = baseline_image(network, x, "blur")
    inner = 2 * (len(ours.counts(strengths.numel(), steps)) - 2)
    lot = network.at_once(x.shape[2:])
    sizes = [2, *([lot] * (inner // lot)), inner % lot]
    ready = {
        n: x.expand(n, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        for n in set(sizes) - {0}
    }
    ratios = []
    for round_ in range(rounds + 1):
        start = time.process_time()
        for size in sizes:
            if size:
                network.logits(ready[size])
        middle = time.process_time()
        ours.curves(network, x, fill, ours.ranks(strengths), asked.targets[0], steps=steps)
        if round_:  # the first only warms up
            ratios.append((time.process_time() - middle) / (middle - start))
    return median(ratios)


def main() -> None:
    """Measure, print the table, print the JSON."""
    chosen = _options()
    torch.set_num_threads(chosen.threads)
    warnings.filterwarnings("ignore")
    network = load(chosen.model)
    if chosen.grid:
        print(json.dumps(grid(network, chosen)))
        return
    methods = chosen.methods or list(METHODS)
    methods = [name for name in methods if not nets.why_not(network, name)]
    found = Found(chosen, {name: defaultdict(list) for name in methods})
    for number, (asked, around) in enumerate(asked_of(network, chosen.data, chosen.photos), 1):
        try:
            found.add(asked, around)
        except ExplainError as error:
            print(f"photo {number} left out: {error}", file=sys.stderr)
        print(f"{number} of {chosen.photos}", file=sys.stderr, flush=True)
    report(network, found)
    figures = {name: _figures(kept) for name, kept in found.sums.items()}
    ratio = found.ratio and round(found.ratio, 3)
    print(json.dumps({**figures, "scores_vs_bare_forward": ratio}))


@dataclass
class Found:
    """All figures so far. sums: method -> figure -> one value a photo; floors: by grain, areas of
    random orders; apart: largest difference from torchcam's areas."""

    chosen: argparse.Namespace
    sums: dict[str, dict[str, list[float]]]
    floors: dict[bool, list[tuple[float, float]]] = field(
        default_factory=lambda: {False: [], True: []}
    )
    apart: float = 0.0
    ratio: float | None = None
    photos: int = 0

    def add(self, asked: Question, around: list[Frame]) -> None:
        """One more photo."""
        chosen = self.chosen
        found = Comparison(asked, list(self.sums), chosen.baseline, chosen.steps, options=COARSE)
        for work in (found.draw(), found.measure()):
            for _ in work:
                pass
        for each in found.finished():
            figures, kept = found.figures(each.method), self.sums[each.method]
            strengths = ours.strength(each, 0, found.size)
            for name in ("deletion", "insertion", "gain", "seconds"):
                kept[name].append(figures[name])
            kept["pointing"].append(any(pointing(each, box) for box in around))
            if not chosen.no_road:
                kept["road"].append(road(asked, strengths))
            if self.photos < CHECKED and asked.network.head == "softmax":
                theirs = torchcam_areas(asked, strengths, chosen.baseline, chosen.steps)
                mine = np.array([figures["deletion"], figures["insertion"]])
                self.apart = max(self.apart, float(np.abs(theirs - mine).max()))
            if self.ratio is None:
                self.ratio = bare_ratio(asked, strengths, chosen.steps)
        for pixels, scores in found.floors.items():
            self.floors[pixels].append((scores.deletion.area, scores.insertion.area))
        self.photos += 1


def grid(network: Network, chosen: argparse.Namespace) -> dict[str, float]:
    """Seconds until the Compare tab's maps are there, and its scores, of photos never seen before.

    Whole photos, all methods but occlusion and RISE, as many steps as the page takes. The shared
    forward pass is in it, since a visitor waits for that one, too; the first photo only warms up.
    """
    maps, all_, ratio = [], [], 0.0
    for number, (photo, _) in zip(range(chosen.photos + 1), photos(chosen.data), strict=False):
        start = time.perf_counter()
        found = Comparison(question(network, photo), applicable(), chosen.baseline)
        for _ in found.draw():
            pass
        drawn = time.perf_counter() - start
        for _ in found.measure():
            pass
        spent = time.perf_counter() - start
        if number:
            maps.append(drawn)
            all_.append(spent)
            print(f"{number}: {found.size} maps {drawn:.2f} s, with scores {spent:.2f} s")
    strengths = ours.strength(found.finished()[0], 0, found.size)
    ratio = bare_ratio(found.question, strengths, ours.STEPS)
    took = {name: round(each.seconds, 3) for name, each in found.maps.items()}
    print(f"{network.title}, {chosen.threads} threads; the last photo, in seconds: {took}")
    return {
        "grid_s": round(median(maps), 2),
        "scores_s": round(median(all_), 2),
        "scores_vs_bare_forward": round(ratio, 3),
    }


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--photos", type=int, help="default: 50; with --grid 5")
    options.add_argument("--grid", action="store_true", help="time the Compare tab's grid instead")
    options.add_argument("--methods", nargs="+", choices=list(METHODS))
    options.add_argument("--no-road", action="store_true", help="leave ROAD out, which is slow")
    options.add_argument("--steps", type=int, default=12, help="points of a curve")
    options.add_argument("--model", default="lite0")
    options.add_argument("--baseline", default="blur", choices=list(ours.BASELINES))
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = options.parse_args()
    chosen.photos = chosen.photos or (5 if chosen.grid else 50)
    return chosen


def _figures(kept: dict[str, list[float]]) -> dict[str, float | None]:
    names = ("deletion", "insertion", "road", "pointing", "seconds")
    return {name: round(mean(kept[name]), 4) if kept[name] else None for name in names}


def report(network: Network, found: Found) -> None:
    """The table in Markdown, the best gain first."""
    chosen = found.chosen
    print(f"\n{network.title}, {found.photos} photos, baseline {chosen.baseline}, {chosen.steps} ")
    print(f"steps, {chosen.threads} threads, torch {torch.__version__}. Coarse: {COARSE}.\n")
    print(
        "| method | deletion ↓ | insertion ↑ | gain over random ↑ | ROAD ↑ | pointing ↑ | seconds |"
    )
    print("|-|-:|-:|-:|-:|-:|-:|")
    for name, kept in sorted(found.sums.items(), key=lambda pair: -mean(pair[1]["gain"] or [-9])):
        values = _figures(kept)
        gain = mean(kept["gain"]) if kept["gain"] else float("nan")
        shown = ["–" if values[k] is None else f"{values[k]:.3f}" for k in list(values)]
        cells = " | ".join([*shown[:2], f"{gain:+.3f}", *shown[2:]])
        print(f"| {METHODS[name].title} | {cells} |")
    for pixels, areas in found.floors.items():
        if areas:
            deletion, insertion = np.mean(areas, axis=0)
            grain = "pixels" if pixels else "cells"
            print(f"| random order of {grain} | {deletion:.3f} | {insertion:.3f} | | | | |")
    print(f"\nLargest difference of an area from torchcam’s: {found.apart:.1e}.\n")


if __name__ == "__main__":
    main()
