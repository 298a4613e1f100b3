"""From the atlas to a card, from card to card, and their addresses, in Chromium."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser import Visit, address, held
from tests.usable import usable

pytestmark = pytest.mark.browser


def test_from_the_atlas_to_cards_which_have_addresses(visit: Visit) -> None:
    page = visit(query="&tab=impressions&model=lite0&example=cat.jpg")
    page.wait_for_selector("#impressions-tab .imp-tiles a")
    search = page.get_by_label("A class, to see the units that it needs")
    search.press_sequentially("volcan")
    expect(page.locator("#found-needed [aria-selected=true]")).to_have_text("volcano")
    search.press("Enter")
    expect(page.locator(".imp-needed a")).to_have_count(12)
    expect(page.locator('[data-place="atlas"] .note')).to_contain_text("volcano")
    tile = page.locator(".imp-needed a").first
    unit = int(tile.get_attribute("data-unit"))
    tile.click()
    say = page.locator("#cards-tab .say")
    expect(say).to_contain_text(re.compile(rf"Unit {unit}\b"))
    expect(page.get_by_role("tab", name="Cards")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".card-tiles").first.locator("a")).to_have_count(6)
    tops = page.eval_on_selector_all(
        ".card-best figcaption", "all => all.map((each) => each.getBoundingClientRect().top)"
    )
    assert max(tops) - min(tops) < 1  # whatever the photos’ shapes
    usable(page)

    # another unit, a class, and back
    page.locator(".card-tiles a").first.click()
    expect(say).not_to_contain_text(re.compile(rf"Unit {unit}\b"))
    find = page.locator("#cards-tab [data-find]")
    find.press_sequentially("volcan")
    expect(page.locator("#card-classes [aria-selected=true]")).to_have_text("volcano")
    find.press("Enter")
    expect(say).to_contain_text("volcano")
    page.go_back()
    page.go_back()
    expect(say).to_contain_text(re.compile(rf"Unit {unit}\b"))

    # the address in another browser, on a phone; and what there is not
    query = urlsplit(address(page)).query.replace("__theme=light", "")
    other = visit(query=f"&{query}", width=390, height=844)
    expect(other.locator("#cards-tab .say")).to_have_text(say.inner_text())
    unit = other.locator('#cards-tab [data-place="wired"] .card-tiles a').last
    unit.evaluate("each => scrollBy(0, each.getBoundingClientRect().bottom - innerHeight)")
    unit.focus()  # as the keyboard does: it comes out from under the dock
    dock = other.locator(".dock").bounding_box()["y"]
    assert (box := unit.bounding_box())["y"] + box["height"] < dock
    number = other.locator("#cards-tab [data-number]")
    number.fill("99999")
    number.press("Tab")
    problem = other.locator("#cards-tab .problem")
    expect(problem).to_be_visible()
    expect(problem).to_contain_text(re.compile(r"0 to \d+"))
    expect(other.locator("#cards-tab .card")).to_be_hidden()  # no frame of what there is not
    other.go_back()
    expect(problem).to_be_hidden()
    expect(other.locator("#cards-tab .say")).to_have_text(say.inner_text())
    usable(other)


def test_what_is_told_of_work_is_of_what_is_asked_now(visit: Visit) -> None:
    page = visit(query="&tab=cards&model=lite0&example=cat.jpg&unit=1")
    work = page.locator("#cards-tab .card-top .work")
    with held(page, "cards.more", since="Switching units off"):
        expect(work).to_contain_text("Switching units off")
        page.get_by_role("button", name="Unit 2", exact=True).click()
        expect(page.locator("#cards-tab .say")).to_contain_text("Unit 2 ")
        expect(work).to_be_hidden()  # its work has yet to begin
