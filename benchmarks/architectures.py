"""Is Grad-CAM right on the architectures of timm and torchvision? One of each family, seeded.

Weights are random, so that nothing is fetched. For each architecture

- the last layer is found by `wrap`, with nothing told;
- Grad-CAM there equals autograd's, written out by hand in float64 (all that is built as nothing,
  zeros and tiny scales, is drawn anew for that, so that every part counts);
- evidence is planted, and what it adds to the map must be strongest where it was put: in at least
  `ENOUGH` of eight places, of which none is another's mirror image. By chance it would be one.

The evidence is a coloured square in a photo of noise. An untrained network knows no square, so its
head is taught, by one ridge regression whose strength is chosen by what it foretells: the logit
shall rise by 1 where the cells that the square covers hold what they hold with it, and by 0 where
all others do. That is tried by the network itself, in which a layer's cells are exchanged for those
of another photo; photos and places of the trial are others. A wrong order of the places, a
transposed grid or a class token taken for a place can't be taught so, and is found.

Where the package itself says that a map of such a network says little about where (features that
untrained layers have mixed over the whole photo, or that rounding decides), that is the reason, and
the architecture counts as refused.

    python benchmarks/architectures.py [--only NAME …] [--trial SEED] [--table PAGE]

Ends with one line of JSON: tried, right, refused_with_reason, wrong, seconds.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import timm
import torch
import torchvision
from torch import Tensor, nn

from benchmarks.families import TIMM, TORCHVISION
from explainers import ExplainError, wrap
from explainers.methods.cam import gradcam
from explainers.network import Layer, Network

CLASSES = 7
ASKED = 1
SAME = 1e-6  # of the map's range
SQUARE = 0.25  # of the photo's side
#: Left and top of the square, as fractions of the side; it is moved to where a cell begins.
AT = (
    (0.02, 0.3), (0.7, 0.05), (0.3, 0.72), (0.73, 0.6),
    (0.05, 0.74), (0.35, 0.02), (0.4, 0.38), (0.02, 0.02),
)  # fmt: skip
ENOUGH = 6  # of them
TRIAL = 4  # seed of the photo that the evidence is planted in
PHOTOS = 16  # that a head learns from, each with the square in another place
RIDGES = (0.1, 1.0, 10.0)  # of the least squares, as shares of the mean square
UNSURE = ("mixed", "rounding")  # remarks of the package's on what no map of a network can say


@dataclass(frozen=True)
class Found:
    """What came of one architecture. gap: to autograd's map, as a share of its range. hits: in how
    many places what the square adds is strongest in it. reason: why there is no map, or none that
    says where. wrong: what does not hold."""

    name: str
    layer: Layer | None = None
    gap: float = 0.0
    hits: int = 0
    reason: str = ""
    wrong: str = ""
    seconds: float = 0.0


def photos(count: int, side: int, seed: int) -> Tensor:
    """Smooth noise (N, 3, side, side)."""
    drawn = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(drawn, (side, side), mode="bicubic") * 0.3


def put(photo: Tensor, left: float, top: float) -> Tensor:
    """The same photo (3, H, W) with the square there: of one colour, which networks that cut their
    input into patches see alike wherever it is."""
    side = photo.shape[-1]
    photo, length = photo.clone(), round(SQUARE * side)
    x, y = round(left * side), round(top * side)
    photo[:, y : y + length, x : x + length] = torch.tensor([1.5, -1.0, 1.0])[:, None, None]
    return photo


@torch.no_grad()
def settled(module: nn.Module, side: int) -> nn.Module:
    """Statistics of the BatchNorms as of a network that has seen such photos."""
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d)]
    module.eval()
    for part in norms:
        part.momentum = None
        part.train()
    module(
        torch.stack([put(photo, *at) for photo, at in zip(photos(4, side, 1), AT[:4], strict=True)])
    )
    return module.eval()


@torch.no_grad()
def enliven(module: nn.Module) -> None:
    """Weights with which every part counts, also those that are built as nothing."""
    for weight in module.parameters():
        if weight.numel() and float(weight.abs().max()) <= 0.1 and weight.ndim == 1:
            weight.uniform_(0.2, 0.6) if weight.any() else weight.normal_(0, 0.02)
        elif weight.numel() and not weight.any():
            weight.normal_(0, 0.02)


def cells(layer: Layer, left: float, top: float) -> tuple[float, float]:
    """The nearest left and top at which one of the layer's cells begins."""
    return round(left * layer.width) / layer.width, round(top * layer.height) / layer.height


@torch.no_grad()
def teach(module: nn.Module, layer: Layer, side: int) -> None:
    """Let class `ASKED` be the square: the logit rises by 1 with what the layer holds where the
    square is, and by 0 with what it changes elsewhere."""
    heads = [
        part
        for part in module.modules()
        if (isinstance(part, nn.Linear) and part.out_features == CLASSES)
        or (isinstance(part, nn.Conv2d) and part.out_channels == CLASSES)
    ]
    read: dict[nn.Module, list[Tensor]] = {head: [] for head in heads}
    hooks = [
        head.register_forward_pre_hook(lambda head, given: read[head].append(given[0].clone()))
        for head in heads
    ]
    part = module.get_submodule(layer.name)
    spots = torch.rand(PHOTOS, 2, generator=torch.Generator().manual_seed(3)) * (1 - SQUARE)
    at = [cells(layer, *map(float, spot)) for spot in spots]
    without = photos(PHOTOS, side, 2)
    held: list[Tensor] = []
    hooks.append(part.register_forward_hook(lambda _m, _i, out: held.append(out.clone())))
    module(torch.stack([put(photo, *spot) for photo, spot in zip(without, at, strict=True)]))
    module(without)
    hooks.pop().remove()
    square = torch.stack([inside(layer, spot) for spot in at])
    here = _spread(square, held[-1], layer)
    for there in (here, ~here):
        mixed = torch.where(there, held[0], held[-1])
        hook = part.register_forward_hook(lambda _m, _i, _out, mixed=mixed: mixed)
        module(without)
        hook.remove()
    for hook in hooks:
        hook.remove()
    wanted = (torch.arange(2 * PHOTOS) < PHOTOS).double()
    for head, seen in read.items():
        if not seen:
            continue
        having, without, alone, others = seen
        if alone.shape[2:] == square.shape[1:] and torch.equal(alone, without):  # class maps
            alone, others = (
                torch.where(there[:, None], having, without) for there in (square, ~square)
            )
        rises = torch.cat([_pooled(head, each - without) for each in (alone, others)]).double()
        if rises.any():  # or the layer is on another branch than this head
            toward = rises.T @ ridge(rises @ rises.T, wanted)
            head.weight[ASKED] = (toward / toward.norm()).reshape(head.weight[ASKED].shape)


def ridge(products: Tensor, wanted: Tensor) -> Tensor:
    """Weights of the examples (N,) by ridge regression, with that of `RIDGES` which foretells each
    example best from all others (Allen's PRESS)."""
    scale = products.diagonal().mean() * torch.eye(len(wanted))
    inverses = [torch.linalg.inv(products + each * scale) for each in RIDGES]
    found = [inverse @ wanted for inverse in inverses]
    errors = [
        float((weights / inverse.diagonal()).square().sum())
        for weights, inverse in zip(found, inverses, strict=True)
    ]
    return found[errors.index(min(errors))]


def _pooled(head: nn.Module, given: Tensor) -> Tensor:
    """What a head is given of each photo (N, features), averaged over places."""
    seen = given.movedim(1, -1) if isinstance(head, nn.Conv2d) else given
    return seen.flatten(1, -2).mean(1) if seen.ndim > 2 else seen


def _spread(here: Tensor, value: Tensor, layer: Layer) -> Tensor:
    """Which cells (N, h, w), in the shape of the layer's activation; the class token never."""
    if value.ndim == 3:
        found = torch.zeros(len(here), value.shape[1], dtype=torch.bool)
        found[:, -layer.height * layer.width :] = here.flatten(1)
        return found[..., None]
    return here[:, None] if _channels_first(value, layer) else here[..., None]


def _channels_first(value: Tensor, layer: Layer) -> bool:
    return value.shape[1] == layer.channels and value.shape[2:] == (layer.height, layer.width)


def by_hand(module: nn.Module, x: Tensor, name: str, layer: Layer) -> Tensor:
    """Grad-CAM (h, w) of class `ASKED`, from a hook and autograd alone."""
    held: list[Tensor] = []

    def hold(_module: nn.Module, _inputs: object, out: Tensor) -> Tensor:
        held.append(out)
        return out.clone()  # which what follows may overwrite

    hook = module.get_submodule(name).register_forward_hook(hold)
    logit = module(x.clone().requires_grad_().clone())[0, ASKED]
    hook.remove()
    (gradient,) = torch.autograd.grad(logit, held[-1])
    pair = [_places(each.detach(), layer) for each in (held[-1], gradient)]
    return (pair[0] * pair[1].mean((0, 1))).sum(-1)


def _places(value: Tensor, layer: Layer) -> Tensor:
    """(h, w, C), whichever way the activation (1, …) of a layer holds them."""
    if value.ndim == 3:
        return value[0, -layer.height * layer.width :].reshape(layer.height, layer.width, -1)
    return value[0].permute(1, 2, 0) if _channels_first(value, layer) else value[0]


def found_in(network: Network, side: int, trial: int = TRIAL) -> int:
    """In how many of `AT` what the square adds to the map is strongest in the square.

    What it adds: the map with it less the map without it, at the weights that Grad-CAM has for the
    first; an untrained network is bright in corners and in much else.
    """
    layer = network.layers[network.last]
    at = [cells(layer, *each) for each in AT]
    (photo,) = photos(1, side, trial)
    without = network.record(photo[None], (layer.name,), gradients=False)
    having = network.record(torch.stack([put(photo, *each) for each in at]), (layer.name,))
    (gradients,) = having.gradients((ASKED,), None, layer.name)
    more = having.activations[layer.name].detach() - without.activations[layer.name]
    added = torch.cat([gradcam(*each) for each in zip(more, gradients[:, None], strict=True)])
    return sum(
        bool(inside(layer, each).flatten()[found.argmax()])
        for each, found in zip(at, added, strict=True)
    )


def inside(layer: Layer, at: tuple[float, float]) -> Tensor:
    """Which cells (h, w) touch the square."""
    axes = [
        ((torch.arange(count) + 1) / count > low + 1e-6)
        & (torch.arange(count) / count < low + SQUARE - 1e-6)
        for count, low in zip((layer.height, layer.width), reversed(at), strict=True)
    ]
    return axes[0][:, None] & axes[1][None]


def tried(name: str, module: nn.Module, side: int, trial: int = TRIAL) -> Found:
    """Try one architecture, built and with weights, on the trial photo of that seed."""
    start = time.perf_counter()
    module = settled(module, side)
    try:
        network = wrapped(module, side, name)
    except ExplainError as error:
        return Found(name, reason=str(error), seconds=time.perf_counter() - start)
    layer = network.layers[network.last]
    teach(network.module, layer, side)
    hits = found_in(network, side, trial)
    said = " ".join(network.remarks[key] for key in UNSURE if key in network.remarks)
    reason = said if hits < ENOUGH else ""
    wrong = "the square is not found" if hits < ENOUGH and not reason else ""
    gap = to_autograds(network, module, side, trial)
    if not gap <= SAME:
        wrong = f"{gap:.1e} from autograd's map"
    return Found(name, layer, gap, hits, reason, wrong, time.perf_counter() - start)


def to_autograds(network: Network, module: nn.Module, side: int, trial: int = TRIAL) -> float:
    """How far Grad-CAM in float64 is from autograd's on a twin that knows nothing of the package,
    as a share of the map's range."""
    enliven(network.module)
    twin = copy.deepcopy(module).double().eval().requires_grad_(False)
    twin.load_state_dict(network.module.double().state_dict())
    layer = network.layers[network.last]
    x = put(photos(1, side, trial)[0], *AT[0])[None].double()
    recording = network.record(x, (layer.name,))
    gradients = recording.gradients((ASKED,), None, layer.name)[:, 0]
    ours = gradcam(recording.activations[layer.name].detach()[0], gradients)[0]
    theirs = by_hand(twin, x, layer.name, layer)
    return float((ours - theirs).abs().max() / (theirs.max() - theirs.min()))


def wrapped(module: nn.Module, side: int, name: str) -> Network:
    return wrap(module, mean=[0.5] * 3, std=[0.25] * 3, size=side, title=name)


def built(name: str, side: int, facts: dict[str, Any], torchvisions: bool) -> nn.Module:
    """An architecture with seeded weights."""
    torch.manual_seed(0)
    if torchvisions:
        return getattr(torchvision.models, name)(num_classes=CLASSES, **facts)
    return timm.create_model(name, num_classes=CLASSES, **facts)


def row(found: Found) -> str:
    """A line of the table."""
    if found.layer is None:
        return f"| {found.name} | — | — | — | {found.reason} |"
    layer = found.layer
    told = found.wrong or found.reason or "right"
    places = f"`{layer.name}`, {layer.width} × {layer.height}"
    return f"| {found.name} | {places} | {found.gap:.0e} | {found.hits} of {len(AT)} | {told} |"


def table(results: list[Found]) -> str:
    heading = [
        "| Architecture | Last layer, places | From autograd’s map | Square found | |",
        "| --- | --- | --: | --- | --- |",
    ]
    return "\n".join([*heading, *map(row, results)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="names; torchvision's as tv:resnet18")
    parser.add_argument(
        "--trial", type=int, default=TRIAL, help="seed of the photo that the evidence is planted in"
    )
    parser.add_argument("--table", type=Path, help="a page whose table is written anew")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    listed = [(*each, False) for each in TIMM] + [(*each, True) for each in TORCHVISION]
    named = [(f"tv:{each[0]}" if each[3] else each[0], each) for each in listed]
    start, results = time.perf_counter(), []
    for name, (arch, side, facts, torchvisions) in named:
        if chosen.only and name not in chosen.only:
            continue
        found = tried(name, built(arch, side, facts, torchvisions), side, chosen.trial)
        results.append(found)
        print(row(found), f"{found.seconds:.0f} s", flush=True)
    if chosen.table:
        page = chosen.table.read_text("utf-8")
        before, _, rest = page.partition("<!-- table -->")
        after = rest.partition("<!-- /table -->")[2]
        page = f"{before}<!-- table -->\n{table(results)}\n<!-- /table -->{after}"
        chosen.table.write_text(page, "utf-8")
    wrong = sum(bool(each.wrong) for each in results)
    refused = sum(bool(each.reason) and not each.wrong for each in results)
    print(json.dumps({
        "tried": len(results),
        "right": len(results) - wrong - refused,
        "refused_with_reason": refused,
        "wrong": wrong,
        "seconds": round(time.perf_counter() - start),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
