"""The page for those who hear it: what is said, what things are called."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Visit, chip, held, settled, told

SPOKEN = """() => { window.spoken = []; new MutationObserver((list) => {
  for (const { addedNodes } of list) for (const each of addedNodes) spoken.push(each.textContent);
}).observe(document.querySelector('[data-heard]'), { childList: true }); }"""


def spoken(page: Page) -> list[str]:
    return page.evaluate("() => spoken")


def test_slow_work_is_told_of_now_and_then_and_at_its_end(visit: Visit) -> None:
    """Not at each slice, several of which come in a second."""
    page = visit()
    settled(page)
    page.evaluate(SPOKEN)
    slices, last = 0, False

    def more(_: Any) -> dict[str, Any]:
        nonlocal slices
        slices += 1
        answer = {"places": {}, "data": {}, "settings": {}, "state": {}}
        work = {"done": 0.5, "words": f"Slice {slices}"}
        return answer if last else answer | {"more": "ticket", "work": work}

    bar = page.locator("#maps-tab .work >> nth=0")
    with told(page, "maps.more", more), told(page, "maps.ask", more):
        chip(page, 1)
        page.wait_for_function("() => spoken.length")
        before = slices
        page.wait_for_function("(last) => document.querySelector('#maps-tab .work span')"
                               ".textContent.split(' ')[1] > last + 3", arg=before)  # fmt: skip
        assert len(spoken(page)) == 1
        assert spoken(page)[0].startswith("Slice ")
        last = True
        expect(bar).to_be_hidden()
    assert spoken(page)[1:] == ["Done."]


def test_what_is_asked_is_told_of_while_no_answer_comes(visit: Visit) -> None:
    page = visit()
    settled(page)
    page.evaluate(SPOKEN)
    with held(page, "maps.ask"):
        chip(page, 1)
        page.wait_for_function("() => spoken.includes('Working …')")
    settled(page)
    page.click("[data-tour]")
    expect(page.locator(".tour p").first).to_be_visible()
    heard = "() => spoken.includes(document.querySelector('.tour p').textContent)"
    page.wait_for_function(heard)
    page.click("[data-go='2']")
    expect(page.locator(".tour")).to_contain_text("2 of ")
    page.wait_for_function(heard)


TOGGLES = """() => [...document.querySelectorAll('[aria-pressed]')]
  .filter((each) => each.checkVisibility() && !each.disabled)
  .map((each) => [each.textContent, each.click(), each.textContent])
  .filter(([before, _, after]) => before !== after)"""


@pytest.mark.parametrize("width", [1280, 390])
def test_what_is_heard_of_the_page_s_parts(visit: Visit, width: int) -> None:
    page = visit(width=width)
    settled(page)
    page.locator(".stage .picture").first.focus()
    page.keyboard.press("Enter")
    status = page.locator(".maps-here [role=status]")
    expect(status).to_contain_text("Grad-CAM")
    expect(status.locator("button")).to_have_count(0)  # which would be read out at every step
    expect(page.get_by_role("heading", level=1)).to_have_text("Seeing Why")
    expect(page.get_by_role("heading", level=2, name="Maps: Where does it look?")).to_have_count(1)
    assert not page.evaluate(TOGGLES), "a name that tells the state, beside the state, contradicts"
