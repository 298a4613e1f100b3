"""The page's scripts among themselves, in Chromium."""

from __future__ import annotations

from playwright.sync_api import Browser

from tabs.parts.tab import begun, script


def test_scripts_wait_for_the_one_that_sets_up_what_they_share(chromium: Browser) -> None:
    """Gradio draws its components in no fixed order."""
    page = chromium.new_page()
    page.goto("about:blank")
    page.evaluate("text => Function(text)()", begun("window.ran = seeing.state.tab;"))
    assert page.evaluate("() => window.ran") is None
    page.evaluate("text => Function(text)()", script("store.js"))
    page.evaluate("() => seeing.begin({tabs: ['maps'], tab: 'maps'})")
    page.wait_for_function("() => window.ran === 'maps'")
    page.close()
