"""How many camera frames a second the page shows: Chromium with a fake camera, end to end.

Server and browser share this machine. A frame counts when its mosaic, the pinned channel and the
top five are decoded and on the page. Run: python benchmarks/live.py
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import cv2
import numpy as np
from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.browser import serving  # noqa: E402
from tests.chromium import browsing  # noqa: E402

WIDTH, HEIGHT, RATE = 320, 240, 30


def camera(path: Path, photo: Path, frames: int = 90) -> None:
    """A film for the fake camera: a window that wanders over a photo."""
    pixels = cv2.imread(str(photo))
    factor = 1.5 * max(WIDTH / pixels.shape[1], HEIGHT / pixels.shape[0])
    pixels = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    room = pixels.shape[0] - HEIGHT, pixels.shape[1] - WIDTH
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{RATE}:1 Ip A1:1 C420jpeg\n".encode())
        for index in range(frames):
            turn = 2 * np.pi * index / frames
            y, x = (
                int(r * (0.5 + 0.5 * f(turn))) for r, f in zip(room, (np.sin, np.cos), strict=True)
            )
            window = np.ascontiguousarray(pixels[y : y + HEIGHT, x : x + WIDTH])
            file.write(b"FRAME\n" + cv2.cvtColor(window, cv2.COLOR_BGR2YUV_I420).tobytes())


def watch(page: Page, url: str, seconds: float, layer: str | None) -> dict:
    """Pin a channel, start the camera, let it run, and read what the page measured."""
    chosen = f"&activations.layer={layer}" if layer else ""
    page.goto(f"{url}/?tab=activations&example=cat.jpg{chosen}")
    page.wait_for_selector("#activations-tab .unit-examples img", timeout=120_000)
    page.click("[data-pin]")
    page.wait_for_selector(".pin img")
    page.click("[data-live]")
    found = page.locator("[data-frames]").first
    page.wait_for_function(
        "+document.querySelector('[data-frames]')?.dataset.frames > 5", timeout=120_000
    )
    page.wait_for_timeout(3000)
    rates, start, before = [], time.monotonic(), int(found.get_attribute("data-frames"))
    while time.monotonic() - start < seconds:
        page.wait_for_timeout(1000)
        rates.append(float(found.get_attribute("data-fps")))
    passed = time.monotonic() - start
    frames = int(found.get_attribute("data-frames")) - before
    waits = json.loads(found.get_attribute("data-waits"))
    return {
        "fps": frames / passed,
        "rates": rates,
        "waits": waits,
        "layer": page.locator("#activations-tab [name=layer] option:checked").inner_text(),
        "frames": frames,
    }


def table(found: dict) -> str:
    """Medians and quartiles, as Markdown."""
    network = [pair[1] for pair in found["waits"]]
    rest = [pair[0] - pair[1] for pair in found["waits"]]
    rows = ["| | median | quartiles |", "|-|-:|-:|"]
    for name, values in (
        ("frames a second", found["rates"]),
        ("network alone, ms", network),
        ("everything else (camera, both encodings, transfer, drawing), ms", rest),
    ):
        low, middle, high = quantiles(values, n=4)
        rows.append(f"| {name} | {middle:.1f} | {low:.1f}–{high:.1f} |")
    return "\n".join(rows)


def main() -> None:
    """Measure, print the table, print the JSON."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=20)
    options.add_argument("--layer", help="its name, such as bn2; default: the page's own")
    options.add_argument("--photo", type=Path, help="default: the first of the examples")
    chosen = options.parse_args()
    photo = chosen.photo or sorted((ROOT / "assets" / "examples").glob("*.jpg"))[0]
    with tempfile.TemporaryDirectory() as name:
        film = Path(name) / "camera.y4m"
        camera(film, photo)
        flag = f"--use-file-for-fake-video-capture={film}"
        with serving(SEEING_WHY_STARTUP="") as server, browsing(flag) as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            found = watch(page, server.url, chosen.seconds, chosen.layer)
    load = os.getloadavg()[0]
    print(
        f"\nEfficientNet-Lite0, {found['layer']}, one pinned channel, {WIDTH} × {HEIGHT}, ", end=""
    )
    print(f"{found['frames']} frames, {os.cpu_count()} cores, load {load:.1f}\n")
    print(table(found))
    network = median(pair[1] for pair in found["waits"])
    rest = median(pair[0] - pair[1] for pair in found["waits"])
    figures = {"fps": found["fps"], "network_ms": network, "page_ms": rest}
    print("\n" + json.dumps({key: round(value, 1) for key, value in figures.items()}))


if __name__ == "__main__":
    main()
