"""Occlusion that computes only what a muted window changes; the results are exact.

When a small window of the photo changes, most of every early feature map does not. The changed
rectangle alone is propagated, and the ring around it that a layer reads comes from the maps of the
unmuted photo (Nakandala, Kumar, Papakonstantinou, "Incremental and Approximate Inference for Faster
Occlusion-based Deep CNN Explanations", SIGMOD 2019, section 3). Windows lie on a grid, so all
geometry is that of rows and of columns, and windows with like rectangles share a batch.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .. import cores
from ..recent import Recent
from ..recent import memory as results
from ..room import Claim
from .own_maps import OwnMaps, kept_bytes, last_uses
from .plan import WORK, Batch, Planner, Spans
from .rectangles import gather, nchw, nhwc, paste
from .steps import Step
from .tape import record

Interval = tuple[int, int]
OFTEN = 0.03  # seconds after which whoever waits can turn away, at the network's next step

# Steps hold prepared copies of the weights, which serve the network's next photos of a shape.
FEW = 4
_known: Recent[tuple, list[Step | None]] = Recent(FEW)


class Tape(NamedTuple):
    """A network's steps, None where it can't be followed; new: not tried with a photo before."""

    steps: list[Step | None] | None
    new: bool


def followed(module: nn.Module, x: Tensor, again: bool = False) -> Tape:
    """The steps from x to the module's answer: known ones, unless they are wanted again."""
    steps = None if again else _known.get(_key(module, x))
    if steps is not None:
        return Tape(steps, new=False)
    try:
        return Tape(record(module, x.clone()), new=True)  # which may work in place on it
    except Exception:  # whatever an unknown network does, muting still works
        return Tape(None, new=True)


def _key(module: nn.Module, x: Tensor) -> tuple:
    return weakref.ref(module), tuple(x.shape), x.device


def begin(
    module: nn.Module, x: Tensor, memory: torch.memory_format, at_once: int
) -> Generator[None, None, tuple[Incremental, Claim]]:
    """Returns an `Incremental` once there is room for the photo's own maps, and the claim to that
    room, which is to be kept as long as they are; yields while there is none."""
    tape = followed(module, x.detach().contiguous(memory_format=memory))
    claim = yield from results.take(kept_bytes(tape.steps, x) if tape.steps else 0)
    return Incremental(module, x, memory, at_once, tape), claim


class Incremental:
    """Scores one photo with many windows muted.

    Recording costs two forward passes. The steps before a batch's `cut` work on rectangles; at the
    cut these are pasted into the photo's own maps, and the rest of the network runs on whole maps,
    where that is cheaper (the rectangles have grown) or where a layer reads the whole map.

    logits: (classes,) of the unmuted photo. note: a sentence if the network allows little or none
    of this, else None. Nothing is changed in `module`.
    """

    def __init__(
        self,
        module: nn.Module,
        x: Tensor,
        memory: torch.memory_format = torch.channels_last,
        at_once: int = 2,
        tape: Tape | None = None,
    ) -> None:
        """at_once: how many photos go through a network together that can't be followed. tape: as
        `followed` gives it, if it is there."""
        self.x, self.memory = x.detach().contiguous(memory_format=memory), memory
        self.note: str | None = None

        def whole(xs: Sequence[Tensor]) -> Tensor:
            return module(xs[0].clone(memory_format=memory))

        with torch.no_grad():
            reference = module(self.x.clone())
            if len(reference) != 1:
                raise RuntimeError("the network makes several answers of one input of this size")
            tape = tape or followed(module, self.x)
            leads = self._follow(module, reference, tape)
            if not (leads or tape.new):
                leads = self._follow(module, reference, followed(module, self.x, again=True))
        if not leads:
            dear = WORK / at_once  # so that a lot has no more of them
            self.steps = [None, Step("network", (0,), reference.shape, whole, macs=dear)]
            self.maps = OwnMaps(self.steps, self.x, memory)
        self.logits = reference[0].float()
        self.first_whole = next(i for i, s in enumerate(self.steps) if s and not s.local)
        shapes = self.maps.shapes
        self.sizes = [tuple(shape[2:]) if len(shape) == 4 else (1, 1) for shape in shapes]
        self.last_use = last_uses(self.steps)
        self.planner = Planner(self.steps, shapes, self.first_whole, self.last_use)
        self._describe()

    def _follow(self, module: nn.Module, reference: Tensor, tape: Tape) -> bool:
        """Take these steps, and check that they lead to the same logits."""
        if tape.steps is None:
            return False
        try:
            self.steps = tape.steps
            if tape.new and not self._for_others(module):  # before there are maps to keep
                return False
            self.maps = OwnMaps(self.steps, self.x, self.memory)
            close = _close(self.maps[-1], reference) and (not tape.new or self._each_by_itself())
        except Exception:  # whatever an unknown network does, muting still works
            return False
        if close:
            _known.keep(_key(module, self.x), self.steps, of=module)
        return close

    def _each_by_itself(self) -> bool:
        """Do the steps that read whole maps do for several photos what they were seen to do for
        one? A reshape may have the one in its numbers, and a norm may take all of them together:
        a photo of which each map has another mean and range is beside it."""
        first = next((i for i, s in enumerate(self.steps) if s and not s.local), len(self.steps))
        both = {
            v: torch.cat([2 * self.maps[v].flip(-1) + 1, self.maps[v]])
            for v in {v for s in self.steps[first:] for v in s.inputs if v < first}
        }
        for i, step in enumerate(self.steps[first:], first):
            both[i] = step.whole([both[v] for v in step.inputs])
        return _close(both[len(self.steps) - 1][1:], self.maps[-1])

    def _for_others(self, module: nn.Module) -> bool:
        """Do the steps lead to the module's answer for another photo, too? What left torch, or was
        chosen by what was seen, stays on the tape as it was."""
        other = self.x.flip(-1)
        other[..., : other.shape[2] // 2, :] = 0
        values, last_use = {0: other}, last_uses(self.steps)
        for i, step in enumerate(self.steps[1:], 1):
            values[i] = step.whole([values[v] for v in step.inputs])
            values = {v: t for v, t in values.items() if v == i or last_use.get(v, 0) > i}
        return _close(values[len(self.steps) - 1], module(other))

    def _describe(self) -> None:
        work = [s.macs * s.size[0] * s.size[1] if s else 0 for s in self.steps]
        total = sum(work)
        late = sum(w for w, size in zip(work, self.sizes, strict=True) if size != (1, 1))
        late -= sum(work[: self.first_whole])
        if len(self.steps) == 2:
            self.note = (
                "This network can’t be followed layer by layer, so every window is a full pass."
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

    # --- the work ------------------------------------------------------------------------------

    def scores(
        self,
        rows: Sequence[Interval],
        cols: Sequence[Interval],
        baseline: Tensor,
        known: Tensor | None = None,
    ) -> Iterator[tuple[Batch, Tensor] | None]:
        """Mute every window rows x cols; baseline: (1, 3, H, W) says with what.

        rows, cols: intervals [start, stop) of the input; known: bool (rows, cols), batches of which
        nothing is missing are left out. Yields, batch by batch, which windows they are and their
        logits (rows, columns, classes); between steps of the network None, now and then.
        """
        spans = self.spans(0, rows), self.spans(1, cols)
        for lot in self.planner.lots(*spans):
            if known is not None:
                lot = [each for each in lot if not known[np.ix_(each.rows, each.cols)].all()]
            if not lot:
                continue
            patches = [_Patches(self, batch, spans, baseline) for batch in lot]
            found = yield from _run(patches, self)
            for batch, logits in found:
                yield batch, logits.unflatten(0, (len(batch.rows), len(batch.cols))).float()

    def alive(self, values: dict[int, Tensor], step: int) -> dict[int, Tensor]:
        """Those values that are read after a step, and its own."""
        return {v: t for v, t in values.items() if self.last_use.get(v, step) > step or v == step}


class _Patches:
    """One batch on its way through the network; patches are (rows, columns, h, w, C)."""

    def __init__(
        self, engine: Incremental, batch: Batch, spans: tuple[Spans, Spans], baseline: Tensor
    ) -> None:
        self.engine, self.batch = engine, batch
        members = batch.rows, batch.cols
        (self.top, self.height), (self.left, self.width) = (
            spans[0].held(batch.rows),
            spans[1].held(batch.cols),
        )
        self.true = [(s.lo[0][m], s.hi[0][m]) for s, m in zip(spans, members, strict=True)]
        self.shape = (len(batch.rows), len(batch.cols))
        self.values: dict[int, Tensor] = {0: self._muted(baseline)}

    def advance(self, i: int) -> None:
        """One step on."""
        step, values = self.engine.steps[i], self.values
        contexts = [nchw(self._context(step, i, v, values[v])) for v in step.inputs]
        out = step.part(contexts)
        self.values = self.engine.alive({**values, i: nhwc(out, self.shape)}, i)

    def whole(self) -> dict[int, Tensor]:
        """The patches pasted into the photo's own maps: values (windows, C, H, W)."""
        return {v: self._pasted(v, patch) for v, patch in self.values.items()}

    def _muted(self, baseline: Tensor) -> Tensor:
        """The muted windows: what is held of the photo, with the baseline inside each window."""
        need = (self.top[0], self.height[0]), (self.left[0], self.width[0])
        patch = gather(self.engine.maps.padded(0), *need)
        muting = gather(baseline[0].permute(1, 2, 0).contiguous(), *need)
        inside = [
            (lo[:, None] <= at) & (at < hi[:, None])
            for (lo, hi), (start, length) in zip(self.true, need, strict=True)
            for at in [start[:, None] + np.arange(length)]
        ]
        window = torch.from_numpy(inside[0][:, None, :, None] & inside[1][None, :, None, :])
        return torch.where(window[..., None].to(patch.device), muting, patch)

    def _context(self, step: Step, i: int, v: int, patch: Tensor) -> Tensor:
        """What the step reads of value v: the patch, and round it the photo's own map."""
        down = _reads(step, 0, i, v, self.top, self.height)
        across = _reads(step, 1, i, v, self.left, self.width)
        if down.within and across.within:
            y, x = -down.offsets[0], -across.offsets[0]
            return patch[:, :, y : y + down.length, x : x + across.length]
        source = self.engine.maps.padded(v, step.before, step.after, step.fill)
        context = gather(source, (down.starts, down.length), (across.starts, across.length))
        paste(context, patch, down.offsets, across.offsets)
        return context

    def _pasted(self, v: int, patch: Tensor) -> Tensor:
        """Whole maps (N, C, H, W): the photo's own, with each window's patch in its place."""
        full = self.engine.maps.padded(v)
        full = full.expand(*self.shape, *full.shape)
        if patch.shape == full.shape:
            return nchw(patch)
        full = full.clone(memory_format=torch.contiguous_format)
        paste(full, patch, self.top[v], self.left[v])
        return nchw(full)


class _Reads(NamedTuple):
    """What a step reads of a value along one axis, window by window: from where in the padded map,
    how many places. offsets: where in them the patch begins; held: its length."""

    starts: np.ndarray
    length: int
    offsets: np.ndarray
    held: int

    @property
    def within(self) -> bool:
        """Is all that is read in the patch, at one place for all windows?"""
        first = self.offsets[0]
        return bool(
            (self.offsets == first).all() and first <= 0 and first + self.held >= self.length
        )


def _reads(
    step: Step, axis: int, i: int, v: int, starts: np.ndarray, lengths: np.ndarray
) -> _Reads:
    """For step number i and value v; starts (values, windows) and lengths (values,) of patches."""
    begin = starts[i] * step.stride[axis]
    length = int((lengths[i] - 1) * step.stride[axis] + step.reach[axis] + 1)
    return _Reads(begin, length, starts[v] + step.before[axis] - begin, int(lengths[v]))


@torch.no_grad()
def _run(
    lot: list[_Patches], engine: Incremental
) -> Generator[None, None, list[tuple[Batch, Tensor]]]:
    """Each batch with its logits (windows, classes), row by row; yields now and then.

    A batch goes on alone, on rectangles, up to its cut; from there all run together.
    """
    together: dict[int, Tensor] = {}
    since = time.perf_counter()
    for i, step in enumerate(engine.steps[1:], 1):
        cores.give_way()
        if time.perf_counter() - since > OFTEN:
            yield
            since = time.perf_counter()
        if arrived := [patches.whole() for patches in lot if patches.batch.cut == i]:
            parts = [together, *arrived] if together else arrived
            together = {v: _cat([p[v] for p in parts]) for v in arrived[0]}
        for patches in lot:
            if patches.batch.cut > i:
                patches.advance(i)
        if together:
            together[i] = step.whole([together[v] for v in step.inputs])
            together = engine.alive(together, i)
    batches = [patches.batch for patches in lot]  # in the order of their cuts
    logits = together[len(engine.steps) - 1]
    return list(
        zip(batches, logits.split([len(b.rows) * len(b.cols) for b in batches]), strict=True)
    )


def _cat(maps: list[Tensor]) -> Tensor:
    return torch.cat(maps) if len(maps) > 1 else maps[0]


def _close(found: Tensor, logits: Tensor) -> bool:
    span = max(float(logits.max() - logits.min()), 1e-6)
    return bool((found - logits).abs().max() <= 1e-4 * span)
