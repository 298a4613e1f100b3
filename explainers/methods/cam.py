"""Class activation maps: weighted sums of a layer's activation maps.

All of them read the same recorded pass, so another method or another class costs next to nothing.
A rule gets the activations A (C, h, w) and, per target, the gradients G (K, C, h, w) of its logit
with respect to A, and returns raw signed maps (K, h, w).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from .. import notes
from ..explanation import Explanation, Note, Question
from ..registry import register

Rule = Callable[[Tensor, Tensor], Tensor]

_TINY = 1e-7
ROUNDING = 16 * torch.finfo(torch.float32).eps  # of the mean size; of others 500 are left


def weighted(weights: Tensor, a: Tensor) -> Tensor:
    """The sum of the maps (C, h, w), by K rows of weights (K, C)."""
    return torch.einsum("kc,chw->khw", weights, a)


def averaged(terms: Tensor) -> tuple[Tensor, Tensor]:
    """Terms (K, C, h, w) summed over their places, (K, C): exactly nil where they cancel out but
    for rounding. And the share of all of them that does not cancel out, (K,): 1 at most."""
    sums, sizes = terms.sum((2, 3)), terms.abs().sum((2, 3))
    nil = (sums.abs() <= ROUNDING * sizes) & sizes.isfinite()  # what overflows is to be told
    sums = sums.masked_fill(nil, 0.0)
    return sums, sums.abs().sum(1) / sizes.sum(1)


def gradcam(a: Tensor, g: Tensor) -> Tensor:
    """Weights: the spatial mean of the gradient (Selvaraju et al. 2017, eq. 1).

    Exactly nil where the gradient cancels out but for rounding, as before an InstanceNorm.
    """
    return weighted(_means(a, g)[0], a)


def _means(_a: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    sums, left = averaged(g)
    return sums / g[0, 0].numel(), left


def gradcam_plus_plus(a: Tensor, g: Tensor) -> Tensor:
    """Weights: positive gradients, each place by its closed-form share (Chattopadhay et al. 2018).

    As in the paper, the score is taken to be exp(logit), so the higher derivatives are powers of
    the gradient (eq. 19).
    """
    total = a.sum((1, 2))[None, :, None, None]
    share = g**2 / (2 * g**2 + total * g**3 + 1e-6)
    return weighted((torch.where(g != 0, share, 0) * g.clamp(min=0)).sum((2, 3)), a)


def layercam(a: Tensor, g: Tensor) -> Tensor:
    """Each place weighted by its own positive gradient (Jiang et al. 2021, eq. 6)."""
    return torch.einsum("kchw,chw->khw", g.clamp(min=0), a)


def hirescam(a: Tensor, g: Tensor) -> Tensor:
    """Each place weighted by its own gradient (Draelos and Carin 2020, eq. 3)."""
    return torch.einsum("kchw,chw->khw", g, a)


def xgradcam(a: Tensor, g: Tensor) -> Tensor:
    """Weights: the gradient averaged by the activation's share at each place (Fu et al. 2020).

    Nil where the products or the shares cancel out but for rounding, as on either side of an
    InstanceNorm.
    """
    return weighted(_shares(a, g)[0], a)


def _shares(a: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    (products, left), (whole, _) = averaged(g * a), averaged(a[None])
    return torch.where(whole != 0, products / (whole + _TINY), 0.0), left


#: Rules whose weights are averages over the places: those (K, C), and what is left of what they
#: average (K,).
AVERAGED: dict[Rule, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    gradcam: _means,
    xgradcam: _shares,
}


def _no_cam(question: Question) -> str | None:
    network = question.network
    if network.cam_weights is not None:
        return None
    if network.functions:
        return (
            "CAM reads the weights of a class off the last layer, and a function has none there; "
            "Grad-CAM asks the gradient instead."
        )
    return (
        "CAM needs a global average and one linear layer right after the last layer, and "
        f"{network.title} has something else there; Grad-CAM asks the gradient instead and needs "
        "neither."
    )


def identity_gap(cam: Explanation, gradcam: Explanation) -> float | None:
    """Largest difference between CAM and Grad-CAM times the number of places, of CAM's range.

    On a head of global average and linear layer the two are the same map (Selvaraju et al. 2017,
    section 3.1), so this is rounding error. None where they look at different layers.
    """
    if cam.layer != gradcam.layer:
        return None
    places = gradcam.values.shape[-1] * gradcam.values.shape[-2]
    spread = cam.values.max() - cam.values.min()
    return float((gradcam.values * places - cam.values).abs().max() / spread)


@register(
    "cam",
    title="CAM",
    family="cam",
    caption="Where the last maps feed the class, read straight off the final layer’s weights.",
    paper="Zhou et al. 2016",
    cost="one pass",
    default=True,
    place=10,
    why_not=_no_cam,
)
def cam(question: Question) -> Iterator[Explanation]:
    """The last activation weighted by the linear head's weights of the class.

    Always at the last layer, whatever the question's layer: there is no other that the head reads.
    """
    start = time.perf_counter()
    network, layer = question.network, question.network.last
    recording = network.recorded(question.view, layer)
    weights = network.cam_weights[list(question.targets)]
    if question.against is not None:
        weights = weights - network.cam_weights[question.against]
    values = weighted(weights, recording.activations[layer].detach()[0])
    yield question.answer("cam", values, recording.logits, start, layer=layer)


def layer_map(question: Question, rule: Rule) -> tuple[Tensor, tuple[Note, ...]]:
    """The rule's raw signed maps (K, h, w) at the question's layer, and what is to be said."""
    recording = question.network.recorded(question.view, question.layer)
    g = recording.gradients(question.targets, question.against, question.layer)[:, 0]
    a = recording.activations[question.layer].detach()[0]
    if rule not in AVERAGED:
        return rule(a, g), ()
    weights, left = AVERAGED[rule](a, g)
    told = (notes.cancelled(share, row) for row, share in enumerate(left.tolist()))
    return weighted(weights, a), tuple(filter(None, told))


def _add(key: str, rule: Rule, **facts: Any) -> None:
    @register(key, family="cam", cost="one pass", **facts)
    def run(question: Question) -> Iterator[Explanation]:
        start = time.perf_counter()
        values, told = layer_map(question, rule)
        logits = question.network.recorded(question.view, question.layer).logits
        yield question.answer(key, values, logits, start, layer=question.layer, notes=told)


_add(
    "gradcam",
    gradcam,
    title="Grad-CAM",
    caption="Where the layer’s maps push the class up, each map weighted by its average gradient.",
    paper="Selvaraju et al. 2017",
    place=20,
    sums=True,
    default=True,
)
_add(
    "gradcam++",
    gradcam_plus_plus,
    title="Grad-CAM++",
    caption="Like Grad-CAM, but several instances of the class should all light up.",
    paper="Chattopadhay et al. 2018",
    place=30,
)
_add(
    "layercam",
    layercam,
    title="LayerCAM",
    caption="Each place has its own weight, so earlier, finer layers stay readable.",
    paper="Jiang et al. 2021",
    place=40,
    sums=True,
)
_add(
    "hirescam",
    hirescam,
    title="HiResCAM",
    caption="Lights only what the network really used: gradients are not averaged away.",
    paper="Draelos and Carin 2020",
    place=50,
    sums=True,
)
_add(
    "xgradcam",
    xgradcam,
    title="XGrad-CAM",
    caption="Weights chosen so that the map’s sum accounts for the class score.",
    paper="Fu et al. 2020",
    place=60,
    sums=True,
)
