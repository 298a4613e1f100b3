"""What an impression is of: one class, a mix of two, or a unit inside the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import OptionError
from ..network import Enough, Network, Recording
from ..network.dense import DenseConv
from ..network.swaps import Clamp, Swapped, clamps, relus
from ..options import index_in
from ..units import check, layer_of

LEAK = 0.1  # of what is negative, so that a silent unit can be woken


def check_colours(network: Network) -> None:
    """Raises OptionError unless a picture in red, green and blue is what the network sees."""
    if not network.sees_colours:
        raise OptionError(
            f"{network.title} sees something else than red, green and blue, which its own "
            "transform makes of a photo, so nothing can be drawn for it."
        )


@dataclass(frozen=True)
class Classes:
    """The logit of a class, or a weighted sum of several; weights add up to one."""

    targets: tuple[int, ...]
    weights: tuple[float, ...] = (1.0,)

    def reach(self, network: Network, x: Tensor, **options: bool) -> tuple[Tensor, Recording]:
        """(N,) what is driven up, and the pass; options as of `Network.record`."""
        recording = network.record(x, **options)
        return self.score(recording.logits), recording

    def score(self, logits: Tensor) -> Tensor:
        """Logits (N, classes) -> (N,) what is driven up."""
        pairs = zip(self.targets, self.weights, strict=True)
        return sum(weight * logits[:, target] for target, weight in pairs)

    def title(self, network: Network) -> str:
        names = [network.labels[target] for target in self.targets]
        if len(names) == 1:
            return names[0]
        shares = zip(names, self.weights, strict=True)
        return " + ".join(f"{weight:.0%} {name}" for name, weight in shares)


@dataclass(frozen=True)
class Unit:
    """A channel of a layer, by its mean over all places, or the neuron in its middle.

    layer: one that is tapped, or any convolution, whose output is taken before what follows it.
    """

    layer: str
    channel: int
    part: Literal["channel", "neuron"] = "channel"
    targets: tuple[int, ...] = ()

    def reach(self, network: Network, x: Tensor, **options: bool) -> tuple[Tensor, Recording]:
        """(N,) what is driven up, and the pass, which stops there; see `Network.record`."""
        values, recording = _values(network, self.layer, x, **options)
        return _part(values[:, self.channel], self.part), recording

    def title(self, network: Network) -> str:
        if self.layer in network.maps or self.layer in network.flat:
            where, kind = layer_of(network, self.layer).title.split(" · ")[0], "Unit"
        else:
            where, kind = self.layer, "Filter"
        kind = kind if self.part == "channel" else f"Neuron of {kind.lower()}"
        return f"{kind} {self.channel} · {where}"


@dataclass(frozen=True)
class Units:
    """Many channels of a layer, a picture each: what an atlas is drawn of."""

    layer: str
    channels: tuple[int, ...]
    part: Literal["channel", "neuron"] = "channel"
    targets: tuple[int, ...] = ()

    def reach(self, network: Network, x: Tensor, **options: bool) -> tuple[Tensor, Recording]:
        """(N,) what is driven up: picture i by channel i, copy by copy; see `Unit`."""
        values, recording = _values(network, self.layer, x, **options)
        copies = len(x) // len(self.channels)
        channels = torch.tensor(self.channels * copies, device=values.device)
        return _part(values[torch.arange(len(x), device=x.device), channels], self.part), recording


def _values(network: Network, layer: str, x: Tensor, **options: bool) -> tuple[Tensor, Recording]:
    """What a layer hands out, (N, C, h, w), and the pass, which stops there.

    With gradients, the rectifier at a layer's end leaks, and has no upper bound: behind it, a
    unit that is silent, or at the bound of a ReLU6, could not be driven.
    """
    if layer in network.maps or layer in network.flat:
        with _Before() if options.get("gradients", True) else nullcontext() as before:
            recording = network.record(x, until=layer, **options)
        values = recording.activations[layer]
        values = values if before is None else before.of(values)
    else:
        with _Catch(network.module.get_submodule(layer)) as catch:
            recording = network.record(x, **options)
        values = catch.output
    return (values if values.ndim == 4 else values[..., None, None]), recording


def _part(values: Tensor, part: str) -> Tensor:
    """(N,) of (N, h, w): the mean over all places, or the place in the middle."""
    if part == "channel":
        return values.mean((1, 2))
    return values[:, values.shape[1] // 2, values.shape[2] // 2]


class _Before(Swapped):
    """Knows what was rectified last; no module is touched."""

    def __init__(self) -> None:
        super().__init__({})
        rules = relus(Clamp) | clamps(Clamp)
        self.swaps = {each: self._noted(each, rule) for each, rule in rules.items()}
        self.last: tuple[Tensor, Tensor] | None = None

    def _noted(self, function: Any, rule: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(input: Tensor, *args: Any, **named: Any) -> Tensor:
            found = rule(input.clone(), *args, **named)
            self.last = input, found
            return found

        return call

    def of(self, values: Tensor) -> Tensor:
        """What was rectified to these values, with a leak below zero; the values themselves
        where that was not the last step."""
        if self.last is not None and self.last[1].data_ptr() == values.data_ptr():
            return F.leaky_relu(self.last[0], LEAK)
        return values


class _Catch(TorchFunctionMode):
    """Takes a convolution's output and ends the pass; no module is touched."""

    def __init__(self, module: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.output = module.weight, torch.empty(0)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if func in (F.conv2d, torch.conv2d) and args[1] is self.weight:
            self.output = found
            raise Enough
        return found


Goal = Classes | Unit | Units


def of_class(network: Network, target: int | str) -> Classes:
    """One class, by index or name. Raises TargetError."""
    return Classes((network.resolve(target),))


def fused(network: Network, targets: Sequence[int | str], share: float) -> Classes:
    """Two classes at once: `share` of the first, the rest of the second. Raises ExplainError."""
    found = [network.resolve(target) for target in targets]
    if len(set(found)) != 2 or len(found) != 2:
        raise OptionError("A fused impression is of two different classes: choose two.")
    if not isinstance(share, int | float) or not 0 <= share <= 1:
        raise OptionError("The mix goes from 0 to 1: choose a share in between.")
    return Classes((found[0], found[1]), (float(share), 1.0 - float(share)))


def drawable(network: Network) -> list[str]:
    """The layers whose units can be drawn: those that are tapped, input to output, then every
    other convolution."""
    tapped = [*network.maps, *network.flat]
    convs = [
        name
        for name, module in network.module.named_modules()
        if isinstance(module, nn.Conv2d) and not isinstance(module, DenseConv)
    ]
    return [*tapped, *(name for name in convs if name not in tapped)]


def of_unit(network: Network, layer: str, channel: int, part: str = "channel") -> Unit:
    """A channel or single neuron of any layer that is tapped, or of any convolution. Raises
    OptionError."""
    layer = layer if isinstance(layer, str) else ""
    if layer in network.maps or layer in network.flat:
        channel = check(network, layer, channel)
    else:
        parts = dict(network.module.named_modules())
        module = parts.get(layer)
        if not isinstance(module, nn.Conv2d) or isinstance(module, DenseConv):
            raise OptionError(f"{network.title} has no such layer: choose one from the list.")
        found = index_in(channel, module.out_channels)
        if found is None:
            raise OptionError(
                f"This layer has the filters 0 to {module.out_channels - 1}: choose one."
            )
        channel = found
    if part not in ("channel", "neuron"):
        raise OptionError("A unit is a whole “channel” or one “neuron” of it: choose one of these.")
    return Unit(layer, channel, part)
