"""From which error on is RISE's map one of its masks rather than of the photo?

    python benchmarks/settling.py --data DIR [--photos 10] [--masks 1024] [--grids 7 14]

DIR: photos in COCO's form. EfficientNet-Lite0, three classes of each photo: the likeliest, the
fifth and the hundredth. Each map is made twice, of other masks, and after 24 masks and each
doubling of them the two are compared: their standard error, as a share of the map's range, beside
their rank correlation. Of the thresholds on the error, that is the best which tells most maps with
which their other draw agrees by less than a half, and fewest others. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from explainers import Network, load, read
from explainers.methods.rise import Running, random_masks
from explainers.network import View
from explainers.scores.agreement import SHARES, rank_correlation
from training import coco
from training.progress import progress

RANKS = (0, 4, 99)  # of the classes, the likeliest first
FIRST, AT_ONCE = 24, 24  # masks
THRESHOLDS = (0.1, 0.14, 0.16, 0.18, 0.2, 0.22)
HALF = 0.5  # rank correlation of two draws, below which a map is rather one of its masks


def drawn(
    network: Network, view: View, targets: list[int], masks: int, grid: int, seed: int
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """The masks so far, the maps (K, H, W) and their errors (K,), at each doubling."""
    x, size = view.tensor, tuple(view.tensor.shape[2:])
    running, at = Running(len(targets), size, 0.5), FIRST
    generator = torch.Generator().manual_seed(seed)
    while running.count < masks:
        some = random_masks(AT_ONCE, size, grid, 0.5, generator)
        running.add(network.probabilities(network.logits(x * some))[:, targets], some)
        if running.count >= at:
            yield running.count, running.mean, running.unsettled()
            at *= 2


def compared(network: Network, view: View, masks: int, grid: int) -> Iterator[dict[str, Any]]:
    """Of each class and number of masks: the error, and how far the other draw agrees."""
    order = network.logits(view.tensor)[0].argsort(descending=True)
    targets = order[list(RANKS)].tolist()
    twice = (drawn(network, view, targets, masks, grid, seed) for seed in (0, 1))
    for (used, ours, error), (_, theirs, _) in zip(*twice, strict=True):
        cells = [F.adaptive_avg_pool2d(each, SHARES) for each in (ours, theirs)]
        for row, rank in enumerate(RANKS):
            agree = rank_correlation(cells[0][row], cells[1][row])
            about = {"rank": rank, "grid": grid, "masks": used}
            yield about | {"error": float(error[row]), "agreement": agree}


def report(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Print the tables; returns the numbers of the last line."""
    error, agree = (np.array([row[key] for row in rows]) for key in ("error", "agreement"))
    print("| grid | masks | error | agreement | 10th percentile |\n|-:|-:|-:|-:|-:|")
    for grid, masks in sorted({(row["grid"], row["masks"]) for row in rows}):
        some = np.array([(row["grid"], row["masks"]) == (grid, masks) for row in rows])
        low, middle = np.percentile(agree[some], (10, 50))
        print(f"| {grid} | {masks} | {np.median(error[some]):.3f} | {middle:.2f} | {low:.2f} |")
    wrong, told = agree < HALF, {}
    print("\n| threshold | noted of those that disagree | of those that agree |\n|-:|-:|-:|")
    for bound in THRESHOLDS:
        shares = [round(float((error >= bound)[some].mean()), 3) for some in (wrong, ~wrong)]
        told[bound] = shares
        print(f"| {bound} | {shares[0]:.1%} | {shares[1]:.1%} |")
    return {"maps": len(rows), "disagree": int(wrong.sum()), "noted": told}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="photos in COCO's form")
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--masks", type=int, default=1024)
    parser.add_argument("--grids", type=int, nargs="+", default=(7, 14))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    val = coco.load(chosen.data, "val2017", full=True)
    items = [val[at] for at in np.random.default_rng(0).permutation(len(val))[: chosen.photos]]
    network, rows, start = load("lite0"), [], time.perf_counter()
    for number, item in enumerate(items, 1):
        view = network.prepare(read(item.path), "crop")
        for grid in chosen.grids:
            rows += compared(network, view, chosen.masks, grid)
        progress("photos", number / len(items), start)
    print(json.dumps(report(rows)))


if __name__ == "__main__":
    main()
