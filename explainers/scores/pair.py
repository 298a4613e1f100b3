"""One photo and one class in two networks: checkpoints before and after fine-tuning, a biased
network and a mended one. How the score changes, and whose map its own deletion curve supports.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from ..explanation import Question
from ..network import Network
from ..notes import seen_from
from .comparison import Comparison
from .faithfulness import DRAWS, Scores
from .verdict import student


@dataclass(frozen=True)
class Standing:
    """How one network scores the class. rank: 1 for its first guess. seen: is the probability
    above the bound from which on the network counts as seeing it?"""

    logit: float
    chance: float
    rank: int
    seen: bool


@dataclass(frozen=True)
class Support:
    """What the deletion curves say of two networks' maps.

    leads: how much sooner than in a random order each network loses the class when its own map
    says which pixels leave, as a share of the probability that it starts with. noise: what a
    repetition would change by chance; smaller differences are ties.
    """

    leads: tuple[float, float]
    noise: float

    @property
    def best(self) -> int | None:
        """0 or 1, or None for a tie."""
        first, second = self.leads
        return None if abs(second - first) <= self.noise else int(second > first)

    @property
    def weak(self) -> list[int]:
        """Those whose map does no better than a random order."""
        return [i for i, lead in enumerate(self.leads) if lead <= self.noise]


def counterpart(network: Network, other: Network, target: int) -> int:
    """The class of the same name in another network; raises TargetError if it has none."""
    if other.labels == network.labels:  # a name may be several classes'
        return target
    return other.resolve(network.labels[target])


def standing(question: Question, row: int = 0) -> Standing:
    """How the question's network scores that target."""
    network, target = question.network, question.targets[row]
    logits = network.answer(question.view)
    chance = float(network.probabilities(logits)[target])
    rank = 1 + int((logits > logits[target]).sum())
    return Standing(float(logits[target]), chance, rank, chance >= seen_from(network, target))


def support(before: Comparison, after: Comparison, method: str) -> Support | None:
    """Whose deletion curve falls sooner, each held against random orders of its own network.

    None until both maps are measured twice (`Comparison.measure` and `repeat`). What a repetition
    with other fillings changes, for maps and random orders alike, is noise, as in `verdict`.
    """
    leads, squares, freedom = [], 0.0, 0
    for side in (before, after):
        pixels = side.maps[method].per_pixel if method in side.maps else None
        if not (method in side.again and pixels in side.orders_again):
            return None
        first = [_left(each) for each in (side.scores[method], *side.orders[pixels])]
        again = [_left(each) for each in (side.again[method], *side.orders_again[pixels])]
        leads.append(float(np.mean(first[1:])) - first[0])
        changes = np.subtract(first, again)
        squares += float(np.square(changes - changes.mean()).sum())
        freedom += len(changes) - 1
    spread = sqrt(squares / freedom * (1 + 1 / DRAWS))  # each lead is one from a mean of its own
    return Support((leads[0], leads[1]), student(freedom) * spread)


def _left(scores: Scores) -> float:
    """What the deletion curve leaves of the probability it starts with, on average."""
    return scores.deletion.area / max(scores.deletion.chances[0], 1e-12)
