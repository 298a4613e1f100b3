"""Patches as a map: how sure the network is of the class when it sees one patch alone.

Instance-level multiple instance learning with a network that was trained on whole photos. The
Patches tab reads the photo's own pixels this way; here it is the network's input that is cut, so
that the map stands beside the others and is scored like them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated

import torch
import torch.nn.functional as F

from ..errors import OptionError
from ..explanation import Explanation, Question
from ..mil.patches import MAX_OVERLAP, cut, stitch
from ..options import Within
from ..registry import register

LEAST = 16  # pixels of a patch
SHARE = 1 / 2


@register(
    "patches",
    title="Patches",
    family="patches",
    caption="How sure the network is of the class when it sees one patch alone.",
    paper="Patil, Tamboli et al. 2019",
    cost="dozens",
    home="patches",
    place=130,
)
def patches(
    question: Question,
    *,
    patch: Annotated[int, Within(LEAST, 4096)] | None = None,
    overlap: Annotated[float, Within(0, MAX_OVERLAP)] = 0.5,
) -> Iterator[Explanation]:
    """Probability of each target (minus that of `against`) in the patches over a pixel, (K, H, W).

    patch: side in pixels of the input (default: half of the shorter side); each is enlarged
    bilinearly to the network's own size. A pixel under several patches has their mean, one that no
    patch covers yet has 0.
    """
    start, network, x = time.perf_counter(), question.network, question.view.tensor
    patch = round(min(x.shape[2:]) * SHARE) if patch is None else patch
    if not LEAST <= patch <= min(x.shape[2:]):
        raise OptionError(f"A patch has {LEAST} to {min(x.shape[2:])} pixels a side here.")
    grid = cut(x[0].permute(1, 2, 0).numpy(), patch, overlap)
    parts = [torch.from_numpy(part).permute(2, 0, 1)[None] for part in grid.patches]
    logits, found = network.recorded(question.view, network.last).logits, []
    for first in range(0, len(parts), network.at_once()):
        some = [F.interpolate(p, network.shape, mode="bilinear", antialias=True)
                for p in parts[first : first + network.at_once()]]  # fmt: skip
        chances = network.probabilities(network.logits(torch.cat(some))).cpu()
        values = chances[:, list(question.targets)]
        if question.against is not None:
            values = values - chances[:, [question.against]]
        found.append(values)
        read = torch.cat(found).T.numpy()
        done = read.shape[1] / len(grid)
        laid = torch.stack([torch.from_numpy(stitch(v, grid.boxes, grid.size)) for v in read])
        yield question.answer(
            "patches",
            laid if done == 1 else laid.nan_to_num(),
            logits,
            start,
            options={"patch": patch},
            zero=question.against is not None,
            done=done,
        )
