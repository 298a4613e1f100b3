"""The Compare tab in Chromium: what only a browser shows."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser import TWIN, Visit, calls, held, settled
from tests.usable import usable

pytestmark = pytest.mark.browser

CAT = f"&model={TWIN}&tab=compare&example=cat.jpg&framing=crop&compare.methods="
BUSY = 180_000  # ms that a busy machine may take
MEASURED = ".compare-told:not(.waits)"


def card(page: Page, method: str):
    return page.locator(f'.compare-card[data-method="{method}"]')


def test_from_the_verdict_to_the_box_and_into_a_method_s_own_tab(visit: Visit) -> None:
    page = visit(query=CAT + "gradcam,layercam", dark=True)
    page.wait_for_selector(MEASURED, timeout=BUSY)
    expect(page.locator("[data-network-name] >> nth=1")).to_have_text("test_resnet.again")
    assert page.locator(".compare-told li").count() == 3
    usable(page)

    # best first, without asking the server
    asked = calls(page)
    gains = page.locator("[data-slot$=':gain']").all_text_contents()
    page.locator("#compare-tab select[name=sort]").select_option("gain")
    best = "gradcam" if float(gains[0]) >= float(gains[1]) else "layercam"
    expect(page.locator(".compare-card").first).to_have_attribute("data-method", best)
    rows = page.locator(".compare-scores tbody tr")
    assert rows.first.get_attribute("data-method") == best
    assert not asked

    # choosing what kind of thing stands beside asks nothing and takes nothing away
    scored = card(page, "layercam").locator(".compare-gain").inner_text()
    page.locator("[data-beside]").select_option("find")
    search = page.locator(".compare-find input")
    expect(search).to_be_focused()
    assert card(page, "layercam").locator(".compare-gain").inner_text() == scored
    search.press_sequentially("lynx")
    page.locator("#compare-found [aria-selected=true]").wait_for()
    search.press("Enter")
    expect(page.locator(".compare-side h3").nth(1)).to_contain_text("lynx")
    expect(card(page, "layercam").first.locator(".compare-gain")).to_have_text(scored)
    expect(page).to_have_url(re.compile("compare.beside=class"))
    page.locator("[data-beside]").select_option("")
    expect(page.locator(".compare-side")).to_have_count(1)
    page.wait_for_selector(MEASURED, timeout=BUSY)

    # a box with the mouse, then as numbers; its answer stands beside it
    page.get_by_text("Did it find the object?").click()
    area = page.locator(".box-photo")
    area.scroll_into_view_if_needed()
    at = area.bounding_box()
    page.mouse.move(at["x"] + 2, at["y"] + 2)
    page.mouse.down()
    page.mouse.move(at["x"] + at["width"] * 0.04, at["y"] + at["height"] * 0.04, steps=3)
    page.mouse.up()
    answer = page.locator(".box-told")
    expect(answer).to_contain_text("0 of 2 maps")
    numbers = page.locator(".box-fields input")
    for side, value in enumerate(("0", "0", "100", "100")):
        numbers.nth(side).fill(value)
    numbers.nth(3).press("Tab")
    expect(answer).to_contain_text("2 of 2 maps")
    expect(card(page, "gradcam").locator(".compare-box")).to_be_visible()
    beside, photo = answer.bounding_box(), area.bounding_box()
    assert beside["x"] > photo["x"] + photo["width"]
    assert beside["y"] < photo["y"] + photo["height"]
    expect(page).to_have_url(re.compile("compare.box="))

    # another network beside one that sees the same: both maps, what changed, and the address tells
    page.evaluate("() => seeing.set({ network: 'lite0', targets: null })")
    expect(page.locator("#compare-tab .say")).to_contain_text("Egyptian cat")
    below = page.locator(".compare-side").first
    with held(page, "compare.ask"):
        page.locator("[data-beside]").select_option("network:lite2")
        expect(page.locator(".pair-frame figure")).to_have_count(3)  # their room, at once
        expect(page.locator(".compare-verdict")).to_have_css("min-height", "186px")
        kept = below.evaluate("(side) => side.getBoundingClientRect().top + scrollY")
    expect(page.locator(".pair-maps img")).to_have_count(3)
    came = below.evaluate("(side) => side.getBoundingClientRect().top + scrollY")
    assert abs(came - kept) < 30, "what comes pushes away what is looked at"
    expect(page.locator(".pair-maps figure").nth(1)).to_contain_text("EfficientNet-Lite2")
    expect(page.locator(".compare-side")).to_have_count(2)
    expect(page).to_have_url(re.compile("compare.beside=network%3Alite2"))
    page.locator("[data-beside]").select_option("")
    expect(page.locator(".pair-maps figure >> visible=true")).to_have_count(0)

    card(page, "layercam").locator("button").first.click()
    expect(page.get_by_role("tab", name="Maps")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".stage figcaption b")).to_have_text(["LayerCAM"])
    page.go_back()
    expect(page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")
    expect(answer).to_contain_text("2 of 2 maps")


def test_left_in_mid_run_it_stops_and_goes_on_and_fits_a_phone(visit: Visit) -> None:
    """The fixture sees to it that no answer is a 5xx."""
    page = visit(
        query=f"&target=281{CAT}".replace("=compare", "=maps") + "gradcam,layercam", width=390
    )
    settled(page)
    with held(page, "compare.more", since="curve"):
        page.get_by_role("tab", name="Compare").click()
        work = page.locator("#compare-tab .work:not([hidden])")
        expect(work).to_have_css("position", "fixed")  # so that the maps stay where they are
        page.get_by_role("tab", name="Maps").click()
        page.wait_for_selector(".stage canvas[data-painted]")
    page.get_by_role("tab", name="Compare").click()
    page.wait_for_selector(MEASURED, timeout=BUSY)
    page.get_by_role("tab", name="Maps").click()  # another question while it is not looked at
    page.evaluate("() => seeing.set({ targets: [282] })")
    cards = page.locator("#compare-tab [data-place=grid]")
    with held(page, "compare.ask"):
        page.get_by_role("tab", name="Compare").click()
        expect(cards).to_have_css("opacity", "0.3")  # another question's
    expect(page.locator("#compare-tab .say")).to_contain_text("tiger cat")
    expect(cards).to_have_css("opacity", "1")
    with held(page, "compare.ask"):  # while it is looked at, too
        page.evaluate("() => seeing.set({ targets: [281] })")
        expect(cards).to_have_css("opacity", "0.3")
        page.evaluate("() => seeing.set({ targets: [282] })")
        expect(cards).to_have_css("opacity", "1")  # back at what is here
    page.get_by_text("Sanity check:").click()
    with held(page, "compare.more"):
        page.get_by_role("button", name="Randomise a copy").click()
        page.locator("details[data-sanity] [data-cancel]").click()
        expect(page.locator("details[data-sanity] .work")).to_contain_text("Stopped")
    expect(page.get_by_role("button", name="Randomise a copy")).to_be_enabled()
    usable(page)
