"""Receptive fields: what gradients, and ones that come back, say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explainers.units.receptive import field, fields
from tests import nets


def transparent(module: nn.Module) -> nn.Module:
    """A copy of the wiring in which every weight is the same positive number and nothing is cut
    off, so that a gradient of ones arrives exactly where a cell can see."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Conv2d):
                part.weight.fill_(1 / part.weight[0].numel())
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.zero_()
                part.running_var.fill_(1)
                part.weight.fill_(1)
            if getattr(part, "bias", None) is not None:
                part.bias.zero_()
    _open(module)
    return module.double().eval()


def _open(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU | nn.ReLU6):
            setattr(module, name, nn.Identity())
        elif isinstance(child, nn.MaxPool2d):
            setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
        else:
            _open(child)


def narrow(module: nn.Module) -> nn.Module:
    """The same wiring with an eighth of the channels, as its one pass comes to each layer: where
    cells can see hangs on no channel, and the time that it takes on them all."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.BatchNorm2d | nn.Linear):
            part.register_forward_pre_hook(_narrowed)
        if isinstance(part, nn.Linear):  # a head that reads two layers' maps goes by it
            part.in_features //= 8
    return module


def _narrowed(part: nn.Module, given: tuple[Tensor]) -> None:
    inputs = given[0].shape[-1 if isinstance(part, nn.Linear) else 1]
    if isinstance(part, nn.BatchNorm2d):
        part.running_mean, part.running_var = part.running_mean[:inputs], part.running_var[:inputs]
        part.weight = part.bias = None
        return
    outputs, _, *kernel = part.weight.shape
    outputs = outputs if outputs % 8 else outputs // 8
    if getattr(part, "groups", 1) > 1:  # each channel by itself
        part.groups = outputs = inputs
    weight = part.weight.new_ones(outputs, inputs // getattr(part, "groups", 1), *kernel)
    part.weight, part.bias = nn.Parameter(weight / weight[0].numel()), None


def backpropagated(
    module: nn.Module, layers: Iterable[str], x: Tensor, bordered: str = ""
) -> dict[tuple, tuple]:
    """(layer, row, column) -> the box of pixels that a one at that cell comes back to. bordered:
    the layer of which two corners are tried, too; all of them if none is named."""
    found, boxes = {}, {}
    hooks = [
        module.get_submodule(name).register_forward_hook(
            lambda _m, _i, out, name=name: found.__setitem__(name, out)
        )
        for name in layers
    ]
    x = x.requires_grad_()
    module(x)
    for hook in hooks:
        hook.remove()
    for name, value in found.items():
        height, width = value.shape[2:]
        cells = [(height // 2, width // 2)]
        if bordered in (name, ""):
            cells += [(0, 0), (height - 1, width - 1)]
        for row, column in cells:
            one = torch.zeros_like(value)
            one[0, :, row, column] = 1
            (gradient,) = torch.autograd.grad(value, x, one, retain_graph=True)
            seen = gradient[0].abs().sum(0) > 0
            rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
            boxes[name, row, column] = (
                int(columns[0]),
                int(rows[0]),
                int(columns[-1]) + 1,
                int(rows[-1]) + 1,
            )
    return boxes


@pytest.mark.slow
@nets.each_network
def test_receptive_fields_are_those_that_ones_come_back_to(entry):
    network = nets.like(entry)
    # Long and low, so that even fields of two thousand pixels end inside at little cost: they are
    # as wide as high, so a network's columns say it all; heights are checked on the way.
    span = fields(network, 32, 4096)[network.last].x
    size = (32, -(-(span.size + span.jump) // 32) * 32)
    module = narrow(transparent(nets.module(entry.arch, num_classes=4)))
    layers = {*list(network.maps)[::3], network.last}  # passes for each of them take their time
    x = torch.ones(1, 3, *size, dtype=torch.float64)
    boxes = backpropagated(module, layers, x, network.last)
    assert len(boxes) >= len(layers)
    for (layer, row, column), box in boxes.items():
        assert field(network, layer, *size).box(row, column) == box, layer
    last = fields(network, *size)[network.last].x
    middle = field(network, network.last, *size).box(0, size[1] // last.jump // 2)
    assert middle[0] > 0 or middle[2] < size[1]  # it does end inside


class Gated(nn.Module):
    """Convolutions with a gate between them, whose values (0 to 1) `gate` reads off the maps."""

    def __init__(self, gate: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 8, 3, 2), nn.Conv2d(8, 8, 3)
        self.inner, self.outer, self.along = nn.Linear(8, 8), nn.Linear(8, 3), nn.Conv1d(1, 1, 3)
        self.near, self.gate = nn.Conv2d(1, 1, 3, padding=1), gate

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return self.outer(self.c(self.b(x * self.gate(self, x))).mean((2, 3)))


def across(net: nn.Module, x: Tensor) -> Tensor:
    """A layer at each place, channels last, as MambaOut and ConvNeXt have it."""
    return net.inner(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


GATES = {
    "mean": lambda n, x: n.inner(x.mean((2, 3)))[..., None, None],
    "pool": lambda n, x: n.inner(F.adaptive_avg_pool2d(x, 1).flatten(1))[..., None, None],
    "window": lambda n, x: F.avg_pool2d(x, x.shape[2:]),
    "rows": lambda n, x: x.mean(3, keepdim=True),
    "greatest": lambda n, x: x.amax((2, 3), keepdim=True),
    "along": lambda n, x: n.along(F.pad(x.mean((2, 3)), (1, 1))[:, None])[:, 0, :, None, None],
    "places": lambda n, x: n.near(x.mean(1, keepdim=True)),
    "across": across,
}


@pytest.mark.parametrize("gate", GATES)
def test_behind_a_gate_a_cell_sees_what_the_gate_sees(gate):
    layers = ["a", "b", "c"]
    size = (33, 65)
    module = transparent(Gated(GATES[gate]))
    nn.init.constant_(module.inner.weight, 1 / 8)
    nn.init.constant_(module.along.weight, 1 / 3)
    x = nets.noise(1, 3, *size, seed=50).abs().double()  # one maximum, not many
    boxes = backpropagated(module, layers, x)
    titles = {name: name for name in layers}
    network = nets.wrap(Gated(GATES[gate]), classes=3, size=33, layers=titles)
    for (layer, row, column), box in boxes.items():
        if gate == "greatest" and layer != "a":
            box = (0, 0, size[1], size[0])  # any place may be the maximum
        assert field(network, layer, *size).box(row, column) == box, (layer, row, column)


# --- examples, camera
