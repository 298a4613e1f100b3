"""Train what is in weights/amil-colon: python -m training.amil_colon --data DIR

DIR holds labels.csv (file, label, original_tile, split) and the tiles, as described in the model
card. Nothing is chosen on the test split: a fifth of the training tiles' originals are held out for
that, and no network sees them.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression

from explainers import zoo
from explainers.mil import WEIGHTS
from explainers.network import Network

from . import stain
from .amil import (
    STRENGTH,
    Recipe,
    author_network,
    evaluate,
    features,
    fit,
    fit_head,
    save_head,
    small_patches,
    stained,
)
from .bags import Bank, hold_out
from .pixels import read
from .progress import each

GRID = (4, 4)  # patches of 56 px in a tile of 224
PARTS = ("amil", "author", "tiles")


@dataclass(frozen=True)
class Tiles:
    """paths, labels (malignant), groups (original tile) and train, one entry a tile."""

    paths: list[Path]
    labels: np.ndarray
    groups: np.ndarray
    train: np.ndarray

    @property
    def kept(self) -> np.ndarray:
        """(tiles,) bool: training tiles, less those held out to choose settings on."""
        return self.train & ~self.validation

    @property
    def validation(self) -> np.ndarray:
        """(tiles,) bool: every tile of a fifth of the training originals."""
        chosen = np.zeros(len(self.labels), dtype=bool)
        chosen[self.train] = hold_out(self.groups[self.train], 0.2, 0)
        return chosen


def load(folder: Path) -> Tiles:
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    column = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return Tiles(
        [folder / name for name in column["file"]],
        column["label"] == "malignant",
        column["original_tile"],
        column["split"] == "train",
    )


def train_amil(tiles: Tiles, network: Network, args: argparse.Namespace) -> None:
    """The gated attention head over features of the bundled network."""
    copies = range(args.copies + 1)
    patches = np.stack([features(network, tiles.paths, n, GRID, args.cache) for n in copies])
    bank = Bank(patches, tiles.labels, tiles.groups)
    head, held_out = fit_head(bank.take(tiles.kept), args, "amil"), bank.take(tiles.validation)
    print("validation", evaluate(head, held_out.patches[0], held_out.labels))
    save_head(head, args.out, 56)


def train_author(tiles: Tiles, args: argparse.Namespace) -> None:
    """The network of the A-MIL paper, on the same bags, each patch one of its four of 28 px."""
    chosen = np.flatnonzero(tiles.kept)
    shape = (args.copies + 1, len(chosen), GRID[0] * GRID[1], 4, 3, 28, 28)
    patches = np.empty(shape, dtype=np.uint8)
    for number in range(shape[0]):
        rng = np.random.default_rng(number) if number else None
        for row, tile in enumerate(each(chosen, f"pixels of copy {number}")):
            patches[number, row] = small_patches(stained(read(tiles.paths[tile]), rng, GRID))
    torch.manual_seed(args.seed)
    network = fit(
        author_network(),
        Bank(patches, tiles.labels[chosen], tiles.groups[chosen]),
        Recipe(steps=args.steps or 3600, batch=12, rate=5e-4, decay=1e-4, seed=args.seed),
        args.checkpoints / "author",
        resume=args.resume,
    )
    halves = {name: value.half() for name, value in network.state_dict().items()}
    save_file(halves, args.out / "author.safetensors")


@torch.no_grad()
def pooled(network: Network, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Whole pictures (224, 224, 3) uint8 -> (N, 1280), the global average of the last layer."""
    return final_maps(network, pictures).mean((2, 3)).numpy()


@torch.no_grad()
def final_maps(network: Network, pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """Whole pictures (224, 224, 3) uint8 -> (N, 1280, 7, 7), the last layer's activations."""
    x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    x = network.normalised(x).to(memory_format=torch.channels_last)
    return network.module.forward_features(x)


def train_tiles(tiles: Tiles, network: Network, args: argparse.Namespace) -> None:
    """A plain classifier of whole tiles, linear on the average-pooled last layer, for Grad-CAM."""
    chosen, x = np.flatnonzero(tiles.kept), []
    for number in range(args.copies + 1):
        rng = np.random.default_rng(number)
        for tile in each(chosen, f"whole tiles of copy {number}"):
            picture = read(tiles.paths[tile])
            if number:
                picture = stain.turn(stain.shift(picture, rng, STRENGTH), rng)
            x.append(pooled(network, [picture])[0])
    model = LogisticRegression(C=0.01, max_iter=2000)
    model.fit(np.array(x), np.tile(tiles.labels[chosen], args.copies + 1))
    weights = {"weight": model.coef_.astype(np.float32), "bias": model.intercept_}
    save_file(
        {name: torch.from_numpy(value).float() for name, value in weights.items()},
        args.out / "tiles.safetensors",
    )


def arguments(description: str, out: Path) -> argparse.ArgumentParser:
    """What both A-MIL scripts can be told."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--out", type=Path, default=out, help="where the weights go")
    parser.add_argument("--cache", type=Path, help="keep features there for the next run")
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints/amil"))
    parser.add_argument("--copies", type=int, default=1, help="stained copies of each tile")
    parser.add_argument("--steps", type=int, help="training steps, to try things quickly")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    return parser


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], WEIGHTS)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    tiles, network = load(args.data), zoo.load("lite0")
    if "amil" in args.only:
        train_amil(tiles, network, args)
    if "author" in args.only:
        train_author(tiles, args)
    if "tiles" in args.only:
        train_tiles(tiles, network, args)


if __name__ == "__main__":
    main()
