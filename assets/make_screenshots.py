"""The README's pictures of the page: two screens, and its first fifteen seconds.

    python -m assets.make_screenshots

Starts the page, drives it in Chromium as a visitor would, and writes assets/screenshot.jpg,
assets/phone.jpg and assets/first-seconds.webp.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from tests.browser import drop, serving, settled
from tests.chromium import browsing

ASSETS = Path(__file__).parent
PHOTO = ASSETS / "examples" / "cat-and-espresso.jpg"
LONGEST = 0.5  # seconds of a frame of the film
POINTER = """() => {
  const dot = document.createElement('div');
  dot.style.cssText = 'position:fixed;z-index:999;width:20px;height:20px;border-radius:50%;pointer-events:none;background:#4f46e5bb;border:3px solid #fff;box-shadow:0 0 0 1px #0005;transform:translate(-50%,-50%);left:-50px;top:-50px';
  document.body.append(dot);
  addEventListener('pointermove', (e) => { dot.style.left = e.clientX + 'px'; dot.style.top = e.clientY + 'px'; }, true);
}"""  # noqa: E501


@contextmanager
def visitor(browser: Browser, url: str, width: int, height: int) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.goto(url)
    settled(page)
    yield page
    context.close()


def screen(page: Page, name: str) -> None:
    with Image.open(io.BytesIO(page.screenshot())) as image:
        image.convert("RGB").save(ASSETS / name, quality=84, optimize=True)


class Film:
    """Frames as they come, each as long as it was seen, but no longer than half a second: taking
    and scaling a picture takes longer than that on a busy machine."""

    def __init__(self, page: Page) -> None:
        self.page, self.frames, self.times = page, [], []

    def shoot(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            data = io.BytesIO(self.page.screenshot(type="jpeg", quality=90))
            with Image.open(data) as image:
                self.frames.append(
                    image.convert("RGB").resize((900, 600), Image.Resampling.LANCZOS)
                )
            self.times.append(time.monotonic())
            if time.monotonic() >= until:
                return

    def move(self, selector: str, at: tuple[float, float] = (0.5, 0.5), steps: int = 4) -> None:
        box = self.page.locator(selector).first.bounding_box()
        x, y = box["x"] + at[0] * box["width"], box["y"] + at[1] * box["height"]
        start = getattr(self, "place", (640, 500))
        for step in range(1, steps + 1):
            share = step / steps
            self.page.mouse.move(*(a + (b - a) * share for a, b in zip(start, (x, y), strict=True)))
            self.shoot(0)
        self.place = (x, y)

    def save(self, path: Path) -> None:
        seen = [b - a for a, b in zip(self.times, self.times[1:], strict=False)]
        lengths = [round(1000 * min(each, LONGEST)) for each in seen]
        self.frames[0].save(
            path, save_all=True, append_images=self.frames[1:], duration=[*lengths, 2500], loop=0,
            quality=62, method=6,
        )  # fmt: skip


def film(page: Page) -> None:
    page.evaluate(POINTER)
    shown = Film(page)
    shown.shoot(1)
    page.evaluate("() => document.querySelector('#main').classList.add('dropping')")
    shown.shoot(0.5)
    drop(page, PHOTO.read_bytes(), PHOTO.name, "image/jpeg")
    shown.shoot(0.6)
    settled(page)
    shown.shoot(1)
    for chip in (1, 0):
        shown.move(f".rail .chip >> nth={chip}")
        page.locator(".rail .chip").nth(chip).click()
        shown.shoot(0.3)
        settled(page)
        shown.shoot(1)
    shown.move("#tab-muting-button")
    page.click("#tab-muting-button")
    page.wait_for_selector("#muting-tab .brush canvas, #muting-tab canvas")
    shown.shoot(0.8)
    canvas = "#muting-tab canvas >> nth=0"
    shown.move(canvas, (0.3, 0.62))
    page.mouse.down()
    for number, y in enumerate((0.62, 0.72, 0.82, 0.92)):
        shown.move(canvas, (0.85 if number % 2 == 0 else 0.15, y), steps=6)
    page.mouse.up()
    shown.shoot(2)
    shown.save(ASSETS / "first-seconds.webp")


def main() -> None:
    with serving(SEEING_WHY_STARTUP="") as server, browsing() as browser:
        with visitor(browser, server.url, 1360, 900) as page:
            drop(page, PHOTO.read_bytes(), PHOTO.name, "image/jpeg")
            settled(page)
            screen(page, "screenshot.jpg")
        with visitor(browser, server.url, 390, 844) as page:
            screen(page, "phone.jpg")
        with visitor(browser, server.url, 1200, 800) as page:
            film(page)


if __name__ == "__main__":
    main()
