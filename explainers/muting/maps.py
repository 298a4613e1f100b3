"""The maps of a muting result, ready to be drawn: the drop by pixel, score and label by position.

The three maps of Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV
2014, figure 6.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..explanation import Explanation, Question
from .result import Muting, Position, Score


def drops(muting: Muting, question: Question, score: Score) -> Tensor:
    """How far each target's score (minus that of `against`) falls, (K, H, W)."""
    values = torch.stack([muting.drop(target, score) for target in question.targets])
    return values if question.against is None else values - muting.drop(question.against, score)


def drop_map(muting: Muting, question: Question, score: Score = "logit") -> Explanation:
    """`drops` as an explanation."""
    since = time.perf_counter() - muting.seconds
    options = {"window": muting.window, "stride": muting.stride, "baseline": muting.baseline}
    return question.answer(
        "occlusion",
        drops(muting, question, score),
        muting.before[None],
        since,
        options=options | {"score": score},
        done=muting.done,
    )


def chances(muting: Muting, target: int) -> np.ndarray:
    """(rows, cols): the target's probability by position; gaps take their nearest known value."""
    return muting.filled(muting.position_scores(target, "probability")).numpy()


@dataclass(frozen=True)
class Winners:
    """The most likely class by position.

    ranks: int (rows, cols), 0 for the photo's own first class, then the others by how often they
    win; those beyond the `most` frequent share the rank `most` + 1. classes: class by rank; shares:
    of the positions done, by rank. others: share of the rest.
    """

    ranks: np.ndarray
    classes: tuple[int, ...]
    shares: tuple[float, ...]
    others: float


def winners(muting: Muting, most: int = 7) -> Winners:
    """Which class wins at each position; gaps take their nearest known value."""
    grid = muting.filled(muting.most_likely()).numpy()
    found, counts = np.unique(muting.most_likely()[muting.known].numpy(), return_counts=True)
    count = dict(zip(found.tolist(), (counts / max(counts.sum(), 1)).tolist(), strict=True))
    own = int(muting.before.argmax())
    rest = sorted((c for c in count if c != own), key=lambda c: -count[c])
    classes = (own, *rest[:most])
    ranks = np.full(grid.shape, most + 1)
    for rank, each in enumerate(classes):
        ranks[grid == each] = rank
    shares = tuple(count.get(each, 0.0) for each in classes)
    return Winners(ranks, classes, shares, max(0.0, 1 - sum(shares)) if rest[most:] else 0.0)


@dataclass(frozen=True)
class Answers:
    """What the network says with each window muted, in short.

    rows, cols: numbers of the rows and columns of windows of which something is known, r and c of
    them. after: (r, c, n), probabilities of n classes, 0 where not known. winners: (r, c), the most
    likely class, -1 where not known; chances: (r, c), its probability.
    """

    rows: tuple[int, ...]
    cols: tuple[int, ...]
    after: np.ndarray
    winners: np.ndarray
    chances: np.ndarray


def answers(muting: Muting, classes: Sequence[int]) -> Answers:
    """Of all windows at once, for those who point at one and don't want to wait."""
    rows, cols = muting.known.any(1), muting.known.any(0)
    logits = muting.logits[rows][:, cols]
    chances = muting.network.probabilities(logits).nan_to_num(0.0)
    return Answers(
        tuple(rows.nonzero().flatten().tolist()),
        tuple(cols.nonzero().flatten().tolist()),
        chances[..., list(classes)].numpy(),
        muting.most_likely()[rows][:, cols].numpy(),
        chances.amax(-1).numpy(),
    )


def strongest(muting: Muting, target: int) -> Position | None:
    """The known position where the target's logit falls most."""
    scores = muting.position_scores(target, "logit").nan_to_num(float("inf"))
    at = divmod(int(scores.argmin()), scores.shape[1])
    return at if bool(muting.known[at]) else None


def place(muting: Muting, x: float, y: float) -> Position | None:
    """The known position nearest to (x, y), given as fractions of the network's input."""
    height, width = muting.size
    return muting.at(y * height, x * width)
