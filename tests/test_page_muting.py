"""Muting in a browser: painting with mouse, finger and keys, pointing, and what stays put."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Visit, calls, finger, held, told
from tests.usable import usable
from tests.waiting import until

pytestmark = pytest.mark.browser

HERE = "&tab=muting&example="
COVERED = re.compile(r"([\d.]+) % of the photo is covered")
JUMPS = """async () => {  // once what was scrolled to has been told
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
  window.jumped = 0;
  addEventListener('scroll', () => { window.jumped += 1; });
}"""


def opened(visit: Visit, photo: str = "cat-and-dogs.jpg", **size: object) -> Page:
    """The tab with its first look."""
    page = visit(query=HERE + photo, **size)
    expect(page.locator('#muting-tab [data-place="looked"]')).to_contain_text("A first look")
    return page


def on_photo(page: Page, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Fractions of the photo, on the screen."""
    box = page.locator(".brush-photo canvas").bounding_box()
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]


def stroke(page: Page, *points: tuple[float, float]) -> None:
    first, *rest = on_photo(page, list(points))
    page.mouse.move(*first)
    page.mouse.down()
    for place in rest:
        page.mouse.move(*place)
    page.mouse.up()


def share(page: Page) -> float:
    page.wait_for_selector("#muting-tab [data-flip]:not(:disabled)")
    page.wait_for_function(
        "() => { const { turn, told } = document.querySelector('.brush-photo canvas').dataset;"
        " return turn === told; }"
    )
    return float(COVERED.search(page.locator("#muting-tab [data-title]").inner_text())[1])


def colour(page: Page, x: float, y: float) -> list[int]:
    """What is painted there."""
    return page.locator(".brush-photo canvas").evaluate(
        "(c, [x, y]) => [...c.getContext('2d').getImageData(x * c.width, y * c.height, 1, 1).data]",
        [x, y],
    )


def test_paint_and_the_answer_flips_beside_it(visit: Visit) -> None:
    page = opened(visit)
    tab, verdict = page.locator("#muting-tab"), page.locator("#muting-tab [data-verdict]")
    usable(page)
    expect(verdict).to_have_text("It says “Egyptian cat”.")
    below = tab.locator("[data-flip]").bounding_box()["y"]
    stroke(page, (0.15, 0.5), (0.25, 0.52), (0.45, 0.5))
    expect(verdict).to_contain_text("No longer “Egyptian cat”")
    one = share(page)
    assert tab.locator("[data-flip]").bounding_box()["y"] == pytest.approx(below, abs=45)
    assert "\N{NO-BREAK SPACE}%" in verdict.text_content()
    assert colour(page, 0.25, 0.52) == [128, 128, 128, 255]  # the grey that the network gets
    assert colour(page, 0.9, 0.1)[3] == 0
    stroke(page, (0.1, 0.9), (0.9, 0.9))
    expect(tab.locator("[data-title]")).not_to_have_text(f"{one} % of the photo is covered")
    tab.locator("[data-undo]").click()
    expect(tab.locator("[data-title]")).to_have_text(f"{one} % of the photo is covered")
    tab.locator("[data-keep]").click()
    expect(tab.locator("[data-title]")).to_have_text(f"{100 - one:.1f} % of the photo is covered")
    assert colour(page, 0.25, 0.52)[3] == 0
    tab.locator("[data-clear]").click()
    expect(verdict).to_have_text("It says “Egyptian cat”.")
    # from the keyboard, without a rectangle and with one
    page.locator(".brush-photo canvas").focus()
    for key in ("ArrowLeft", "ArrowUp", "Space"):
        page.keyboard.press(key)
    dot = share(page)
    tab.get_by_text("A rectangle by numbers").click()
    tab.locator("[data-edge]").nth(2).fill("120")
    tab.locator("[data-box]").click()
    expect(tab.locator("[data-place=problem]")).to_contain_text("four numbers from 0 to 100")
    tab.locator("[data-edge]").nth(2).fill("50")
    tab.locator("[data-edge]").nth(2).press("Enter")
    expect(tab.locator("[data-place=problem]")).to_be_hidden()
    expect(tab.locator("[data-title]")).not_to_have_text(f"{dot} % of the photo is covered")
    assert 20 <= share(page) < 22


def test_the_search_takes_the_brush_and_its_region_leaves_with_its_class(visit: Visit) -> None:
    page = opened(visit)
    tab = page.locator("#muting-tab")
    stroke(page, (0.9, 0.1), (0.95, 0.1))
    mine = share(page)
    tab.locator("[data-flip]").click()
    expect(tab.locator('[data-place="flip"]')).to_contain_text("The smallest region found")
    expect(tab.locator("[data-verdict]")).to_contain_text("No longer")
    found = share(page)
    assert colour(page, 0.92, 0.1)[3] == 0  # the region stands for what was painted before
    tab.locator("[data-undo]").click()
    expect(tab.locator("[data-title]")).to_have_text(f"{mine} % of the photo is covered")
    tab.locator("[data-flip]").click()
    expect(tab.locator("[data-title]")).to_have_text(f"{found} % of the photo is covered")
    expect(tab.locator("[data-flip]")).to_be_enabled()
    # RISE under Adjust, then another class: nothing of the old one stays but the own strokes
    tab.locator(".adjust > summary").click()
    tab.locator("[name=masks]").fill("16")
    tab.locator("[data-rise]").click()
    expect(tab.locator('[data-place="rise"] .heat')).to_have_count(1)
    page.locator(".rail .chip").nth(2).click()
    expect(tab.locator(".say")).to_contain_text("cocker spaniel")
    expect(tab.locator('[data-place="maps"] h4')).to_contain_text("cocker spaniel")
    expect(tab.locator('[data-place="rise"]')).to_be_empty()
    expect(tab.locator('[data-place="flip"]')).to_be_empty()
    expect(tab.locator("[data-title]")).to_have_text(f"{mine} % of the photo is covered")
    # another photo: nothing at all
    page.locator('[data-example="espresso.jpg"]').click()
    expect(tab.locator("[data-title]")).to_have_text("Nothing is covered yet")
    expect(tab.locator("[data-undo]")).to_be_disabled()


def test_pointing_asks_nobody_and_scrolls_nowhere(visit: Visit) -> None:
    page = opened(visit)
    tab = page.locator("#muting-tab")
    first, second = (tab.locator(".windows-picture").nth(n) for n in (0, 1))
    first.scroll_into_view_if_needed()
    asked = calls(page)
    page.evaluate(JUMPS)
    words, marks = tab.locator("[data-look-words]"), tab.locator(".window-mark")
    expect(marks).to_have_count(3)

    def where() -> list[str]:
        return marks.evaluate_all("all => all.map((m) => m.style.left + m.style.top)")

    before = where()
    box = second.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    moved = until(where, lambda now: now != before)
    assert len(set(moved)) == 1
    page.mouse.click(box["x"] + 20, box["y"] + 20)
    page.mouse.move(box["x"] + 90, box["y"] + 90)
    assert where() == moved  # a click holds it
    page.mouse.click(box["x"] + 90, box["y"] + 90)
    first.focus()
    before = where()
    page.keyboard.press("ArrowRight")
    until(where, lambda now: now != before)
    assert page.evaluate("window.jumped") == 0
    expect(words).to_contain_text(re.compile("Still|No longer"))
    expect(tab.locator("[data-look-bars] li").first).to_contain_text("→")
    assert asked == []
    # every place: exact, and the window that was chosen is still chosen
    tab.locator(".adjust > summary").click()
    tab.locator("[name=stride]").fill("24")
    tab.locator("[name=stride]").press("Tab")
    expect(tab.locator("[data-sweep]")).to_contain_text("Cover all 117 places")
    tab.locator("[data-sweep]").click()
    expect(tab.locator('[data-place="looked"]')).to_contain_text("exact at each of them")
    expect(tab.locator("[data-sweep]")).to_be_hidden()
    tab.locator("[name=stride]").fill("33")
    tab.locator("[name=stride]").press("Tab")
    expect(tab.locator('[data-place="problem"]')).to_contain_text("leave gaps")
    expect(tab.locator('[data-place="problem"]')).to_be_in_viewport()


def test_on_a_phone_a_finger_paints_and_does_not_scroll(visit: Visit) -> None:
    page = opened(visit, "cat.jpg", width=390, height=844, dark=True)
    page.evaluate("scrollTo(0, 0)")
    page.evaluate(JUMPS)
    finger(page, on_photo(page, [(0.4, 0.2), (0.4, 0.5), (0.4, 0.8)]))
    assert share(page) > 4
    assert page.evaluate("window.jumped") == 0
    expect(page.locator("#muting-tab [data-verdict]")).to_be_in_viewport()
    usable(page)


def gone(ticket: str) -> dict[str, Any]:
    """What a front tells of work whose replica died."""
    work = {"done": 0.3, "words": "The machine that worked on this has gone; what is here stays."}
    empty = {name: {} for name in ("places", "data", "settings", "state")}
    return empty | {"more": ticket, "work": work, "paused": True}


def test_what_is_left_stops_and_can_be_come_back_to(visit: Visit) -> None:
    page = opened(visit)
    tab = page.locator("#muting-tab")
    bar = tab.locator('[data-work="sweep"]')
    with held(page, "muting.more", since=" places"):
        tab.locator("[data-sweep]").click()
        expect(bar).to_contain_text("places ·")
        bar.get_by_role("button", name="Cancel").click()
        expect(bar).to_contain_text("Stopped")
    with told(page, "muting.more", gone):
        bar.get_by_role("button", name="Go on").click()
        expect(bar).to_contain_text("has gone; what is here stays")
    with held(page, "muting.more", since=" places"):
        bar.get_by_role("button", name="Go on").click()
        expect(bar).to_contain_text("places ·")
        page.locator("#tab-maps-button").click()
        page.wait_for_selector(".stage canvas[data-painted]")
    asked = calls(page)
    with held(page, "muting.more", since=" places"):
        page.locator("#tab-muting-button").click()
        expect(bar).to_contain_text("places ·")
        page.locator(".rail .chip").nth(1).click()  # another class ends it
        expect(tab.locator(".say")).to_contain_text("tiger cat")
    expect(tab.locator('[data-place="maps"] h4')).to_contain_text("tiger cat")
    expect(bar).to_be_hidden()
    assert "muting.ask" in asked
