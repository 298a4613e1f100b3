"""Which windows are computed together, and up to which step on rectangles: by estimated cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Size

from .. import cores
from .steps import Step

MEMORY = 128 * 2**20  # bytes of maps that one lot may hold at a time; more makes nothing quicker
WORK = 16e9  # multiply-adds in one lot: a third of a second on one core, then it can be stopped
TOUCH = 24  # multiply-adds that fit in the time of moving one number
CALL = 10e6  # ... and of calling one operator
READ = 40  # ... and of reading one weight, Winograd's copies included
BINS = 7  # kinds of like rectangles along an axis, at most


@dataclass(frozen=True)
class Spans:
    """Along one axis, for each value: where each window changes it. lo, hi: (values, windows)."""

    lo: np.ndarray
    hi: np.ndarray
    sizes: tuple[int, ...]

    def held(self, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Starts (values, members) and lengths (values,) of equally long spans around them."""
        lo, hi = self.lo[:, members], self.hi[:, members]
        length = np.maximum((hi - lo).max(1), 1)
        return np.minimum(lo, np.array(self.sizes)[:, None] - length[:, None]), length

    def bins(self, count: int) -> list[np.ndarray]:
        """Windows in at most `count` lots of like size (at the border there is less to change)."""
        extent = (self.hi - self.lo) / np.array(self.sizes)[:, None]
        order = extent.sum(0).argsort(kind="stable")
        return [np.sort(lot) for lot in np.array_split(order, min(count, len(order)))]


@dataclass(frozen=True)
class Batch:
    """Windows of equal rectangles: the rows x the columns, by number. The steps before `cut` work
    on rectangles. macs, bytes: what all of them cost, and the most that they hold at a time."""

    rows: np.ndarray
    cols: np.ndarray
    cut: int
    macs: float
    bytes: float


class Planner:
    """What each step costs for rectangles of any size, and the cheapest division into batches.

    steps, shapes: of the network's values; stop: the first step that reads whole maps; last_use: of
    each value, by step.
    """

    def __init__(
        self, steps: Sequence[Step | None], shapes: Sequence[Size], stop: int, last_use: dict
    ) -> None:
        known, count = [s for s in steps if s], len(steps)
        self.stop = stop
        self.channels = np.array([s[1] if len(s) > 1 else 1 for s in shapes], float)
        self.full = np.array([s[2] * s[3] if len(s) == 4 else 1 for s in shapes], float)
        self.per = np.array([0, *(s.macs for s in known)]) + TOUCH * self.channels
        self.per[0] = 0
        self.weights = np.array([0, *(s.macs if s.name == "convolution" else 0 for s in known)])
        self.stride = np.array([(1, 1), *(s.stride for s in known)])
        self.reach = np.array([(0, 0), *(s.reach for s in known)])
        edges = [(i, v) for i, s in enumerate(steps) if s for v in s.inputs]
        self.readers, self.sources = (np.array(column) for column in zip(*edges, strict=True))
        self.read = np.bincount(self.readers, self.channels[self.sources], count)
        last = np.array([last_use.get(v, 0) for v in range(count)])
        step, value = np.arange(count)[:, None], np.arange(count)[None]
        self.alive = ((value < step) & (last >= step)) | (value == step)
        crossing = (value < step) & (last >= step)  # has to be pasted at a cut before this step
        self.paste = crossing @ (TOUCH * self.channels * self.full)

    def costs(self, height: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Estimated cost of each step for one window: on rectangles, and on whole maps."""
        area, reads = height * width, self._reads(height, width)
        wide = reads[self.readers] > area[self.sources]  # the ring has to be fetched
        fetched = 2 * TOUCH * reads[self.readers] * self.channels[self.sources] * wide
        patch = self.per * area + np.bincount(self.readers, fetched, len(area))
        return patch, self.per * self.full

    def _reads(self, height: np.ndarray, width: np.ndarray) -> np.ndarray:
        """How many places of its inputs each step reads for a rectangle of its output."""
        down, across = (
            (length - 1) * self.stride[:, axis] + self.reach[:, axis] + 1
            for axis, length in enumerate((height, width))
        )
        return down * across

    def cut(self, height: np.ndarray, width: np.ndarray) -> tuple[int, float]:
        """The cheapest step to go over to whole maps at, and the cost for one window."""
        patch, whole = self.costs(height, width)
        totals = np.cumsum(patch)[: self.stop] + (whole.sum() - np.cumsum(whole)[: self.stop])
        totals = totals + self.paste[1 : self.stop + 1]
        best = int(totals.argmin())
        return best + 1, float(totals[best])

    def bytes(self, height: np.ndarray, width: np.ndarray, cut: int) -> float:
        """The most that one window's maps take at any time."""
        context = 4 * self._reads(height, width) * self.read
        before = (self.alive[:cut] @ (4 * self.channels * height * width) + context[:cut]).max()
        after = (self.alive[cut:] @ (4 * self.channels * self.full)).max()
        return float(max(before, after))

    def lots(self, rows: Spans, cols: Spans) -> list[list[Batch]]:
        """The cheapest division into batches of equal rectangles, by estimated cost.

        The batches of a lot run side by side, and from their cuts on together.
        """
        best, least = [], float("inf")
        for count in range(1, BINS + 1):
            cores.give_way()
            plan = self._divide(rows.bins(count), cols.bins(count), rows, cols)
            cost = sum(
                b.macs + CALL * b.cut + READ * float(self.weights[: b.cut].sum()) for b in plan
            )
            if cost < least:
                best, least = plan, cost
        return _together(best)

    def _divide(self, row_bins, col_bins, rows: Spans, cols: Spans) -> list[Batch]:
        plan = []
        widths = [cols.held(c)[1] for c in col_bins]
        for r in row_bins:
            height = rows.held(r)[1]
            for c, width in zip(col_bins, widths, strict=True):
                cut, cost = self.cut(height, width)
                size = self.bytes(height, width, cut)
                room = min(MEMORY / size, WORK / cost)
                across = max(1, min(len(c), int(room / len(r)) or int(room)))
                down = max(1, min(len(r), int(room / across)))
                for some_rows in np.array_split(r, -(-len(r) // down)):
                    for some_cols in np.array_split(c, -(-len(c) // across)):
                        n = len(some_rows) * len(some_cols)
                        plan.append(Batch(some_rows, some_cols, cut, cost * n, size * n))
        return plan


def _together(plan: list[Batch]) -> list[list[Batch]]:
    """Neighbours in lots that respect the limits."""
    lots: list[list[Batch]] = []
    for batch in sorted(plan, key=lambda each: each.cut):
        lot = [*lots[-1], batch] if lots else [batch]
        within = sum(b.macs for b in lot) <= WORK and sum(b.bytes for b in lot) <= MEMORY
        if lots and within:
            lots[-1] = lot
        else:
            lots.append([batch])
    return lots
