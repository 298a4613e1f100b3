"""Scores of a map: does the network itself agree that these are the places that matter?

Deletion and insertion: Petsiuk, Das, Saenko, "RISE", BMVC 2018, section 4.2. Pixels leave the photo
(or enter a blurred copy) in the order of the map, and the target's probability is followed. The
counts of pixels, the order of equals and the area are those of torchcam's
`DeletionInsertionMetric`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import OptionError
from ..explanation import Explanation, Question
from ..muting.baselines import baseline as baseline_image
from ..network import Network
from ..recent import Recent

STEPS = 24
DRAWS = 2  # random orders that the floor is the mean of
SEED = 0
BASELINES = {"blur": "a blurred copy", "mean": "the photo’s mean colour"}
SAME = 1e-5  # of their range: maps no further apart are one map, and their order is followed once


@dataclass(frozen=True)
class Curve:
    """Probability of the target by the fraction of pixels that were taken, both in 0..1."""

    fractions: tuple[float, ...]
    chances: tuple[float, ...]

    @property
    def area(self) -> float:
        """Area under the curve by the trapezoid rule, 0..1."""
        return float(np.trapezoid(self.chances, self.fractions))


@dataclass(frozen=True)
class Scores:
    """deletion: small is good, the class leaves soon; insertion: large is good, it comes soon."""

    deletion: Curve
    insertion: Curve

    @property
    def gain(self) -> float:
        """Insertion minus deletion, -1..1: large is good."""
        return self.insertion.area - self.deletion.area


P = ParamSpec("P")
T = TypeVar("T")
Steps = Generator[None, None, T]  # work in short steps, and what comes of it

_scored: Recent[Hashable, Scores] = Recent()
_drawn: Recent[Hashable, tuple[Scores, ...]] = Recent()
_orders: Recent[Hashable, list[tuple[Tensor, Scores]]] = Recent()
_ends: Recent[Hashable, tuple[float, float]] = Recent()


def strength(explanation: Explanation, row: int, size: tuple[int, int]) -> Tensor:
    """How much each pixel matters to that map, (H, W) at the input's size; only its order counts.

    Signed values as they are, enlarged bilinearly; for a value per colour the largest magnitude.
    """
    values = explanation.values[row].nan_to_num()
    values = values.abs().amax(0) if explanation.per_pixel else values
    if values.shape == size:
        return values
    return F.interpolate(values[None, None], size, mode="bilinear")[0, 0]


def ranks(strengths: Tensor) -> Tensor:
    """(H, W) int32: 0 for the strongest pixel; among equals the upper left comes first."""
    order = strengths.flatten().argsort(descending=True, stable=True)
    ranked = torch.empty(order.shape, dtype=torch.int32, device="cpu")
    ranked[order] = torch.arange(len(order), dtype=torch.int32, device="cpu")
    return ranked.reshape(strengths.shape)


def counts(places: int, steps: int) -> list[int]:
    """Pixels taken at each point of a curve: 0, s, 2s, … and all, with s = ⌈places / steps⌉."""
    if not 2 <= steps <= 200:
        raise OptionError("The number of steps goes from 2 to 200: choose one in between.")
    return [*range(0, places, -(-places // steps)), places]


def in_one_go(work: Callable[P, Steps[T]]) -> Callable[P, T]:
    """Work that is done in steps, as a plain function."""

    @functools.wraps(work)
    def whole(*args: P.args, **kwargs: P.kwargs) -> T:
        steps = work(*args, **kwargs)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value

    return whole


def following(
    network: Network,
    x: Tensor,
    fill: Tensor,
    ranked: Tensor,
    target: int,
    *,
    steps: int = STEPS,
    ends: tuple[float, float] | None = None,
) -> Steps[Scores]:
    """Both curves of one order of pixels; yields every few passes.

    x, fill: (1, 3, H, W), the input and what stands where a pixel is missing; ranked: (H, W) as
    from `ranks`; ends: the target's probability for x and for fill, if known.
    """
    taken = counts(ranked.numel(), steps)
    if ends is None:
        ends = tuple(_chances(network, torch.cat([x, fill]), target))
    x, fill = (each.to(network.device).contiguous(memory_format=torch.channels_last)
               for each in (x, fill))  # fmt: skip
    ranked, inner = ranked.to(network.device), taken[1:-1]
    jobs = torch.tensor([(count, which) for which in (0, 1) for count in inner], device="cpu")
    found: list[float] = []
    for some in jobs.split(network.at_once(x.shape[2:])):
        limit, insertion = (column.to(ranked.device).view(-1, 1, 1, 1) for column in some.T)
        missing = (ranked < limit) ^ insertion.bool()
        found += _chances(network, torch.where(missing, fill, x), target)
        yield
    whole, blank = ends
    fractions = tuple(count / ranked.numel() for count in taken)
    return Scores(
        Curve(fractions, (whole, *found[: len(inner)], blank)),
        Curve(fractions, (blank, *found[len(inner) :], whole)),
    )


curves = in_one_go(following)


def pieces(question: Question, steps: int = STEPS) -> int:
    """How often `scoring` yields for one map."""
    size = question.view.tensor.shape[2:]
    return -(-2 * (len(counts(size.numel(), steps)) - 2) // question.network.at_once(size))


def _chances(network: Network, x: Tensor, target: int) -> list[float]:
    return network.probabilities(network.logits(x))[:, target].tolist()


def _measure(
    question: Question, target: int, strengths: Tensor, baseline: str, steps: int
) -> Steps[Scores]:
    if baseline not in BASELINES:
        raise OptionError(f"A missing pixel shows {' or '.join(BASELINES)}: choose one of them.")
    network, x = question.network, question.view.tensor
    fill = baseline_image(network, x, baseline)
    key = (question.view.key, baseline, target)
    ends = _ends.found(
        key, lambda: tuple(_chances(network, torch.cat([x, fill]), target)), of=network
    )
    ranked = ranks(strengths)
    return (yield from following(network, x, fill, ranked, target, steps=steps, ends=ends))


def scoring(
    question: Question,
    explanation: Explanation,
    row: int = 0,
    *,
    baseline: str = "blur",
    steps: int = STEPS,
) -> Steps[Scores]:
    """Deletion and insertion of the map of that target; kept for a while.

    baseline: a key of `BASELINES`. With a second class the map is that of a difference; the curves
    still follow the probability of the target alone. Maps that are the same up to their scale and
    rounding (on a linear head CAM, Grad-CAM and HiResCAM) are measured once.
    """
    target = explanation.targets[row]
    key = _score_key(question, explanation, row, baseline, steps)
    if (known := _scored.get(key)) is not None:
        return known
    values = shape(explanation, row)
    alike = _orders.get((*key[:3], target)) or []
    for other, found in alike:
        if same(other, values):
            known = found
    if known is None:
        size = tuple(question.view.tensor.shape[2:])
        strengths = strength(explanation, row, size)
        known = yield from _measure(question, target, strengths, baseline, steps)
        if not explanation.per_pixel:
            _orders.keep((*key[:3], target), [*alike, (values, known)], of=question.network)
    return _scored.keep(key, known, of=question.network)


score = in_one_go(scoring)


def shape(explanation: Explanation, row: int = 0) -> Tensor:
    """A map (h, w), from 0 to 1: what is left when its scale is taken away."""
    values = strength(explanation, row, tuple(explanation.values.shape[-2:]))
    low, high = values.aminmax()
    return (values - low) / (high - low).clamp(min=1e-30)


def same(one: Tensor, other: Tensor) -> bool:
    """Are two maps, as `shape` gives them, one map?"""
    return one.shape == other.shape and float((one - other).abs().max()) < SAME


def drawing(
    question: Question,
    target: int,
    *,
    pixels: bool = False,
    baseline: str = "blur",
    steps: int = STEPS,
    seed: int = SEED,
) -> Steps[tuple[Scores, ...]]:
    """What `DRAWS` random orders score, seeded; kept for a while.

    A random map is as coarse as the layer's (or as fine as the photo's pixels, with `pixels`):
    single pixels scattered over the photo harm a network more than blobs do, so each map is to be
    held against the floor of its own grain.
    """
    key = _order_key(question, target, pixels, baseline, steps, seed)
    if (known := _drawn.get(key)) is not None:
        return known
    size = tuple(question.view.tensor.shape[2:])
    passed = question.network.recorded(question.view, question.layer)
    cells = size if pixels else tuple(passed.activations[question.layer].shape[2:])
    generator, drawn = torch.Generator().manual_seed(seed), []
    for _ in range(DRAWS):
        noise = torch.rand(1, 1, *cells, generator=generator, device="cpu")
        noise = F.interpolate(noise, size, mode="bilinear")[0, 0]
        drawn.append((yield from _measure(question, target, noise, baseline, steps)))
    return _drawn.keep(key, tuple(drawn), of=question.network)


def floor(question: Question, target: int, **options: Any) -> Scores:
    """The mean of what random orders score; options are those of `drawing`."""
    return average(in_one_go(drawing)(question, target, **options))


def average(several: Sequence[Scores]) -> Scores:
    """The mean of both curves."""
    return Scores(_mean([s.deletion for s in several]), _mean([s.insertion for s in several]))


def _mean(several: Sequence[Curve]) -> Curve:
    chances = np.mean([curve.chances for curve in several], axis=0)
    return Curve(several[0].fractions, tuple(chances.tolist()))


def recall_score(
    question: Question,
    explanation: Explanation,
    row: int = 0,
    *,
    baseline: str = "blur",
    steps: int = STEPS,
) -> Scores | None:
    """What `score` found if it is still known: nothing is computed."""
    return _scored.get(_score_key(question, explanation, row, baseline, steps))


def recall_orders(
    question: Question,
    target: int,
    *,
    pixels: bool = False,
    baseline: str = "blur",
    steps: int = STEPS,
    seed: int = SEED,
) -> tuple[Scores, ...] | None:
    """What `drawing` found if it is still known."""
    return _drawn.get(_order_key(question, target, pixels, baseline, steps, seed))


def _score_key(
    question: Question, explanation: Explanation, row: int, baseline: str, steps: int
) -> tuple[Any, ...]:
    options = tuple(sorted(explanation.options.items()))
    about = explanation.method, explanation.against, explanation.layer, options, explanation.done
    return question.view.key, baseline, steps, explanation.targets[row], *about


def _order_key(question: Question, *about: Any) -> tuple[Any, ...]:
    return question.view.key, question.layer, *about
