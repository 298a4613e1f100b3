"""The Filters tab in a browser: a click shows a filter in its place; it draws what it looks for."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Route, expect

from tests.browser import AHEAD, Visit, settled
from tests.usable import usable

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [1360, 390])
def test_a_filter_is_shown_in_its_place_and_nothing_scrolls(visit: Visit, width: int) -> None:
    page = visit(width=width, height=844, query="&tab=filters&filters.layer=conv_stem")
    page.wait_for_selector("#filters-tab .tiles[data-painted]")
    page.wait_for_selector("#filters-tab:not(.busy) .gabor-chart")
    canvas = page.locator(".filters-grid canvas")
    canvas.scroll_into_view_if_needed()
    before = page.evaluate("() => [scrollY, document.documentElement.scrollHeight]")
    box = canvas.bounding_box()
    room = page.locator(".filters-grid .tiles-scroll").evaluate("each => each.clientWidth")
    assert box["width"] == pytest.approx(room, abs=1)  # it ends with its column
    page.mouse.click(box["x"] + box["width"] * 0.6, box["y"] + 20)
    expect(page.locator(".filters-closer b").first).to_have_text("Filter 3")
    expect(page.locator("[name=filter]")).to_have_value("3")
    page.wait_for_function("() => location.search.includes('filters.filter=3')")
    assert page.evaluate("() => [scrollY, document.documentElement.scrollHeight]") == before
    usable(page)


def test_what_a_filter_looks_for_is_drawn_by_a_click(visit: Visit) -> None:
    small = "impressions.size=64&impressions.start=48&impressions.steps=6"
    page = visit(query=f"&tab=filters&filters.layer=conv_stem&filters.filter=5&{small}")
    page.click("#filters-tab [data-draw]")
    expect(page.locator("figure.imp")).to_contain_text("Filter 5 · conv_stem")
    assert page.evaluate("() => seeing.state.tab") == "impressions"
    page.go_back()
    page.wait_for_selector("#filters-tab .shown img >> visible=true")


def test_what_is_chosen_while_a_tab_is_on_its_way_stays_chosen(visit: Visit) -> None:
    page = visit()
    settled(page)

    def meanwhile(route: Route) -> None:
        if json.loads(route.request.post_data or "{}").get("fn_name") in ("ask", AHEAD):
            page.evaluate("() => seeing.state.targets || seeing.set({ targets: [504] })")
        route.continue_()

    page.route(re.compile("component_server"), meanwhile)
    page.evaluate(
        "() => seeing.set({ tab: 'filters', photo: { example: 'espresso.jpg' }, targets: null })"
    )
    expect(page.locator(".rail .chip.on")).to_contain_text("coffee mug")
    expect(page.locator(".rail .chip").first).to_contain_text("espresso")
    assert page.evaluate("() => seeing.state.targets") == [504]
    search = page.locator("[data-search]")  # nor does this tab lack a class that it does not need
    search.press_sequentially("volcan")
    expect(page.locator("#found-classes [aria-selected=true]")).to_have_text("volcano")
    search.press("Enter")
    expect(page.locator(".rail .chip.on")).to_contain_text("volcano")
