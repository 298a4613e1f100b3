"""How long after a stroke of the brush do the bars move?

    python benchmarks/brush.py [--strokes 20]

Chromium and the server on the same machine, the Muting tab with an example photo: the seconds from
letting the mouse go to the first change of the bars on the page, median and slowest. The target is
half a second. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median

from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.browser import serving  # noqa: E402
from tests.chromium import browsing  # noqa: E402

WATCH = """() => {
  const answer = document.querySelector('.brush-answer');
  const bars = () => [...answer.querySelectorAll('.change-value b')].map((b) => b.textContent) + '';
  const before = bars();
  window.timing = new Promise((done) => {
    addEventListener('pointerup', () => {
      const start = performance.now();
      new MutationObserver((_, watcher) => {
        if (bars() === before) return;
        watcher.disconnect();
        done(performance.now() - start);
      }).observe(answer, {childList: true, subtree: true, characterData: true});
    }, {once: true, capture: true});
  });
}"""


def stroke(page: Page, at: int) -> float:
    """Seconds from the end of a short stroke until the bars change."""
    box = page.locator(".brush-photo canvas").bounding_box()
    x = box["x"] + box["width"] * (0.15 + 0.07 * (at % 10))
    y = box["y"] + box["height"] * (0.2 + 0.25 * (at // 10 % 3))
    page.evaluate(WATCH)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 12, y + 8)
    page.mouse.up()
    return page.evaluate("() => window.timing") / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strokes", type=int, default=20)
    args = parser.parse_args()
    with serving() as server, browsing() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{server.url}/?tab=muting&example=cat.jpg")
        page.wait_for_function(
            "document.querySelector('[data-place=looked]')?.textContent.includes('first look')"
        )
        seconds = []
        for at in range(args.strokes):
            seconds.append(stroke(page, at))
            page.wait_for_timeout(300)
    found = {"median_s": round(median(seconds), 3), "slowest_s": round(max(seconds), 3)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
