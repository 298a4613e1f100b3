"""How much do our maps cost, in forward passes and beside other libraries?

    python benchmarks/maps.py [--model lite0|resnet18|resnet50|vgg16-coco|densenet121]
                              [--repeats 30] [--photo FILE] [--threads N] [--clock wall|cpu]

Every side gets the same photo, weights and threads. Each round runs every side once, in a new
order; a ratio is the median of the rounds' ratios, so that a busy moment hits both of its sides.
The libraries get the network as their READMEs do: contiguous memory, parameters that require
gradients. Ends with one line of JSON. `--clock cpu --threads 1` counts processor time instead of
the clock on the wall: it is steadier where other programs run too.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

import numpy as np
import torch
from captum.attr import GuidedBackprop, LayerGradCam
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torchcam.methods import GradCAM as TorchCam

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.turns import CLOCKS, Seconds, difference, in_turns, ratio  # noqa: E402
from explainers import METHODS, ModelError, Network, Question, View, load, read  # noqa: E402
from explainers.zoo.catalogue import CATALOGUE, recipe  # noqa: E402
from tests import nets  # noqa: E402

FAMILY = [key for key, method in METHODS.items() if method.family == "cam"]


@dataclass
class Side:
    """One thing that is timed. base: the side whose time is its unit."""

    name: str
    work: Callable[[], Tensor | np.ndarray | None]
    includes: str
    base: str = ""


def network_for(key: str) -> tuple[Network, nn.Module, str]:
    """The network, a plain copy of its module for the others, and where its weights are from."""
    try:
        network, origin = load(key), "trained weights"
        plain = nets.plain(network)
    except ModelError:  # no Hub here: the cost is that of the architecture all the same
        made = recipe(next(entry for entry in CATALOGUE if entry.key == key))
        plain, origin = nets.module(made.arch, slim=False), "seeded random weights"
        network = Network.from_recipe(copy.deepcopy(plain), made, key=key, title=key)
    return network, plain.requires_grad_(True).eval(), origin


def our_sides(network: Network, x: Tensor, targets: tuple[int, ...]) -> list[Side]:
    """Through the methods that the page calls; every call is a new view, so nothing is cached."""
    serial = itertools.count()

    def ask(methods: list[str], classes: tuple[int, ...]) -> Tensor:
        view = View(x, (0.0, 0.0, 1.0, 1.0), f"benchmark {next(serial)}")
        question = Question(network, view, classes, network.last)
        answers = [list(METHODS[key].run(question))[-1] for key in methods]
        return answers[0].values[0]

    family = [key for key in FAMILY if not nets.why_not(network, key)]
    one = targets[:1]
    sides = [
        Side("Grad-CAM, ours", lambda: ask(["gradcam"], one), "pass, raw map, probabilities"),
        Side(
            f"{len(family)} CAM methods × {len(targets)} classes, ours",
            lambda: ask(["gradcam", *(key for key in family if key != "gradcam")], targets),
            "the same, for all of them together",
        ),
    ]
    if not nets.why_not(network, "guided"):
        guided = Side(
            "guided backprop, ours",
            lambda: ask(["guided"], one),
            "guided pass, gradients, probabilities",
            base="forward + backward to the input",
        )
        sides.append(guided)
    return sides


def plain_sides(plain: nn.Module, x: Tensor, target: int) -> list[Side]:
    """What any of it costs at least: a forward pass, and one forward and backward."""

    def forward(net: nn.Module, values: Tensor) -> Tensor:
        with torch.no_grad():
            return net(values)

    def backward(net: nn.Module, values: Tensor) -> Tensor:
        values = values.detach().requires_grad_()
        return torch.autograd.grad(net(values)[0, target], values)[0]

    last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    wide = x.to(memory_format=torch.channels_last)
    both = "forward + backward to the input"
    return [
        Side("forward", lambda: forward(plain, x), "logits, no graph"),
        Side("forward, channels_last", lambda: forward(last, wide), "logits, no graph"),
        Side(both, lambda: backward(plain, x), "gradients of one logit"),
        Side(f"{both}, channels_last", lambda: backward(last, wide), "the same", base=both),
    ]


def other_sides(plain: nn.Module, layer: str, x: Tensor, target: int) -> list[Side]:
    """The other libraries, on the plain network."""
    tapped = plain.get_submodule(layer)
    frozen = copy.deepcopy(plain).requires_grad_(False)

    def grad_cam(net: nn.Module, values: Tensor) -> np.ndarray:
        with GradCAM(net, [net.get_submodule(layer)]) as cam:
            return cam(values, [ClassifierOutputTarget(target)])[0]

    def torch_cam() -> Tensor:
        with TorchCam(plain, tapped) as cam:
            return cam(target, plain(x), normalized=False)[0][0]

    def captum_cam() -> Tensor:
        return LayerGradCam(plain, tapped).attribute(x, target, relu_attributions=True)[0, 0]

    def captum_guided() -> Tensor:
        values = x.detach().clone().requires_grad_()
        return GuidedBackprop(plain).attribute(values, target)[0]

    def with_gradient() -> Tensor:
        return x.detach().clone().requires_grad_()

    scaled = "pass, map scaled to 0..1 and to the input's size"
    return [
        Side("Grad-CAM, pytorch-grad-cam", lambda: grad_cam(plain, x), scaled),
        Side(
            "Grad-CAM, pytorch-grad-cam, frozen network",
            lambda: grad_cam(frozen, with_gradient()),
            f"{scaled}; no weight's gradient",
        ),
        Side("Grad-CAM, torchcam", torch_cam, "pass, raw map"),
        Side("Grad-CAM, captum", captum_cam, "pass, raw map"),
        Side(
            "guided backprop, captum",
            captum_guided,
            "guided pass (nn.ReLU only), gradients",
            base="forward + backward to the input",
        ),
    ]


def differences(found: dict[str, Any]) -> dict[str, float]:
    """Ours against each library's map of the same kind; found: a map of each side."""
    ours = found["Grad-CAM, ours"].clamp(min=0)
    result = {}
    for name in ("captum", "torchcam"):
        result[name] = difference(ours, found[f"Grad-CAM, {name}"].detach())
    # pytorch-grad-cam scales to 0..1, enlarges, and scales again: do the same to ours
    theirs = torch.from_numpy(found["Grad-CAM, pytorch-grad-cam"])
    large = nn.functional.interpolate(
        ((ours - ours.min()) / ours.max())[None, None], theirs.shape, mode="bilinear"
    )[0, 0]
    result["pytorch-grad-cam"] = difference((large - large.min()) / large.max(), theirs)
    if "guided backprop, ours" in found:
        guided = found["guided backprop, captum"].detach()
        result["captum, guided"] = difference(found["guided backprop, ours"], guided)
    return result


def table(sides: list[Side], seconds: Seconds) -> str:
    """Median times, quartiles and ratios, as Markdown."""
    rows = ["| side | includes | ms (quartiles) | × forward | × its base |", "|-|-|-:|-:|-:|"]
    for side in sides:
        low, middle, high = (1000 * q for q in quantiles(seconds[side.name], n=4))
        own = f"{ratio(seconds, side.name, side.base):.2f}" if side.base else ""
        rows.append(
            f"| {side.name} | {side.includes} | {middle:.1f} ({low:.1f}–{high:.1f}) "
            f"| {ratio(seconds, side.name, 'forward'):.2f} | {own} |"
        )
    return "\n".join(rows)


def summary(seconds: Seconds, sides: list[Side], apart: dict[str, float]) -> dict:
    """The figures, under the names that the targets have."""
    family = next(side.name for side in sides if "CAM methods" in side.name)
    figures = {
        "gradcam_vs_forward": ratio(seconds, "Grad-CAM, ours", "forward"),
        "cam_family_5_classes_vs_forward": ratio(seconds, family, "forward"),
        "guided_vs_forward_backward": ratio(
            seconds, "guided backprop, ours", "forward + backward to the input"
        ),
        "gradcam_speedup_vs_pytorch_grad_cam": ratio(
            seconds, "Grad-CAM, pytorch-grad-cam", "Grad-CAM, ours"
        ),
        "gradcam_speedup_vs_captum": ratio(seconds, "Grad-CAM, captum", "Grad-CAM, ours"),
        "max_difference_vs_captum": apart["captum"],
    }
    return {name: float(f"{value:.3g}") for name, value in figures.items()}


def main() -> None:
    """Measure, print the table, print the JSON."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--model", default="lite0", choices=[entry.key for entry in CATALOGUE])
    options.add_argument("--repeats", type=int, default=30)
    options.add_argument("--photo", type=Path, help="default: the first of the examples")
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    options.add_argument("--clock", default="wall", choices=list(CLOCKS))
    chosen = options.parse_args()
    warnings.filterwarnings("ignore", module="captum")
    torch.set_num_threads(chosen.threads)
    network, plain, origin = network_for(chosen.model)
    photo = chosen.photo or sorted((ROOT / "assets" / "examples").glob("*.jpg"))[0]
    x = network.prepare(read(photo), "crop").tensor
    targets = tuple(network.logits(x)[0].topk(5).indices.tolist())
    sides = [
        *plain_sides(plain, x, targets[0]),
        *our_sides(network, x, targets),
        *other_sides(plain, network.last, x, targets[0]),
    ]
    work = {side.name: side.work for side in sides}
    seconds, found = in_turns(work, chosen.repeats, CLOCKS[chosen.clock], warm=2)
    apart = differences(found)
    size = "×".join(map(str, x.shape[2:]))
    print(f"\n{network.title} ({origin}), layer {network.last}, input {size}, ", end="")
    print(f"{chosen.threads} threads, {chosen.repeats} rounds, {chosen.clock} time, ", end="")
    print(f"torch {torch.__version__}\n")
    print(table(sides, seconds))
    shares = ", ".join(f"{value:.1e} ({name})" for name, value in apart.items())
    print(f"\nLargest difference of a map, of its range: {shares}.\n")
    print(json.dumps(summary(seconds, sides, apart)))


if __name__ == "__main__":
    main()
