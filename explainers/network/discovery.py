"""What a network is made of, found by one pass of noise through it.

Which layers can be explained, which of them is the last convolutional one, whether the head is a
global average followed by a linear layer, and which activation functions are in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import ModelError
from .heads import SpatialHead
from .swaps import LEAN, Clamp, Overwritten, Swapped, rectified_to, relus

POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
NONLINEARITIES = frozenset(
    "relu relu_ relu6 hardtanh hardtanh_ silu gelu hardswish leaky_relu leaky_relu_ elu elu_ celu "
    "selu mish prelu rrelu softplus logsigmoid tanhshrink softsign".split()
)


@dataclass(frozen=True)
class Layer:
    """A place in the network whose activation can be tapped.

    channels, height, width: of its activation for an input of the network's own size.
    reduction: input pixels per activation cell; 0 for a fully connected layer.
    """

    name: str
    title: str
    channels: int
    height: int
    width: int
    reduction: int


@dataclass(frozen=True)
class Discovery:
    """What `discover` found; see `Network` for the meaning of the fields."""

    layers: dict[str, Layer]
    maps: dict[str, Layer]
    flat: dict[str, Layer]
    last: str
    cam_weights: Tensor | None
    nonlinearities: frozenset[str]
    overwrites: bool


class _Nonlinearities(TorchFunctionMode):
    """Notes the name of every activation function that is called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name, named = getattr(func, "__name__", ""), kwargs or {}
        if name in NONLINEARITIES:
            name = name.rstrip("_")
            low = args[1] if len(args) > 1 else named.get("min_val", -1)
            self.names.add(f"{name} from {low:g}" if name == "hardtanh" and low != 0 else name)
        elif rectified_to(func, args[1:], named) is not None:
            self.names.add("relu")
        return func(*args, **named)


def discover(module: nn.Module, probe: Tensor, titles: Mapping[str, str] | None) -> Discovery:
    """Pass `probe` (1, 3, H, W) through `module` and note what it is made of.

    titles: layer name -> title, input to output; None finds the stages by itself. Raises
    ModelError when there is no convolutional feature map to explain.
    """
    maps: dict[str, Tensor] = {}  # in order of completion
    pooled: dict[int, Tensor] = {}  # held, so that no id is used twice
    vectors: dict[str, int] = {}  # units of what comes after the last map, in order

    def note(name: str):
        def hook(child: nn.Module, _inputs: object, output: object) -> None:
            if not isinstance(output, Tensor):
                return
            if output.ndim != 4 or output.shape[-1] < 2:
                if output.ndim > 1 and output[0].numel() == output.shape[1]:
                    vectors[name] = output.shape[1]
                return
            vectors.clear()
            if isinstance(child, POOLS):
                pooled[id(output)] = output
            if id(output) not in pooled:
                maps.pop(name, None)
                maps[name] = output

        return hook

    overwritten = Overwritten()
    hooks = [child.register_forward_hook(note(n)) for n, child in module.named_modules() if n]
    try:
        with (
            torch.enable_grad(),
            overwritten,
            Swapped(LEAN | relus(Clamp)),
            _Nonlinearities() as seen,
        ):
            logits = module(probe.clone().requires_grad_().clone()).detach()
    finally:
        for hook in hooks:
            hook.remove()
    if not maps or logits.ndim != 2:
        raise ModelError("This network has no convolutional feature map, so nothing can be mapped.")
    stages = _stages(module, maps)
    last = getattr(module, "last_map", None) or _last(maps, stages)
    maps = {name: value.detach() for name, value in maps.items()}
    names = [n for n in maps if n == last or n in (titles or stages)]
    named = {n: (titles or {}).get(n) or f"Stage {i + 1}" for i, n in enumerate(names)}
    named[last] += ", the last convolution"
    layers = {n: _layer(n, maps[n], probe, named[n]) for n in names}
    inner = {n: f"{named[stage]}, inside" for stage, n in _inner(maps, names).items()}
    both = layers | {n: _layer(n, maps[n], probe, title) for n, title in inner.items()}
    weights = _cam_weights(module, maps[last], logits)
    flat = _flat(module, vectors)
    in_order = {n: both[n] for n in maps if n in both}
    return Discovery(
        layers, in_order, flat, last, weights, frozenset(seen.names), bool(overwritten)
    )


def _stages(module: nn.Module, maps: Mapping[str, Tensor]) -> set[str]:
    """timm's own list of stages, and the numbered siblings between them (blocks.3, blocks.5)."""
    info = getattr(module, "feature_info", None) or ()
    stages = {str(stage["module"]) for stage in getattr(info, "info", info)} & set(maps)
    for stage in tuple(stages):
        parent, _, number = stage.rpartition(".")
        for name, child in module.get_submodule(parent).named_children():
            if number.isdigit() and name.isdigit() and any(True for _ in child.children()):
                stages.add(f"{parent}.{name}")
    return stages & set(maps)


def _inner(maps: Mapping[str, Tensor], stages: list[str]) -> dict[str, str]:
    """For each stage that ends without a rectifier, its last rectified map: stage -> module.

    Such stages (linear bottlenecks, dense blocks) hand over sums in which single channels say
    little; what is rectified inside them is closer to a detector.
    """
    found = {}
    for stage in stages:
        if (maps[stage] < 0).any():
            inside = [n for n in maps if n.startswith(f"{stage}.") and not (maps[n] < 0).any()]
            found |= {stage: inside[-1]} if inside else {}
    return found


def _flat(module: nn.Module, vectors: Mapping[str, int]) -> dict[str, Layer]:
    """Fully connected layers, each tapped behind its activation function."""
    ends: list[str] = []
    for name in vectors:
        child = module.get_submodule(name)
        if isinstance(child, nn.Linear | nn.Conv2d):
            ends.append(name)
        elif ends and not any(True for _ in child.children()):
            ends[-1] = name
    titles = [f"Fully connected {i + 1}" for i in range(len(ends) - 1)] + ["Class scores"]
    return {
        name: Layer(name, f"{title} · {vectors[name]} units", vectors[name], 1, 1, 0)
        for name, title in zip(ends, titles, strict=bool(ends))
    }


def _last(maps: Mapping[str, Tensor], stages: set[str]) -> str:
    """The module that hands over the final feature map, by its best-known name."""
    final = id(list(maps.values())[-1])
    same = [name for name, value in maps.items() if id(value) == final]
    return next((name for name in reversed(same) if name in stages), same[-1])


def _layer(name: str, value: Tensor, probe: Tensor, title: str) -> Layer:
    _, channels, height, width = value.shape
    size = f"{width} × {height}, {channels} channels"
    reduction = round(probe.shape[-1] / width)
    return Layer(name, f"{title} · {size}", channels, height, width, reduction)


def _cam_weights(module: nn.Module, final: Tensor, logits: Tensor) -> Tensor | None:
    """Weights (classes, C) of the head, if its logits are linear in `final` but for the pooling.

    The pool may be a global average or maximum before the linear layer, or that of a `SpatialHead`
    behind it: the gradient of each sums to the same over the places.
    """

    def same(found: Tensor) -> bool:  # as shares of the range: untrained logits may be tiny
        return bool((found - logits).abs().max() <= 1e-3 * (logits.max() - logits.min()))

    heads = [m for m in module.modules() if isinstance(m, nn.Linear | SpatialHead)]
    if not heads:
        return None
    head = heads[-1]
    with torch.no_grad():
        if isinstance(head, SpatialHead):
            weight = head.cells.weight.detach().flatten(1)
            return weight if weight.shape[1] == final.shape[1] and same(head(final)) else None
        if head.in_features != final.shape[1]:
            return None
        pooled = (final.mean((2, 3)), final.amax((2, 3)))
        return head.weight.detach() if any(same(head(each)) for each in pooled) else None
