"""Muting every window of a photo in turn, coarse positions first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import OptionError
from ..network import Network, View
from ..network.frame import shown
from ..recent import Recent
from ..together import together
from .baselines import baseline as baseline_image
from .incremental import Interval, begin
from .result import Muting

Key = tuple[str, int, int, str, int]  # view, window, stride, baseline, seed
MANY = 30  # windows of the first picture; with more, every other one each way comes first
COARSE = 32  # pixels between the windows of the first picture, unless fewer are asked for
MOST_SCORES = 25_000_000  # positions x classes kept, 100 MB


def windows(length: int, window: int, stride: int) -> tuple[Interval, ...]:
    """Positions 0, stride, ... along one side; the last is clipped at the border, as in captum."""
    count = max(-(-(length - window) // stride), 0) + 1
    return tuple((s, min(s + window, length)) for s in range(0, count * stride, stride))


def grid(view: View, window: int, stride: int) -> tuple[tuple[Interval, ...], tuple[Interval, ...]]:
    """Rows and columns of windows over a view, but for those that cover no part of the photo."""
    size = tuple(view.tensor.shape[2:])
    rows, columns = (
        tuple(w for w in windows(n, window, stride) if w[0] < part.stop and part.start < w[1])
        for n, part in zip(size, shown(view.frame, *size), strict=True)
    )
    return rows, columns


@dataclass(frozen=True)
class Sweep:
    """Which windows are muted, and with what.

    window, stride: pixels of the network's input. baseline: a key of `BASELINES`; seed: of its
    noise.
    """

    window: int = 32
    stride: int = 16
    baseline: str = "grey"
    seed: int = 0

    def key(self, view: View) -> Key:
        """What its results for a view are found under in `recent`."""
        seed = self.seed if self.baseline == "noise" else 0
        return view.key, self.window, self.stride, self.baseline, seed


def mute(
    network: Network, view: View, *, known: Muting | None = None, **sweep: Any
) -> Iterator[Muting]:
    """Mute every window, coarse positions first; yields the growing result after every batch.

    sweep: window, stride, baseline and seed, as in `Sweep`. known: what an earlier run of the same
    yielded before it was left; only the rest is computed. The last result is that of all positions,
    the same as if computed at once; closing the generator stops the work, unless somebody else
    waits for the same. Raises OptionError for a window or stride that is not possible.
    """
    steps = mute_in_steps(network, view, known=known, **sweep)
    return (result for result in steps if result is not None)


def mute_in_steps(
    network: Network, view: View, *, known: Muting | None = None, **sweep: Any
) -> Iterator[Muting | None]:
    """`mute`, in steps: None between results, so that whoever waits can turn away."""
    asked = Sweep(**sweep)
    key = (network.serial, *asked.key(view))
    return together(key, lambda: _swept(network, view, asked, known))


def _swept(
    network: Network, view: View, sweep: Sweep, before: Muting | None
) -> Iterator[Muting | None]:
    window, stride, baseline = sweep.window, sweep.stride, sweep.baseline
    start = time.perf_counter()
    x = view.tensor.to(network.device)
    check(network, x, window, stride)
    rows, cols = grid(view, window, stride)
    fill = baseline_image(network, x, baseline, sweep.seed)
    try:
        at_once = network.at_once(x.shape[2:])
        engine, _claim = yield from begin(network.module, x, network.memory, at_once)
    except RuntimeError as error:
        raise OptionError(network.too_different(x)) from error
    known = torch.zeros(len(rows), len(cols), dtype=torch.bool, device="cpu")
    logits = torch.full(
        (*known.shape, len(engine.logits)), float("nan"), dtype=torch.float32, device="cpu"
    )
    spent = 0.0
    if before is not None:
        known, logits, spent = before.known.clone(), before.logits.clone(), before.seconds
    facts = (network, view, fill.cpu(), window, stride, baseline, rows, cols)
    result = Muting(*facts, logits, known, engine.logits.cpu(), 0.0, 0.0, engine.note)
    for some_rows, some_cols in _passes(len(rows), len(cols), window, stride):
        lots = [rows[i] for i in some_rows], [cols[i] for i in some_cols]
        here = known[np.ix_(some_rows, some_cols)]
        for found in engine.scores(*lots, fill, here):
            if found is None:
                yield None
                continue
            batch, scores = found
            at = np.ix_(some_rows[batch.rows], some_cols[batch.cols])
            logits[at], known[at] = scores.cpu(), True
            yield replace(
                result,
                logits=logits.clone(),
                known=known.clone(),
                done=float(known.float().mean()),
                seconds=spent + time.perf_counter() - start,
            )


def check(network: Network, x: Tensor, window: int, stride: int) -> None:
    """Raises OptionError unless these windows are possible on x (1, C, H, W)."""
    height, width = x.shape[2:]
    if not (isinstance(window, int) and isinstance(stride, int) and window >= 1 and stride >= 1):
        raise OptionError("Window and stride are whole numbers of pixels, 1 or more.")
    if window > min(height, width):
        raise OptionError(
            f"A window of {window} px is larger than the photo, which the network sees at {width} "
            f"by {height} px: choose a smaller window."
        )
    if stride > window:
        raise OptionError(
            f"A stride of {stride} px would leave gaps between windows of {window} px: choose a "
            "stride no larger than the window."
        )
    positions = len(windows(height, window, stride)) * len(windows(width, window, stride))
    if positions * len(network.labels) > MOST_SCORES:
        raise OptionError(
            f"A stride of {stride} px makes {positions} positions, more than can be kept: choose a "
            "larger stride."
        )


def _passes(rows: int, cols: int, window: int, stride: int):
    """Grids of positions (row numbers, column numbers), coarse to fine, each position once."""
    step = 1
    while 2 * step * stride <= min(window, COARSE):
        step *= 2
    if rows * cols > MANY * step**2:  # what comes first should be of the whole photo all the same
        step *= 2
    had: tuple[set[int], set[int]] = set(), set()
    while step:
        now = [sorted({*range(0, n, step), n - 1}) for n in (rows, cols)]
        new_rows = [i for i in now[0] if i not in had[0]]
        new_cols = [i for i in now[1] if i not in had[1]]
        for lot in ((new_rows, now[1]), (sorted(had[0]), new_cols)):
            if all(lot):
                yield np.array(lot[0]), np.array(lot[1])
        had = set(now[0]), set(now[1])
        step //= 2


#: Done or half done, by what they were asked with; the Muting tab and the method share them.
recent: Recent[Key, Muting] = Recent()
