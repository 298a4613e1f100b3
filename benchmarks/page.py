"""How long does a visitor wait? Everything on the page, in Chromium, beside a bare page.

    python benchmarks/page.py [--visitors 5] [--data DIR] [--tabs maps,muting]

Each time as a new visitor with a photo of 640 × 480 that the server never saw: cut from the photos
of --data, else from the examples. Page and bare page (`bare_page.py`: one event, one output, the
same maps) take turns, and so does the same work in this process alone. Times are taken in the
browser, from the event to the frame in which the result stands. Prints medians with quartiles and
ends with one line of JSON; the ratios compare machines, the seconds only this one with itself.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from PIL import Image  # noqa: E402
from playwright.sync_api import Browser, Page  # noqa: E402

from benchmarks.turns import ratio  # noqa: E402
from explainers import ask, cores, load, read  # noqa: E402
from explainers.api import question  # noqa: E402
from explainers.settings import from_environment  # noqa: E402
from tests.browser import free_port, serving  # noqa: E402
from tests.chromium import browsing  # noqa: E402

MAPS = ("gradcam", "guided", "guided_gradcam")
SIZE = (640, 480)
NETWORK = "lite2"  # in memory soon after the start
LEFT = ("muting", "compare")  # in mid-run, for each of the other tabs
PAIRS = 3  # idle and left, of a tab for each visitor: a tenth of a second hangs on single frames
SCRIPT = Path(__file__).with_suffix(".js")


def photos(data: Path | None) -> Iterator[bytes]:
    """JPEGs of 640 × 480, none like another."""
    folder = (data / "coco" / "images") if data else ROOT / "assets" / "examples"
    files, dice = sorted(folder.glob("*.jpg")), random.Random(os.getpid())
    while True:
        with Image.open(dice.choice(files)) as image:
            image = image.convert("RGB").resize((700, 540))
        left, top = dice.randrange(60), dice.randrange(60)
        file = io.BytesIO()
        image.crop((left, top, left + SIZE[0], top + SIZE[1])).save(file, "JPEG", quality=90)
        yield file.getvalue()


def clock(page: Page, step: str, **data: Any) -> dict[str, float]:
    """Seconds from an action in the browser to the frames in which its results stand."""
    return page.evaluate("given => clock(given)", [step, data])


@contextmanager
def visitor(browser: Browser, url: str, ready: str, found: dict[str, list[float]], name: str):
    """A new visitor on a page that is ready; how long that took goes to found[name]."""
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.add_init_script(path=SCRIPT)
    sizes: list[int] = []
    page.on("response", lambda each: sizes.append(int(each.headers.get("content-length", 0))))
    since = time.perf_counter()
    page.goto(url)
    page.wait_for_selector(ready, state="attached")
    found[name].append(time.perf_counter() - since)
    if name == "load_s":
        found["requests"].append(len(sizes))
        found["kilobytes"].append(sum(sizes) / 1000)
    yield page
    context.close()


MAP, BARE = ".stage canvas[data-painted]", "#photo input[type=file]"


def text(photo: bytes) -> str:
    return base64.b64encode(photo).decode()


def cpu(page: Page, work: Callable[[], Any]) -> float:
    """Main-thread seconds of the renderer meanwhile."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def busy() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "TaskDuration")

    before = busy()
    work()
    return busy() - before


def maps_visit(browser: Browser, url: str, photo: bytes, found: dict[str, list[float]]) -> None:
    """One new visitor of the Maps tab."""
    with visitor(browser, url, MAP, found, "load_s") as page:
        for name, seconds in clock(page, "drop", photo=text(photo)).items():
            found[f"{name}_s"].append(seconds)
        target = page.evaluate("() => seeing.seen.chips[1].index")
        times: dict[str, float] = {}
        spent = cpu(page, lambda: times.update(clock(page, "retarget", at=1, target=target)))
        found["retarget_first_s"].append(times["first"])
        found["retarget_s"].append(times["all"])
        found["renderer_cpu_s"].append(spent)
        last = page.evaluate("() => seeing.seen.chips[3].index")
        found["five_clicks_s"].append(clock(page, "five", target=last)["end"])
        pointing(page, found)
        found["network_s"].append(clock(page, "network", key=NETWORK)["end"])


def pointing(page: Page, found: dict[str, list[float]]) -> None:
    """The slider of the heat, a pointer over a map, colours: milliseconds, and no request."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for step in ("slide", "hover", "colours") * 5:
        name = {"slide": "slider_ms", "hover": "hover_ms", "colours": "colours_ms"}[step]
        found[name].append(1000 * clock(page, step)["end"])
    assert not asked, f"the server was asked: {asked}"


def bare_visit(browser: Browser, url: str, photo: bytes, found: dict[str, list[float]]) -> None:
    """The same on the bare page."""
    with visitor(browser, url, BARE, found, "bare_load_s") as page:
        times = clock(page, "bare_drop", photo=text(photo))
        found["bare_first_s"].append(times["first"])
        found["bare_settled_s"].append(times["all"])
        target = page.evaluate("() => +document.querySelectorAll('[data-class]')[1].dataset.class")
        times = clock(page, "bare_retarget", target=target)
        found["bare_retarget_first_s"].append(times["first"])
        found["bare_retarget_s"].append(times["all"])


def maths(photo: bytes, found: dict[str, list[float]]) -> None:
    """The same work in this process alone."""
    network, since = load(), time.perf_counter()
    seen = read(photo)
    best = network.ranked(network.answer(network.prepare(seen)), 5)
    for method in MAPS:
        list(ask(question(network, seen, [best[0]]), method))
    found["maths_settled_s"].append(time.perf_counter() - since)
    since = time.perf_counter()
    for method in MAPS:
        list(ask(question(network, seen, [best[1]]), method))
    found["maths_retarget_s"].append(time.perf_counter() - since)


def tab_visit(
    browser: Browser, url: str, tab: str, photo: bytes, found: dict[str, list[float]]
) -> None:
    """A new visitor goes to another tab, away, and back."""
    with visitor(browser, url, MAP, defaultdict(list), "load_s") as page:
        clock(page, "drop", photo=text(photo))
        found[tab].append(clock(page, "tab", tab=tab)["end"])
        clock(page, "home")
        found[f"{tab} again"].append(clock(page, "tab", tab=tab)["end"])


def leaving_visit(
    browser: Browser, url: str, tab: str, photo: bytes, found: dict[str, list[float]]
) -> None:
    """Muting and Compare are left in mid-run: is the next tab later than on an idle server?"""
    with visitor(browser, url, MAP, defaultdict(list), "load_s") as page:
        failed: list[str] = []
        page.on("response", lambda each: each.status >= 500 and failed.append(each.url))
        clock(page, "drop", photo=text(photo))
        for busy in LEFT:
            clock(page, "work", tab=busy)
        found[f"{tab} after"].append(clock(page, "tab", tab=tab)["end"])
        found["errors_5xx"].append(len(failed))


@contextmanager
def bare_server() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, str(ROOT / "benchmarks" / "bare_page.py"), str(port)]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet)
    url = f"http://127.0.0.1:{port}"
    try:
        while not _answers(url):
            if process.poll() is not None:
                raise RuntimeError("the bare page did not start")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


def wait_for_networks(url: str) -> None:
    """Until what comes with the installation is in memory: loading it beside would be measured."""
    from gradio_client import Client

    client = Client(url, verbose=False)
    while {"loading"} & {each["state"] for each in client.predict(api_name="/networks")}:
        time.sleep(0.5)


def spread(values: list[float]) -> str:
    low, high = (
        (quantiles(values, n=4)[0], quantiles(values, n=4)[2]) if len(values) > 1 else values * 2
    )
    return f"{median(values):8.3f}   {low:.3f} to {high:.3f}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--visitors", type=int, default=5)
    options.add_argument("--data", type=Path)
    options.add_argument("--tabs", default="")
    chosen = options.parse_args()
    cores.share(from_environment())
    found: dict[str, list[float]] = defaultdict(list)
    tabs: dict[str, list[float]] = defaultdict(list)
    more = photos(chosen.data)
    with serving(SEEING_WHY_STARTUP="") as server, bare_server() as bare, browsing() as browser:
        wait_for_networks(server.url)
        config = json.load(urllib.request.urlopen(f"{server.url}/config", timeout=60))
        names = [each["props"]["id"] for each in config["components"] if each["type"] == "tabitem"]
        names = [each for each in chosen.tabs.split(",") if each] or names
        maps_visit(browser, server.url, next(more), defaultdict(list))  # warms both up
        bare_visit(browser, bare, next(more), defaultdict(list))
        maths(next(more), defaultdict(list))
        for _ in range(chosen.visitors):
            maps_visit(browser, server.url, next(more), found)
            bare_visit(browser, bare, next(more), found)
            maths(next(more), found)
            for tab in names:
                left = tab not in ("maps", *LEFT)
                for _ in range(PAIRS if left else 1):
                    tab_visit(browser, server.url, tab, next(more), tabs)
                    if left:
                        leaving_visit(browser, server.url, tab, next(more), tabs)
    report(found, tabs, config)


def report(
    found: dict[str, list[float]], tabs: dict[str, list[float]], config: dict[str, Any]
) -> None:
    for name, values in [*found.items(), *((f"tab {name}", each) for name, each in tabs.items())]:
        print(f"{name:24}{spread(values)}")
    middle = {name: round(median(values), 3) for name, values in found.items()}

    def times(one: str, other: str, found: dict[str, list[float]] = found) -> float:
        return round(ratio(found, one, other), 2)

    print(json.dumps(middle | {
        "tabs_s": {name: round(median(values), 3) for name, values in tabs.items()},
        "after_vs_idle": {
            name: times(f"{name} after", name, tabs) for name in tabs if f"{name} after" in tabs
        },
        "retarget_vs_maths": times("retarget_s", "maths_retarget_s"),
        "first_vs_bare": times("first_map_s", "bare_first_s"),
        "retarget_vs_bare": times("retarget_s", "bare_retarget_s"),
        "components": len(config["components"]),
        "events": len(config["dependencies"]),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
