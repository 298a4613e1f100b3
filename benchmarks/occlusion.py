"""How fast is exact muting, beside captum's `Occlusion` and a plain batched loop?

    python benchmarks/occlusion.py [--model vgg16-coco|resnet50|resnet18|lite0] [--repeats 3]
                                   [--window 32] [--stride 16] [--size 224] [--threads N]
                                   [--clock wall|cpu]

Same weights, photo, windows and threads for every side; each round runs every side once, in a new
order, after one run of ours to prepare its weights; a ratio is the median of the rounds' ratios.
captum gets the network as its README does (contiguous memory) and, in rows of their own, in
channels_last memory; of its settings (perturbations_per_eval 1, 8, 16, 32) the one that is fastest
on windows side by side goes on. The plain loop runs batches of 16 in channels_last memory. The
bound is what multiply-adds alone allow: those of full passes over those of the exact rectangles, in
direct convolutions (Winograd's algorithm, which we use where it pays, needs fewer). Peak memory is
how far the resident size of a fresh process grows while only our side runs. Weights are random and
seeded where a network's own are not here without the Hub. Ends with a line of JSON.
`--clock cpu --threads 1` counts processor time: steadier where other programs run too.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import timm
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.turns import CLOCKS, difference, in_turns, ratio  # noqa: E402
from explainers import load  # noqa: E402
from explainers.muting import mute, windows  # noqa: E402
from explainers.muting.incremental import Incremental  # noqa: E402
from explainers.network import Network  # noqa: E402
from explainers.zoo.catalogue import CATALOGUE  # noqa: E402

ENTRIES = {entry.key: entry for entry in CATALOGUE if entry.head == "softmax" or entry.here}
EVALS = (1, 8, 16, 32)
TARGET = 3


def build(key: str) -> Network:
    """The network with its own weights if they are here, else with seeded random ones."""
    if ENTRIES[key].here:
        return load(key)
    torch.manual_seed(0)
    module = timm.create_model(ENTRIES[key].arch).eval()
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.2)
                part.running_var.uniform_(0.5, 1.5)
    labels = [str(i) for i in range(1000)]
    return Network(module, key=key, title=key, labels=labels, mean=(0.5,) * 3, std=(0.25,) * 3)


def plain(network: Network, memory: torch.memory_format) -> nn.Module:
    module = copy.deepcopy(network.module)
    for part in module.modules():
        part._forward_hooks.clear()
    return module.to(memory_format=memory)


def photo(size: int) -> Tensor:
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))


def captum_side(module, x: Tensor, fill: Tensor, args, evals: int, stride: int = 0) -> Callable:
    from captum.attr import Occlusion

    memory = torch.channels_last if module.conv_memory else torch.contiguous_format
    x, fill = (t.contiguous(memory_format=memory) for t in (x, fill))
    shapes = {
        "sliding_window_shapes": (3, args.window, args.window),
        "strides": (3, stride or args.stride, stride or args.stride),
    }

    def run() -> Tensor:
        with torch.no_grad():
            return Occlusion(module).attribute(
                x, baselines=fill, target=TARGET, perturbations_per_eval=evals, **shapes
            )[0, 0]

    return run


def batched_side(module: nn.Module, x: Tensor, fill: Tensor, args, batch: int = 16) -> Callable:
    """All windows by full passes: (rows, cols, classes)."""
    rows, cols = (windows(n, args.window, args.stride) for n in x.shape[2:])

    @torch.no_grad()
    def run() -> Tensor:
        logits, places = [], [(r, c) for r in rows for c in cols]
        for at in range(0, len(places), batch):
            muted = x.repeat(len(places[at : at + batch]), 1, 1, 1)
            for photo, (r, c) in zip(muted, places[at : at + batch], strict=True):
                photo[:, slice(*r), slice(*c)] = fill[0, :, slice(*r), slice(*c)]
            logits.append(module(muted.contiguous(memory_format=torch.channels_last)))
        return torch.cat(logits).view(len(rows), len(cols), -1)

    return run


def ours_side(network: Network, x: Tensor, args) -> Callable:
    view = network.view(x)

    def run():
        *_, last = mute(network, view, window=args.window, stride=args.stride)
        return last

    return run


def measure(key: str, args) -> dict[str, float]:
    clock, network, x = CLOCKS[args.clock], build(key), photo(args.size)
    first, fill = _first_picture(network, x, args)
    contiguous = plain(network, torch.contiguous_format)
    lasting = plain(network, torch.channels_last)
    contiguous.conv_memory, lasting.conv_memory = False, True
    sides: dict[str, Callable] = {"ours": ours_side(network, x, args)}
    for name, module in (("captum", contiguous), ("captum channels_last", lasting)):
        best = _best_evals(name, module, x, fill, args, clock)
        sides[name] = captum_side(module, x, fill, args, best)
    sides["batched"] = batched_side(lasting, x, fill, args)
    sides["ours"]()
    times, results = in_turns(sides, args.repeats, clock)
    return _report(key, network, x, times, results, first, args)


def _best_evals(name: str, module: nn.Module, x: Tensor, fill: Tensor, args, clock) -> int:
    """captum's fastest perturbations_per_eval, on windows side by side."""
    sides = {
        str(evals): captum_side(module, x, fill, args, evals, stride=args.window) for evals in EVALS
    }
    seconds = {int(evals): min(took) for evals, took in in_turns(sides, 2, clock)[0].items()}
    print(f"  {name}, {args.window} px apart:", {k: round(v, 2) for k, v in seconds.items()})
    return min(seconds, key=seconds.get)


def _first_picture(network: Network, x: Tensor, args) -> tuple[float, Tensor]:
    """Seconds until the coarse grid is there, and what mutes."""
    start = time.perf_counter()
    running = mute(network, network.view(x), window=args.window, stride=args.stride)
    for muting in running:
        if bool(muting.covered.all()):
            break
    seconds = time.perf_counter() - start
    running.close()
    return seconds, muting.fill


def _report(key, network, x, times, results, first, args) -> dict[str, float]:
    faster = {name: ratio(times, name, "ours") for name in times}
    logits, reference = results["ours"].logits, results["batched"]
    apart = difference(logits, reference)
    against = difference(results["ours"].drop(TARGET), results["captum"])
    engine = Incremental(network.module, x)
    full, exact = engine.work(results["ours"].rows, results["ours"].cols)
    peak = _peak(key, args)
    print(f"\n{key}: {logits.shape[0]} x {logits.shape[1]} windows, {args.clock} time")
    for name, seconds in times.items():
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"  {name:22} {median(seconds):7.2f} s ({spread}), ours is {faster[name]:.2f} x")
    bound, gained = full / exact, faster["batched"]
    print(f"  bound by multiply-adds {bound:.2f} x; of it reached {gained / bound:.0%}")
    print(f"  largest difference {apart:.1e} (logits), {against:.1e} (captum's map)")
    print(f"  peak memory {peak:.0f} MB; coarse picture after {first:.2f} s\n", flush=True)
    return {
        "speedup_vs_captum": round(faster["captum"], 2),
        "speedup_vs_captum_channels_last": round(faster["captum channels_last"], 2),
        "speedup_vs_batched": round(gained, 2),
        "speedup_bound": round(bound, 2),
        "max_difference": max(apart, against),
        "peak_mb": round(peak),
        "first_picture_s": round(first, 2),
    }


def _peak(key: str, args) -> float:
    """Growth of the resident size in MB, in a process of its own."""
    command = [sys.executable, __file__, "--model", key, "--memory-only"]
    command += ["--window", str(args.window), "--stride", str(args.stride)]
    command += ["--size", str(args.size), "--threads", str(args.threads)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(out.strip().splitlines()[-1])


def _memory_only(key: str, args) -> None:
    network, x = build(key), photo(args.size)
    network.logits(x)  # what any forward pass needs is not ours
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
    before = _status("VmRSS")
    ours_side(network, x, args)()
    print(_status("VmHWM") - before)


def _status(field: str) -> float:
    """A figure of this process in MB, as Linux gives it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=ENTRIES, action="append")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--window", type=int, default=32)
    parser.add_argument("--stride", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--memory-only", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keys = args.model or list(ENTRIES)
    if args.memory_only:
        return _memory_only(keys[0], args)
    print(f"torch {torch.__version__}, {args.threads} threads, {args.size} px")
    print(json.dumps({key: measure(key, args) for key in keys}))


if __name__ == "__main__":
    main()
