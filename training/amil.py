"""What the A-MIL scripts share: features, training on bags, the authors' network, measures."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from explainers.mil import (
    BACKBONE,
    FEATURES,
    INPUT,
    AttentionMIL,
    Standardise,
    embed,
    feature_head,
    pool,
    sigmoid,
)
from explainers.network import Network

from . import runs, stain
from .bags import Bank, auc, draw_bags, hits, mixed_scores
from .pixels import read
from .progress import each

WIDTH = 128  # of the head
STRENGTH = 0.25  # of the stain shift in training copies


def split(tile: np.ndarray, rows: int, columns: int) -> list[np.ndarray]:
    """A tile in rows x columns patches of one size, row by row; what is left over is dropped."""
    height, width = tile.shape[0] // rows, tile.shape[1] // columns
    return [
        tile[y * height : (y + 1) * height, x * width : (x + 1) * width]
        for y in range(rows)
        for x in range(columns)
    ]


def stained(
    tile: np.ndarray, rng: np.random.Generator | None, grid: tuple[int, int]
) -> list[np.ndarray]:
    """A tile's patches: as scanned, or with `rng` stained anew, each turned or flipped."""
    if rng is None:
        return split(tile, *grid)
    return [stain.turn(patch, rng) for patch in split(stain.shift(tile, rng, STRENGTH), *grid)]


def features(
    network: Network, paths: list[Path], number: int, grid: tuple[int, int], cache: Path | None
) -> np.ndarray:
    """Features (tiles, P, 656) float16 of copy `number` (0: as scanned), kept in `cache`."""
    stored = cache / f"features-{number}.npy" if cache else None
    if stored and stored.exists():
        return np.load(stored)
    rng = np.random.default_rng(number) if number else None
    out = np.empty((len(paths), grid[0] * grid[1], FEATURES), dtype=np.float16)
    for row, path in enumerate(each(paths, f"features of copy {number}")):
        out[row] = embed(network, stained(read(path), rng, grid)).numpy()
    if stored:
        cache.mkdir(parents=True, exist_ok=True)
        np.save(stored, out)
    return out


@dataclass(frozen=True)
class Recipe(runs.Recipe):
    """How to train on bags."""

    steps: int = 2000
    batch: int = 32  # bags
    rate: float = 1e-3
    decay: float = 1e-2
    average: float = 0.998
    warm: int = 0
    steepest: float = 5.0


class Training(runs.Run):
    """Of attention pooling, with nothing but the bags' labels."""

    def __init__(self, model: AttentionMIL, recipe: Recipe, out: Path) -> None:
        groups = [{"params": list(model.parameters()), "rate": recipe.rate}]
        super().__init__(model, groups, recipe, out)

    def batches(self, bank: Bank) -> Iterator[tuple[Tensor, ...]]:
        """Patches, which of them are there, and labels; each batch draws from (seed, step), so that
        a run that goes on ends where an unbroken one would."""
        while True:
            rng = np.random.default_rng([self.recipe.seed, self.step])
            patches, present, labels = draw_bags(bank, self.recipe.batch, rng)
            if patches.ndim > 3:  # pixels (B, 16, 4, 3, 28, 28): one quarter of each patch will do
                picked = rng.integers(4, size=patches.shape[:2])[..., None, None, None, None]
                patches = np.take_along_axis(patches, picked, 2)[:, :, 0] / np.float32(255)
            yield tuple(map(torch.from_numpy, (patches, present, labels)))

    def one(self, patches: Tensor, present: Tensor, labels: Tensor) -> tuple[float]:
        """A step; the loss."""
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.step)  # of the dropout
        logits, _, _ = self.network.train()(patches, present)
        loss = binary_cross_entropy_with_logits(logits, labels)
        self.descend(loss)
        return (loss.item(),)


def fit(
    model: AttentionMIL, bank: Bank, recipe: Recipe, out: Path, *, resume: bool = False
) -> AttentionMIL:
    """Train on bags drawn from `bank`; returns the running mean of the model, frozen.

    out: the folder of its checkpoint, from which it goes on if `resume`.
    """
    training = Training(model, recipe, out)
    if resume:
        training.resume()
    training.go(training.batches(bank), training.one, "loss")
    return training.average.eval().requires_grad_(False)


def fit_head(bank: Bank, args: Namespace, name: str) -> AttentionMIL:
    """The gated head over features of the bundled network, trained on the bank as was asked; name:
    of its checkpoint's folder."""
    torch.manual_seed(args.seed)
    head = feature_head(FEATURES, WIDTH)
    standardise(head, bank)
    recipe = Recipe(steps=args.steps or 2000, seed=args.seed)
    return fit(head, bank, recipe, args.checkpoints / name, resume=args.resume)


def save_head(head: AttentionMIL, folder: Path, patch: int, **more: Any) -> None:
    """Its weights, and what is to be known of it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(head.state_dict(), folder / "model.safetensors")
    config = {
        "backbone": BACKBONE,
        "input": INPUT,
        "patch": patch,
        "features": FEATURES,
        "width": WIDTH,
        "labels": ["benign", "malignant"],
        **more,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def standardise(model: AttentionMIL, bank: Bank) -> None:
    """Set the head's first layer to the mean and spread of the bank's features."""
    flat = bank.patches.reshape(-1, bank.patches.shape[-1]).astype(np.float32)
    first = model.encoder[0]
    assert isinstance(first, Standardise)
    first.mean.copy_(torch.from_numpy(flat.mean(0)))
    first.scale.copy_(torch.from_numpy(flat.std(0) + 1e-3))


def author_network() -> AttentionMIL:
    """The network of Patil, Tamboli et al. 2019: patches of 28 px, attention 500 -> 128 -> 1."""
    encoder = nn.Sequential(
        nn.Conv2d(3, 20, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(50 * 4 * 4, 500),
        nn.ReLU(),
    )
    return AttentionMIL(encoder, 500, 128, gated=False)


def small_patches(patches: list[np.ndarray]) -> np.ndarray:
    """Patches of 56 px as their quarters of 28 px: (N, 4, 3, 28, 28) uint8."""
    quarters = [[q.transpose(2, 0, 1) for q in split(patch, 2, 2)] for patch in patches]
    return np.array(quarters, dtype=np.uint8)


@torch.no_grad()
def patch_logits(model: AttentionMIL, patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features (tiles, P, D) -> attention and instance logits, (tiles, P) each."""
    x = torch.from_numpy(patches.reshape(-1, patches.shape[-1]).astype(np.float32))
    attention, instances = model.instances(x)
    return tuple(t.numpy().reshape(patches.shape[:2]) for t in (attention, instances))


def bag_logits(attention: np.ndarray, instances: np.ndarray) -> np.ndarray:
    """Attention and instance logits (bags, P) -> (bags,)."""
    return pool(torch.from_numpy(attention), torch.from_numpy(instances))[0].numpy()


def evaluate(model: AttentionMIL, patches: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Whole tiles, and 2000 canvases of 16 mixed patches, of features (tiles, P, D)."""
    attention, instances = patch_logits(model, patches)
    logits = bag_logits(attention, instances)
    spread = np.linspace(0, patches.shape[1] - 1, 16).astype(int)
    attention, instances = attention[:, spread], instances[:, spread]
    found = {
        "accuracy": float(((sigmoid(logits) > 0.5) == labels).mean()),
        "auc": auc(labels, logits),
    }
    one = mixed_scores(labels, (attention, instances), 1, 2000, 1)
    four = mixed_scores(labels, (attention, instances), 4, 2000, 4)
    found["hit_1_of_16"], found["hit_4_of_16"] = hits(one[1], one[0]), hits(four[1], four[0])
    found["instance_auc"] = auc(np.append(one[0], four[0]), np.append(one[2], four[2]))
    found["attention_auc"] = auc(np.append(one[0], four[0]), np.append(one[1], four[1]))
    found["mixed_bags_found"] = float((bag_logits(one[1], one[2]) > 0).mean())
    return {name: round(value, 4) for name, value in found.items()}
