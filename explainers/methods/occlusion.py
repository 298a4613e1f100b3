"""Muting windows as a method: the drop of each class's score, by pixel.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated

import torch

from ..explanation import Explanation, Question
from ..muting import Score, Sweep, mute_in_steps, recent
from ..muting.baselines import Baseline
from ..muting.maps import drops
from ..options import Seed, Within
from ..registry import register


@register(
    "occlusion",
    title="Muting windows",
    family="perturbation",
    caption="Where the class’s score falls most when a window there is muted.",
    paper="Zeiler and Fergus 2014",
    cost="hundreds",
    home="muting",
    place=120,
)
def occlusion(
    question: Question,
    *,
    window: Annotated[int, Within(1, 4096)] = Sweep.window,
    stride: Annotated[int, Within(1, 4096)] = Sweep.stride,
    baseline: Baseline = Sweep.baseline,
    seed: Seed = Sweep.seed,
    score: Score = "logit",
) -> Iterator[Explanation]:
    """The drop of each target's score (minus that of `against`), (K, H, W)."""
    start, view = time.perf_counter(), question.view
    sweep = Sweep(window, stride, baseline, seed)
    known = recent.get(sweep.key(view))
    if known is None or known.done < 1:
        muted = mute_in_steps(question.network, view, **vars(sweep))
    else:
        muted = [known]
    found = None
    for muting in muted:
        if muting is None:  # nothing new, but whoever waits can turn away
            found = found or _nothing(question, start)
            yield found
            continue
        if muting.done >= 1:
            recent[sweep.key(view)] = muting
        values = drops(muting, question, score)
        found = question.answer("occlusion", values, muting.before[None], start, done=muting.done)
        yield found


def _nothing(question: Question, start: float) -> Explanation:
    """The explanation before any window was muted."""
    size = question.view.tensor.shape[2:]
    values = torch.zeros(len(question.targets), *size, dtype=torch.float32, device="cpu")
    logits = question.network.answer(question.view).cpu()
    return question.answer("occlusion", values, logits[None], start, done=0.0)
