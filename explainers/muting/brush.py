"""Muting any region: the visitor's own brush, and the smallest region that flips the decision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import OptionError
from ..network import Network, View
from ..network.frame import as_mask, cut, upright
from ..network.frame import shown as within
from .baselines import baseline as baseline_image
from .result import Change, Muting, Position, to_pixels


def score_mask(
    network: Network,
    view: View,
    mask: Tensor | np.ndarray,
    baseline: str = "grey",
    *,
    keep: bool = False,
    seed: int = 0,
) -> Change:
    """Probabilities before and after muting what the mask covers, or all but that with `keep`.

    mask: (H, W) of the network's input, or of the whole photo at any size; painted where it is
    above a half of its kind (bool, 0..1 or 0..255). Raises OptionError for an empty mask.
    """
    painted = input_mask(view, mask)
    if not painted.any():
        raise OptionError("Nothing is painted yet: brush over a part of the photo first.")
    x = view.tensor
    fill = baseline_image(network, x, baseline, seed)
    muted = torch.where(~painted if keep else painted, fill, x)
    after = network.probabilities(network.logits(muted).cpu())[0]
    return Change(network.probabilities(network.answer(view).cpu()), after)


def shown(network: Network, view: View, baseline: str = "grey", seed: int = 0) -> np.ndarray:
    """What is seen on the photo where it is muted, in the part of it that the network sees: uint8
    (h, w, 3), or (1, 1, 3) if it is one colour."""
    pixels = to_pixels(network, baseline_image(network, view.tensor, baseline, seed))
    down, across = upright(view.frame)
    pixels = pixels[within(view.frame, *pixels.shape[:2])][::down, ::across]
    return pixels[:1, :1] if (pixels == pixels[:1, :1]).all() else pixels


def input_mask(view: View, mask: Tensor | np.ndarray) -> Tensor:
    """bool (H, W) in the input's pixels, from a mask of the input or of the whole photo."""
    mask = as_mask(mask)
    if mask.ndim != 2:
        raise OptionError("A mask has one value for each pixel: give it as (height, width).")
    whole = 255 if mask.dtype == torch.uint8 and int(mask.max()) > 1 else 1
    mask = mask.float() / whole
    size = view.tensor.shape[2:]
    if mask.shape != size:
        mask = cut(mask, view.frame)
        mask = F.interpolate(mask[None, None], size=tuple(size), mode="area")[0, 0]
    return mask >= 0.5 if bool((mask >= 0.5).any()) else mask > 0


@dataclass(frozen=True)
class Flip:
    """A region whose muting changes the decision, as far as the search has come.

    mask: bool (H, W) of the input. positions: the windows that make it up. percent: its share of
    the photo that is seen. flipped: is the target no longer decided for (no longer first, or for a
    multi-label network below the class's threshold)? change: probabilities before and after. done:
    0 to 1. grows: are windows still being added, or given back by now?
    """

    mask: Tensor
    positions: tuple[Position, ...]
    percent: float
    flipped: bool
    change: Change
    done: float
    grows: bool = False


def smallest_flip(muting: Muting, target: int | None = None, *, batch: int = 8) -> Iterator[Flip]:
    """A small region that flips the decision, greedily from the windows' drops.

    Windows are muted together in the order of their drop until the network changes its mind; then
    each that is not needed is given back, the least important first. Yields the region as it grows
    and shrinks; if even all windows do not flip it, the last result has `flipped` False. target:
    the class to dethrone, by default the first one. Raises OptionError if it is not decided for.
    """
    target = int(muting.before.argmax()) if target is None else muting.network.resolve(target)
    if not _decided(muting, muting.before[None], target)[0]:
        raise OptionError("The network does not decide for this class anyway: choose its first.")
    falls = muting.before[target] - muting.logits[..., target]
    order = [tuple(p) for p in muting.known.nonzero().tolist()]
    order.sort(key=lambda p: -float(falls[p]))
    for at in range(0, len(order), batch):
        lots = [order[: n + 1] for n in range(at, min(at + batch, len(order)))]
        logits = _logits(muting, lots)
        decided = _decided(muting, logits, target)
        flipped = not decided.all()
        first = int((~decided).float().argmax()) if flipped else len(lots) - 1
        found = lots[first]
        given_up = not flipped and len(found) == len(order)
        done = 1.0 if given_up else 0.6 * len(found) / len(order)
        yield _flip(muting, found, logits[first], flipped, done, grows=not flipped)
        if flipped:
            break
    else:
        return
    yield from _pruned(muting, found, target, logits[first])


def _pruned(muting: Muting, found: list[Position], target: int, logits: Tensor) -> Iterator[Flip]:
    candidates = found[::-1]
    for tried, position in enumerate(candidates, 1):
        rest = [p for p in found if p != position]
        if rest:
            after = _logits(muting, [rest])
            if not _decided(muting, after, target)[0]:
                found, logits = rest, after[0]
        yield _flip(muting, found, logits, True, 0.6 + 0.4 * tried / len(candidates))


def _logits(muting: Muting, lots: Sequence[Sequence[Position]]) -> Tensor:
    masks = torch.stack([muting.mask(lot) for lot in lots])[:, None]
    return muting.network.logits(torch.where(masks, muting.fill, muting.view.tensor)).cpu()


def _decided(muting: Muting, logits: Tensor, target: int) -> Tensor:
    """(N,): is the target what the network decides for?"""
    if muting.network.head == "sigmoid":
        chances = muting.network.probabilities(logits)[:, target]
        return chances >= muting.network.thresholds[target]
    return logits.argmax(-1) == target


def _flip(
    muting: Muting,
    lot: list[Position],
    logits: Tensor,
    flipped: bool,
    done: float,
    grows: bool = False,
) -> Flip:
    mask = muting.mask(lot)
    probabilities = muting.network.probabilities
    change = Change(probabilities(muting.before), probabilities(logits))
    share = 100 * float(mask[within(muting.frame, *mask.shape)].float().mean())
    return Flip(mask, tuple(lot), share, bool(flipped), change, done, grows)
