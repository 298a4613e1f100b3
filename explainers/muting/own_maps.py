"""The maps of the unmuted photo, which windows are completed from."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import cores
from .steps import Pair, Step

NO_MARGINS: tuple[Pair, Pair] = ((0, 0), (0, 0))


class OwnMaps:
    """The value at every step for x (1, C, H, W), by number; the input is the first.

    A map whose readers see nothing round what they are given, as a pooling of 2 x 2, is hardly
    ever asked for: it is let go of, and worked out again when it is.
    """

    def __init__(self, steps: Sequence[Step | None], x: Tensor, memory: torch.memory_format):
        self.steps, self.memory = steps, memory
        self._margins = _margins(steps)
        self._padded: dict[tuple[int, float], Tensor] = {}
        self._maps: list[Tensor | None] = [x]
        last_use, seldom = last_uses(steps), _seldom(steps)
        for i, step in enumerate(steps[1:], 1):
            cores.give_way()
            self._maps.append(step.whole([self._maps[v] for v in step.inputs]))
            for v in step.inputs:
                if v in seldom and last_use[v] == i:
                    self._maps[v] = None
        self.shapes = [x.shape, *(step.shape for step in steps[1:])]

    def __getitem__(self, value: int) -> Tensor:
        found = self._maps[value]
        if found is None:
            step = self.steps[value]
            read = [self[v].contiguous(memory_format=self.memory) for v in step.inputs]
            found = self._maps[value] = step.whole(read)
        return found

    def padded(self, value: int, before=(0, 0), after=(0, 0), fill: float = 0.0) -> Tensor:
        """The map as (H, W, C), padded: a part of one copy that all readers share.

        The copy takes the place of the map itself, since a large input's maps are large.
        """
        if not any((*before, *after)):
            fill = next((f for v, f in self._margins if v == value), fill)
        (top, left), (bottom, right) = self._margins.get((value, fill), NO_MARGINS)
        full = self._padded.get((value, fill))
        if full is None:
            full = F.pad(self[value], (left, right, top, bottom), value=fill)
            full = self._padded[value, fill] = full[0].permute(1, 2, 0).contiguous()
            inside = full[top : full.shape[0] - bottom, left : full.shape[1] - right]
            self._maps[value] = inside.permute(2, 0, 1)[None]
        ends = full.shape[0] - bottom + after[0], full.shape[1] - right + after[1]
        return full[top - before[0] : ends[0], left - before[1] : ends[1]]


def kept_bytes(steps: Sequence[Step | None], x: Tensor) -> int:
    """What the maps of these steps take that are not let go of."""
    seldom = _seldom(steps)
    kept = (math.prod(step.shape) for i, step in enumerate(steps[1:], 1) if i not in seldom)
    return (x.numel() + sum(kept)) * x.element_size()


def last_uses(steps: Sequence[Step | None]) -> dict[int, int]:
    """For each value the last step that reads it."""
    return {v: i for i, step in enumerate(steps) if step for v in step.inputs}


def _seldom(steps: Sequence[Step | None]) -> set[int]:
    """The values but the input whose readers all tile them, and have nothing else to read."""
    readers: defaultdict[int, list[bool]] = defaultdict(list)
    for step in steps[1:]:
        alone = step.local and len(step.inputs) == 1 and not any((*step.before, *step.after))
        tiles = all(reach < stride for reach, stride in zip(step.reach, step.stride, strict=True))
        for v in step.inputs:
            readers[v].append(alone and tiles)
    return {v for v, all_tile in readers.items() if v and all(all_tile)}


def _margins(steps: Sequence[Step | None]) -> dict[tuple[int, float], tuple[Pair, Pair]]:
    """(value, fill) -> the widest margins, (top, left) and (bottom, right), that any step reads."""
    widest: dict[tuple[int, float], tuple[Pair, Pair]] = {}
    for step in steps:
        if step is None or not step.local:
            continue
        for value in step.inputs:
            before, after = widest.get((value, step.fill), NO_MARGINS)
            widest[value, step.fill] = (
                (max(before[0], step.before[0]), max(before[1], step.before[1])),
                (max(after[0], step.after[0]), max(after[1], step.after[1])),
            )
    return widest
