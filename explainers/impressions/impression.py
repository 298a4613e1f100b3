"""Class impressions: what a network remembers of a class, drawn from noise without any photo.

Gradient ascent on the class logit with random transformations between steps and total variation
as natural image prior (Mopuri et al. 2018, “Ask, Acquire, and Attack”; Addepalli, Tamboli, Babu
and Banerjee 2020, “Saliency-driven Class Impressions”, arXiv 2007.15861).

Of the saliency-driven variant the public record gives the idea and not the schedule, so this is
our own reading: it starts as the plain one; after 30 % of the steps, and anew every 8, the running
mean of |d logit / d pixel|, smoothed, is cut at 35 % of its maximum; the largest connected part,
with a soft edge, is where the object is. Inside, the logit drives; outside, only total variation
and a pull to grey.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor

from .. import render
from ..errors import OptionError
from ..network import Network
from ..photo import Photo
from . import masks, pace, shaking
from .drawing import Drawing
from .goals import Classes, Goal, check_colours
from .knobs import Knobs
from .priors import total_variation

MOST_PICTURES = 6
FRAMES = 30  # pictures kept of the way there, for the strip, the curve and the animation
OFTEN = 0.3  # seconds between looks at a drawing
TRIES = 16  # transformations that the check averages over

PRESETS: dict[str, Knobs] = {
    "quick": Knobs(steps=200),
    "good": Knobs(steps=400, tv=0.15, grey=0.1),
    "best": Knobs(steps=600, tv=0.15, grey=0.1, crops=2),
}


@dataclass(frozen=True)
class Point:
    """How far the picture was after `step` steps. score: the logit (or the unit's activation);
    probability: of the classes together, None for a unit. frame: the picture, as JPEG."""

    step: int
    score: float
    probability: float | None
    frame: bytes = field(repr=False)


@dataclass(frozen=True)
class Impression:
    """A drawing, finished or as far as it is.

    values: (3, S, S) float32 in 0..1, on the CPU. mask: (S, S) in 0..1, where a saliency-driven
    drawing has found its object, else None. points: the way there, oldest first. done: share of
    the steps, 0 to 1. seconds: of work so far on all that are drawn side by side, without the
    pauses of whoever looks on; left: still to come, judging by this machine, never growing.
    photo: (3, S, S), what it was drawn on; None for noise.
    """

    goal: Goal
    title: str
    driven: bool
    knobs: Knobs
    values: Tensor = field(repr=False)
    mask: np.ndarray | None = field(repr=False)
    points: tuple[Point, ...]
    done: float
    seconds: float
    left: float = 0.0
    photo: Tensor | None = field(default=None, repr=False)

    @property
    def taken(self) -> int:
        """Steps."""
        return round(self.done * self.knobs.steps)

    @cached_property
    def pixels(self) -> np.ndarray:
        """(S, S, 3) uint8."""
        return to_pixels(self.values)

    @property
    def strip(self) -> list[Point]:
        """Up to eight snapshots, evenly spaced, the first and the last among them."""
        count = min(8, len(self.points))
        picks = np.linspace(0, len(self.points) - 1, count).round().astype(int)
        return [self.points[pick] for pick in picks]


@dataclass(frozen=True)
class Check:
    """Is it more than a pattern that fools one network?

    probability: of each target; robust: its mean over random transformations. second: title of
    another network; guess, chance: that one's first guess and its probability; rank: how many
    classes it finds likelier than the target (the better of two fused ones), None where it has no
    class of that name.
    """

    probability: tuple[float, ...]
    robust: tuple[float, ...]
    second: str = ""
    guess: str = ""
    chance: float = 0.0
    rank: int | None = None


def draw(
    network: Network,
    goals: Sequence[Goal],
    knobs: Knobs,
    *,
    driven: Sequence[bool] = (False,),
    photo: Photo | None = None,
) -> Iterator[tuple[Impression, ...]]:
    """Draw the goals side by side, each plain, saliency-driven or both, from the same noise or on
    the middle square of a photo.

    Yields all of them a few times a second, and once more when they are done. A picture depends
    on its own goal, knobs and seed alone, not on what is drawn beside it. Raises OptionError for
    too much at once.
    """
    pairs = [(goal, each) for goal in goals for each in dict.fromkeys(driven)]
    if not 1 <= len(pairs) <= MOST_PICTURES:
        raise OptionError(f"Between one and {MOST_PICTURES} pictures are drawn at a time.")
    knobs.check_work(network, len(pairs))
    if photo is not None:
        knobs = knobs.on_photo()
    drawings = [Drawing(network, goal, knobs, driven=each, photo=photo) for goal, each in pairs]
    trails = [[_look(drawing, network)] for drawing in drawings]
    course = pace.course(network, [goal for goal, _ in pairs], knobs)
    clock = pace.Clock(course)
    marks = {round(knobs.steps * share / (FRAMES - 1)) for share in range(1, FRAMES)}
    yield _state(drawings, trails, clock)
    shown, away = time.perf_counter(), True
    for step in range(1, knobs.steps + 1):
        for drawing, trail in zip(drawings, trails, strict=True):
            clock.tick(course.reached(drawings), away=away)
            drawing.step()
            if step in marks:
                trail.append(_look(drawing, network))
            away = False
            if time.perf_counter() - shown > OFTEN and drawings[-1].taken != knobs.steps:
                clock.tick(course.reached(drawings))
                yield _state(drawings, trails, clock)
                shown, away = time.perf_counter(), True
    clock.tick(course.reached(drawings), away=away)
    pace.learn(network, [goal for goal, _ in pairs], knobs, clock.spent / course.seconds)
    yield _state(drawings, trails, clock)


def _state(
    drawings: Sequence[Drawing], trails: Sequence[list[Point]], clock: pace.Clock
) -> tuple[Impression, ...]:
    steps = drawings[0].knobs.steps
    done = sum(drawing.taken for drawing in drawings) / (steps * len(drawings))
    return tuple(
        Impression(
            drawing.goal,
            drawing.goal.title(drawing.network),
            drawing.driven,
            drawing.knobs,
            drawing.picture()[0].cpu(),
            drawing.mask,
            tuple(trail),
            done,
            clock.spent,
            0.0 if done == 1 else clock.left,
            None if drawing.home is None else drawing.home[0].cpu(),
        )
        for drawing, trail in zip(drawings, trails, strict=True)
    )


def _look(drawing: Drawing, network: Network) -> Point:
    """The picture as it is, and what the network says to it, without any transformation."""
    picture = drawing.picture()
    scores, recording = drawing.goal.reach(network, as_input(network, picture), gradients=False)
    score = float(scores[0])
    chance = None
    if drawing.goal.targets:
        chances = network.probabilities(recording.logits)[0]
        chance = float(sum(chances[target] for target in drawing.goal.targets))
    return Point(drawing.taken, score, chance, render.jpeg(to_pixels(picture[0]), 90))


def as_input(network: Network, pictures: Tensor) -> Tensor:
    """Pictures (N, 3, S, S) in 0..1 as this network wants them, at its own size (squeezed, where
    that alone will do and is no square)."""
    check_colours(network)
    size = (network.size, network.size) if network.any_size else network.shape
    if pictures.shape[2:] != size:
        pictures = F.interpolate(pictures, size=size, mode="bicubic", antialias=True)
    return network.normalised(pictures.to(network.device))


def to_pixels(values: Tensor) -> np.ndarray:
    """(3, S, S) in 0..1 -> (S, S, 3) uint8."""
    return (values.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


@torch.no_grad()
def check(
    network: Network, impression: Impression, second: Network | None = None, *, seed: int = 1
) -> Check | None:
    """Look at a class impression with fresh eyes; None for a unit. The transformations are those
    of the standard ranges, whatever the drawing used."""
    goal = impression.goal
    if not isinstance(goal, Classes):
        return None
    picture, size = impression.values[None], impression.values.shape[-1]
    shake = shaking.draw(shaking.Ranges(), TRIES, size, Generator().manual_seed(seed))
    shaken = shaking.apply(picture, shake, size).clamp(0, 1)
    looks = torch.cat([picture, shaken]).split(6)
    logits = torch.cat([network.logits(as_input(network, part)) for part in looks])
    chances = network.probabilities(logits)[:, list(goal.targets)]
    found = Check(tuple(chances[0].tolist()), tuple(chances[1:].mean(0).tolist()))
    if second is None:
        return found
    answer = second.logits(as_input(second, picture))[0]
    best = int(answer.argmax())
    known = {label: index for index, label in enumerate(second.labels)}
    names = [network.labels[target] for target in goal.targets]
    ranks = [int((answer > answer[known[name]]).sum()) for name in names if name in known]
    return replace(
        found,
        second=second.title,
        guess=second.labels[best],
        chance=float(second.probabilities(answer)[best]),
        rank=min(ranks, default=None),
    )


def concentration(network: Network, impression: Impression) -> float:
    """The share of |d logit / d pixel| that lies in the largest salient part of the picture."""
    x = as_input(network, impression.values[None])
    score, recording = impression.goal.reach(network, x, inputs=True)
    saliency = torch.autograd.grad(score.sum(), recording.inputs)[0][0].abs().amax(0).cpu().numpy()
    return masks.concentration(saliency)


def variation(impression: Impression) -> float:
    """Total variation of the picture: mean absolute difference of neighbours, pixels being 0..1."""
    return float(total_variation(impression.values[None]))


def with_mask(impression: Impression) -> np.ndarray:
    """The picture (S, S, 3) uint8, dim where the mask says that there is no object."""
    if impression.mask is None:
        return impression.pixels
    size = impression.pixels.shape[1::-1]
    mask = cv2.resize(impression.mask, size, interpolation=cv2.INTER_LINEAR)
    return render.lit(impression.pixels, 0.25 + 0.75 * mask)


def animation(impression: Impression) -> bytes:
    """The way there as an animated WebP that rests on the last picture; plays in any browser."""
    frames = [Image.open(io.BytesIO(point.frame)) for point in impression.points]
    last = Image.fromarray(impression.pixels)
    frames = [frame.convert("RGB").resize(last.size) for frame in frames] + [last]
    times = [110] * (len(frames) - 1) + [2000]  # milliseconds
    file = io.BytesIO()
    frames[0].save(
        file, "WEBP", save_all=True, append_images=frames[1:], duration=times, loop=0,
        quality=82, method=0,
    )  # fmt: skip
    return file.getvalue()
