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
import tempfile
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

import torch  # noqa: E402
from PIL import Image  # noqa: E402
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

from explainers import ask, load, read  # noqa: E402
from explainers.api import question  # noqa: E402
from tests.browser import FLAGS, chromium_path, free_port, start_server  # noqa: E402

MAPS = ("gradcam", "guided", "guided_gradcam")
SIZE = (640, 480)
NETWORK = "lite2"  # in memory soon after the start
SHOWN = 'img[src^="data:"], canvas[data-painted], svg'  # what counts as content of a tab

# In the page: do something, and say after how many seconds each condition first held in a frame.
TIMES = """async ([what, data, conditions]) => {
  const checks = Object.entries(conditions).map(([name, text]) => [name, Function('data', 'return ' + text)]);
  const found = {}, deadline = performance.now() + 60000;
  const start = performance.now();
  Function('data', what)(data);
  while (Object.keys(found).length < checks.length && performance.now() < deadline) {
    await new Promise(requestAnimationFrame);
    for (const [name, check] of checks) if (!(name in found) && check(data)) found[name] = (performance.now() - start) / 1000;
  }
  return found;
}"""
GIVE = """
const bytes = Uint8Array.from(atob(data.photo), (c) => c.charCodeAt(0)), give = new DataTransfer();
give.items.add(new File([bytes], 'photo.jpg', {type: 'image/jpeg'}));
const input = document.querySelector(data.input);
input.files = give.files;
input.dispatchEvent(new Event('change', {bubbles: true}));
"""
STILL = "!document.querySelector('#maps-tab.busy, .stage .waiting')"
MINE = "seeing.state.photo?.own && seeing.current()"
PAINTED = "document.querySelectorAll('.stage canvas[data-painted]').length"
SAYS = "document.querySelector('#maps-tab .say').textContent.includes(seeing.names()[0])"
CLICK = "document.querySelectorAll('.rail .chip')[data.at].click()"
ASKED = "seeing.current() && seeing.state.targets[0] === data.target"


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


def clock(page: Page, what: str, conditions: dict[str, str], **data: Any) -> dict[str, float]:
    return page.evaluate(TIMES, [what, data, conditions])


@contextmanager
def visitor(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


def open_page(page: Page, url: str, ready: str) -> float:
    since = time.perf_counter()
    page.goto(url)
    page.wait_for_selector(ready, state="attached")
    return time.perf_counter() - since


def dropped(page: Page, photo: bytes) -> dict[str, float]:
    """A photo of one's own: chips, first map, all maps."""
    text = base64.b64encode(photo).decode()
    ends = {
        "chips": MINE,
        "first_map": f"{MINE} && {PAINTED} >= 1 && {SAYS}",
        "settled": f"{MINE} && {PAINTED} >= 3 && {SAYS} && {STILL}",
    }
    return clock(page, GIVE, ends, photo=text, input="[data-file]")


def retargeted(page: Page, at: int) -> dict[str, float]:
    """A click on another chip: first map and all maps of that class."""
    target = page.evaluate("at => seeing.seen.chips[at].index", at)
    mark = "for (const each of document.querySelectorAll('.stage canvas')) delete each.dataset.painted; "
    ends = {
        "first": f"{ASKED} && {PAINTED} >= 1 && {SAYS}",
        "all": f"{ASKED} && {PAINTED} >= 3 && {SAYS} && {STILL}",
    }
    return clock(page, mark + CLICK, ends, at=at, target=target)


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
    with visitor(browser, url) as page:
        sizes: list[int] = []
        page.on(
            "response", lambda answer: sizes.append(int(answer.headers.get("content-length", 0)))
        )
        found["load_s"].append(open_page(page, url, ".stage canvas[data-painted]"))
        found["requests"].append(len(sizes))
        found["kilobytes"].append(sum(sizes) / 1000)
        times = dropped(page, photo)
        for name, seconds in times.items():
            found[f"{name}_s"].append(seconds)
        times: dict[str, float] = {}
        spent = cpu(page, lambda: times.update(retargeted(page, 1)))
        found["retarget_first_s"].append(times["first"])
        found["retarget_s"].append(times["all"])
        found["renderer_cpu_s"].append(spent)
        last = page.evaluate("() => seeing.seen.chips[3].index")
        clicks = (
            "[1, 2, 3, 4, 3].forEach((at) => document.querySelectorAll('.rail .chip')[at].click())"
        )
        end = f"{ASKED} && {PAINTED} >= 3 && {SAYS} && {STILL}"
        found["five_clicks_s"].append(clock(page, clicks, {"end": end}, target=last)["end"])
        pointing(page, found)
        choose = f"document.querySelector('[data-networks]').open = true; setTimeout(() => document.querySelector('[data-key={NETWORK}]').click(), 0)"
        there = (
            f"seeing.current() && seeing.seen.network === '{NETWORK}' && {PAINTED} >= 1 && {SAYS}"
        )
        found["network_s"].append(clock(page, choose, {"end": there})["end"])


def pointing(page: Page, found: dict[str, list[float]]) -> None:
    """The slider of the heat, and a pointer over a map: no request, and how many milliseconds."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    slide = "const s = document.querySelector('[name=opacity]'); s.value = s.value > .5 ? .2 : .9; s.dispatchEvent(new Event('input', {bubbles: true}))"
    held = "Math.abs(+getComputedStyle(document.querySelector('.stage canvas')).opacity - +document.querySelector('[name=opacity]').value) < .01"
    for _ in range(5):
        found["slider_ms"].append(1000 * clock(page, slide, {"end": held})["end"])
    hover = """const p = document.querySelector('.map .picture'), b = p.getBoundingClientRect();
      p.querySelector('.tip').textContent = '';
      p.dispatchEvent(new PointerEvent('pointermove', {bubbles: true, pointerType: 'mouse', clientX: b.left + b.width * Math.random(), clientY: b.top + b.height / 2}))"""
    told = "[...document.querySelectorAll('.map .tip')].every((each) => each.textContent)"
    for _ in range(5):
        found["hover_ms"].append(1000 * clock(page, hover, {"end": told})["end"])
    colours = "const c = document.querySelector('[name=colours]'); document.querySelectorAll('.stage canvas').forEach((each) => delete each.dataset.painted); c.value = c.value === 'Viridis' ? 'Inferno' : 'Viridis'; c.dispatchEvent(new Event('input', {bubbles: true}))"
    found["colours_ms"].append(1000 * clock(page, colours, {"end": f"{PAINTED} >= 3"})["end"])
    assert not asked, f"the server was asked: {asked}"


def bare_visit(browser: Browser, url: str, photo: bytes, found: dict[str, list[float]]) -> None:
    """The same on the bare page."""
    heats = "document.querySelectorAll('.heat').length"
    with visitor(browser, url) as page:
        found["bare_load_s"].append(open_page(page, url, "#photo input[type=file]"))
        text = base64.b64encode(photo).decode()
        ends = {"first": f"{heats} >= 1", "all": f"{heats} >= 3"}
        times = clock(page, GIVE, ends, photo=text, input="#photo input[type=file]")
        found["bare_first_s"].append(times["first"])
        found["bare_settled_s"].append(times["all"])
        target = page.evaluate("() => +document.querySelectorAll('[data-class]')[1].dataset.class")
        mine = f"document.querySelector('[data-for=\"{target}\"]')"
        ends = {"first": mine, "all": f"{mine} && {heats} >= 3"}
        click = "document.querySelectorAll('[data-class]')[1].click()"
        times = clock(page, click, ends)
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
    """A new visitor goes to another tab, away, and back; and there from a busy Compare."""
    content = f"[...document.querySelectorAll('#{tab}-tab :is({SHOWN})')].some((each) => each.offsetParent)"
    go = f"document.querySelector('#tab-{tab}-button').click()"
    home = "document.querySelector('#tab-maps-button').click()"
    with visitor(browser, url) as page:
        open_page(page, url, ".stage canvas[data-painted]")
        dropped(page, photo)
        found[tab].append(clock(page, go, {"end": content})["end"])
        clock(page, home, {"end": "document.querySelector('.stage').offsetParent"})
        found[f"{tab} again"].append(clock(page, go, {"end": content})["end"])


def leaving_visit(
    browser: Browser, url: str, tab: str, photo: bytes, found: dict[str, list[float]]
) -> None:
    """From Muting and Compare, both left in mid-run, to a tab: is it later than on an idle server?"""
    content = f"[...document.querySelectorAll('#{tab}-tab :is({SHOWN})')].some((each) => each.offsetParent)"
    with visitor(browser, url) as page:
        errors: list[str] = []
        page.on(
            "response", lambda answer: errors.append(answer.url) if answer.status >= 500 else None
        )
        open_page(page, url, ".stage canvas[data-painted]")
        dropped(page, photo)
        for busy in ("muting", "compare"):
            clock(page, f"document.querySelector('#tab-{busy}-button').click()",
                  {"end": f"document.querySelector('#{busy}-tab:has([data-work]:not([hidden]))')"})  # fmt: skip
        go = f"document.querySelector('#tab-{tab}-button').click()"
        found[f"{tab} after"].append(clock(page, go, {"end": content})["end"])
        found["errors_5xx"].append(len(errors))


@contextmanager
def bare_server() -> Iterator[str]:
    port = free_port()
    log = tempfile.TemporaryFile()
    process = subprocess.Popen([sys.executable, str(ROOT / "benchmarks" / "bare_page.py"), str(port)],
                               cwd=ROOT, stdout=log, stderr=log)  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            break
        except OSError:
            if process.poll() is not None:
                raise RuntimeError("the bare page did not start") from None
            time.sleep(0.2)
    yield url
    process.terminate()


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
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    found: dict[str, list[float]] = defaultdict(list)
    tabs: dict[str, list[float]] = defaultdict(list)
    more = photos(chosen.data)
    with tempfile.TemporaryDirectory() as folder, bare_server() as bare, sync_playwright() as play:
        server = start_server(Path(folder), SEEING_WHY_STARTUP="")
        wait_for_networks(server.url)
        config = json.load(urllib.request.urlopen(f"{server.url}/config", timeout=60))
        names = [each["props"]["id"] for each in config["components"] if each["type"] == "tabitem"]
        names = [each for each in chosen.tabs.split(",") if each] or names
        browser = play.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        maps_visit(browser, server.url, next(more), defaultdict(list))  # warms both up
        bare_visit(browser, bare, next(more), defaultdict(list))
        maths(next(more), defaultdict(list))
        for _ in range(chosen.visitors):
            maps_visit(browser, server.url, next(more), found)
            bare_visit(browser, bare, next(more), found)
            maths(next(more), found)
            for tab in names:
                tab_visit(browser, server.url, tab, next(more), tabs)
            if {"muting", "compare", "filters"} <= set(names):
                leaving_visit(browser, server.url, "filters", next(more), tabs)
        browser.close()
        server.process.terminate()
    report(found, tabs, config)


def report(
    found: dict[str, list[float]], tabs: dict[str, list[float]], config: dict[str, Any]
) -> None:
    for name, values in [*found.items(), *((f"tab {name}", each) for name, each in tabs.items())]:
        print(f"{name:24}{spread(values)}")
    middle = {name: round(median(values), 3) for name, values in found.items()}

    def ratio(one: str, other: str) -> float:
        return round(median(a / b for a, b in zip(found[one], found[other], strict=True)), 2)

    print(json.dumps(middle | {
        "tabs_s": {name: round(median(values), 3) for name, values in tabs.items()},
        "retarget_vs_maths": ratio("retarget_s", "maths_retarget_s"),
        "first_vs_bare": ratio("first_map_s", "bare_first_s"),
        "retarget_vs_bare": ratio("retarget_s", "bare_retarget_s"),
        "components": len(config["components"]),
        "events": len(config["dependencies"]),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
