"""Does the server stay as it is, however long it runs?

    python benchmarks/soak.py [--minutes 30] [--visitors 6] [--data DIR] [--settings NAME=VALUE ...]

A server as `python app.py` starts it, without a Hub. Visitors with think time look at all tabs, of
examples and of photos that nobody has shown before, with every network that is here; they pull slow
work as the page does, leave some of it, and some go away in the midst of an answer. For the first
five minutes they think a fifth as long, so that what is remembered is full. Every few seconds the
server's resident memory, threads, open files and files of uploads are read. Grown is the median of
the last third of the time after these five minutes over that of its first third (for a short run:
of the last and the second sixth): memory swings by a gigabyte with what visitors happen to look at,
so two minutes say nothing. `floor` is the same of the lowest tenth, which work that passes hardly
touches and a leak raises. Ends with a line of JSON. Linux alone says so much.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.visitor import (  # noqa: E402
    EXAMPLES,
    NETWORKS,
    ONE_ADDRESS,
    Photos,
    Seen,
    Visitor,
    tabs,
)
from tests.browser import Server, serving  # noqa: E402

THINK = (2.0, 8.0)  # seconds
BUSY = 5  # times as quick while the memory fills
FILLS, LEAST = 300, 180  # seconds until what is remembered is full; of a window at the least
OFTEN = 5.0  # seconds between looks at the server
GROWTH = 0.02  # at most
LOW = 0.1  # share of looks that are below the floor
LEAVES = 0.2  # share of answers that a visitor goes away from


@dataclass
class Look:
    """The server's process at a time (seconds since the start)."""

    at: float
    mb: float
    threads: int
    files: int
    uploads: int


@dataclass
class Watch:
    """Looks at a server until it is told to stop."""

    server: Server
    looks: list[Look] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.process = Path(f"/proc/{self.server.process.pid}")
        variables = (self.process / "environ").read_bytes().split(b"\0")
        said = dict(each.partition(b"=")[::2] for each in variables)
        self.uploads = Path(said[b"GRADIO_TEMP_DIR"].decode())
        self.log = (self.process / "fd" / "2").readlink()
        self.since = time.monotonic()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self) -> None:
        while not self.over.wait(OFTEN):
            lines = (self.process / "status").read_text().splitlines()
            said = dict(line.split(":", 1) for line in lines)
            self.looks.append(
                Look(
                    at=time.monotonic() - self.since,
                    mb=int(said["VmRSS"].split()[0]) * 1024 / 1e6,
                    threads=int(said["Threads"]),
                    files=len(list((self.process / "fd").iterdir())),
                    uploads=sum(path.is_file() for path in self.uploads.rglob("*")),
                )
            )
            if len(self.looks) % 12 == 0:
                print(self.looks[-1], flush=True)

    def between(self, start: float, end: float, name: str, share: float = 0.5) -> float:
        """The value between two times than which that share of them is lower."""
        found = [getattr(each, name) for each in self.looks if start <= each.at <= end]
        return float(np.quantile(found or [0], share))


def stay(url: str, photos: Photos, seen: Seen, number: int, since: float, until: float) -> None:
    """Visitors one after the other."""
    draw = random.Random(number)
    examples = sorted(path.name for path in EXAMPLES.glob("*.jpg"))
    while time.monotonic() < until:
        try:
            guest = Visitor(url, seen, number)
            photo = {"example": draw.choice(examples)}
            if draw.random() < 0.7:
                photo = guest.bring(photos())
            asked = {"photo": photo, "network": draw.choice(NETWORKS)}
            keys = list(tabs(url))
            for tab in draw.sample(keys, len(keys)):
                if draw.random() < LEAVES:
                    guest.leave(tab, asked)
                else:
                    guest.look(tab, asked, draw.uniform(1, 10))
                seen.maps.append(time.monotonic())
                think = draw.uniform(*THINK)
                time.sleep(think / BUSY if time.monotonic() - since < FILLS else think)
                if time.monotonic() > until:
                    break
        except Exception as error:
            seen.errors.append(f"{type(error).__name__}: {error}")


def told(watch: Watch, seen: Seen, minutes: float, tracebacks: int) -> dict[str, Any]:
    """What a run of so many minutes came to."""
    whole = 60 * minutes
    long = whole > FILLS + 3 * LEAST
    start, wide = (FILLS, (whole - FILLS) / 3) if long else (whole / 6, whole / 6)

    def before(name: str, share: float = 0.5) -> float:
        return watch.between(start, start + wide, name, share)

    def grown(name: str, share: float = 0.5) -> float:
        return watch.between(whole - wide, whole + 60, name, share) - before(name, share)

    growth = grown("mb") / before("mb")
    return {
        "minutes": minutes,
        "visits_of_tabs": len(seen.maps),
        "mb": round(before("mb")),
        "growth": round(growth, 4),
        "floor_growth": round(grown("mb", LOW) / before("mb", LOW), 4),
        "peak_mb": round(max((each.mb for each in watch.looks), default=0)),
        "threads_more": grown("threads"),
        "files_more": grown("files"),
        "uploads_more": grown("uploads"),
        "errors": len(seen.errors),
        "tracebacks": tracebacks,
        "holds": growth <= GROWTH and not seen.errors and not tracebacks,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--minutes", type=float, default=30.0)
    options.add_argument("--visitors", type=int, default=6)
    options.add_argument("--data", type=Path)
    options.add_argument("--settings", nargs="*", default=[], metavar="NAME=VALUE")
    chosen = options.parse_args()
    settings = dict(each.split("=", 1) for each in chosen.settings)
    photos, seen, whole = Photos(chosen.data), Seen(), 60 * chosen.minutes
    with serving(**{"SEEING_WHY_STARTUP": "", **ONE_ADDRESS, **settings}) as server:
        watch = Watch(server)
        since = time.monotonic()
        with ThreadPoolExecutor(chosen.visitors) as pool:
            for i in range(chosen.visitors):
                pool.submit(stay, server.url, photos, seen, i, since, since + whole)
        watch.over.set()
        watch.thread.join()
        log = watch.log.read_text()
    for problem, count in Counter(seen.errors).most_common(5):
        print(count, problem)
    tracebacks = log.count("Traceback (most recent call last)")
    if tracebacks:
        print(log[-4000:])
    print(json.dumps(told(watch, seen, chosen.minutes, tracebacks)))


if __name__ == "__main__":
    main()
