"""Makes the README's screenshots: python -m assets.make_screenshots (needs Chromium)."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from tests.browser import browsing, example, serving, settled

HERE = Path(__file__).parent


def main() -> None:
    """Start the page, take an example, ask for two classes, and save what a visitor sees."""
    with serving(SEEING_WHY_STARTUP="") as server, browsing() as browser:
        page = browser.new_page(viewport={"width": 1360, "height": 1930})
        page.goto(f"{server.url}/?__theme=light")
        page.wait_for_selector("#examples button")
        example(page, "cat-and-espresso.jpg")
        typed = page.locator("#targets input")
        for name in ("espresso", "Egyptian cat"):
            if page.locator(".maps-row h3", has_text=name).count():
                continue
            typed.click()
            typed.press_sequentially(name)
            typed.press("Enter")
            page.locator(".maps-row h3", has_text=name).wait_for()
        page.keyboard.press("Escape")
        page.locator("h1").click()
        settled(page)
        page.wait_for_timeout(1500)
        shot = Image.open(io.BytesIO(page.screenshot()))
        shot.convert("RGB").save(HERE / "screenshot.jpg", quality=86)


if __name__ == "__main__":
    main()
