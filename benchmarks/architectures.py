"""Is Grad-CAM right on the architectures of timm and torchvision? One of each family, seeded.

Each is given a head that has learnt one thing: a coloured square in a photo of noise. Then

- the last layer is found by `wrap`, with nothing told;
- Grad-CAM there equals autograd's, written out by hand in float64;
- what a square adds to the map lies where it was put, wherever that is;

or a sentence says why there is no map. Weights are random, so that nothing is fetched; to compare
with autograd, all that are built as nothing (zeros, tiny scales) are drawn anew, so that every part
counts.

    python -m benchmarks.architectures [--only NAME …] [--table docs/architectures.md]

Ends with one line of JSON: tried, right, refused_with_reason, wrong, seconds.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from explainers import ExplainError, Question, wrap
from explainers.methods.cam import gradcam
from explainers.network import Layer, Network

CLASSES = 7
ASKED = 1
SAME = 1e-6  # of the map's range
SQUARE = 0.25  # of the photo's side
AT = ((0.02, 0.3), (0.7, 0.05), (0.3, 0.72), (0.73, 0.6))  # left and top of the square
PHOTOS = 16  # that a head learns from
SURE = 0.8  # of the other places
SEEN = 3  # photos that are explained, each with the square everywhere

#: One architecture of each family of timm's: its name, the side of its input, and what it is built
#: with, where that makes it smaller.
TIMM: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("beit_base_patch16_224", 96, {"img_size": 96, "depth": 4, "embed_dim": 192, "num_heads": 3}),
    ("botnet26t_256", 256, {}),
    ("cait_xxs24_224", 96, {"img_size": 96, "depth": 4}),
    ("coat_tiny", 128, {"img_size": 128}),
    ("coatnet_nano_rw_224", 224, {}),
    ("convit_tiny", 96, {"img_size": 96}),
    ("convmixer_768_32", 128, {}),
    ("convnext_atto", 224, {}),
    ("crossvit_tiny_240", 240, {}),
    ("cs3darknet_focus_s", 224, {}),
    ("davit_tiny", 128, {}),
    ("deit_tiny_distilled_patch16_224", 96, {"img_size": 96}),
    ("densenet121", 128, {}),
    ("dla46x_c", 128, {}),
    ("dpn48b", 128, {}),
    ("edgenext_xx_small", 256, {}),
    ("efficientformer_l1", 224, {}),
    ("efficientformerv2_s0", 224, {}),
    ("efficientnet_b0", 224, {}),
    ("efficientvit_b0", 224, {}),
    ("eva02_tiny_patch14_224", 84, {"img_size": 84}),
    ("fasternet_t0", 224, {}),
    ("fastvit_t8", 256, {}),
    ("focalnet_tiny_srf", 128, {}),
    ("gcvit_xxtiny", 224, {}),
    ("ghostnet_050", 256, {}),
    ("gmlp_ti16_224", 96, {"img_size": 96}),
    ("hgnetv2_b0", 224, {}),
    ("hiera_tiny_224", 224, {}),
    ("hrnet_w18_small", 128, {}),
    ("inception_next_atto", 224, {}),
    ("inception_v3", 299, {}),
    ("levit_128s", 224, {}),
    ("mambaout_femto", 224, {}),
    ("mixer_s32_224", 224, {}),
    ("mobilenetv3_small_050", 256, {}),
    ("mobilevit_xxs", 256, {}),
    ("mvitv2_tiny", 160, {"img_size": 160}),
    ("nest_tiny", 128, {"img_size": 128}),
    ("nextvit_small", 128, {}),
    ("nfnet_f0", 128, {}),
    ("pit_ti_224", 224, {}),
    ("poolformerv2_s12", 224, {}),
    ("pvt_v2_b0", 224, {}),
    ("regnetx_002", 224, {}),
    ("repvit_m1", 224, {}),
    ("res2next50", 128, {}),
    ("resmlp_12_224", 96, {"img_size": 96}),
    ("resnest14d", 128, {}),
    ("resnet18", 224, {}),
    ("resnet50_clip.openai", 224, {}),
    ("resnetv2_18", 224, {}),
    ("rexnet_100", 224, {}),
    ("sequencer2d_s", 96, {"img_size": 96}),
    ("skresnet18", 128, {}),
    ("swin_tiny_patch4_window7_224", 96, {"img_size": 96, "window_size": 3}),
    ("swinv2_tiny_window8_256", 128, {"img_size": 128, "window_size": 4}),
    ("tiny_vit_5m_224", 224, {}),
    ("tnt_s_legacy_patch16_224", 96, {"img_size": 96}),
    ("tresnet_m", 128, {}),
    ("twins_svt_small", 96, {"img_size": 96}),
    ("vgg11", 64, {}),
    ("visformer_tiny", 128, {"img_size": 128}),
    ("vit_base_patch16_siglip_224", 96,
     {"img_size": 96, "depth": 3, "embed_dim": 192, "num_heads": 3}),
    ("vit_small_patch16_dinov3", 96, {"img_size": 96}),
    ("vit_tiny_patch16_224", 96, {"img_size": 96}),
    ("vit_tiny_r_s16_p8_224", 224, {}),
    ("volo_d1_224", 96, {"img_size": 96}),
    ("xception41", 128, {}),
    ("xcit_nano_12_p16_224", 96, {"img_size": 96}),
)  # fmt: skip
#: torchvision's, with the side of their input and what they are built with.
TORCHVISION: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("alexnet", 128, {}),
    ("convnext_tiny", 128, {}),
    ("densenet121", 128, {}),
    ("efficientnet_b0", 224, {}),
    ("efficientnet_v2_s", 128, {}),
    ("googlenet", 128, {"aux_logits": False, "init_weights": True}),
    ("inception_v3", 299, {"aux_logits": False, "init_weights": True}),
    ("maxvit_t", 224, {}),
    ("mnasnet0_5", 224, {}),
    ("mobilenet_v2", 224, {}),
    ("mobilenet_v3_small", 256, {}),
    ("regnet_y_400mf", 224, {}),
    ("resnet18", 128, {}),
    ("resnext50_32x4d", 128, {}),
    ("shufflenet_v2_x0_5", 224, {}),
    ("squeezenet1_1", 128, {}),
    ("swin_t", 128, {}),
    ("swin_v2_t", 128, {}),
    ("vgg11", 96, {}),
    ("vit_b_16", 96, {"image_size": 96}),
)


@dataclass(frozen=True)
class Found:
    """What came of one architecture. gap: to autograd's map, as a share of its range. share, peaks:
    see `found_in`. reason: why there is no map. wrong: what does not hold."""

    name: str
    layer: Layer | None = None
    gap: float = 0.0
    share: float = 0.0
    peaks: int = 0
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
    module(torch.stack([put(photo, *at) for photo, at in zip(photos(4, side, 1), AT, strict=True)]))
    return module.eval()


@torch.no_grad()
def enliven(module: nn.Module) -> None:
    """Weights with which every part counts, also those that are built as nothing."""
    for weight in module.parameters():
        if weight.numel() and float(weight.abs().max()) <= 0.1 and weight.ndim == 1:
            weight.uniform_(0.2, 0.6) if weight.any() else weight.normal_(0, 0.02)
        elif weight.numel() and not weight.any():
            weight.normal_(0, 0.02)


@torch.no_grad()
def teach(module: nn.Module, side: int) -> None:
    """Let class `ASKED` be the square: the difference of the head's inputs with and without one."""
    heads = [
        part
        for part in module.modules()
        if (isinstance(part, nn.Linear) and part.out_features == CLASSES)
        or (isinstance(part, nn.Conv2d) and part.out_channels == CLASSES)
    ]
    without = photos(PHOTOS, side, 2)
    spots = torch.rand(PHOTOS, 2, generator=torch.Generator().manual_seed(3)) * (1 - SQUARE)
    having = torch.stack([put(a, *map(float, at)) for a, at in zip(without, spots, strict=True)])
    read: dict[nn.Module, list[Tensor]] = {head: [] for head in heads}
    hooks = [
        head.register_forward_pre_hook(lambda head, given: read[head].append(given[0]))
        for head in heads
    ]
    for part in (*having.split(8), *without.split(8)):
        module(part)
    for hook in hooks:
        hook.remove()
    for head, given in read.items():
        if not given:
            continue
        seen = torch.cat(given)
        seen = seen.movedim(1, -1) if isinstance(head, nn.Conv2d) else seen
        seen = seen.flatten(1, -2).mean(1) if seen.ndim > 2 else seen
        a, b = seen[:PHOTOS], seen[PHOTOS:]
        spread = torch.cat([a - a.mean(0), b - b.mean(0)]).std(0)
        toward = (a.mean(0) - b.mean(0)) / (spread**2 + spread.square().mean() + 1e-12)
        head.weight[ASKED] = (toward / (toward.norm() + 1e-12)).reshape(head.weight[ASKED].shape)


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
    first = value.shape[1] == layer.channels and value.shape[2:] == (layer.height, layer.width)
    return value[0].permute(1, 2, 0) if first else value[0]


def question(network: Network, x: Tensor) -> Question:
    return Question(network, network.view(x), (ASKED,), network.last)


def found_in(network: Network, side: int) -> tuple[float, int]:
    """How well what the square adds to the map lies in it: the share of the other places that gain
    less than the square's own, over all of `AT` (0.5 by chance), and how often the strongest place
    is the square's.

    What it adds: the map with it less the map without it, at the weights that Grad-CAM has for the
    first, over `SEEN` photos; an untrained network is bright in corners and in much else.
    """
    shares, peaks = [], 0
    for at in AT:
        added = torch.zeros(())
        for photo in photos(SEEN, side, 4):
            having, without = (
                network.record(x[None], (network.last,)) for x in (put(photo, *at), photo)
            )
            gradients = having.gradients((ASKED,), None, network.last)[:, 0]
            one, other = (each.activations[network.last].detach()[0] for each in (having, without))
            added = added + gradcam(one - other, gradients)[0].cpu()
        inside = _inside(added, at)
        peaks += bool(inside.flatten()[added.argmax()])
        shares.append(float((added[~inside] < added[inside].mean()).float().mean()))
    return sum(shares) / len(shares), peaks


def _inside(values: Tensor, at: tuple[float, float]) -> Tensor:
    """Which cells (h, w) touch the square."""
    axes = [
        ((torch.arange(count) + 1) / count > low) & (torch.arange(count) / count < low + SQUARE)
        for count, low in zip(values.shape, reversed(at), strict=True)
    ]
    return axes[0][:, None] & axes[1][None]


def tried(name: str, module: nn.Module, side: int) -> Found:
    """Try one architecture, built and with weights."""
    start = time.perf_counter()
    module = settled(module, side)
    teach(module, side)
    try:
        network = wrapped(module, side, name)
    except ExplainError as error:
        return Found(name, reason=str(error), seconds=time.perf_counter() - start)
    layer, (share, peaks) = network.layers[network.last], found_in(network, side)
    wrong = "" if share >= SURE or peaks == len(AT) else "the square is not found"
    enliven(module)
    network = wrapped(module, side, name)
    twin = copy.deepcopy(module).double().requires_grad_(False)
    network.module.double()
    x = put(photos(1, side, 4)[0], *AT[0])[None].double()
    recording = network.record(x, (network.last,))
    gradients = recording.gradients((ASKED,), None, network.last)[:, 0]
    ours = gradcam(recording.activations[network.last].detach()[0], gradients)[0]
    theirs = by_hand(twin, x, network.last, network.layers[network.last])
    gap = float((ours - theirs).abs().max() / (theirs.max() - theirs.min()))
    if not gap <= SAME:
        wrong = f"{gap:.1e} from autograd's map"
    return Found(name, layer, gap, share, peaks, "", wrong, time.perf_counter() - start)


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
    if found.reason:
        return f"| {found.name} | — | — | — | {found.reason} |"
    layer = found.layer
    told = found.wrong or "right"
    places = f"`{layer.name}`, {layer.width} × {layer.height}"
    square = f"{found.share:.2f}, {found.peaks} of {len(AT)}"
    return f"| {found.name} | {places} | {found.gap:.0e} | {square} | {told} |"


def table(results: list[Found]) -> str:
    heading = [
        "| Architecture | Last layer, places | From autograd’s map | Square | |",
        "| --- | --- | --: | --- | --- |",
    ]
    return "\n".join([*heading, *map(row, results)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="names; torchvision's as tv:resnet18")
    parser.add_argument("--table", type=Path, help="a page whose table is written anew")
    chosen = parser.parse_args()
    listed = [(*each, False) for each in TIMM] + [(*each, True) for each in TORCHVISION]
    named = [(f"tv:{each[0]}" if each[3] else each[0], each) for each in listed]
    start, results = time.perf_counter(), []
    for name, (arch, side, facts, torchvisions) in named:
        if chosen.only and name not in chosen.only:
            continue
        found = tried(name, built(arch, side, facts, torchvisions), side)
        results.append(found)
        print(row(found), f"{found.seconds:.0f} s", flush=True)
    if chosen.table:
        page = chosen.table.read_text("utf-8")
        before, _, rest = page.partition("<!-- table -->")
        after = rest.partition("<!-- /table -->")[2]
        page = f"{before}<!-- table -->\n{table(results)}\n<!-- /table -->{after}"
        chosen.table.write_text(page, "utf-8")
    wrong = sum(bool(each.wrong) for each in results)
    refused = sum(bool(each.reason) for each in results)
    print(json.dumps({
        "tried": len(results),
        "right": len(results) - wrong - refused,
        "refused_with_reason": refused,
        "wrong": wrong,
        "seconds": round(time.perf_counter() - start),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
