"""How much memory does the server take, and does it go on growing?

    python benchmarks/memory.py [--data DIR] [--photos 100] [--seconds 3]

A server as `python app.py` starts it, without a Hub. One visitor after another brings a photo,
looks at it in every tab for a few seconds, slow work being pulled as the page pulls it, and leaves;
the next one has the next network. DIR holds JPEGs (its first ones in order of name, folders too);
without it, parts of the example photos are taken. Prints the server's resident memory as it goes,
both as a visitor leaves and when the server has come to rest behind him, which tells what it holds:
amid work it goes up and down by a tenth. Last a line of JSON: its peak, and by how much it grew
over the last half of the photos, at rest and amid work: between the medians over the last visitors
before the middle and before the end, a tenth of them all and each network as often. Linux alone
says so much.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.visitor import EXAMPLES, NETWORKS, Seen, Visitor, memory, tabs  # noqa: E402
from tests.browser import Server, serving  # noqa: E402

PEAK_MB, GROWTH = 2500, 0.02  # at most
CALM = 0.05  # seconds of the processor's time within a second: at rest
PATIENCE = 15  # seconds until it is, at the most


class Stand(NamedTuple):
    """Resident MB: as a visitor leaves, amid what was begun for him, and when that is over."""

    amid: float
    rest: float


def photos(folder: Path | None, count: int) -> Iterator[bytes]:
    """JPEGs that are all different."""
    found = sorted((folder or EXAMPLES).rglob("*.jpg"))
    if not found:
        raise SystemExit("There is no JPEG in that folder: name one with photos.")
    for index in range(count):
        data = found[index % len(found)].read_bytes()
        if index >= len(found) or folder is None:  # another part of it
            image = Image.open(io.BytesIO(data))
            edge = 0.01 * (1 + index // len(found))
            width, height = image.size
            part = (edge * width, edge * height, width * (1 - edge), height * (1 - edge))
            file = io.BytesIO()
            image.crop(tuple(map(int, part))).save(file, "JPEG", quality=90)
            data = file.getvalue()
        yield data


def worked(server: Server) -> float:
    """Seconds of the processor's time that the server has taken."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def at_rest(server: Server) -> float:
    """Resident MB when the server has ended, or given up, what was asked."""
    for _ in range(PATIENCE):
        before = worked(server)
        time.sleep(1)
        if worked(server) - before < CALM:
            break
    return memory(server, "VmRSS")


def walk(server: Server, folder: Path | None, count: int, seconds: float) -> list[Stand]:
    """What it has before the first visitor, and behind each."""
    keys = list(tabs(server.url))
    found = [Stand(memory(server, "VmRSS"), at_rest(server))]
    print(f"at rest: {found[0].rest:.0f} MB; {len(keys)} tabs: {', '.join(keys)}")
    for index, data in enumerate(photos(folder, count)):
        visitor, network = Visitor(server.url, Seen(), index), NETWORKS[index % len(NETWORKS)]
        asked = {"photo": visitor.bring(data), "network": network}
        for tab in keys:
            visitor.look(tab, asked, seconds)
        found.append(Stand(memory(server, "VmRSS"), at_rest(server)))
        if index < 5 or (index + 1) % 5 == 0:
            now, wrong = found[-1], visitor.seen.errors or ""
            line = f"{index + 1:4} {network:8} {now.amid:6.0f} MB, {now.rest:6.0f} at rest"
            print(line, wrong, flush=True)
    return found


def growth(stands: list[float]) -> float:
    """From before the middle to the end, as a share."""
    some = len(NETWORKS) * math.ceil(len(stands) / 10 / len(NETWORKS))
    half = len(stands) // 2
    return median(stands[-some:]) / median(stands[max(0, half - some) : half]) - 1


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", type=Path)
    options.add_argument("--photos", type=int, default=100)
    options.add_argument("--seconds", type=float, default=3.0, help="of patience in each tab")
    chosen = options.parse_args()
    with serving(SEEING_WHY_STARTUP="") as server:
        found = walk(server, chosen.data, chosen.photos, chosen.seconds)
        peak = memory(server, "VmHWM")
    stands = found[1:]
    grown = growth([each.rest for each in stands])
    answer = {
        "photos": chosen.photos,
        "networks": len(NETWORKS),
        "rest_mb": round(found[0].rest),
        "end_mb": round(stands[-1].rest),
        "peak_mb": round(peak),
        "growth_last_half": round(grown, 4),
        "growth_amid_work": round(growth([each.amid for each in stands]), 4),
        "holds": peak <= PEAK_MB and grown <= GROWTH,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
