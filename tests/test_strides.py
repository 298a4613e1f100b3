"""One photo's gradient through BatchNorm and InstanceNorm, whatever memory it comes back in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explainers import METHODS, explain, read, wrap
from explainers.api import question
from tests.nets import assert_close
from tests.test_own_forms import HOW, PHOTO, Form, conv


def each_by_itself(m: Any, x: Tensor) -> Tensor:
    """As style transfer writes it: photos and channels on one axis."""
    flat = F.batch_norm(m.first(x).contiguous().view(1, -1, 16, 16), None, None, training=True)
    return m.head(m.second(flat.view(len(x), -1, 16, 16)).relu().mean((2, 3)))


def to_tokens(m: Any, x: Tensor) -> Tensor:
    """A convolution, a BatchNorm, tokens and a LayerNorm; its `view` keeps it to plain memory."""
    x = m.norm(m.first(x.view(x.shape)))
    x = m.second(x.view(len(x), -1).view(x.shape))
    return m.head(m.tokens(m.after(x).flatten(2).transpose(1, 2)).relu().mean(1))


def normed(norm: Callable[[Tensor], Tensor]) -> Form:
    return Form(
        lambda m, x: m.head(m.second(m.norm(m.first(x))).relu().mean((2, 3))),
        first=conv(3, 6), norm=norm, second=conv(6, 6), head=nn.Linear(6, 3),
    )  # fmt: skip


def seen(norm: nn.Module) -> nn.Module:
    norm(torch.zeros(1, 6, 4, 4))
    return norm


NORMS: dict[str, Callable[[], nn.Module]] = {
    "InstanceNorm": lambda: normed(nn.InstanceNorm2d(6)),
    "kept statistics": lambda: normed(nn.InstanceNorm2d(6, track_running_stats=True)),
    "lazy": lambda: normed(seen(nn.LazyInstanceNorm2d())),
    "a function": lambda: normed(Form(lambda m, x: F.instance_norm(x))),
    "style transfer": lambda: Form(
        each_by_itself, first=conv(3, 6), second=conv(6, 6), head=nn.Linear(6, 3)
    ),
    "BatchNorm before tokens": lambda: Form(
        to_tokens, first=conv(3, 6), norm=nn.BatchNorm2d(6), second=conv(6, 6),
        after=nn.BatchNorm2d(6), tokens=nn.LayerNorm(6), head=nn.Linear(6, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("norm", NORMS)
def test_the_gradient_of_one_photo_is_that_of_a_photo_among_others(norm):
    """For one photo alone, torch's own is wrong where it comes back in another order of memory."""
    torch.manual_seed(6)
    network = wrap(NORMS[norm]().eval(), **HOW)
    module = copy.deepcopy(network.module).double()
    held: list[Tensor] = []
    module.first.register_forward_hook(lambda _m, _x, out: held.append(out))
    x = network.prepare(read(PHOTO)).tensor.double().repeat(2, 1, 1, 1).requires_grad_()
    with torch.enable_grad():
        logits = module(x)
    pixels, maps = torch.autograd.grad(logits[0, 1], [x, held[-1]])
    assert_close(explain(network, PHOTO, 1, "gradient").values, pixels[:1].float(), 1e-4)
    for classes in ([1], [1, 2]):  # several are asked for in one go
        recording = network.record(network.prepare(read(PHOTO)).tensor, ("first",))
        assert_close(recording.gradients(classes, layer="first")[0], maps[:1], 1e-4)


@pytest.mark.parametrize("norm", ["InstanceNorm", "a function", "style transfer"])
def test_weights_that_are_rounding_alone_make_no_map(norm):
    """What an InstanceNorm takes the mean off has a gradient whose mean is nil."""
    torch.manual_seed(6)
    found = explain(wrap(NORMS[norm]().eval(), **HOW), PHOTO, [0, 1], layer="first")
    assert not found.values.any()
    assert [note.key for note in found.notes].count("blank") == 2


def centred(share: float) -> Form:
    """Takes off its maps so much of their mean."""
    return normed(Form(lambda m, x: x - share * x.mean((2, 3), keepdim=True)))


@pytest.mark.parametrize(("module", "told"), [
    (NORMS["InstanceNorm"], {"xgradcam"}),  # its epsilon leaves something of the products
    (lambda: centred(0.9999), {"gradcam", "guided_gradcam"}),
    (lambda: centred(0.9), set()),
    (lambda: normed(nn.GroupNorm(2, 6)), set()),
])  # fmt: skip
def test_weights_that_nearly_cancel_out_are_told(module, told):
    torch.manual_seed(6)
    network = wrap(module().eval(), **HOW)
    asked = question(network, PHOTO, [0, 1], layer="first")
    methods = [key for key, method in METHODS.items() if method.cost == "one pass"]
    methods = [key for key in methods if METHODS[key].why_not(asked) is None]
    found = {key: explain(network, PHOTO, [0, 1], key, layer="first") for key in methods}
    noted = [key for key, each in found.items() for n in each.notes if n.key == "cancelled"]
    assert set(noted) == told
    assert len(noted) == 2 * len(told)


def test_shares_of_a_map_that_has_no_sum_make_no_weights():
    """An activation that was centred is a share of nothing, for XGrad-CAM."""
    torch.manual_seed(6)
    found = explain(wrap(NORMS["InstanceNorm"]().eval(), **HOW), PHOTO, 0, "xgradcam", layer="norm")
    assert not found.values.any()
    assert "blank" in [note.key for note in found.notes]


@pytest.mark.parametrize("method", ["gradcam", "xgradcam"])
def test_an_endless_gradient_is_told_and_no_blank_map(method):
    """That of a root where nothing is, as in a pool of standard deviations: infinite."""
    torch.manual_seed(6)
    rooted = Form(
        lambda m, x: m.head(torch.sqrt(m.act(m.first(x))).mean((2, 3))),
        first=conv(3, 6), act=nn.ReLU(), head=nn.Linear(6, 3),
    )  # fmt: skip
    found = explain(wrap(rooted.eval(), **HOW), PHOTO, 0, method, layer="act")
    assert [note.key for note in found.notes] == ["NaN"]
