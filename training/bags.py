"""Bags drawn from tiles whose every patch has one label, and how well a bag's answers are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from sklearn.metrics import roc_auc_score

LARGEST = 16  # patches in a bag while training
PURE_BENIGN, PURE_MALIGNANT = 0.45, 0.15  # shares of bags; the others mix both


@dataclass(frozen=True)
class Bank:
    """Patches of many tiles, as pixels or features.

    patches: (copies, tiles, P, ...), the first copy as scanned, the others stained anew. labels:
    (tiles,) bool, malignant. groups: (tiles,) what must stay on one side of a split (original tile,
    patient).
    """

    patches: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def take(self, chosen: np.ndarray) -> Bank:
        """The tiles where `chosen` (tiles,) is true."""
        return replace(
            self,
            patches=self.patches[:, chosen],
            labels=self.labels[chosen],
            groups=self.groups[chosen],
        )


def hold_out(groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """(tiles,) bool: a random `share` of the groups, whole groups only."""
    names = np.unique(groups)
    chosen = np.random.default_rng(seed).permutation(names)[: max(1, round(len(names) * share))]
    return np.isin(groups, chosen)


def draw_bags(
    bank: Bank, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`count` bags: patches (count, 16, ...), present (count, 16) bool, labels (count,) float32.

    Half of the bags come from one benign tile and one malignant donor, half from many tiles. A
    quarter are smaller than 16, down to a single patch. A mixed bag holds 1 to n - 1 malignant
    patches, few being as likely as many (log-uniform). Only the bag's label is handed out.
    """
    benign, malignant = np.flatnonzero(~bank.labels), np.flatnonzero(bank.labels)
    copies, _, per_tile = bank.patches.shape[:3]
    bags = np.empty((count, LARGEST, *bank.patches.shape[3:]), dtype=np.float32)
    present = np.zeros((count, LARGEST), dtype=bool)
    labels = np.zeros(count, dtype=np.float32)
    for row in range(count):
        size = int(rng.integers(1, LARGEST)) if rng.random() < 0.25 else LARGEST
        bad = _malignant(size, rng)
        if rng.random() < 0.5:
            tiles = np.repeat([rng.choice(malignant), rng.choice(benign)], [bad, size - bad])
        else:
            tiles = np.append(rng.choice(malignant, bad), rng.choice(benign, size - bad))
        cells = rng.permutation(np.resize(rng.permutation(per_tile), LARGEST))[:size]
        bags[row, :size] = bank.patches[rng.integers(copies, size=size), tiles, cells]
        bags[row, size:] = 0
        present[row, :size] = True
        labels[row] = bad > 0
    return bags, present, labels


def _malignant(size: int, rng: np.random.Generator) -> int:
    kind = rng.random()
    if kind < PURE_BENIGN:
        return 0
    if kind < PURE_BENIGN + PURE_MALIGNANT or size == 1:
        return size
    return min(int(np.exp(rng.uniform(0, np.log(size)))), size - 1)


def canvas(
    benign: np.ndarray, malignant: np.ndarray, bad: int, rng: np.random.Generator, side: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """A benign tile (H, W, 3) with `bad` of its side x side patches from a malignant tile.

    Each patch comes from its own place in the donor. Returns the picture and truth (side**2,) bool.
    """
    truth = np.zeros(side * side, dtype=bool)
    truth[rng.choice(side * side, bad, replace=False)] = True
    step = benign.shape[0] // side
    mask = truth.reshape(side, side).repeat(step, 0).repeat(step, 1)[..., None]
    return np.where(mask, malignant, benign), truth


def hits(heat: np.ndarray, truth: np.ndarray) -> float:
    """Share of canvases whose hottest patch is malignant; both (canvases, P)."""
    return float(truth[np.arange(len(truth)), heat.argmax(1)].mean())


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    return float(roc_auc_score(np.ravel(labels), np.ravel(scores)))


def mixed_scores(
    labels: np.ndarray, scores: tuple[np.ndarray, ...], bad: int, count: int, seed: int
) -> tuple[np.ndarray, ...]:
    """Canvases out of patch scores (tiles, P) that were computed before: truth, then each score.

    What a patch scores does not depend on its bag, so thousands of canvases cost nothing.
    """
    rng = np.random.default_rng(seed)
    per_tile = scores[0].shape[1]
    host, donor = rng.choice(np.flatnonzero(~labels), count), rng.choice(np.where(labels)[0], count)
    truth = np.argsort(rng.random((count, per_tile)), axis=1) < bad
    return truth, *(np.where(truth, score[donor], score[host]) for score in scores)
