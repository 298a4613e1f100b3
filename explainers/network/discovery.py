"""What a network is made of, found by one pass of noise through it.

Which layers can be explained, which of them is the last convolutional one, whether the head is a
global average followed by a linear layer, and which activation functions are in use.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

from ..errors import ModelError
from .calls import Calls, Outputs, why_no_map
from .door import same
from .gates import weighted_with
from .heads import HeadWeights, SpatialHead
from .layout import TALLER, WIDER, Layout, order, unsure
from .shapes import Uncomputed
from .tokens import follow, token_layouts
from .unfolding import Attention, attention
from .watching import Watched, watch

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


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
    places: dict[str, Layer]
    flat: dict[str, Layer]
    last: str
    head_weights: HeadWeights | None
    nonlinearities: frozenset[str]
    overwrites: bool
    layouts: dict[str, Layout]
    calls: dict[str, int]
    attends: bool
    attention: Attention | None
    cuts: bool


@dataclass(frozen=True)
class _Outputs:
    """What modules hand over, by name, in order of completion: maps as they are, how these hold
    their places, and the units of what comes after the last of them. calls: which call of a module
    that was, as one ReLU may serve all layers; at: its place in the list of all calls."""

    maps: dict[str, Tensor] = field(default_factory=dict)
    layouts: dict[str, Layout] = field(default_factory=dict)
    vectors: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    at: dict[str, int] = field(default_factory=dict)


def discover(
    module: nn.Module, probe: Tensor, titles: Mapping[str, str] | None, last: str | None = None
) -> Discovery:
    """Pass `probe` (1, C, H, W) through `module` and note what it is made of.

    titles: layer name -> title, input to output; None finds the stages by itself, as it does
    `last`, the layer that is explained by default. Raises ModelError when there is no convolutional
    feature map to explain, or no gradient can be followed.
    """
    watched = watch(module, probe)
    larger = _shapes_for_a_larger(module, probe, watched.outputs)
    found = _found(watched.outputs, larger, watched.idle)
    if tokens := _tokens(module, probe, watched.outputs, found):
        found = _found(watched.outputs, larger, watched.idle, tokens, probe.shape[2:])
    maps, layouts = found.maps, found.layouts
    if not maps:
        raise ModelError(why_no_map(watched.outputs, watched.functions.convolves))
    stages, chosen = _stages(module, maps), last is not None
    last = _default(maps, last) if last else _said(module, maps)
    counted = {n: value for n, value in maps.items() if found.at[n] not in watched.aside}
    last = last or _ungated(module, probe, counted or maps, stages)
    if unknown := set(titles or ()) - set(maps):
        raise ModelError(f"No module “{min(unknown)}” hands over a map here: see {_some(maps)}.")
    size = tuple(probe.shape[2:])
    if not any(maps[last].stride()):  # too large to be kept
        maps[last] = _once_more(module, probe, last)
    maps = {name: layouts[name].maps(value.detach(), size) for name, value in maps.items()}
    role = "default" if chosen else f"last {_kind(layouts[last], watched.functions.attends)}"
    named, inner = _titled(maps, stages, titles, last, role)
    layers = {n: _layer(n, maps[n], probe, title) for n, title in named.items()}
    both = layers | {n: _layer(n, maps[n], probe, title) for n, title in inner.items()}
    attended, head_weights = _head(module, probe, watched, maps[last], layouts[last])
    return Discovery(
        layers=layers,
        maps={n: both[n] for n in maps if n in both},
        places={n: both.get(n) or _layer(n, maps[n], probe, n) for n in maps},
        flat=_flat(module, found),
        last=last,
        head_weights=head_weights,
        nonlinearities=frozenset(watched.functions.names),
        overwrites=watched.overwrites,
        layouts={n: layouts[n] for n in maps},
        calls=found.calls,
        attends=watched.functions.attends,
        cuts=watched.cuts,
        attention=attended,
    )


def _once_more(module: nn.Module, probe: Tensor, name: str) -> Tensor:
    """What the module of that name hands over last."""
    with torch.no_grad(), Calls(module) as calls:
        module(probe.clone())
    return next(output for called, _, output in reversed(calls.outputs) if called == name)


def _head(
    module: nn.Module, probe: Tensor, watched: Watched, final: Tensor, layout: Layout
) -> tuple[Attention | None, HeadWeights | None]:
    """How the network attends to the places of its final map, and where CAM finds its weights."""
    attended, places = None, final[0, 0].numel()
    if watched.functions.attends and layout.of_tokens:
        attended = attention(module, probe, watched.logits, layout, places)
    if attended is not None and len(attended.read) < places:
        return attended, None
    return attended, _head_weights(module, final, watched.logits, watched.functions.products)


def glimpse(module: nn.Module, x: Tensor) -> tuple[Any, bool]:
    """A module's answer, and whether anything in it may be maps or tokens of places, by the shapes
    alone: also on the device "meta", where nothing is computed."""
    with torch.no_grad(), Calls(module) as calls:
        answer = module(x)
    found = _found(calls.outputs, {}, set())
    return answer, bool(found.maps) or follow(calls.outputs, set(), tuple(x.shape[2:]))


def _found(
    outputs: Outputs,
    larger: Mapping[str, tuple[int, ...]],
    left: Collection[int],
    tokens: Mapping[str, Layout] | None = None,
    size: Sequence[int] = (0, 0),
) -> _Outputs:
    """left: places in the list of those that do not count, as `idle` has them. tokens: those of a
    network of tokens on an input of that size, where they are known."""
    found, calls = _Outputs(), Counter[str]()
    pooled: set[int] = set()
    tokens = tokens or {}
    counts = {out.shape[1] for _, _, out in outputs if out.ndim == 3 and len(out) == 1}
    convolved = {out.shape for _, child, out in outputs if _convolves(child, out)}
    for place, (name, child, output) in enumerate(outputs):
        calls[name] += 1
        if place in left:
            continue
        if name not in tokens and (tokens or output.ndim != 4 or max(output.shape[2:]) < 2):
            if output.ndim > 1 and output[0].numel() == output.shape[1]:
                found.vectors[name] = output.shape[1]
                if name not in found.maps:
                    found.calls[name] = calls[name]
            continue
        layout = tokens.get(name) or order(output.shape, larger.get(name), counts, convolved)
        if layout is None or (tokens and not layout.fits(output, (size[0], size[1]))):
            continue
        found.vectors.clear()
        if isinstance(child, POOLS):
            pooled.add(id(output))
        if id(output) not in pooled:
            found.maps.pop(name, None)
            found.maps[name], found.layouts[name] = output, layout
            found.calls[name], found.at[name] = calls[name], place
    return found


def _convolves(child: nn.Module, output: Tensor) -> bool:
    """Does it look at neighbours on a map? What looks at one cell may be given anything, such as
    tokens in groups."""
    if not isinstance(child, CONVOLUTIONS) or output.ndim != 4:
        return False
    least = min if min(output.shape[2:]) < 2 else max  # a strip may be a gate
    return least(_pair(child.kernel_size)) > 1


def _tokens(
    module: nn.Module, probe: Tensor, outputs: Outputs, found: _Outputs
) -> dict[str, Layout]:
    """How the tokens of a network lie whose last map is followed by sequences of places."""
    maps = found.maps
    final = next(reversed(maps.values()), None)
    at = max((i for i, (_, _, output) in enumerate(outputs) if output is final), default=-1)
    grids = {value.shape[2] for value in maps.values()}
    if not follow(outputs[at + 1 :], grids, tuple(probe.shape[2:])):
        return {}
    return token_layouts(module, probe, grids, {n: found.layouts[n] for n in maps})


def _shapes_for_a_larger(
    module: nn.Module, probe: Tensor, outputs: Outputs
) -> dict[str, tuple[int, ...]]:
    """The shapes of the same maps for a larger input, where those for one do not say it all."""
    if not any(unsure(output.shape) for _, _, output in outputs):
        return {}
    *_, height, width = probe.shape
    with torch.no_grad(), Calls(module, most=0) as calls, suppress(Exception), Uncomputed():
        # Fails where it is made for one size.
        module(probe.new_zeros(1, probe.shape[1], height + TALLER, width + WIDER))
    return {name: tuple(output.shape) for name, _, output in calls.outputs}


def _some(names: Mapping[str, Tensor]) -> str:
    """The last few of these names."""
    return ", ".join(list(names)[-6:])


def _default(maps: Mapping[str, Tensor], last: str) -> str:
    """The layer of that name, or the last that fits that pattern."""
    found = last if last in maps else next(reversed(fnmatch.filter(maps, last)), None)
    if found is None:
        raise ModelError(f"No module “{last}” hands over a map here: choose {_some(maps)}.")
    return found


def _kind(layout: Layout, attends: bool) -> str:
    """What a layer hands over, in a word: what attention made, or channels last, need be no
    convolution's."""
    if layout.of_tokens:
        return "tokens"
    return "map" if attends or layout.kind == "channels last" else "convolution"


def _titled(
    maps: Mapping[str, Tensor],
    stages: Collection[str],
    titles: Mapping[str, str] | None,
    last: str,
    role: str,
) -> tuple[dict[str, str], dict[str, str]]:
    """What to call the layers to choose from, `last` by its role, too; and what is rectified inside
    of them: name -> title."""
    names = [n for n in maps if n == last or n in (titles or stages)]
    named = {n: (titles or {}).get(n) or _name(n, i) for i, n in enumerate(names, 1)}
    named[last] += f", the {role}"
    return named, {n: f"{named[stage]}, inside" for stage, n in _inner(maps, names).items()}


def _stages(module: nn.Module, maps: Mapping[str, Tensor]) -> set[str]:
    """timm's own list of stages, and the numbered siblings between them (blocks.3, blocks.5)."""
    info = getattr(module, "feature_info", None)
    info = getattr(info, "info", info)
    told = [stage for stage in info if isinstance(stage, dict)] if isinstance(info, list) else []
    stages = {str(stage.get("module")) for stage in told} & set(maps)
    for stage in tuple(stages):
        parent, _, number = stage.rpartition(".")
        for name, child in module.get_submodule(parent).named_children():
            if number.isdigit() and name.isdigit() and any(True for _ in child.children()):
                stages.add(f"{parent}.{name}")
    return stages & set(maps)


def _name(layer: str, number: int) -> str:
    """The layer's name where the literature calls it so (conv5, conv4_3), else a stage's."""
    return layer if re.fullmatch(r"conv\d+(_\d+)?", layer) else f"Stage {number}"


def _inner(maps: Mapping[str, Tensor], stages: list[str]) -> dict[str, str]:
    """For each stage that ends without a rectifier, its last rectified map: stage -> module.

    Such stages (linear bottlenecks, dense blocks) hand over sums in which single channels say
    little; what is rectified inside them is closer to a detector.
    """
    found = {}
    for stage in stages:
        if maps[stage].amin() < 0:
            inside = [n for n in maps if n.startswith(f"{stage}.") and maps[n].amin() >= 0]
            found |= {stage: inside[-1]} if inside else {}
    return found


def _flat(module: nn.Module, found: _Outputs) -> dict[str, Layer]:
    """Fully connected layers, each tapped behind its activation function, unless that serves maps
    as well."""
    vectors = {n: units for n, units in found.vectors.items() if n not in found.maps}
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


def _said(module: nn.Module, maps: Mapping[str, Tensor]) -> str:
    """The last map's name where one of our own modules says it; others may call anything so."""
    said = getattr(module, "last_map", None)
    return said if isinstance(said, str) and said in maps else ""


def _last(maps: Mapping[str, Tensor], stages: set[str]) -> str:
    """The module that hands over the final feature map, by its best-known name."""
    final = id(list(maps.values())[-1])
    same = [name for name, value in maps.items() if id(value) == final]
    return next((name for name in reversed(same) if name in stages), same[-1])


def _ungated(module: nn.Module, probe: Tensor, maps: Mapping[str, Tensor], stages: set[str]) -> str:
    """The last of all maps; if that is a single channel which others are weighted with, the last of
    these: what it lets pass tells of no class."""
    last = _last(maps, stages)
    before = list(maps)[: list(maps).index(last)]
    others = [
        name
        for name in before
        if maps[name].shape[2:] == maps[last].shape[2:]
        and not name.startswith(f"{last}.")
        and maps[name].shape[1] > 1
    ]
    if not others or maps[last].shape[1] > 1:
        return last
    found = weighted_with(module, probe, last, others)
    if found is None:
        return last
    return _last({name: maps[name] for name in before[: before.index(found) + 1]}, stages)


def _layer(name: str, value: Tensor, probe: Tensor, title: str) -> Layer:
    _, channels, height, width = value.shape
    size = f"{width} × {height}, {channels} units"
    reduction = round(probe.shape[-1] / width)
    return Layer(name, f"{title} · {size}", channels, height, width, reduction)


def _head_weights(
    module: nn.Module, final: Tensor, logits: Tensor, products: Sequence[tuple[Any, ...]]
) -> HeadWeights | None:
    """The weights of the head, if its logits are linear in `final` but for the pooling.

    The pool may be a global average or maximum, before or behind a linear layer or 1 x 1
    convolution that is a module or a call; or that of a `SpatialHead` behind it. The gradient of
    each sums to the same over the places.
    """
    classes, channels = logits.shape[1], final.shape[1]
    heads = [(n, part) for n, part in module.named_modules() if isinstance(part, SpatialHead)]
    if heads:
        name, head = heads[-1]
        fits = head.cam_weights.shape[1] == channels and same(head(final), logits)
        return HeadWeights(name) if fits else None
    pooled = (final.float().mean((2, 3)), final.float().amax((2, 3)))
    if classes == channels and any(same(each, logits) for each in pooled):
        return HeadWeights(fixed=torch.eye(classes, dtype=torch.float32, device=final.device))
    for product in reversed(products):
        tensors = [each.detach() for each in product if isinstance(each, Tensor)]
        biases = [each.float() for each in tensors if each.shape == (classes,)]
        bias = biases[-1] if biases else torch.zeros_like(logits[0])
        for tensor in tensors:
            flat = tensor.float().flatten(1) if tensor.ndim == 4 else tensor.float()
            for weights in (flat, flat.T) if flat.ndim == 2 else ():
                if tuple(weights.shape) == (classes, channels) and any(
                    same(pool @ weights.T + bias, logits) for pool in pooled
                ):
                    return HeadWeights.seen(weights, module)
    return None
