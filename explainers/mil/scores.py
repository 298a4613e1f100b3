"""An ordinary photo as a bag: every patch through the network at its own scale, then pooled.

Instance-level multiple instance learning with a network that was trained on whole photos: no
attention is learned, a patch's probability is its confidence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ..errors import OptionError
from ..network import Network
from .attention import as_batch
from .patches import Grid, cut, stitch

Pooling = Literal["max", "mean", "lse", "noisy-or"]
SHARPNESS = 10.0  # of log-sum-exp: 0 would be the mean, infinity the maximum


def log_sum_exp(p: np.ndarray) -> np.ndarray:
    """A smooth maximum over the patches (Pinheiro and Collobert 2015), of p (n, ...)."""
    top = p.max(0)
    return top + np.log(np.exp(SHARPNESS * (p - top)).mean(0)) / SHARPNESS


def noisy_or(p: np.ndarray) -> np.ndarray:
    """The chance that at least one patch is right, were they independent, of p (n, ...)."""
    return 1 - np.exp(np.log1p(-np.minimum(p, 1 - 1e-9)).sum(0))


POOLINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "max": lambda p: p.max(0),
    "mean": lambda p: p.mean(0),
    "lse": log_sum_exp,
    "noisy-or": noisy_or,
}


@dataclass(frozen=True)
class PatchScores:
    """The first n patches of `grid`: `all_probabilities` (n, classes) of the network.

    Everything else follows from them, so another target or pooling is `dataclasses.replace` and
    costs no forward pass. done: 0 to 1.
    """

    grid: Grid
    targets: tuple[int, ...]
    pooling: Pooling
    all_probabilities: np.ndarray
    seconds: float

    @property
    def done(self) -> float:
        return len(self.all_probabilities) / len(self.grid)

    @property
    def probabilities(self) -> np.ndarray:
        """(n, K) of the targets."""
        return self.all_probabilities[:, list(self.targets)]

    @property
    def bag(self) -> np.ndarray:
        """(K,) pooled probability of each target, of what was read so far."""
        return POOLINGS[self.pooling](self.probabilities)

    def top(self, row: int = 0, count: int = 5) -> np.ndarray:
        """(count,) numbers of the patches most sure of target `row`, best first."""
        return np.argsort(-self.probabilities[:, row], kind="stable")[:count]

    def rank(self, patch: int, row: int = 0) -> int:
        """Place of a patch for target `row`, 1 for the most sure."""
        values = self.probabilities[:, row]
        return int((values > values[patch]).sum()) + 1

    def remove_top(self, row: int = 0) -> np.ndarray:
        """(n,) the bag's score without its 0, 1, ... n - 1 top patches."""
        values = np.sort(self.probabilities[:, row])[::-1]
        return np.array([POOLINGS[self.pooling](values[k:]) for k in range(len(values))])

    def picture(self, row: int = 0) -> np.ndarray:
        """Confidence in target `row` over the photo: (H, W), NaN where nothing was read yet."""
        return stitch(self.probabilities[:, row], self.grid.boxes, self.grid.size)


def patch_scores(
    network: Network,
    pixels: np.ndarray,
    targets: Sequence[int | str] | int | str,
    patch: int = 112,
    overlap: float = 0.0,
    pooling: Pooling = "max",
) -> Iterator[PatchScores]:
    """Send every patch of a photo (H, W, 3) uint8 through the network; yields growing scores.

    Raises TargetError for an unknown class, OptionError for an unknown pooling, more than 2000
    patches, or a photo under 16 px a side.
    """
    if pooling not in POOLINGS:
        raise OptionError(f"The poolings are {', '.join(POOLINGS)}: choose one of them.")
    named = [targets] if isinstance(targets, int | str) else targets
    chosen = tuple(dict.fromkeys(network.resolve(target) for target in named))
    if not chosen:
        raise OptionError("Choose a class to look for.")
    grid = cut(pixels, patch, overlap)
    start, read = time.perf_counter(), []
    some, size = network.at_once(), network.size if network.any_size else network.shape
    for first in range(0, len(grid), some):
        x = as_batch(grid.patches[first : first + some], size, network)
        with torch.no_grad():
            read.append(network.probabilities(network.logits(x)).cpu().double().numpy())
        seconds = time.perf_counter() - start
        yield PatchScores(grid, chosen, pooling, np.concatenate(read), seconds)
