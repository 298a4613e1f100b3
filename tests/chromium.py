"""Chromium, as the tests and benchmarks have it: new each time, or of a visitor who comes back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SHELL = "chromium-headless-shell"  # the same without its windows: an eighth less work for a test
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-device-for-media-stream "
    "--use-fake-ui-for-media-stream"
).split()


def chromium_path(*first: str) -> str | None:
    """Where Chromium is, by the names it goes by, and before them by these."""
    return next((path for name in (*first, *NAMES) if (path := shutil.which(name))), None)


@contextmanager
def browsing(*flags: str) -> Iterator[Browser]:
    """A headless Chromium with a fake camera, until the end of the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=[*FLAGS, *flags])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """What drives Chromium."""
    if chromium_path(SHELL) is None:
        how = (
            "No Chromium here, and pip can't install one, so what needs a browser is not tested: "
            f"“apt-get install {SHELL}” on Debian. Where CI is set, this is a failure instead."
        )
        if os.environ.get("CI"):
            pytest.fail(how)
        pytest.skip(how)
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """A headless Chromium with a fake camera."""
    browser = playwright.chromium.launch(executable_path=chromium_path(SHELL), args=FLAGS)
    yield browser
    browser.close()


class Browsers:
    """Of visitors who have been here: the page's scripts lie in their caches, compiled, which is
    more than half of the work of a visit. Nothing else of them is left.

    folder: for what they keep.
    """

    def __init__(self, playwright: Playwright, folder: Path) -> None:
        self._playwright, self._folder = playwright, folder
        self._free: list[BrowserContext] = []
        self._opened: list[BrowserContext] = []

    @contextmanager
    def lent(self) -> Iterator[BrowserContext]:
        """One that nobody else has, until the end of the block."""
        lent = self._free.pop() if self._free else self._another()
        yield lent
        for page in lent.pages[1:]:  # with the last one it would end
            page.close()
        self._free.append(lent)

    def _another(self) -> BrowserContext:
        self._opened.append(
            self._playwright.chromium.launch_persistent_context(
                self._folder / str(len(self._opened)),
                executable_path=chromium_path(SHELL),
                args=FLAGS,
                permissions=["camera"],
            )
        )
        return self._opened[-1]

    def close(self) -> None:
        for each in self._opened:
            each.close()


@pytest.fixture(scope="session")
def browsers(
    playwright: Playwright, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browsers]:
    """Chromium, for visitors of the page."""
    made = Browsers(playwright, tmp_path_factory.mktemp("browsers"))
    yield made
    made.close()


def opened(
    context: BrowserContext, url: str, width: int = 1280, height: int = 900, dark: bool = False
) -> Page:
    """A page of a visitor who remembers nothing, about to go there."""
    page = _beside(context.pages[0], url) if context.pages else context.new_page()
    kept = {"origin": url, "storageTypes": "cookies,local_storage,indexeddb"}
    context.new_cdp_session(page).send("Storage.clearDataForOrigin", kept)
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme="dark" if dark else "light")
    return page


def _beside(first: Page, url: str) -> Page:
    """A page in the process of the first one, which stays: a third of a visit's work is a process's
    beginning, and to make ready there what all of them run."""
    if not first.url.startswith(url):
        first.goto(f"{url}/healthz")
    with first.expect_popup() as made:
        first.evaluate("() => { window.open('about:blank') }")
    return made.value
