"""Whether what is shown can be read, reached and touched by everybody."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# What is lower than a finger needs, though it, its label or the ring round it might be hit.
LOW = """() => [...document.querySelectorAll(
    'button, summary, select, input:not([type=file]), .bars a')].filter((each) =>
      each.checkVisibility({visibilityProperty: true, opacityProperty: true})
      && each.getBoundingClientRect().height && !each.closest('footer, :disabled'))
  .filter((each) => Math.max(each.getBoundingClientRect().height,
    (each.closest('label') || each).getBoundingClientRect().height,
    parseFloat(getComputedStyle(each, '::before').height) || 0) < 39.5)
  .map((each) => each.outerHTML.slice(0, 120))"""


def usable(page: Page) -> None:
    """No serious accessibility violation, nothing wider than the window, and on a phone nothing
    too small for a finger."""
    page.wait_for_function(  # colours half way between two others would be judged, too
        "() => !document.getAnimations().some((a) => a instanceof CSSTransition"
        " && a.playState === 'running')"  # what lies in a closed fold stays listed, finished
    )
    serious = [
        (each["id"], [node["html"][:160] for node in each["nodes"]])
        for each in Axe().run(page).response["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert not serious, serious
    root = "document.documentElement"
    assert page.evaluate(f"() => {root}.scrollWidth - {root}.clientWidth") <= 0
    if page.viewport_size["width"] < 821:
        assert not (low := page.evaluate(LOW)), f"lower than 40 px: {low}"
