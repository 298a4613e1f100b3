"""RISE: which random masks leave a class its score?

Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC
2018, section 3: masks are coarse random grids, enlarged bilinearly and shifted by less than a cell;
a pixel's importance is the mean score over the masks that show it.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import notes
from ..errors import OptionError
from ..explanation import Explanation, Note, Question
from ..muting.baselines import Baseline
from ..muting.baselines import baseline as baseline_image
from ..options import Seed, Within
from ..registry import register

DRAWN = 16  # masks at a time
FEWEST = 192  # masks before it may stop by itself
ROUNDING = 4 * torch.finfo(torch.float32).eps  # of a score


def random_masks(
    count: int, size: tuple[int, int], grid: int, keep: float, generator: torch.Generator
) -> Tensor:
    """(count, 1, H, W) in 0..1: 1 shows the photo, 0 mutes it; each pixel's mean is `keep`."""
    height, width = size
    cell = math.ceil(height / grid), math.ceil(width / grid)
    drawn = torch.rand(count, 1, grid, grid, generator=generator, dtype=torch.float32, device="cpu")
    coarse = (drawn < keep).float()
    large = F.interpolate(
        coarse, size=((grid + 1) * cell[0], (grid + 1) * cell[1]), mode="bilinear"
    )
    down = torch.randint(cell[0], (count,), generator=generator, device="cpu").tolist()
    right = torch.randint(cell[1], (count,), generator=generator, device="cpu").tolist()
    return torch.stack(
        [m[:, y : y + height, x : x + width] for m, y, x in zip(large, down, right, strict=True)]
    )


class Running:
    """Running mean of score x mask / keep, and its standard error, for K targets."""

    def __init__(self, targets: int, size: tuple[int, int], keep: float) -> None:
        self.count, self.keep = 0, keep
        self.total = torch.zeros(targets, *size, dtype=torch.float64, device="cpu")
        self.squares = torch.zeros_like(self.total)
        self.low = torch.full((targets, 1, 1), torch.inf, dtype=torch.float64, device="cpu")
        self.high = -self.low

    def add(self, scores: Tensor, masks: Tensor) -> None:
        """scores: (N, K); masks: (N, 1, H, W)."""
        scores, masks = scores.double(), masks[:, 0].double()
        self.count += len(masks)
        self.low = torch.minimum(self.low, scores.amin(0)[:, None, None])
        self.high = torch.maximum(self.high, scores.amax(0)[:, None, None])
        self.total += torch.einsum("nk,nhw->khw", scores, masks)
        self.squares += torch.einsum("nk,nhw->khw", scores**2, masks**2)

    @property
    def mean(self) -> Tensor:
        """(K, H, W): the paper's equation 6, normalised by the expected mask."""
        return torch.where(self.still, self.high, self.total / (self.count * self.keep))

    @property
    def error(self) -> Tensor:
        """(K, H, W): standard error of `mean`."""
        mean = self.total / self.count
        variance = (self.squares / self.count - mean**2).clamp(min=0)
        return torch.where(self.still, 0, variance / max(self.count - 1, 1)).sqrt() / self.keep

    @property
    def still(self) -> Tensor:
        """(K, 1, 1): has every mask left the score where it was? Then each pixel's mean is that
        score, and what the masks' own density makes of it is no map."""
        return self.high - self.low <= ROUNDING * torch.maximum(self.high.abs(), self.low.abs())

    def unsettled(self) -> Tensor:
        """(K,): mean standard error as a share of the map's range."""
        mean = self.mean.flatten(1)
        span = (mean.amax(1) - mean.amin(1)).clamp(min=1e-12)
        return self.error.flatten(1).mean(1) / span


def doubts(errors: Tensor) -> tuple[Note, ...]:
    """The notes on maps that did not settle; (K,), as from `Running.unsettled`."""
    found = (notes.unsettled(error, row) for row, error in enumerate(errors.tolist()))
    return tuple(filter(None, found))


@register(
    "rise",
    title="RISE",
    family="perturbation",
    caption="Which parts must be visible for the class to be likely, over many random masks.",
    paper="Petsiuk et al. 2018",
    cost="hundreds",
    home="muting",
    place=140,
)
def rise(
    question: Question,
    *,
    masks: Annotated[int, Within(1, 100_000)] = 4000,
    grid: Annotated[int, Within(2, 512)] = 7,
    keep: Annotated[float, Within(0, 1, inside=True)] = 0.5,
    tolerance: Annotated[float, Within(0, 1000)] = 0.1,
    baseline: Baseline = "grey",
    seed: Seed = 0,
) -> Iterator[Explanation]:
    """Mean probability of each target over the masks that show a pixel, (K, H, W).

    Stops when `masks` are done, or when the mean standard error is below `tolerance` of the map's
    range; facts: the masks `used`, and where that error stands. The same seed gives the same masks.
    """
    most = min(question.view.tensor.shape[2:]) // 2
    if grid > most:
        raise OptionError(f"The grid of RISE has between 2 and {most} cells a side here.")
    start, network, x = time.perf_counter(), question.network, question.view.tensor
    fill = baseline_image(network, x, baseline, seed)
    size = tuple(x.shape[2:])
    chosen = [*question.targets, *([] if question.against is None else [question.against])]
    generator = torch.Generator().manual_seed(seed)
    logits = network.logits(x)
    running, done = Running(len(question.targets), size, keep), 0.0
    drawn = (
        random_masks(min(DRAWN, masks - first), size, grid, keep, generator)
        for first in range(0, masks, DRAWN)
    )
    for some in itertools.chain.from_iterable(each.split(network.at_once(size)) for each in drawn):
        scores = network.probabilities(network.logits(x * some + fill * (1 - some)).cpu())
        scores = scores[:, chosen]
        if question.against is not None:
            scores = scores[:, :-1] - scores[:, -1:]
        running.add(scores, some)
        errors = running.unsettled()
        unsettled = float(errors.max())
        settled = running.count >= FEWEST and unsettled <= tolerance
        share = max(running.count / masks, min((tolerance / max(unsettled, 1e-9)) ** 2, 0.99))
        done = 1.0 if settled else max(done, share)  # a bar that goes back is no bar
        yield question.answer(
            "rise",
            running.mean,
            logits,
            start,
            facts={"used": running.count, "standard_error": round(unsettled, 4)},
            zero=question.against is not None,
            notes=doubts(errors) if done >= 1 else (),
            done=done,
        )
        if settled:
            return
