"""Which explanation finds the malignant patches? A-MIL, the A-MIL paper's network, Grad-CAM.

    python benchmarks/amil.py --data DIR [--canvases 400] [--weights DIR] [--seed 0]

DIR holds labels.csv and the tiles of the test split, as weights/amil-colon/README.md says. Whole
tiles give accuracy and AUC. Mixed canvases, a benign tile with 1 or 4 of its 16 patches from a
malignant one, give the rest: does the hottest patch (attention; mean heat of Grad-CAM) come from
the malignant tile, and do malignant patches score higher (instance AUC: instance logits; signed
mean heat). Three conditions: as scanned; each tile stained anew (shift); all tiles brought to one
tint (matched). The same canvases for every side. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from explainers import zoo  # noqa: E402
from explainers.mil import WEIGHTS, embed, load_amil  # noqa: E402
from explainers.network import Network  # noqa: E402
from training import stain  # noqa: E402
from training.amil import author_network, bag_logits, small_patches, split  # noqa: E402
from training.amil_colon import GRID, Tiles, final_maps, load  # noqa: E402
from training.bags import auc, canvas, hits  # noqa: E402
from training.pixels import read  # noqa: E402
from training.progress import each  # noqa: E402

SIDES = ("A-MIL", "author's network", "Grad-CAM")
CONDITIONS = ("plain", "shift", "matched")
SHIFT = 0.15


@dataclass(frozen=True)
class Scores:
    """Of every tile, at 16 patches each. bags: logits (tiles,); attention, instances: (tiles, 16).

    Neither network of patches sees past a patch, so a canvas's scores are its patches' scores.
    """

    bags: np.ndarray
    attention: np.ndarray
    instances: np.ndarray


def pictures(tiles: Tiles, condition: str, seed: int) -> list[np.ndarray]:
    """The test tiles under one condition, each (224, 224, 3) uint8."""
    scanned = [
        read(path) for path, train in zip(tiles.paths, tiles.train, strict=True) if not train
    ]
    if condition == "shift":
        rngs = [np.random.default_rng([seed, 9, row]) for row in range(len(scanned))]
        return [stain.shift(tile, rng, SHIFT) for tile, rng in zip(scanned, rngs, strict=True)]
    if condition == "matched":
        training = [path for path, kept in zip(tiles.paths, tiles.train, strict=True) if kept]
        reference = np.mean([stain.tint(read(path)) for path in training[::10]], 0)
        return [stain.match(tile, reference) for tile in scanned]
    return scanned


@torch.no_grad()
def score_amil(head: torch.nn.Module, network: Network, tiles: list[np.ndarray]) -> Scores:
    found = [head.instances(embed(network, split(tile, *GRID))) for tile in each(tiles, "A-MIL")]
    attention, instances = (np.stack([pair[i].numpy() for pair in found]) for i in (0, 1))
    return Scores(bag_logits(attention, instances), attention, instances)


@torch.no_grad()
def score_author(network: torch.nn.Module, tiles: list[np.ndarray]) -> Scores:
    """Four patches of 28 px make one of 16: their mean attention and instance logit count."""
    found = []
    for tile in each(tiles, "author's network"):
        x = torch.from_numpy(small_patches(split(tile, *GRID))).flatten(0, 1).float() / 255
        found.append([t.numpy() for t in network.instances(x)])
    attention, instances = (np.stack([pair[i] for pair in found]) for i in (0, 1))
    bags = bag_logits(attention, instances)
    attention = np.exp(attention.astype(np.float64))
    return Scores(bags, *(t.reshape(len(tiles), -1, 4).mean(2) for t in (attention, instances)))


@torch.no_grad()
def heat(network: Network, weight: torch.Tensor, tile: np.ndarray) -> np.ndarray:
    """Grad-CAM of the plain classifier, signed, as its mean over each of the 16 patches.

    The classifier is linear on the average-pooled last layer, so the gradients' mean over a map is
    that map's weight over its area: Grad-CAM is the weighted sum up to a constant.
    """
    cam = (final_maps(network, [tile])[0] * weight.reshape(-1, 1, 1)).sum(0).numpy()
    large = cv2.resize(cam, tile.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.array([part.mean() for part in split(large, *GRID)])


def draw(labels: np.ndarray, bad: int, count: int, seed: int) -> list[tuple[int, int, int]]:
    """(benign tile, malignant donor, seed of the places) of each canvas."""
    rng = np.random.default_rng([seed, bad])
    hosts, donors = (rng.choice(np.flatnonzero(labels == kind), count) for kind in (False, True))
    return [
        (int(h), int(d), int(s))
        for h, d, s in zip(hosts, donors, rng.integers(1 << 30, size=count), strict=True)
    ]


def measure(
    labels: np.ndarray, bags: np.ndarray, mixed: dict[int, tuple[np.ndarray, ...]]
) -> dict[str, float]:
    """mixed: malignant patches -> truth, attention and instance scores of its canvases."""
    truth, attention, instances = (
        np.concatenate([mixed[bad][i] for bad in mixed]) for i in range(3)
    )
    found = {
        "accuracy": float(((bags > 0) == labels).mean()),
        "auc": auc(labels, bags),
        "hit_1_of_16": hits(mixed[1][1], mixed[1][0]),
        "hit_4_of_16": hits(mixed[4][1], mixed[4][0]),
        "instance_auc": auc(truth, instances),
        "attention_auc": auc(truth, attention),
    }
    return {name: round(value, 4) for name, value in found.items()}


def assemble(scores: Scores, canvases: list[tuple[int, int, int]], bad: int) -> tuple:
    """Truth, attention and instance scores (canvases, 16) out of the tiles' scores."""
    parts = []
    for host, donor, seed in canvases:
        rng = np.random.default_rng(seed)
        empty = np.zeros((GRID[0], GRID[1], 1))
        _, truth = canvas(empty, empty + 1, bad, rng)
        pick = [np.where(truth, s[donor], s[host]) for s in (scores.attention, scores.instances)]
        parts.append((truth, *pick))
    return tuple(np.stack(part) for part in zip(*parts, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--canvases", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    tiles, network = load(args.data), zoo.load("lite0")
    head, author = load_amil(args.weights), author_network().eval()
    stored = load_file(args.weights / "author.safetensors")
    author.load_state_dict({name: value.float() for name, value in stored.items()})
    plain = load_file(args.weights / "tiles.safetensors")
    labels = tiles.labels[~tiles.train]
    drawn = {bad: draw(labels, bad, args.canvases, args.seed) for bad in (1, 4)}
    results: dict[str, dict[str, dict[str, float]]] = {side: {} for side in SIDES}
    for condition in CONDITIONS:
        shown = pictures(tiles, condition, args.seed)
        for side, scores in (
            ("A-MIL", score_amil(head, network, shown)),
            ("author's network", score_author(author, shown)),
        ):
            mixed = {bad: assemble(scores, drawn[bad], bad) for bad in drawn}
            results[side][condition] = measure(labels, scores.bags, mixed)
        results["Grad-CAM"][condition] = grad_cam(network, plain, shown, labels, drawn)
    report(results)


def grad_cam(network: Network, plain: dict, shown: list, labels: np.ndarray, drawn: dict) -> dict:
    weight, bias = plain["weight"][0], plain["bias"]
    maps = (final_maps(network, [tile])[0].mean((1, 2)) for tile in each(shown, "tiles"))
    bags = np.array([float(pooled @ weight + bias) for pooled in maps])
    mixed = {}
    for bad, canvases in drawn.items():
        rows = []
        for host, donor, seed in each(canvases, f"Grad-CAM, {bad} of 16"):
            made, truth = canvas(shown[host], shown[donor], bad, np.random.default_rng(seed))
            rows.append((truth, heat(network, weight, made)))
        truth, found = (np.stack(part) for part in zip(*rows, strict=True))
        mixed[bad] = truth, found, found
    return measure(labels, bags, mixed)


def report(results: dict[str, dict[str, dict[str, float]]]) -> None:
    names = list(results["A-MIL"]["plain"])
    print(f"\n{'':18}{'':9}" + "".join(f"{name:>15}" for name in names))
    for side, conditions in results.items():
        for condition, found in conditions.items():
            print(f"{side:18}{condition:9}" + "".join(f"{found[name]:>15.4f}" for name in names))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
