"""Do impressions show what they are of? 20 fixed classes drawn with fixed seeds.

    python benchmarks/impressions.py [--presets quick good best] [--variants plain driven]
        [--classes 20] [--threads N] [--no-lucent] [--clock wall|cpu] [--canvas fourier ...]
        [--sheets DIR]

Of each drawing: the target's probability, its mean over 16 random transformations, whether a
second network (EfficientNet-Lite2), which took no part, names the class (top-1, top-5), the share
of |d logit / d pixel| in the largest salient part, total variation, and seconds with all
snapshots. A step against the bare forward and backward pass of the same network at the same size
(`step_vs_bare`: at most 1.15), and against torch-lucent with the same network, steps and size
(Fourier picture, decorrelated colours, its standard transformations), interleaved. --sheets
writes a sheet of the pictures for each preset and variant. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.turns import CLOCKS, Seconds, in_turns, ratio  # noqa: E402
from explainers import Network, impressions, load  # noqa: E402
from explainers.impressions import PRESETS, Impression  # noqa: E402
from explainers.impressions.drawing import Drawing, fitted  # noqa: E402
from explainers.impressions.goals import Goal, of_class, of_unit  # noqa: E402
from explainers.impressions.knobs import Knobs  # noqa: E402
from explainers.photo import Photo  # noqa: E402
from explainers.units import default_layer  # noqa: E402
from explainers.units.reference import references  # noqa: E402

# Chosen before any was drawn: things that most people can name from a picture, half of them alive.
CLASSES = (
    "goldfish, ostrich, bald eagle, peacock, flamingo, king penguin, tabby, lion, monarch, zebra, "
    "giant panda, acoustic guitar, airliner, jack-o'-lantern, school bus, teapot, strawberry, "
    "pineapple, pizza, volcano"
).split(", ")
FIGURES = ("top1", "top5", "probability", "robust_probability", "largest_component",
           "total_variation", "seconds")  # fmt: skip
ROUNDS = 12  # of timed steps


def figures(network: Network, second: Network, drawn: Impression, seconds: float) -> dict:
    """The figures of one drawing."""
    found = impressions.check(network, drawn, second)
    return {
        "top1": float(found.rank == 0),
        "top5": float(found.rank is not None and found.rank < 5),
        "probability": found.probability[0],
        "robust_probability": found.robust[0],
        "largest_component": impressions.concentration(network, drawn),
        "total_variation": impressions.variation(drawn),
        "seconds": seconds,
    }


def drawings(
    network: Network, second: Network, knobs: Knobs, driven: bool, names: Sequence[str], clock
) -> tuple[list[dict], list[Impression]]:
    """Draw every class and look at it."""
    rows, kept = [], []
    for name in names:
        start = clock()
        *_, last = impressions.draw(network, [of_class(network, name)], knobs, driven=(driven,))
        rows.append(figures(network, second, last[0], clock() - start))
        kept.append(last[0])
        row = rows[-1]
        print(
            f"  {name:16s} top1 {row['top1']:.0f} top5 {row['top5']:.0f} probability "
            f"{row['probability']:.2f} shaken {row['robust_probability']:.2f} "
            f"{row['seconds']:.1f} s",
            file=sys.stderr,
            flush=True,
        )
    return rows, kept


def means(rows: Sequence[dict]) -> dict[str, float]:
    return {name: round(mean(row[name] for row in rows), 3) for name in FIGURES}


def save_sheet(path: Path, drawn: Sequence[Impression], columns: int = 5, side: int = 200) -> None:
    """All pictures with their names, as one JPEG below 400 kB."""
    rows = -(-len(drawn) // columns)
    sheet = Image.new("RGB", (columns * (side + 6) - 6, rows * (side + 24)), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    for index, each in enumerate(drawn):
        x, y = index % columns * (side + 6), index // columns * (side + 24)
        sheet.paste(Image.fromarray(each.pixels).resize((side, side), Image.LANCZOS), (x, y))
        pen.text((x + 3, y + side + 3), each.title, (60, 60, 66), ImageFont.load_default(13))
    sheet.save(path, quality=88, optimize=True)


def steps(network: Network, knobs: Knobs, clock) -> tuple[Seconds, dict[str, float]]:
    """Our step against the bare forward and backward pass, plain and saliency-driven."""
    knobs = replace(knobs, start=network.size, steps=1000)
    goal = of_class(network, CLASSES[0])
    panels = {d: Drawing(network, goal, knobs, driven=d) for d in (False, True)}
    for panel in panels.values():
        panel.taken = 500  # past the warm-up
    x = torch.randn(knobs.crops, 3, network.size, network.size)
    x = x.contiguous(memory_format=torch.channels_last)

    def bare() -> Tensor:
        leaf = x.detach().requires_grad_()
        logits = network.module(leaf)
        return torch.autograd.grad(logits[:, goal.targets[0]].sum(), leaf)[0]

    sides = {"bare": bare, "step": panels[False].step, "saliency-driven step": panels[True].step}
    times, _ = in_turns(sides, ROUNDS, clock, warm=1)
    return times, {name: ratio(times, name, "bare") for name in sides}


class Lucent:
    """torch-lucent's drawing of one class with the same network, steps and size."""

    def __init__(self, network: Network) -> None:
        warnings.filterwarnings("ignore")
        from lucent.optvis import param, render, transform  # needs requirements-dev.txt

        from tests.nets import plain

        self.network, self.param, self.render = network, param, render
        self.module = plain(network)  # as its README asks: contiguous, its own hooks
        mean, std = network.mean, network.std
        self.transforms = [*transform.standard_transforms, lambda x: (x - mean) / std]

    def draw(self, target: int, count: int, seed: int = 0) -> np.ndarray:
        """(S, S, 3) in 0..1."""
        torch.manual_seed(seed)
        np.random.seed(seed)
        size = self.network.size
        return self.render.render_vis(
            self.module,
            f"labels:{target}",
            lambda: self.param.image(size, fft=True, decorrelate=True),
            transforms=self.transforms,
            thresholds=(count,),
            preprocess=False,
            progress=False,
            show_image=False,
            fixed_image_size=size,
        )[-1][0]


def beside_lucent(
    network: Network, second: Network, knobs: Knobs, names: Sequence[str], clock
) -> tuple[dict[str, float], list[Impression], float]:
    """lucent's figures with as many steps at the full size, and how much longer a step takes."""
    lucent, rows, kept = Lucent(network), [], []
    for name in names:
        goal, start = of_class(network, name), clock()
        picture = lucent.draw(goal.targets[0], knobs.steps)
        seconds = clock() - start
        values = torch.from_numpy(picture).permute(2, 0, 1).float()
        drawn = Impression(goal, name, False, knobs, values, None, (), 1.0, seconds)
        rows.append(figures(network, second, drawn, seconds))
        kept.append(drawn)
    panel = Drawing(network, of_class(network, names[0]), replace(knobs, start=network.size))
    target, few = of_class(network, names[0]).targets[0], 6

    def ours() -> None:
        for _ in range(few):
            panel.step()

    sides = {"ours": ours, "lucent": lambda: lucent.draw(target, few)}
    times, _ = in_turns(sides, 5, clock, warm=1)
    return means(rows), kept, ratio(times, "lucent", "ours")


def chance(network: Network, photo: Photo) -> float:
    """Of the first guess, of the square that is drawn on."""
    x = impressions.as_input(network, fitted(photo, 224))
    return float(network.probabilities(network.logits(x))[0].max())


def on_photos(
    network: Network, second: Network, knobs: Knobs, sure: float, count: int = 20
) -> dict:
    """Drawn on reference photos at the page's defaults, classes and units in turn: does what is
    driven rise, does the coarse structure stay (SSIM), does the second network's first guess?

    sure: only photos of which the second network gives its first guess at least that chance."""
    layer, rows = default_layer(network), []
    known = [each.photo for each in references() if chance(second, each.photo) >= sure]
    for case in range(count):
        goal: Goal = of_class(network, CLASSES[case % len(CLASSES)])
        if case % 2:
            goal = of_unit(network, layer, case * 37 % network.maps[layer].channels)
        photo = known[case * len(known) // count]
        *_, (drawn,) = impressions.draw(network, [goal], knobs, photo=photo)
        found, way = impressions.stayed(drawn, second), drawn.points
        row = (way[0].score, way[-1].score, found.structure, float(found.before == found.after))
        rows.append(row)
        print(
            f"  {drawn.title:34s} {row[0]:6.2f} to {row[1]:6.2f}, structure {row[2]:.3f}, "
            f"{found.before} | {found.after}",
            file=sys.stderr,
            flush=True,
        )
    return {
        "photos": len(known),
        "cases": len(rows),
        "rises": mean(float(after > before) for before, after, *_ in rows),
        "structure": round(mean(row[2] for row in rows), 3),
        "least_structure": round(min(row[2] for row in rows), 3),
        "second_keeps": mean(row[3] for row in rows),
    }


def table(found: dict[str, dict[str, dict[str, float]]]) -> None:
    print("| drawing | " + " | ".join(name.replace("_", " ") for name in FIGURES) + " |")
    print("|-|" + "-:|" * len(FIGURES))
    for preset, variants in found.items():
        for variant, row in variants.items():
            cells = " | ".join(f"{row[name]:.3g}" for name in FIGURES)
            print(f"| {preset}, {variant} | {cells} |", flush=True)


def asked() -> argparse.Namespace:
    """What the command line says."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--presets", nargs="*", default=list(PRESETS), choices=list(PRESETS))
    options.add_argument("--variants", nargs="*", default=["plain", "driven"])
    options.add_argument("--classes", type=int, default=len(CLASSES))
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    options.add_argument("--no-lucent", action="store_true")
    options.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    options.add_argument("--canvas", nargs="*", default=[], help="Good with other pictures, too")
    options.add_argument("--sheets", type=Path)
    options.add_argument("--far", type=float, default=PRESETS["quick"].far)
    options.add_argument("--sure", type=float, default=0.5)
    options.add_argument("--photos", action="store_true", help="only what is drawn on photos")
    return options.parse_args()


def sorts(chosen: argparse.Namespace) -> Iterator[tuple[str, str, Knobs]]:
    """Preset, variant and knobs of each sort of drawing that is wanted."""
    for preset in chosen.presets:
        for variant in chosen.variants:
            yield preset, variant, PRESETS[preset]
    for canvas in chosen.canvas:
        rate = {"maco": 0.5, "pixels": 0.03}.get(canvas, PRESETS["good"].rate)
        yield "good", canvas, replace(PRESETS["good"], canvas=canvas, rate=rate)


def main() -> None:
    chosen = asked()
    torch.set_num_threads(chosen.threads)
    clock = CLOCKS[chosen.clock]
    network, second, names = load("lite0"), load("lite2"), CLASSES[: chosen.classes]
    if chosen.photos:
        knobs = replace(PRESETS["quick"], far=chosen.far)
        print(
            json.dumps(
                {"photos": {"far": knobs.far} | on_photos(network, second, knobs, chosen.sure)}
            )
        )
        return
    found: dict[str, dict[str, dict[str, float]]] = {}
    for preset, variant, knobs in sorts(chosen):
        print(f"{preset}, {variant}", file=sys.stderr, flush=True)
        rows, kept = drawings(network, second, knobs, variant == "driven", names, clock)
        found.setdefault(preset, {})[variant] = means(rows)
        # an hour's run that is stopped has said what it found
        print(json.dumps({preset: {variant: found[preset][variant]}}), file=sys.stderr, flush=True)
        if chosen.sheets:
            save_sheet(chosen.sheets / f"impressions-{preset}-{variant}.jpg", kept)
    times, against = steps(network, PRESETS["good"], clock)
    lines = dict(found)
    speedup = None
    if not chosen.no_lucent:
        row, kept, speedup = beside_lucent(network, second, PRESETS["good"], names, clock)
        lines["lucent"] = {"as many steps as good": row}
        if chosen.sheets:
            save_sheet(chosen.sheets / "impressions-lucent.jpg", kept)
    print(
        f"{network.title}, {second.title} as the second network, {len(names)} classes, "
        f"{chosen.threads} threads, {chosen.clock} time, torch {torch.__version__}\n"
    )
    table(lines)
    print("\n| one step at full size | ms | × bare |\n|-|-:|-:|")
    for name, seconds in times.items():
        print(f"| {name} | {1000 * median(seconds):.1f} | {against[name]:.2f} |")
    result = dict(lines) | {"step_vs_bare": round(against["step"], 3)}
    result["driven_step_vs_bare"] = round(against["saliency-driven step"], 3)
    result["speedup_vs_lucent"] = speedup and round(speedup, 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
