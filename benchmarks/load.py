"""How does the page do with many visitors at once?

    python benchmarks/load.py [--data DIR] [--visitors 1,10,50,100] [--seconds 60]
                              [--url ADDRESS] [--settings NAME=VALUE ...]

A server as `python app.py` starts it, without a Hub (or the one at ADDRESS), asked over plain HTTP
as the page's script asks. A visitor has a session of his own, uploads three photos, each of which
nobody has shown before, asks for the Grad-CAM of each, and thinks for 5 to 15 seconds after it. The
time of a map runs from the question to the answer that holds it, waiting in line included; “told”
is how long it took until a visitor knew anything at all. Then, in turns, visitors who don't think,
for what the server can do at most, and without any page two processes of one thread, which read the
same photos and make the same maps; the share is the median over the turns. Alone is one visitor,
before and after the others. Photos: parts of those in DIR, or of the examples. Ends with a line of
JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.visitor import (  # noqa: E402
    ONE_ADDRESS,
    Photos,
    Seen,
    Visitor,
    memory,
    places,
    tabs,
)
from tests.browser import serving  # noqa: E402

THINK = (5.0, 15.0)  # seconds
METHOD = "gradcam"
VISIT = 3  # photos of a visitor
GREEDY, LONG, TURNS = 8, 10, 5  # visitors who don't think, for how many seconds, how often
MOST = 60  # maps a second of two cores


class Asker(Visitor):
    """A visitor of the Maps tab."""

    def ask(self, photo: dict[str, str]) -> None:
        """Ask for the first guess's map and wait for it."""
        place = tabs(self.url)["maps"]
        question = {
            "photo": photo,
            "network": "lite0",
            "targets": None,
            "visit": self.visit,
            "settings": {"methods": [METHOD]},
            "knows": False,
            "form": "lite0",
        }
        start = time.perf_counter()
        answer, first = self.call(place, "ask", question), True
        while True:
            if first:
                self.seen.told.append(time.perf_counter() - start)
                first = False
            if problem := answer.get("problem"):
                self.seen.errors.append(problem)
                return
            if any(key.startswith(METHOD) for key in answer["data"].get("maps", {})):
                break
            if "work" in answer:
                self.seen.waits += 1
            if not answer.get("more"):
                self.seen.errors.append("no map came")
                return
            answer = self.call(place, "more", answer["more"])
        self.seen.maps.append(time.perf_counter() - start)
        while answer.get("more"):  # the rest, such as the picture of all classes
            answer = self.call(place, "more", answer["more"])


def settle(url: str) -> None:
    """Wait until the server loads no network any more in the background."""
    visitor = Visitor(url, Seen(), 0)
    while any(
        each["state"] == "loading"
        for each in visitor.call(places(url)["bar"], "networks", None)["networks"]
    ):
        time.sleep(0.5)


def visits(
    url: str, photos: Photos, seen: Seen, number: int, until: float, think: tuple[float, float]
) -> None:
    """One visitor after the other, until it is late."""
    draw = random.Random(number)
    time.sleep(draw.uniform(0, think[1]))  # they don't all come in the same second
    while time.monotonic() < until:
        try:
            visitor = Asker(url, seen, number)
            for _ in range(VISIT):
                visitor.ask(visitor.bring(photos()))
                time.sleep(draw.uniform(*think))
                if time.monotonic() > until:
                    break
        except Exception as error:
            seen.errors.append(f"{type(error).__name__}: {error}")


def crowd(
    url: str, server: Any, photos: Photos, count: int, seconds: float, think: tuple[float, float]
) -> tuple[Seen, float]:
    """So many visitors for a while; what they met, and the maps a second."""
    seen, since = Seen(), time.monotonic()
    with ThreadPoolExecutor(count) as pool:
        for i in range(count):
            pool.submit(visits, url, photos, seen, i, since + seconds, think)
    seen.peak_mb = memory(server, "VmHWM") if server else 0.0
    return seen, len(seen.maps) / (time.monotonic() - since)


def bare(folder: Path | None, seed: int, seconds: float, made: Any, ready: Any) -> None:
    """What one process makes without a page: photos read, maps made, as the page's visitors ask."""
    import torch

    torch.set_num_threads(1)
    from explainers import ask, load, read
    from explainers.api import question
    from tabs.maps.raw import payload

    network, photos = load("lite0"), Photos(folder, seed)

    def one() -> None:
        asked = question(network, read(photos()))
        *_, found = ask(asked, METHOD)
        payload(asked, found)

    for _ in range(20):
        one()
    photos.make(int(MOST * seconds))
    ready.wait()
    since = time.monotonic()
    while time.monotonic() - since < seconds:
        one()
        made.value += 1


def processes(folder: Path | None, seconds: float, count: int = 2) -> float:
    """Maps a second of so many processes side by side."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(count)
    made = [context.Value("i", 0) for _ in range(count)]
    started = [
        context.Process(target=bare, args=(folder, 1000 + i, seconds, made[i], ready))
        for i in range(count)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    return sum(each.value for each in made) / seconds


@contextmanager
def page(address: str | None, settings: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """The page's address, and its server if it is our own."""
    if address:
        yield address.rstrip("/"), None
        return
    with serving(**{"SEEING_WHY_STARTUP": "", **ONE_ADDRESS, **settings}) as server:
        yield server.url, server


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", type=Path)
    options.add_argument("--visitors", default="1,10,50,100")
    options.add_argument("--seconds", type=float, default=60.0, help="for each number of visitors")
    options.add_argument("--url")
    options.add_argument("--settings", nargs="*", default=[], metavar="NAME=VALUE")
    chosen = options.parse_args()
    settings = dict(each.split("=", 1) for each in chosen.settings)
    photos, rows, quick = Photos(chosen.data), {}, (0.05, 0.1)
    with page(chosen.url, settings) as (url, server):
        settle(url)
        for _ in range(2):  # the first map of a server takes longer
            crowd(url, server, photos, 1, 3, quick)
        before, _ = crowd(url, server, photos, 1, 15, quick)
        for count in map(int, chosen.visitors.split(",")):
            rows[count] = seen, rate = crowd(url, server, photos, count, chosen.seconds, THINK)
            print(
                f"{count:4} visitors: {len(seen.maps):5} maps, {rate:5.1f} a second, median "
                f"{1000 * median(seen.maps or [0]):5.0f} ms, p95 "
                f"{1000 * percentile(seen.maps, 0.95):5.0f} ms, told within "
                f"{1000 * max(seen.told or [0]):5.0f} ms; waited {seen.waits}, busy {seen.busy}, "
                f"errors {len(seen.errors)}; server {seen.peak_mb:.0f} MB",
                *sorted(set(seen.errors))[:3],
                flush=True,
            )
        after, _ = crowd(url, server, photos, 1, 15, quick)
        turns, greedy = [], []
        for turn in range(1 + TURNS):
            photos.make(MOST * LONG)
            seen, rate = crowd(url, server, photos, GREEDY, LONG, (0.0, 0.0))
            greedy.append(seen)
            if turn:  # the first one fills the server's memory
                turns.append((rate, processes(chosen.data, LONG)))
                print("saturated: {:.1f} a second; two processes: {:.1f}".format(*turns[-1]))
    alone = median([*before.maps, *after.maps])
    fifty = rows.get(50, next(iter(rows.values())))[0]
    p95 = percentile(fifty.maps, 0.95)
    for problem in sorted({each for seen in (before, after, *greedy) for each in seen.errors})[:5]:
        print(problem)
    everyone = [before, after, *greedy, *(seen for seen, _ in rows.values())]
    answer = {
        "alone_ms": round(1000 * alone, 1),
        "p95_50_visitors_ms": round(1000 * p95, 1),
        "ratio": round(p95 / alone, 2),
        "saturated_per_s": round(median(rate for rate, _ in turns), 2),
        "saturated_vs_processes": round(median(rate / side for rate, side in turns), 3),
        "told_ms": round(1000 * max(max(seen.told, default=0.0) for seen in everyone)),
        "errors": sum(len(seen.errors) for seen in everyone),
        "peak_mb": round(max(seen.peak_mb for seen in everyone)),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
