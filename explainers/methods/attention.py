"""Where the attention of a vision transformer leads, from its answer back to the places.

Weights A (heads, T, T) say how much each token takes from each other one in a block. Followed
through all blocks they tell how much of every place arrives at the tokens that the logits are read
off: the class token, or all of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..explanation import Explanation, Question
from ..network.unfolding import Unfolded
from ..registry import register

MOST = 2**29  # bytes of weights that one pass may keep


def rollout(weights: Sequence[Tensor]) -> Tensor:
    """The product of all blocks' weights (1, heads, T, T), averaged over the heads and half of it
    the token itself, as the residual connection has it (Abnar and Zuidema 2020): (T, T)."""
    rolled = itself = torch.eye(weights[0].shape[-1], device="cpu").to(weights[0])
    for each in weights:
        rolled = (each[0].mean(0) + itself) / 2 @ rolled
    return rolled


def weighted_rollout(weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """What each token gains from each other one, over all blocks (Chefer et al. 2021, eq. 5 and 6).

    R becomes R + E(max(G A, 0)) R, with G the gradients of the logit, E the mean over the heads,
    and R the identity at first, which is taken off at the end: (T, T).
    """
    rolled = itself = torch.eye(weights[0].shape[-1], device="cpu").to(weights[0])
    for each, gradient in zip(weights, gradients, strict=True):
        rolled = rolled + (each[0] * gradient[0]).clamp(min=0).mean(0) @ rolled
    return rolled - itself


def _no_rollout(question: Question) -> str | None:
    network = question.network
    found = network.attention
    if found is None and network.attends:
        return (
            "Attention rollout needs every token to look at every other, block after block, and "
            f"{network.title} looks in windows, over channels, with fewer tokens or several times "
            "side by side somewhere; Grad-CAM is defined for it."
        )
    if found is None:
        return (
            f"Attention rollout follows the attention of a vision transformer, and {network.title} "
            "has none; Grad-CAM is defined for every network."
        )
    if (size := len(found.blocks) * found.heads * found.tokens**2 * 4) > MOST:
        return (
            f"The attention of {network.title} over {found.tokens} tokens takes "
            f"{size / 2**20:.0f} MB, and {MOST / 2**20:.0f} are kept; Grad-CAM needs less."
        )
    return None


def _places(question: Question, rolled: Tensor) -> Tensor:
    """What arrives of each place (h, w) at the tokens that the logits are read off."""
    found = question.network.attention
    reached = rolled[list(found.read)].mean(0)
    return found.layout.maps(reached[None, :, None], question.view.tensor.shape[2:])[0, 0]


_FACTS: dict[str, Any] = {
    "family": "attention",
    "cost": "one pass",
    "default": True,
    "why_not": _no_rollout,
    "suits": lambda network: network.attention is not None,
}


@register(
    "rollout",
    title="Attention rollout",
    caption="Which places reach the answer through a transformer’s attention, whatever the class.",
    paper="Abnar and Zuidema 2020",
    place=62,
    class_dependent=False,
    **_FACTS,
)
def attention_rollout(question: Question) -> Iterator[Explanation]:
    """The same map for every class; shares of one, of which no place has none."""
    start = time.perf_counter()
    with Unfolded(question.network.attention.blocks) as seen:
        recording = question.network.record(question.view.tensor, gradients=False)
    values = _places(question, rollout(seen.weights)).expand(len(question.targets), -1, -1)
    yield question.answer("rollout", values, recording.logits, start, zero=False)


@register(
    "gradient_rollout",
    title="Gradient rollout",
    caption="The attention that pushed the class up, followed from block to block.",
    paper="Chefer et al. 2021",
    place=64,
    **_FACTS,
)
def gradient_rollout(question: Question) -> Iterator[Explanation]:
    """Each block's attention weighted by the gradient of the logit; never negative."""
    start = time.perf_counter()
    with Unfolded(question.network.attention.blocks) as seen:
        recording = question.network.record(question.view.tensor)
    recording.check(question.targets, question.against)
    logits, rows = recording.logits, []
    for target in question.targets:
        score = logits[0, target]
        score = score if question.against is None else score - logits[0, question.against]
        gradients = torch.autograd.grad(score, seen.weights, retain_graph=True)
        rows.append(_places(question, weighted_rollout(seen.weights, gradients)))
    yield question.answer("gradient_rollout", torch.stack(rows).detach(), logits, start)
