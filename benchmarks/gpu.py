"""Does a GPU give the same maps, and how much sooner?

    python benchmarks/gpu.py [--device cuda] [--networks coco80,resnet50] [--repeats 8]

For each network and method: how far the map on the device lies from that on the processor, as a
share of its range, in float32 (no TF32, no half precision) and, for what takes one pass, in
float64 (where the device has it), in which no rounding flips a ReLU; and how long one takes on
either. Then both lanes of the page: what a quick map waits for while slow work goes on. Then many
maps at once, each beside its twin made alone. Takes under five minutes: after `--seconds` no
further network is begun, and those left out are named. Needs torch, timm, OpenCV, Pillow,
safetensors, huggingface_hub and pytest, and no connection: weights that are not here are random and
seeded. Ends with a line of JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from unittest.mock import MagicMock

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def stand_in(name: str, other: str | None = None) -> None:
    """Something under the name of a package that only uploads or downloads need."""
    if importlib.util.find_spec(name) is None:
        sys.modules[name] = importlib.import_module(other) if other else MagicMock()


stand_in("httpx2", "httpx")
stand_in("pillow_heif")

from explainers import (  # noqa: E402
    METHODS,
    ExplainError,
    Network,
    Photo,
    Question,
    View,
    ask,
    cores,
    read,
)
from explainers.network.doubled import has_float64  # noqa: E402
from explainers.recent import forget, memory  # noqa: E402
from explainers.settings import Settings  # noqa: E402
from explainers.zoo import Zoo  # noqa: E402
from tabs.parts.work import Jobs, Show  # noqa: E402
from tests import nets  # noqa: E402

PHOTO = ROOT / "assets" / "examples" / "cat-and-espresso.jpg"
NETWORKS = "coco80,yolo,lite0,resnet50,vgg16,densenet121"
FEW = {"rise": {"masks": 128}}  # options that bound the work
CLOSE = {torch.float32: 2e-2, torch.float64: 1e-6}  # of a map's range
SLOW_FOR = 5.0  # seconds that a quick map is asked for beside slow work
AT_ONCE, TWINS = 8, 96
serials = itertools.count()


def build(key: str) -> Network:
    """The network on the processor, trained where its weights are here."""
    try:
        return Zoo(Settings(startup=(), endpoint="http://127.0.0.1:9", device="cpu")).get(key)
    except ExplainError:
        archs = {"lite0": "tf_efficientnet_lite0"}
        return nets.seeded(archs.get(key, key), size=224, classes=1000)


def moved(network: Network, device: str, dtype: torch.dtype = torch.float32) -> Network:
    """Its twin on a device."""
    twin = Network.from_recipe(
        nets.plain(network), network.recipe, key=network.key, title=network.title, device=device
    )
    twin.module.to(dtype)
    return twin


def views(network: Network, photo: Photo, dtype: torch.dtype) -> Iterator[View]:
    """The photo again and again, each as if it had never been seen."""
    whole = network.prepare(photo)
    for serial in serials:
        yield View(whole.tensor.to(dtype), whole.frame, f"{network.serial}: view {serial}")


def mapped(network: Network, view: View, key: str) -> torch.Tensor:
    """The map of class 3."""
    question = Question(network, view, (3,), network.last)
    *_, last = ask(question, key, **FEW.get(key, {}))
    return last.values


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, as a share of the range."""
    span = float(one.max() - one.min())
    return float((one.double() - other.double()).abs().max()) / (span or 1.0)


def timed(network: Network, photo: Photo, key: str, repeats: int) -> tuple[torch.Tensor, float]:
    """A map, and the milliseconds of one of a photo never seen before, the median."""
    fresh, took = views(network, photo, torch.float32), []
    rounds = repeats if not METHODS[key].slow else 1 if network.device.type == "cpu" else 2
    for view in itertools.islice(fresh, rounds):
        start = time.perf_counter()
        found = mapped(network, view, key)
        took.append(1000 * (time.perf_counter() - start))
    return found, median(took[1:] or took)


def compare(network: Network, photo: Photo, device: str, repeats: int) -> list[dict[str, Any]]:
    """A row for each method that is defined for the network."""
    rows = []
    single, *double = (
        tuple(moved(network, where, dtype) for where in ("cpu", device))
        for dtype in CLOSE
        if dtype != torch.float64 or has_float64(device)
    )
    for key, method in METHODS.items():
        if _absent(single[0], photo, key):
            continue
        (one, cpu), (other, there) = (timed(each, photo, key, repeats) for each in single)
        gaps = {torch.float32: apart(one, other)}
        for pair in double if not method.slow else ():
            exact = (mapped(each, next(views(each, photo, torch.float64)), key) for each in pair)
            gaps[torch.float64] = apart(*exact)
        row: dict[str, Any] = {"network": network.key, "method": key, "cpu_ms": cpu}
        row |= {str(dtype).removeprefix("torch."): gap for dtype, gap in gaps.items()}
        row |= {"device_ms": there, "holds": all(gap <= CLOSE[d] for d, gap in gaps.items())}
        rows.append(row)
        exactly = f"{row['float64']:8.1e}" if "float64" in row else 8 * " "
        print(
            f"{network.key:12} {key:15} float32 {row['float32']:8.1e}  float64 {exactly}"
            f"  cpu {cpu:8.1f} ms  {device} {there:7.1f} ms{'' if row['holds'] else '  APART'}",
            flush=True,
        )
    forget(*single, *itertools.chain(*double))
    return rows


def lanes(network: Network, photo: Photo) -> dict[str, float]:
    """What a quick map takes, alone and beside slow work of the same page, in milliseconds, when
    both threads that compute have planned their convolutions; and what that took."""
    jobs, over, masks = Jobs(), threading.Event(), itertools.count()
    fresh, later = (views(network, photo, torch.float32) for _ in range(2))

    def quick() -> Iterator[Show]:
        mapped(network, next(fresh), "gradcam")
        yield Show()

    def slow() -> Iterator[Show | None]:
        while True:
            question = Question(network, next(later), (3,), network.last)
            for _ in ask(question, "rise", **FEW["rise"]):
                next(masks)
                yield Show(done=0.5)

    def pull(ticket: str | None) -> None:
        while not over.is_set() and ticket:
            _, ticket = jobs.more(ticket)

    def measured() -> list[float]:
        took, since = [], time.perf_counter()
        while time.perf_counter() - since < SLOW_FOR:
            start = time.perf_counter()
            _, ticket = jobs.start(("quick", "tab"), quick())
            while ticket:  # told its place in line
                _, ticket = jobs.more(ticket)
            took.append(1000 * (time.perf_counter() - start))
        return took

    start = time.perf_counter()
    jobs.start(("quick", "tab"), quick())
    _, ticket = jobs.start(("slow", "tab"), slow())
    for _ in range(2):
        _, ticket = jobs.more(ticket)
    planned, alone, before = time.perf_counter() - start, measured(), next(masks)
    thread = threading.Thread(target=pull, args=(ticket,))
    thread.start()
    beside = measured()
    over.set()
    thread.join(60)
    return {
        "first_s": round(planned, 2),
        "alone_ms": round(median(alone), 2),
        "beside_slow_ms": round(median(beside), 2),
        "beside_slow_p95_ms": round(quantiles(beside, n=20)[-1], 2),
        "slow_steps": next(masks) - before - 1,
    }


def twins(network: Network, photo: Photo) -> dict[str, Any]:
    """Many maps at once, each beside the one that was made alone; all of them as the page has them
    made."""
    keys = [key for key in ("gradcam", "guided", "layercam") if not _absent(network, photo, key)]
    todo, jobs, found = [keys[index % len(keys)] for index in range(TWINS)], Jobs(), {}

    def work(name: str, key: str) -> Iterator[Show]:
        found[name] = mapped(network, next(views(network, photo, torch.float32)), key)
        yield Show()

    def one(name: str, key: str) -> torch.Tensor:
        _, ticket = jobs.start((name, "tab"), work(name, key))
        while ticket:
            _, ticket = jobs.more(ticket)
        return found[name]

    alone = {key: one(key, key) for key in keys}
    start = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        made = list(pool.map(one, map(str, range(TWINS)), todo))
    gaps = [apart(alone[key], each) for key, each in zip(todo, made, strict=True)]
    return {
        "per_s": round(TWINS / (time.perf_counter() - start), 1),
        "equal": sum(gap == 0 for gap in gaps),
        "worst": max(gaps),
    }


def _absent(network: Network, photo: Photo, key: str) -> str | None:
    question = Question(network, network.prepare(photo), (3,), network.last)
    return METHODS[key].why_not(question)


def beside(network: Network, photo: Photo, device: str) -> dict[str, Any]:
    """The lanes of a page and many maps at once, on the device and on the processor."""
    found: dict[str, Any] = {}
    for where in (device, "cpu"):
        cores.share(Settings(device=where))
        here = moved(network, where)
        found[f"lanes_{where}"] = lanes(here, photo)
        print(f"lanes on {where}: {found[f'lanes_{where}']}", flush=True)
        cores.share(Settings(device=where, threads=1))  # more of them add in another order
        found[f"twins_{where}"] = twins(here, photo)
        print(f"{TWINS} maps, {AT_ONCE} at once, on {where}: {found[f'twins_{where}']}", flush=True)
        forget(here)
    return found


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How far the maps lie apart, and how much sooner they come."""
    good = [row for row in rows if "cpu_ms" in row]
    if not good:
        raise SystemExit("No network could be asked.")
    quick = [row for row in good if not METHODS[row["method"]].slow]
    slow = [row for row in good if METHODS[row["method"]].slow]
    return {
        "apart": [f"{row['network']} {row['method']}" for row in rows if not row["holds"]],
        "worst_float32": max(row["float32"] for row in good),
        "worst_float64": max((row["float64"] for row in quick if "float64" in row), default=None),
        "quick_speedup": round(median(row["cpu_ms"] / row["device_ms"] for row in quick), 2),
        "slow_speedup": round(median(row["cpu_ms"] / row["device_ms"] for row in slow), 2),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--device", default="cuda")
    options.add_argument("--networks", default=NETWORKS)
    options.add_argument("--repeats", type=int, default=8, help="of a quick map")
    options.add_argument("--seconds", type=float, default=170, help="after these, no more networks")
    chosen = options.parse_args()
    since, cuda = time.monotonic(), chosen.device.startswith("cuda")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    name = torch.cuda.get_device_name() if cuda else chosen.device
    print(f"{name}; torch {torch.__version__}, {torch.get_num_threads()} of {os.cpu_count()} cores")
    photo, rows, first, left_out = read(PHOTO), [], None, []
    for key in chosen.networks.split(","):
        if time.monotonic() - since > chosen.seconds:
            left_out.append(key)
            continue
        try:
            network = build(key)
            rows += compare(network, photo, chosen.device, chosen.repeats)
        except Exception as error:  # the others are worth knowing all the same
            print(f"{key}: {type(error).__name__}: {error}", flush=True)
            rows.append({"network": key, "method": "all", "holds": False})
            continue
        first = first or network
    answer: dict[str, Any] = {"device": name, "maps": len(rows), "left_out": left_out}
    if first:
        answer |= beside(first, photo, chosen.device)
    answer |= summary(rows)
    answer |= {
        "device_peak_mb": round(torch.cuda.max_memory_allocated() / 1e6) if cuda else 0,
        "kept_mb": round(memory.bytes / 1e6),
        "seconds": round(time.monotonic() - since),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
