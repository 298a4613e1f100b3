"""A-MIL learned before one's eyes: bags of drawn cells, some of which hide a cross.

The network is told only whether a bag holds a cross, never where. After Ilse et al. 2018, section
4.2, with drawings in the place of digits.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from .. import cores
from ..errors import OptionError
from .attention import AttentionMIL, Reading, as_batch_of
from .patches import MIN_PATCH, cut

CELL, SIDE = 28, 4  # pixels of a cell, cells along a bag's side
CELLS = SIDE * SIDE
DECOYS = ("disc", "ring", "square", "triangle", "bar", "two bars")
CHANCE = 1 / CELLS
MOST_STEPS = 1000
_TEST_BAGS = 48


@dataclass(frozen=True)
class DrawnBag:
    """picture: (112, 112, 3) uint8, cells row by row; truth: (16,) bool, where the crosses are."""

    picture: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class Lesson:
    """How far the training is. at: steps; losses, bag_accuracy, hit_rate: their values there.

    losses are means since the last entry; bag_accuracy and hit_rate (attention's peak on the one
    cross of 16 cells) come from bags never trained on. test, reading: a held-out bag with one cross
    and how it is read now. model: frozen, for `read_bag`.
    """

    step: int
    steps: int
    at: tuple[int, ...]
    losses: tuple[float, ...]
    bag_accuracy: tuple[float, ...]
    hit_rate: tuple[float, ...]
    test: DrawnBag
    reading: Reading
    model: AttentionMIL
    seconds: float

    @property
    def done(self) -> float:
        return self.step / self.steps


def draw_bag(seed: int, crosses: int = 1) -> DrawnBag:
    """A bag with that many crosses (0 to 16) among decoys; the same seed draws the same bag."""
    if not 0 <= crosses <= CELLS:
        raise OptionError(f"A bag has {CELLS} cells: choose 0 to {CELLS} crosses.")
    rng = np.random.default_rng([seed, 7])
    truth = np.zeros(CELLS, dtype=bool)
    truth[rng.choice(CELLS, crosses, replace=False)] = True
    cells = [_draw("cross" if cross else str(rng.choice(DECOYS)), rng) for cross in truth]
    rows = [np.hstack(cells[row * SIDE : (row + 1) * SIDE]) for row in range(SIDE)]
    return DrawnBag(np.vstack(rows), truth)


def read_bag(model: AttentionMIL, pixels: np.ndarray) -> Reading:
    """How a lesson's model reads a bag of the visitor's own: any picture (H, W, 3) uint8, cut in 4
    by 4 cells."""
    start = time.perf_counter()
    grid = cut(pixels, max(MIN_PATCH, round(min(pixels.shape[:2]) / SIDE)))
    with torch.no_grad():
        attention, instances = model.instances(as_batch_of(grid.patches, CELL) - 0.5)
    seconds = time.perf_counter() - start
    return Reading(grid, attention.double().numpy(), instances.double().numpy(), seconds)


def lesson(seed: int = 0, steps: int = 300, bags: int = 8, every: int = 10) -> Iterator[Lesson]:
    """Train a small gated A-MIL on drawn bags; yields every few steps, about half a minute in all.

    Half of the bags hold one to three crosses in 16 cells. The same seed gives the same curves.
    Raises OptionError for a number of steps outside 1 to 1000.
    """
    if not 1 <= steps <= MOST_STEPS:
        raise OptionError(f"A lesson takes 1 to {MOST_STEPS} steps: choose a number between them.")
    start, rng = time.perf_counter(), np.random.default_rng([seed, 1])
    crosses, decoys = _pool(256, 1024, rng)
    held_out = _compose(*_pool(64, 256, rng), _TEST_BAGS, 1, rng)
    test = draw_bag(seed, 1)
    model = _fresh(seed)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    at, curves, recent = (), ((), (), ()), []
    for step in range(1, steps + 1):
        cores.give_way()
        x, labels, _ = _compose(crosses, decoys, bags, 3, rng)
        loss = binary_cross_entropy_with_logits(model(x)[0], labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        recent.append(loss.item())
        if step % every == 0 or step in (1, steps):
            values = (float(np.mean(recent)), *_measure(model, held_out))
            at, recent = (*at, step), []
            curves = tuple((*curve, value) for curve, value in zip(curves, values, strict=True))
            frozen = copy.deepcopy(model).eval().requires_grad_(False)
            reading, seconds = read_bag(frozen, test.picture), time.perf_counter() - start
            yield Lesson(step, steps, at, *curves, test, reading, frozen, seconds)


def _fresh(seed: int) -> AttentionMIL:
    """The network before the first step; the caller's random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = nn.Sequential(
            nn.Conv2d(3, 8, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * 4 * 4, 64),
            nn.ReLU(),
        )
        return AttentionMIL(encoder, 64, 32)


def _pool(crosses: int, decoys: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Cells to compose bags from: (crosses, 3, 28, 28) and (decoys, 3, 28, 28)."""
    kinds = ["cross"] * crosses + [DECOYS[i % len(DECOYS)] for i in range(decoys)]
    cells = as_batch_of([_draw(kind, rng) for kind in kinds], CELL) - 0.5
    return cells[:crosses], cells[crosses:]


def _compose(
    crosses: Tensor, decoys: Tensor, bags: int, most: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Bags (bags, 16, 3, 28, 28), every second one with 1 to `most` crosses; labels; truth."""
    x = decoys[rng.integers(len(decoys), size=(bags, CELLS))]
    truth = torch.zeros(bags, CELLS, dtype=torch.bool)
    for row in range(0, bags, 2):
        count = rng.integers(1, most + 1)
        places = rng.choice(CELLS, count, replace=False)
        x[row, places] = crosses[rng.integers(len(crosses), size=count)]
        truth[row, places] = True
    return x, truth.any(1).float(), truth


@torch.no_grad()
def _measure(model: AttentionMIL, held_out: tuple[Tensor, Tensor, Tensor]) -> tuple[float, float]:
    x, labels, truth = held_out
    logits, attention, _ = model(x)
    right = ((logits > 0) == labels.bool()).double().mean()
    found = truth.gather(1, attention.argmax(1, keepdim=True))[labels.bool()]
    return float(right), float(found.double().mean())


def _draw(kind: str, rng: np.random.Generator) -> np.ndarray:
    """One cell (28, 28, 3) uint8: a light ground, a dark figure of any size, turn and tint."""
    cores.give_way()  # a lesson draws many
    scale = 8  # drawn large and shrunk, for smooth edges
    size = CELL * scale
    ground, ink = rng.uniform(185, 245, 3), rng.uniform(20, 120, 3)
    picture = np.full((size, size, 3), ground, dtype=np.float64)
    centre = rng.uniform(0.42, 0.58, 2) * size
    radius, turn = rng.uniform(0.22, 0.34) * size, rng.uniform(0, np.pi)
    wide = int(radius * rng.uniform(0.28, 0.4))
    if kind in ("disc", "ring"):
        cv2.circle(picture, _point(centre), int(radius), ink, -1 if kind == "disc" else wide)
    elif kind in ("square", "triangle"):
        corners = 4 if kind == "square" else 3
        angles = turn + np.arange(corners) * 2 * np.pi / corners
        outline = centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
        cv2.fillPoly(picture, [outline.astype(np.int32)], ink)
    else:
        along, across = (
            np.array([np.cos(a), np.sin(a)]) * radius for a in (turn, turn + np.pi / 2)
        )
        aside = across * 0.6 if kind == "two bars" else across * 0
        strokes = [(along, aside)] + ([(along, -aside)] if kind == "two bars" else [])
        strokes += [(across, aside)] if kind == "cross" else []
        for stroke, shift in strokes:
            ends = _point(centre - stroke + shift), _point(centre + stroke + shift)
            cv2.line(picture, *ends, ink, wide)
    cell = cv2.resize(picture, (CELL, CELL), interpolation=cv2.INTER_AREA)
    return np.clip(cell + rng.normal(0, 6, cell.shape), 0, 255).astype(np.uint8)


def _point(xy: np.ndarray) -> tuple[int, int]:
    return int(xy[0]), int(xy[1])
