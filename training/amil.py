"""What the A-MIL scripts share: features, one training loop, the authors' network, measures."""

from __future__ import annotations

import copy
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm, trange

from explainers.mil import FEATURES, AttentionMIL, Standardise, embed, pool, sigmoid
from explainers.network import Network

from . import stain
from .bags import Bank, auc, draw_bags, hits, mixed_scores

STRENGTH = 0.25  # of the stain shift in training copies
DECAY = 0.998  # of the running mean of the weights


def read(path: Path) -> np.ndarray:
    """A tile as (H, W, 3) uint8 RGB."""
    return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


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
    for row, path in enumerate(tqdm(paths, f"features of copy {number}")):
        out[row] = embed(network, stained(read(path), rng, grid)).numpy()
    if stored:
        cache.mkdir(parents=True, exist_ok=True)
        np.save(stored, out)
    return out


def fit(
    model: AttentionMIL,
    bank: Bank,
    *,
    steps: int,
    bags: int,
    rate: float,
    decay: float,
    seed: int,
    checkpoint: Path,
    resume: bool = False,
    every: int = 200,
) -> AttentionMIL:
    """Train on bags drawn from `bank`, with nothing but the bags' labels; returns a frozen model.

    The model returned has the running mean of the weights. Each step draws from (seed, step), so
    that a run continued from `checkpoint` ends where an unbroken one would.
    """
    mean, optimiser = copy.deepcopy(model), torch.optim.AdamW(model.parameters(), rate)
    optimiser.param_groups[0]["weight_decay"] = decay
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    parts = {"model": model, "mean": mean, "optimiser": optimiser, "schedule": schedule}
    first = 0
    if resume and checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        first = saved.pop("step")
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    bar, running = trange(first, steps, initial=first, total=steps), None
    for step in bar:
        loss = _step(model, bank, bags, optimiser, seed, step)
        schedule.step()
        _follow(mean, model, min(DECAY, (1 + step) / (10 + step)))
        running = loss if running is None else 0.98 * running + 0.02 * loss
        bar.set_postfix(loss=f"{running:.4f}")
        if (step + 1) % every == 0 or step + 1 == steps:
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            state = {name: part.state_dict() for name, part in parts.items()}
            torch.save({"step": step + 1, **state}, checkpoint)
    return mean.eval().requires_grad_(False)


def _step(
    model: AttentionMIL,
    bank: Bank,
    bags: int,
    optimiser: torch.optim.Optimizer,
    seed: int,
    step: int,
) -> float:
    torch.manual_seed(seed * 1_000_003 + step)
    rng = np.random.default_rng([seed, step])
    patches, present, labels = draw_bags(bank, bags, rng)
    if patches.ndim > 3:  # pixels (B, 16, 4, 3, 28, 28): one quarter of each patch will do
        picked = rng.integers(4, size=patches.shape[:2])[..., None, None, None, None]
        patches = np.take_along_axis(patches, picked, 2)[:, :, 0] / np.float32(255)
    x, mask = torch.from_numpy(patches), torch.from_numpy(present)
    model.train()
    logits, _, _ = model(x, mask)
    loss = binary_cross_entropy_with_logits(logits, torch.from_numpy(labels))
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimiser.step()
    return loss.item()


@torch.no_grad()
def _follow(mean: nn.Module, model: nn.Module, decay: float) -> None:
    for kept, now in zip(mean.parameters(), model.parameters(), strict=True):
        kept.lerp_(now, 1 - decay)


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
