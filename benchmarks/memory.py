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
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from explainers.zoo.catalogue import CATALOGUE  # noqa: E402
from tests.browser import Server, serving  # noqa: E402

NETWORKS = [entry.key for entry in CATALOGUE if entry.here]  # without a Hub
PEAK_MB, GROWTH = 2500, 0.02  # at most
EXAMPLES = ROOT / "assets" / "examples"


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


class Visitor:
    """What a browser does with the page, without one: uploads, questions, slices of slow work."""

    def __init__(self, url: str) -> None:
        self.http = httpx2.Client(base_url=f"{url}/gradio_api", timeout=300)
        config = httpx2.get(f"{url}/config", timeout=60).raise_for_status().json()
        places = {
            each["props"].get("elem_id") or "": each["id"]
            for each in config["components"]
            if each["type"] == "html"
        }
        self.tabs = {name.removesuffix("-html"): place for name, place in places.items()
                     if name.endswith("-html")}  # fmt: skip

    def call(self, place: int, name: str, data: Any, visit: str) -> dict[str, Any]:
        """One of a component's functions on the server."""
        body = {"component_id": place, "fn_name": name, "session_hash": visit, "data": data}
        return self.http.post("/component_server", json=body).raise_for_status().json()

    def bring(self, photo: bytes, visit: str) -> str:
        """Bring a photo; its name for questions."""
        return self.http.post("/upload_photo", content=photo).raise_for_status().json()["own"]

    def look(self, tab: str, asked: dict[str, Any], seconds: float) -> str:
        """Look at a tab until all is drawn or patience is over; what went wrong, if anything."""
        place, visit, since = self.tabs[tab], asked["visit"], time.monotonic()
        answer = self.call(place, "ask", asked, visit)
        while answer.get("wait"):
            time.sleep(0.2)
            answer = self.call(place, "ask", asked, visit)
        while answer.get("more") and time.monotonic() - since < seconds:
            answer = self.call(place, "more", answer["more"], visit)
        return answer.get("problem", "")


def memory(server: Server, field: str) -> float:
    """MB of the server's process: VmRSS is resident now, VmHWM at the most so far."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def walk(server: Server, folder: Path | None, count: int, seconds: float) -> list[float]:
    """Resident MB at rest and after each photo."""
    visitor = Visitor(server.url)
    found = [memory(server, "VmRSS")]
    print(f"at rest: {found[0]:.0f} MB; {len(visitor.tabs)} tabs: {', '.join(visitor.tabs)}")
    for index, data in enumerate(photos(folder, count)):
        visit, network = f"visitor{index}", NETWORKS[index % len(NETWORKS)]
        asked = {"photo": {"own": visitor.bring(data, visit)}, "network": network, "visit": visit}
        problems = {}
        for tab in visitor.tabs:
            if problem := visitor.look(tab, asked, seconds):
                problems[tab] = problem
        found.append(memory(server, "VmRSS"))
        if index < 5 or (index + 1) % 5 == 0:
            print(f"{index + 1:4} {network:8} {found[-1]:6.0f} MB", problems or "", flush=True)
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
