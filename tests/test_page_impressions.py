"""The Impressions tab in a browser: drawn at a click, stopped, come back to, from a link."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Visit, calls
from tests.usable import usable

pytestmark = pytest.mark.browser

# As a browser's translation leaves a button, and a click on its words.
TRANSLATED = """button => {
  button.innerHTML = '<font>Abbrechen</font>';
  button.firstChild.click();
}"""
SMALL = "&tab=impressions&impressions.size=64&impressions.start=48"


def shared(page: Page) -> list[int]:
    """The classes that all other tabs explain."""
    return page.evaluate("() => seeing.state.targets")


def foot(page: Page):
    return expect(page.locator("#impressions-tab [data-place=foot]"))


def test_a_class_of_its_own_is_drawn_at_a_click(visit: Visit) -> None:
    page = visit(width=390, height=844, query=f"{SMALL}&impressions.steps=30&target=281")
    page.wait_for_selector(".imp-wall img")  # before anything is drawn
    expect(page.locator("[data-chosen]")).to_have_text("tabby")
    expect(page.locator("[data-takes]")).to_contain_text("on this machine")
    wall, form = (page.locator(each).bounding_box()["y"] for each in (".imp-wall", ".imp-ask"))
    assert wall < 200 < form  # what was drawn before any setting
    page.click(".imp-wall [data-class=goldfish]")
    foot(page).to_contain_text("Drawn 30 steps, seed 0")
    expect(page.locator("figure.imp figcaption")).to_contain_text("goldfish")
    expect(page.locator(".imp-strip img")).to_have_count(8)
    assert shared(page) == [281]
    with page.expect_download() as waited:
        page.click("[data-take=webp]")
    assert waited.value.suggested_filename == "impression-goldfish-seed-0.webp"
    page.click("[data-film]")
    expect(page.locator(".imp-pictures img")).to_have_attribute("src", re.compile("image/webp"))
    usable(page)
    page.reload()  # the address tells what is seen
    foot(page).to_contain_text("Drawn 30 steps, seed 0")


def test_what_is_stopped_stays_and_goes_on_and_what_is_left_waits(visit: Visit) -> None:
    page = visit(query=f"{SMALL}&impressions.steps=3000&impressions.class=0&impressions.go=1")
    words = page.locator("[data-work=draw] span")
    expect(words).to_have_text(re.compile(r"Step [1-9]\d* of 3000 · about .* left"))
    page.locator("[data-work=draw] [data-cancel]").evaluate(TRANSLATED)
    foot(page).to_have_text(re.compile(r"Stopped after [1-9]\d* steps"))
    stopped = page.locator(".imp-pictures img").get_attribute("src")
    expect(page.locator(".imp-check")).to_contain_text("Shaken 16 ways")
    page.click("[data-work=draw] [data-cancel] >> text=Go on")
    expect(words).to_contain_text("Step")
    page.wait_for_function(
        "(src) => document.querySelector('.imp-pictures img').src !== src", arg=stopped
    )
    # another photo is no reason to draw anew, and the rail says what is in it all the same
    asked = calls(page)
    page.locator('[data-example="espresso.jpg"]').click()
    expect(page.locator(".rail .chip.on")).to_contain_text("espresso")
    expect(page.locator("[data-class-name]")).to_have_text("espresso")
    assert set(asked) <= {"impressions.see", "impressions.more", "impressions.stop"}
    now = page.locator(".imp-pictures img").get_attribute("src")
    page.wait_for_function(
        "(src) => document.querySelector('.imp-pictures img').src !== src", arg=now
    )
    page.get_by_role("tab", name="Filters").click()
    page.wait_for_selector("#filters-tab .shown img")
    page.get_by_role("tab", name="Impressions").click()
    now = page.locator(".imp-pictures img").get_attribute("src")
    page.wait_for_function(
        "(src) => document.querySelector('.imp-pictures img').src !== src", arg=now
    )


def test_several_classes_and_units_are_drawn_and_the_search_is_in_the_browser(visit: Visit) -> None:
    page = visit(query=f"{SMALL}&impressions.steps=6")
    expect(page.locator("[data-chosen]")).to_have_text("bee")
    first, last = (page.locator(f".imp-tiles a >> nth={each}") for each in (0, -1))
    expect(first).to_be_visible()
    page.locator("[data-zoom]").focus()
    page.keyboard.press("Tab")
    expect(first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("option", name="Unit 1", exact=True)).to_be_focused()
    page.keyboard.press("ArrowDown")
    below = page.evaluate("() => [...document.activeElement.parentNode.children]"
                          ".indexOf(document.activeElement) - 1")  # fmt: skip
    across = "each => +each.parentNode.style.getPropertyValue('--across')"
    assert below == last.evaluate(across)
    page.keyboard.press("End")
    expect(last).to_be_focused()
    page.keyboard.press("Tab")  # out of it: it is one stop
    expect(page.locator(".imp-tiles :focus")).to_have_count(0)
    page.keyboard.press("Shift+Tab")
    expect(last).to_be_focused()
    offer = page.locator("[data-offer]")
    expect(offer).to_have_text(re.compile("^Draw itabout .*bee$"))  # nobody has drawn that
    page.click('[data-example="espresso.jpg"]')  # nobody has chosen yet: it is the photo's
    expect(page.locator("[data-chosen]")).to_have_text("espresso")
    page.mouse.wheel(0, 300)
    offer.get_by_role("button").click()
    foot(page).to_contain_text("Drawn 6 steps")
    expect(page.locator("figure.imp figcaption")).to_contain_text("espresso")
    expect(page.locator("#impressions-tab .say")).to_be_in_viewport()  # where it grows
    page.click("#impressions-tab [data-back]")
    page.click("#impressions-tab [data-several]")
    find = page.get_by_label("Another class to draw")
    find.press_sequentially("ice bea")
    page.wait_for_selector("#found-impressions li[data-index='296']")
    find.press("Enter")
    expect(page.locator("[data-chosen] li")).to_have_count(2)
    page.click("#impressions-tab [data-draw]")
    expect(page.locator("figure.imp")).to_have_count(2)
    foot(page).to_contain_text("Drawn 6 steps")
    drawn = page.locator(".imp-row").get_attribute("data-drawing")
    page.select_option("#impressions-tab [name=what]", "unit")
    expect(page.get_by_label("Another class to draw")).to_be_hidden()
    page.fill("#impressions-tab [name=channel]", "7")
    assert page.locator(".imp-row").get_attribute("data-drawing") == drawn  # not before Draw
    page.click("#impressions-tab [data-draw]")
    expect(page.locator("figure.imp")).to_have_count(1)
    expect(page.locator("figure.imp")).to_contain_text("Unit 7")
    page.fill("#impressions-tab [name=channel]", "70000")
    page.click("#impressions-tab [data-draw]")
    expect(page.locator("#impressions-tab .problem")).to_contain_text("0 to")
