"""How much memory does the server take, and does it go on growing?

    python benchmarks/memory.py [--data DIR] [--photos 100] [--seconds 3]

A server as `python app.py` starts it, without a Hub. One visitor after another brings a photo,
looks at it in every tab for a few seconds, slow work being pulled as the page pulls it, and leaves;
the next one has the next network. DIR holds JPEGs (its first ones in order of name, folders too);
without it, parts of the example photos are taken. Prints the server's resident memory as it goes,
and last a line of JSON: its peak, and by how much it grew over the last half of the photos (between
the medians of the tenth before the middle and of the last tenth). Linux alone says so much.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.visitor import EXAMPLES, NETWORKS, Seen, Visitor, memory, tabs  # noqa: E402
from tests.browser import Server, serving  # noqa: E402

PEAK_MB, GROWTH = 2500, 0.02  # at most


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


def walk(server: Server, folder: Path | None, count: int, seconds: float) -> list[float]:
    """Resident MB at rest and after each photo."""
    keys, found = list(tabs(server.url)), [memory(server, "VmRSS")]
    print(f"at rest: {found[0]:.0f} MB; {len(keys)} tabs: {', '.join(keys)}")
    for index, data in enumerate(photos(folder, count)):
        visitor, network = Visitor(server.url, Seen(), index), NETWORKS[index % len(NETWORKS)]
        asked = {"photo": visitor.bring(data), "network": network}
        for tab in keys:
            visitor.look(tab, asked, seconds)
        found.append(memory(server, "VmRSS"))
        if index < 5 or (index + 1) % 5 == 0:
            wrong = visitor.seen.errors or ""
            print(f"{index + 1:4} {network:8} {found[-1]:6.0f} MB", wrong, flush=True)
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", type=Path)
    options.add_argument("--photos", type=int, default=100)
    options.add_argument("--seconds", type=float, default=3.0, help="of patience in each tab")
    chosen = options.parse_args()
    with serving(SEEING_WHY_STARTUP="") as server:
        found = walk(server, chosen.data, chosen.photos, chosen.seconds)
        peak = memory(server, "VmHWM")
    some, half = max(1, chosen.photos // 10), chosen.photos // 2 + 1
    middle, end = median(found[half - some : half]), median(found[-some:])
    answer = {
        "photos": chosen.photos,
        "networks": len(NETWORKS),
        "rest_mb": round(found[0]),
        "end_mb": round(end),
        "peak_mb": round(peak),
        "growth_last_half": round(end / middle - 1, 4),
        "holds": peak <= PEAK_MB and end / middle - 1 <= GROWTH,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
