"""Maps of the input's own pixels: gradients, plain, guided, smoothed and integrated.

Guided backprop needs every ReLU to pass back only positive gradients. A torch function mode round
the forward pass swaps the calls, so that no module is touched and two visitors can't meet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import OptionError
from ..explanation import Explanation, Question
from ..network import Network, Recording
from ..network.sparing import SPARING, Spare
from ..network.swaps import Swapped, Swaps, clamps, passed, relus
from ..options import Seed, Within
from ..recent import Recent
from ..registry import register
from .cam import gradcam, layer_map

RECTIFIERS = frozenset({"relu", "relu6", "hardtanh"})
Batch = Annotated[int, Within(1, 64)]  # inputs that are drawn up together


class _Guided(Spare):
    """A rectifier whose backward also cuts negative gradients (Springenberg et al. 2015)."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return passed(ctx, gradient, ctx.high).clamp_(min=0), None, None, None


class _Open(Spare):
    """The same without the cut at the top, so that a saturated ReLU6 still says where it looks."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return passed(ctx, gradient, torch.inf).clamp_(min=0), None, None, None


_SWAPS: Swaps = {**SPARING, **clamps(_Guided), **relus(_Guided)}
_OPEN_SWAPS: Swaps = {**SPARING, **clamps(_Open), **relus(_Open)}


def _no_guided(network: Network) -> str | None:
    used = network.nonlinearities
    if used and used <= RECTIFIERS:
        return None
    met = ", ".join(sorted(used - RECTIFIERS)) or "no activation function of that kind"
    return (
        f"Guided backprop is a rule for ReLUs, and {network.title} uses {met}; "
        "the plain gradient is defined for every network."
    )


def guided_recording(
    network: Network, x: Tensor, layers: Sequence[str] = (), *, open_top: bool = False
) -> Recording:
    """A recorded pass to the input x (N, C, H, W) whose ReLUs pass back positive gradients only.

    open_top: a ReLU6 passes them back even where it is saturated. Raises OptionError where that is
    not defined, rather than return a plain gradient.
    """
    if reason := _no_guided(network):
        raise OptionError(reason)
    with Swapped(_OPEN_SWAPS if open_top else _SWAPS):
        return network.record(x, layers, inputs=True)


def _plain_recording(network: Network, x: Tensor) -> Recording:
    with Swapped(SPARING):
        return network.record(x, inputs=True)


_recent: Recent[Hashable, tuple[Tensor, Tensor]] = Recent()


def _pixels(
    question: Question, record: Callable[[Network, Tensor], Recording]
) -> tuple[Tensor, Tensor]:
    """Gradients (K, 3, H, W) of the targets with respect to the input, and the logits.

    Kept for a while, since guided backprop and Guided Grad-CAM need the same ones.
    """
    key = (record.__name__, question.view.key, question.targets, question.against)

    def find() -> tuple[Tensor, Tensor]:
        recording = record(question.network, question.view.tensor)
        gradients = recording.gradients(question.targets, question.against, once=True)[:, 0]
        return gradients, recording.logits.detach()

    return _recent.found(key, find, of=question.network)


@register(
    "gradient",
    title="Gradient",
    family="gradient",
    caption="Which pixels, changed a little, change the score most; noisy by nature.",
    paper="Simonyan et al. 2014",
    cost="one pass",
    place=70,
    sums=True,
)
def gradient(question: Question) -> Iterator[Explanation]:
    """The gradient of the logit with respect to the input."""
    start = time.perf_counter()
    yield question.answer("gradient", *_pixels(question, _plain_recording), start)


@register(
    "guided",
    title="Guided backprop",
    family="guided",
    caption="Fine edges that the network responds to; it hardly depends on the class.",
    paper="Springenberg et al. 2015",
    cost="one pass",
    place=80,
    sums=True,
    class_dependent=False,
    default=True,
    why_not=lambda question: _no_guided(question.network),
)
def guided(question: Question) -> Iterator[Explanation]:
    """The gradient with negative gradients cut off at every ReLU."""
    start = time.perf_counter()
    yield question.answer("guided", *_pixels(question, guided_recording), start)


@register(
    "guided_gradcam",
    title="Guided Grad-CAM",
    family="guided",
    caption="The fine edges of guided backprop, only where Grad-CAM finds the class.",
    paper="Selvaraju et al. 2017",
    cost="one pass",
    place=90,
    default=True,
    why_not=lambda question: _no_guided(question.network),
)
def guided_gradcam(question: Question) -> Iterator[Explanation]:
    """Guided backprop times the positive part of Grad-CAM, enlarged bilinearly (section 3.2)."""
    start = time.perf_counter()
    found, told = layer_map(question, gradcam)
    where = found.clamp(min=0)[:, None]
    where = F.interpolate(where, question.view.tensor.shape[2:], mode="bilinear")
    edges, logits = _pixels(question, guided_recording)
    about = {"layer": question.layer, "notes": told}
    yield question.answer("guided_gradcam", edges * where, logits, start, **about)


def _averaged(
    method: str,
    question: Question,
    inputs: Iterator[tuple[Tensor, Tensor]],
    scale: Tensor | float,
    count: int,
) -> Iterator[Explanation]:
    """Weighted sum of gradients at `count` inputs, in small batches, shown as it grows.

    inputs: pairs of a batch (n, 3, H, W) and its weights (n,), which add up to one at the end.
    """
    start = time.perf_counter()
    network, x = question.network, question.view.tensor
    logits = network.recorded(question.view, network.last).logits
    total = torch.zeros(len(question.targets), *x.shape[1:], dtype=torch.float32, device="cpu")
    seen, weight = 0, 0.0
    lot = network.at_once(x.shape[2:])
    for batch, weights in inputs:
        for some, shares in zip(batch.split(lot), weights.split(lot), strict=True):
            recording = _plain_recording(network, some)
            gradients = recording.gradients(question.targets, question.against, once=True).cpu()
            del recording  # before the next one takes as much again
            total = total + torch.einsum("n,knchw->kchw", shares, gradients)
            seen, weight = seen + len(some), weight + float(shares.sum())
            mean = total / weight * scale
            yield question.answer(method, mean, logits, start, done=seen / count)


@register(
    "smoothgrad",
    title="SmoothGrad",
    family="gradient",
    caption="The gradient averaged over noisy copies of the photo: what stays is less noise.",
    paper="Smilkov et al. 2017",
    cost="dozens",
    place=100,
    sums=True,
)
def smoothgrad(
    question: Question,
    *,
    samples: Annotated[int, Within(1, 500)] = 24,
    noise: Annotated[float, Within(0, 10)] = 0.15,
    seed: Seed = 0,
    batch: Batch = 4,
) -> Iterator[Explanation]:
    """Mean gradient over `samples` copies with normal noise of `noise` times the input's range."""
    x = question.view.tensor
    generator = torch.Generator().manual_seed(seed)
    sigma = noise * float(x.max() - x.min())

    def copies() -> Iterator[tuple[Tensor, Tensor]]:
        for first in range(0, samples, batch):
            n = min(batch, samples - first)
            noisy = torch.randn(
                n, *x.shape[1:], generator=generator, dtype=torch.float32, device="cpu"
            )
            noisy = noisy * sigma + x
            yield noisy, torch.full((n,), 1 / samples, dtype=x.dtype, device="cpu")

    yield from _averaged("smoothgrad", question, copies(), 1.0, samples)


@register(
    "integrated",
    title="Integrated gradients",
    family="gradient",
    caption="Each pixel’s share of the score on the way from grey to the photo; shares add up.",
    paper="Sundararajan et al. 2017",
    cost="dozens",
    place=110,
    sums=True,
)
def integrated(
    question: Question,
    *,
    steps: Annotated[int, Within(2, 500)] = 32,
    batch: Batch = 4,
) -> Iterator[Explanation]:
    """Path integral of the gradient from the zero input (the data set's mean colour), times x.

    Gauss-Legendre quadrature; the values of a map add up to logit(x) - logit(0) (completeness).
    """
    x = question.view.tensor
    nodes, weights = _quadrature(steps)
    # spread the nodes, so that the growing picture is fair to the whole path from the start
    order = np.argsort(np.arange(steps) * 0.618033988749895 % 1)
    alphas = torch.tensor((nodes[order] + 1) / 2, dtype=x.dtype, device="cpu")
    parts = torch.tensor(weights[order] / 2, dtype=x.dtype, device="cpu")

    def path() -> Iterator[tuple[Tensor, Tensor]]:
        pairs = zip(alphas.split(batch), parts.split(batch), strict=True)
        for alpha, part in pairs:
            yield alpha[:, None, None, None] * x, part

    yield from _averaged("integrated", question, path(), x[0], steps)


@lru_cache(maxsize=8)
def _quadrature(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss and Legendre on -1..1; for some hundred they take longer than
    a small network's passes."""
    return np.polynomial.legendre.leggauss(steps)
