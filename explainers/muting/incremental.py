"""Occlusion that computes only what a muted window changes; the results are exact.

When a small window of the photo changes, most of every early feature map does not. The changed
rectangle alone is propagated, and the ring around it that a layer reads comes from the maps of the
unmuted photo (Nakandala, Kumar, Papakonstantinou, "Incremental and Approximate Inference for Faster
Occlusion-based Deep CNN Explanations", SIGMOD 2019, section 3). Windows lie on a grid, so all
geometry is that of rows and of columns, and windows with like rectangles share a batch.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..recent import Recent
from .steps import Step
from .tape import record

Interval = tuple[int, int]

MEMORY = 320 * 2**20  # bytes of maps that one batch may hold at a time
WORK = 40e9  # multiply-adds in one batch: half a second on two cores
TOUCH = 24  # multiply-adds that fit in the time of moving one number
CALL = 1.5e6  # ... and of calling one operator
READ = 40  # ... and of reading one weight, Winograd's copies included


# Steps hold prepared copies of the weights: those of the last networks serve their next photos.
_known: Recent[tuple, list[Step | None]] = Recent(2)


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


@dataclass(frozen=True)
class Batch:
    """Windows computed together: the rows x the columns, by number; `cut`: see `Incremental`."""

    rows: np.ndarray
    cols: np.ndarray
    cut: int
    macs: float


class Incremental:
    """Scores one photo with many windows muted.

    Recording costs two forward passes. The steps before a batch's `cut` work on rectangles; at the
    cut these are pasted into the photo's own maps, and the rest of the network runs on whole maps,
    where that is cheaper (the rectangles have grown) or where a layer reads the whole map.

    logits: (classes,) of the unmuted photo. note: a sentence if the network allows little or none
    of this, else None. Nothing is changed in `module`.
    """

    def __init__(self, module: nn.Module, x: Tensor) -> None:
        self.x = x.detach().contiguous(memory_format=torch.channels_last)
        self.note: str | None = None
        with torch.no_grad():
            reference = module(self.x)
            followed = self._follow(module, reference, again=False)
            followed = followed or self._follow(module, reference, again=True)
        if not followed:
            self.steps = [None, Step("network", (0,), reference.shape, lambda xs: module(xs[0]))]
            self.maps = [self.x, reference]
        self.logits = reference[0].float()
        self._padded: dict[tuple, Tensor] = {}
        self.first_whole = next(i for i, s in enumerate(self.steps) if s and not s.local)
        self.sizes = [tuple(m.shape[2:]) if m.ndim == 4 else (1, 1) for m in self.maps]
        self.weights = sum(p.numel() for p in module.parameters())
        self._last_use = {v: i for i, s in enumerate(self.steps) if s for v in s.inputs}
        self._describe()

    def _follow(self, module: nn.Module, reference: Tensor, again: bool) -> bool:
        """Find the steps, known ones first, and check that they lead to the same logits."""
        key = weakref.ref(module), tuple(self.x.shape), self.x.device
        steps = None if again else _known.get(key)
        if steps is None and not again:
            return False
        try:
            self.steps = steps or record(module, self.x)
            self.maps = self._run_all()
            close = (self.maps[-1] - reference).abs().max() <= 1e-4 * _range(reference)
        except Exception:  # whatever an unknown network does, muting still works
            return False
        if close:
            _known[key] = self.steps
        return bool(close)

    def _run_all(self) -> list[Tensor]:
        maps = [self.x]
        for step in self.steps[1:]:
            maps.append(_finish(step, step.run([maps[v] for v in step.inputs])))
        return maps

    def _describe(self) -> None:
        work = [s.macs * s.size[0] * s.size[1] if s else 0 for s in self.steps]
        total = sum(work)
        late = sum(w for w, size in zip(work, self.sizes, strict=True) if size != (1, 1))
        late -= sum(work[: self.first_whole])
        if len(self.steps) == 2:
            self.note = (
                "This network can't be followed layer by layer, so every window is a full pass."
            )
        elif late > 0.02 * total:
            self.note = (
                "A layer of this network can’t be followed window by window (it looks at the whole "
                "picture, as squeeze-and-excitation does, or enlarges a map), so from there on, "
                f"{late / total:.0%} of the work, every window is a full pass: exact, but slower."
            )

    # --- geometry ------------------------------------------------------------------------------

    def spans(self, axis: int, windows: Sequence[Interval]) -> Spans:
        """How each window's changed interval grows along one axis (0: rows, 1: columns)."""
        bounds = np.array(windows, dtype=np.int64).reshape(-1, 2)
        lo, hi = [bounds[:, 0]], [bounds[:, 1]]
        for i, step in enumerate(self.steps[1:], 1):
            size = self.sizes[i][axis]
            below = np.min([lo[v] for v in step.inputs], 0)
            above = np.max([hi[v] for v in step.inputs], 0)
            if step.local:
                stride, pad = step.stride[axis], step.before[axis]
                below = -(-(below + pad - step.reach[axis]) // stride)
                above = (above - 1 + pad) // stride + 1
            else:
                below, above = np.zeros_like(below), np.full_like(above, size)
            lo.append(below.clip(0, size - 1))
            hi.append(above.clip(1, size))
        return Spans(np.stack(lo), np.stack(hi), tuple(s[axis] for s in self.sizes))

    def work(self, rows: Sequence[Interval], cols: Sequence[Interval]) -> tuple[float, float]:
        """Multiply-adds of full passes for these windows, and of their exact rectangles alone."""
        a, b = self.spans(0, rows), self.spans(1, cols)
        areas = (a.hi - a.lo).sum(1) * (b.hi - b.lo).sum(1)
        macs = np.array([0, *(s.macs for s in self.steps[1:])], dtype=float)
        full = sum(m * h * w for m, (h, w) in zip(macs, self.sizes, strict=True))
        return full * len(rows) * len(cols), float((macs * areas).sum())

    def _costs(self, height: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Estimated cost of each step for one window: on rectangles, and on whole maps."""
        patch, whole = np.zeros(len(self.steps)), np.zeros(len(self.steps))
        for i, step in enumerate(self.steps[1:], 1):
            channels = self.maps[i].shape[1]
            area, full = height[i] * width[i], self.sizes[i][0] * self.sizes[i][1]
            patch[i] = (step.macs + TOUCH * channels) * area
            whole[i] = (step.macs + TOUCH * channels) * full
            for v in step.inputs:
                reads = (height[i] - 1) * step.stride[0] + step.reach[0] + 1
                reads *= (width[i] - 1) * step.stride[1] + step.reach[1] + 1
                if reads > height[v] * width[v]:
                    patch[i] += 2 * TOUCH * reads * self.maps[v].shape[1]
        return patch, whole

    def _cut(self, height: np.ndarray, width: np.ndarray) -> tuple[int, float]:
        """The cheapest step to go over to whole maps at, and the cost for one window."""
        patch, whole = self._costs(height, width)
        paste = np.zeros(len(self.steps) + 1)
        for v, last in self._last_use.items():
            paste[v + 1 : last + 1] += TOUCH * self.maps[v].numel()
        stop = self.first_whole
        totals = np.cumsum(patch)[:stop] + (whole.sum() - np.cumsum(whole)[:stop])
        totals = totals + paste[1 : stop + 1]
        best = int(totals.argmin())
        return best + 1, float(totals[best])

    def _bytes(self, height: np.ndarray, width: np.ndarray, cut: int) -> float:
        """The most that one window's maps take at any time."""
        most, alive = 0, {0: 4 * self.maps[0].shape[1] * height[0] * width[0]}
        for i, step in enumerate(self.steps[1:], 1):
            if i == cut:
                alive = {v: 4 * self.maps[v].numel() for v in alive}
            context = 0
            if i < cut:
                reads = ((height[i] - 1) * step.stride[0] + step.reach[0] + 1) * (
                    (width[i] - 1) * step.stride[1] + step.reach[1] + 1
                )
                context = 4 * reads * sum(self.maps[v].shape[1] for v in step.inputs)
                alive[i] = 4 * self.maps[i].shape[1] * height[i] * width[i]
            else:
                alive[i] = 4 * self.maps[i].numel()
            most = max(most, sum(alive.values()) + context)
            alive = {v: b for v, b in alive.items() if self._last_use.get(v, 0) > i}
        return float(most)

    # --- which windows go together -------------------------------------------------------------

    def batches(self, rows: Spans, cols: Spans) -> list[Batch]:
        """The cheapest division into batches of equal rectangles, by estimated cost."""
        best, least = [], float("inf")
        fixed = CALL * len(self.steps) + READ * self.weights
        for bins in range(1, 8):
            plan = self._divide(_bins(rows, bins), _bins(cols, bins), rows, cols)
            cost = sum(batch.macs for batch in plan) + len(plan) * fixed
            if cost < least:
                best, least = plan, cost
        return best

    def _divide(self, row_bins, col_bins, rows: Spans, cols: Spans) -> list[Batch]:
        plan = []
        for r in row_bins:
            height = rows.held(r)[1]
            for c in col_bins:
                width = cols.held(c)[1]
                cut, cost = self._cut(height, width)
                room = min(MEMORY / self._bytes(height, width, cut), WORK / cost)
                across = max(1, min(len(c), int(room / len(r)) or int(room)))
                down = max(1, min(len(r), int(room / across)))
                for some_rows in np.array_split(r, -(-len(r) // down)):
                    for some_cols in np.array_split(c, -(-len(c) // across)):
                        macs = cost * len(some_rows) * len(some_cols)
                        plan.append(Batch(some_rows, some_cols, cut, macs))
        return plan

    # --- the work ------------------------------------------------------------------------------

    def scores(
        self, rows: Sequence[Interval], cols: Sequence[Interval], baseline: Tensor
    ) -> Iterator[tuple[Batch, Tensor]]:
        """Mute every window rows x cols; baseline: (1, 3, H, W) says with what.

        rows, cols: intervals [start, stop) of the input. Yields, batch by batch, which windows
        they are and their logits (rows, columns, classes).
        """
        spans = self.spans(0, rows), self.spans(1, cols)
        for batch in self.batches(*spans):
            with torch.no_grad():
                logits = _Run(self, batch, spans).logits(baseline)
            yield batch, logits.unflatten(0, (len(batch.rows), len(batch.cols))).float()

    def padded(self, value: int, before=(0, 0), after=(0, 0), fill: float = 0.0) -> Tensor:
        """The unmuted photo's map as (H, W, C), padded; kept, since every batch reads it."""
        key = (value, before, after, fill)
        if key not in self._padded:
            pads = (before[1], after[1], before[0], after[0])
            full = F.pad(self.maps[value], pads, value=fill) if any(pads) else self.maps[value]
            self._padded[key] = full[0].permute(1, 2, 0).contiguous()
        return self._padded[key]


class _Run:
    """One batch on its way through the network; patches are (rows, columns, h, w, C)."""

    def __init__(self, engine: Incremental, batch: Batch, spans: tuple[Spans, Spans]) -> None:
        self.engine, self.batch = engine, batch
        members = batch.rows, batch.cols
        (self.top, self.height), (self.left, self.width) = (
            spans[0].held(batch.rows),
            spans[1].held(batch.cols),
        )
        self.true = [(s.lo[0][m], s.hi[0][m]) for s, m in zip(spans, members, strict=True)]
        self.shape = (len(batch.rows), len(batch.cols))

    def logits(self, baseline: Tensor) -> Tensor:
        """(windows, classes), row by row."""
        engine, cut = self.engine, self.batch.cut
        values: dict[int, Tensor] = {0: self._muted(baseline)}
        for i, step in enumerate(engine.steps[1:], 1):
            if i == cut:
                values = {v: self._pasted(v, patch) for v, patch in values.items()}
            if i < cut:
                contexts = [_nchw(self._context(step, i, v, values[v])) for v in step.inputs]
                out = _finish(step, step.patch(contexts))
                del contexts
                values[i] = _nhwc(out, self.shape)
            else:
                values[i] = _finish(step, step.run([values[v] for v in step.inputs]))
            values = {v: t for v, t in values.items() if engine._last_use.get(v, i) > i or v == i}
        return values[len(engine.steps) - 1]

    def _muted(self, baseline: Tensor) -> Tensor:
        """The muted windows: what is held of the photo, with the baseline inside each window."""
        need = (self.top[0], self.height[0]), (self.left[0], self.width[0])
        patch = _gather(self.engine.padded(0), *need)
        muting = _gather(baseline[0].permute(1, 2, 0).contiguous(), *need)
        inside = [
            (lo[:, None] <= at) & (at < hi[:, None])
            for (lo, hi), (start, length) in zip(self.true, need, strict=True)
            for at in [start[:, None] + np.arange(length)]
        ]
        window = torch.from_numpy(inside[0][:, None, :, None] & inside[1][None, :, None, :])
        return torch.where(window[..., None].to(patch.device), muting, patch)

    def _context(self, step: Step, i: int, v: int, patch: Tensor) -> Tensor:
        """What the step reads of value v: the patch, and round it the photo's own map."""
        axes = []
        for axis, start, length, out in (
            (0, self.top, self.height, self.top[i]),
            (1, self.left, self.width, self.left[i]),
        ):
            count = (self.height, self.width)[axis][i]
            begin = out * step.stride[axis]  # in coordinates of the padded map
            reads = int((count - 1) * step.stride[axis] + step.reach[axis] + 1)
            axes.append((begin, reads, start[v] + step.before[axis] - begin, int(length[v])))
        inside = all((off <= 0).all() and (off + n >= reads).all() for _, reads, off, n in axes)
        if inside and all((off == off[0]).all() for _, _, off, _ in axes):
            (_, h, y, _), (_, w, x, _) = axes
            return patch[:, :, -y[0] : h - y[0], -x[0] : w - x[0]]
        source = self.engine.padded(v, step.before, step.after, step.fill)
        context = _gather(source, axes[0][:2], axes[1][:2])
        _paste(context, patch, axes[0][2], axes[1][2])
        return context

    def _pasted(self, v: int, patch: Tensor) -> Tensor:
        """Whole maps (N, C, H, W): the photo's own, with each window's patch in its place."""
        full = self.engine.padded(v)
        full = full.expand(*self.shape, *full.shape)
        if patch.shape == full.shape:
            return _nchw(patch)
        full = full.clone(memory_format=torch.contiguous_format)
        _paste(full, patch, self.top[v], self.left[v])
        return _nchw(full)


def _bins(spans: Spans, count: int) -> list[np.ndarray]:
    """Windows in at most `count` lots of like size (those at the border have less to change)."""
    extent = (spans.hi - spans.lo) / np.array(spans.sizes)[:, None]
    order = extent.sum(0).argsort(kind="stable")
    return [np.sort(lot) for lot in np.array_split(order, min(count, len(order)))]


def _gather(source: Tensor, rows, cols) -> Tensor:
    """Rectangles of one map (H, W, C) at all (row starts, length) x (column starts, length)."""
    (tops, height), (lefts, width) = rows, cols
    rows_of, cols_of, channels = source.stride()
    views = source.as_strided(
        (source.shape[0] - height + 1, source.shape[1] - width + 1, height, width, source.shape[2]),
        (rows_of, cols_of, rows_of, cols_of, channels),
    )
    at = torch.as_tensor(tops)[:, None], torch.as_tensor(lefts)[None, :]
    return views[at]


def _runs(offsets: np.ndarray) -> list[tuple[slice, int]]:
    """Neighbours with equal offsets, as (slice of windows, offset)."""
    runs, at = [], 0
    for offset, same in groupby(offsets.tolist()):
        n = len(list(same))
        runs.append((slice(at, at + n), offset))
        at += n
    return runs


def _overlap(offset: int, length: int, room: int) -> tuple[slice, slice]:
    """Where a span put at `offset` into `room` lands, and which part of it that is."""
    start, stop = max(offset, 0), max(min(offset + length, room), max(offset, 0))
    return slice(start, stop), slice(start - offset, stop - offset)


def _paste(into: Tensor, patch: Tensor, down: np.ndarray, right: np.ndarray) -> None:
    """Write patches into maps at each window's own offsets, cropping what sticks out."""
    for rows, y in _runs(down):
        to_y, from_y = _overlap(y, patch.shape[2], into.shape[2])
        for cols, x in _runs(right):
            to_x, from_x = _overlap(x, patch.shape[3], into.shape[3])
            into[rows, cols, to_y, to_x] = patch[rows, cols, from_y, from_x]


def _nchw(patches: Tensor) -> Tensor:
    return patches.flatten(0, 1).permute(0, 3, 1, 2)


def _nhwc(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    return maps.permute(0, 2, 3, 1).unflatten(0, shape)


def _finish(step: Step, out: Tensor) -> Tensor:
    return step.act(out) if step.act else out


def _range(logits: Tensor) -> float:
    return max(float(logits.max() - logits.min()), 1e-6)
