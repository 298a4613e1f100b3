"""Whether what is shown can be read, reached and touched by everybody."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# What is lower than a finger needs, though it, its label or the ring round it might be hit.
LOW = """() => [...document.querySelectorAll(
    'button, summary, select, input:not([type=file]), .bars a, .act-where a, abbr.term')]
  .filter((each) =>
      each.checkVisibility({visibilityProperty: true, opacityProperty: true})
      && each.getBoundingClientRect().height && !each.closest('footer, :disabled'))
  .filter((each) => Math.max(each.getBoundingClientRect().height,
    (each.closest('label') || each).getBoundingClientRect().height,
    parseFloat(getComputedStyle(each, '::before').height) || 0) < 39.5)
  .map((each) => each.outerHTML.slice(0, 120))"""

# Text that runs out of its own column, into the one beside it, by more than the ring round a “?”.
WIDE = """() => [...document.querySelectorAll('.tab-body :is(figcaption, .field, h3, p)')]
  .filter((each) => each.checkVisibility() && each.scrollWidth > each.clientWidth + 13
    && getComputedStyle(each).overflowX === 'visible')
  .map((each) => each.outerHTML.slice(0, 120))"""
# What scrolls sideways, and past whose end a swipe would go back to the page before, or which has a
# few pixels to scroll up, which a finger would move in place of the page.
CATCHES = """() => [...document.querySelectorAll('body *')].filter((each) => {
    const { overflowX, overflowY, overscrollBehaviorX } = getComputedStyle(each);
    const up = each.scrollHeight - each.clientHeight;
    return ['auto', 'scroll'].includes(overflowX) && each.scrollWidth > each.clientWidth
      && (overscrollBehaviorX !== 'contain' || (overflowY !== 'hidden' && up > 0 && up < 40));
  }).map((each) => each.outerHTML.slice(0, 120))"""
# Menus with no room for what is chosen, such as a layer’s number of units.
CUT = """() => [...document.querySelectorAll('.tab-body select')].filter((each) => {
    const ink = new OffscreenCanvas(1, 1).getContext('2d');
    ink.font = getComputedStyle(each).font;
    return each.checkVisibility() && each.selectedOptions.length
      && ink.measureText(each.selectedOptions[0].text).width + 36 > each.clientWidth;
  }).map((each) => each.selectedOptions[0].text)"""
RESTS = (
    "() => !document.getAnimations().some((a) => a instanceof CSSTransition"
    " && a.playState === 'running')"  # what lies in a closed fold stays listed, finished
)
# A tablet, a phone on their sides; the narrowest; a desk's page at 400 %.
SIDES = ((1024, 768), (844, 390), (320, 640), (340, 225))
# How much of the window's height no bar covers, when one has scrolled into the tab.
ROOM = """() => {
  scrollTo(0, 400);
  const covers = (each) => each && (each.matches('#bar, .tab-wrapper')
    || getComputedStyle(each).position === 'fixed' || covers(each.parentElement));
  const free = (y) => !covers(document.elementFromPoint(innerWidth / 2, y));
  const rows = [...Array(innerHeight).keys()].filter((y) => y % 4 === 0);
  const room = rows.filter(free).length / rows.length;
  scrollTo(0, 0);
  return room;
}"""

# Texts, but those of charts, whose units are their own, that are not much larger than when this was
# asked before; another layout’s may differ a little.
SMALL = """() => {
  const texts = [...document.querySelectorAll('#bar *, #main *, .dock *')].filter((each) =>
    !each.closest('svg, script, style') && [...each.childNodes].some((node) => node.data?.trim()));
  const size = (each) => parseFloat(getComputedStyle(each).fontSize), before = window.sizes;
  window.sizes = new Map(texts.map((each) => [each, size(each)]));
  return texts.filter((each) => size(each) < 1.25 * before?.get(each))
    .map((each) => each.outerHTML.slice(0, 120));
}"""
LARGE = 24  # pixels: what somebody has the browser write in place of its 16


def grows(page: Page) -> None:
    """Who has the browser write larger has all of it larger, and nothing that does not fit."""
    page.evaluate(SMALL)
    session = page.context.new_cdp_session(page)
    for size in (LARGE, 16):
        session.send("Page.setFontSizes", {"fontSizes": {"standard": size, "fixed": size}})
        root = "getComputedStyle(document.documentElement).fontSize"
        page.wait_for_function(f"size => {root} === `${{size}}px`", arg=size)
        page.wait_for_function(RESTS)
        fits(page)
        small = page.evaluate(SMALL)
        assert size != LARGE or not small, f"no larger than before: {small}"
    session.detach()


def fits(page: Page) -> None:
    """Nothing is wider than the window, and no text than its column."""
    root = "document.documentElement"
    width = page.viewport_size["width"]
    assert page.evaluate(f"() => {root}.scrollWidth - {root}.clientWidth") <= 0, width
    assert not (wide := page.evaluate(WIDE)), f"too wide at {width}: {wide}"
    assert not (caught := page.evaluate(CATCHES)), f"takes a finger's swipe at {width}: {caught}"


def usable(page: Page) -> None:
    """No accessibility violation, nothing that does not fit, here, in windows between a phone's and
    a desk's and in a page zoomed far in, and on a phone nothing too small for a finger."""
    page.wait_for_function(RESTS)  # colours half way between two others would be judged, too
    found = Axe().run(page, context={"exclude": [["footer"]]})  # Gradio's
    wrong = [
        (each["id"], [node["html"][:160] for node in each["nodes"]])
        for each in found.response["violations"]
    ]
    assert not wrong, wrong
    size = page.viewport_size
    if size["width"] < 1024:
        assert not (low := page.evaluate(LOW)), f"lower than 40 px: {low}"
    else:
        assert not (cut := page.evaluate(CUT)), f"cut off: {cut}"
    sides = [{"width": width, "height": height} for width, height in SIDES]
    for each in (*sides, size):  # its own at the end, as it was
        page.set_viewport_size(each)
        page.wait_for_function("width => innerWidth === width", arg=each["width"])
        page.wait_for_function(RESTS)
        fits(page)
        room = page.evaluate(ROOM)
        assert room > 0.7 or each["height"] > 400, f"bars leave {room:.0%} of {each} to the tab"
    grows(page)
