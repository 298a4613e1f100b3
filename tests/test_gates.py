"""The last layer is a map that tells of classes, not one that others are weighted with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from explainers import explain, read, wrap
from tests.nets import assert_close
from tests.test_own_forms import HOW, PHOTO, Form, trunk


class Places(nn.Module):
    """CBAM's attention to places."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(torch.cat([x.mean(1, True), x.amax(1, True)], 1)).sigmoid()


def attended(m: Any, x: Tensor) -> Tensor:
    """Pooled by an attention of its own, as where bags of places are looked at."""
    return (m.gate(x).flatten(2).softmax(2) * x.flatten(2)).sum(2)


def strips(m: Any, x: Tensor) -> Tensor:
    """Weighted by row and by column, as coordinate attention does."""
    rows, columns = m.rows(x.mean(3, True)), m.gate(x.mean(2, True))
    return (x * rows.sigmoid() * columns.sigmoid()).mean((2, 3))


PARTS: dict[str, tuple[Callable[[Any, Tensor], Tensor], Callable[[], dict[str, nn.Module]]]] = {
    "places": (lambda m, x: (m.gate(x) * x).mean((2, 3)), lambda: {"gate": Places()}),
    "layers of its own": (
        lambda m, x: (m.gate(m.inner(x).tanh()).sigmoid() * x).mean((2, 3)),
        lambda: {"inner": nn.Conv2d(6, 4, 1), "gate": nn.Conv2d(4, 1, 1)},
    ),
    "attention": (attended, lambda: {"gate": nn.Conv2d(6, 1, 1)}),
    "strips": (strips, lambda: {"rows": nn.Conv2d(6, 6, (3, 1), padding=(1, 0)),
                                "gate": nn.Conv2d(6, 6, (1, 3), padding=(0, 1))}),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_the_last_layer_is_what_is_weighted(name):
    torch.manual_seed(2)
    pooled, parts = PARTS[name]
    net = Form(
        lambda m, x: m.head(pooled(m, m.trunk(x))), trunk=trunk(), head=nn.Linear(6, 3), **parts()
    ).eval()
    network = wrap(net, **HOW)
    assert network.last == "trunk"
    a = net.trunk(network.prepare(read(PHOTO)).tensor).detach().requires_grad_()
    (g,) = torch.autograd.grad(net.head(pooled(net, a))[0, 1], a)
    by_hand = torch.einsum("c,chw->hw", g[0].mean((1, 2)), a[0].detach())
    assert_close(explain(network, PHOTO, 1).values[0], by_hand, 1e-4)


def test_a_trunk_that_ends_in_one_channel_is_looked_at_there():
    net = Form(
        lambda m, x: m.head(m.one(m.trunk(x)).flatten(1)),
        trunk=trunk(), one=nn.Conv2d(6, 1, 1), head=nn.Linear(64, 3),
    )  # fmt: skip
    assert wrap(net.eval(), **HOW).last == "one"
