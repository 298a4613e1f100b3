"""The Muting tab: the maps by position, the brush, the smallest region, RISE."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, expect

from explainers import ExplainError, render
from tabs import brush
from tests.browser import Visit, drop, example

PHOTO = "cat-and-dogs.jpg"
NUMBER = re.compile(r"[\d.]+ %")


def opened(page: Page) -> Page:
    """The Muting tab with a photo and its first look."""
    example(page, PHOTO)
    page.get_by_role("tab", name="Muting").click()
    looked(page)
    return page


def looked(page: Page) -> None:
    page.wait_for_selector("#muting-maps img.heat")
    expect(page.locator("#muting-status")).to_contain_text("“Mute”")


def typed(page: Page, field: str, value: int) -> None:
    page.locator(f"{field} input").fill(str(value))
    page.locator(f"{field} input").press("Tab")


def maps(page: Page) -> list[str]:
    return page.eval_on_selector_all("#muting-maps img.heat", "all => all.map((i) => i.src)")


def after(page: Page, panel: str) -> list[str]:
    """Percentages after muting, class by class."""
    return page.locator(f"{panel} .change-value b").all_inner_texts()


def stroke(page: Page, points: list[tuple[float, float]]) -> None:
    canvas = page.locator("#brush canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for i, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        if i == 0:
            page.mouse.down()
    page.mouse.up()
    page.wait_for_selector('[data-courier="idle"]')


def test_a_first_look_comes_by_itself_and_mute_makes_it_finer(visit: Visit) -> None:
    page = opened(visit())
    assert len(maps(page)) == 3
    coarse = maps(page)
    expect(page.locator("#muting-maps .swatches li").first).to_contain_text("Egyptian cat")
    expect(page.locator("#muting-look .change li")).to_have_count(5)
    typed(page, "#stride", 16)
    page.click("#mute")
    expect(page.locator("#muting-status")).to_contain_text("every value is exact")
    page.wait_for_selector('.muting[data-stride="16"][data-done="1.000"]')
    assert maps(page)[0] != coarse[0]
    fine, said = maps(page), page.locator("#muting-status").inner_text()
    # another class: drawn anew from the same scores
    page.locator("#chips .chip-main").nth(2).click()
    name = page.locator("#chips .chip-name").nth(2).inner_text()
    expect(page.locator("#muting-maps h3")).to_contain_text(name)
    assert maps(page)[0] != fine[0]
    assert maps(page)[2] == fine[2]
    assert page.locator("#muting-status").inner_text() == said
    # pointing with the mouse, a tap or click, the keyboard
    seen = page.locator("#muting-look img")
    for gesture in ("move", "click", "key"):
        before = seen.get_attribute("src")
        stack = page.locator("#muting-maps .stack").nth(1)
        stack.scroll_into_view_if_needed()
        box = stack.bounding_box()
        if gesture == "move":
            page.mouse.move(box["x"] + 30, box["y"] + 30)
        elif gesture == "click":
            page.mouse.move(box["x"] + 100, box["y"] + 90)
            page.mouse.click(box["x"] + 100, box["y"] + 90)
        else:
            page.locator("#muting-maps .stack[tabindex]").focus()
            page.keyboard.press("ArrowRight")
        expect(seen).not_to_have_attribute("src", before)


def test_the_brush_moves_the_bars_and_takes_everything_back(visit: Visit) -> None:
    page = opened(visit())
    answer = page.locator("#brush-answer")
    stroke(page, [(0.1, 0.4), (0.2, 0.42), (0.3, 0.4)])
    expect(answer.locator(".change li").first).to_be_visible()
    expect(answer.locator("h4")).to_contain_text("% of the photo is muted")
    one = after(page, "#brush-answer")
    stroke(page, [(0.2, 0.6), (0.4, 0.7)])
    expect(answer.locator(".change-value b").first).not_to_have_text(one[0])
    page.locator(".brush-undo").click()
    expect(answer.locator(".change-value b").first).to_have_text(one[0])
    share = float(NUMBER.search(answer.locator("h4").inner_text())[0][:-2])
    page.locator(".brush-keep").check()
    expect(answer.locator("h4")).to_contain_text(f"{100 - share:.1f} %")
    page.locator(".brush-clear").click()
    expect(answer).to_contain_text("Nothing is painted yet")
    # the same from the keyboard
    page.get_by_text("A rectangle by numbers").click()
    page.locator(".brush-width").fill("120")
    page.locator(".brush-box").click()
    expect(answer).to_contain_text("four numbers from 0 to 100")
    page.locator(".brush-width").fill("50")
    page.locator(".brush-box").press("Enter")
    expect(answer.locator("h4")).to_contain_text("20.")
    assert page.locator("#muting-maps img.heat").count() == 3


def test_the_region_that_flips_and_rise(visit: Visit) -> None:
    page = opened(visit())
    page.click("#flip-start")
    expect(page.locator("#flipped h4")).to_have_text(re.compile(r"Muting [\d.]+ % .* its mind"))
    expect(page.locator("#flipped")).to_contain_text("No longer")
    typed(page, "#rise-masks", 64)
    page.click("#rise-start")
    expect(page.locator("#rise")).to_contain_text("All 64 masks are used")
    expect(page.locator("#rise img.heat")).to_have_count(1)


def test_bad_settings_get_a_sentence_and_nothing_is_lost(visit: Visit) -> None:
    page = opened(visit())
    kept, problem = maps(page), page.locator("#muting-status [role=alert]")
    for window, stride, says in (
        (5000, 16, "larger than the photo"),
        (32, 0, "whole numbers of pixels"),
        (32, 33, "leave gaps"),
        (32, 1, "takes too long"),
    ):
        typed(page, "#window", window)
        typed(page, "#stride", stride)
        page.click("#mute")
        expect(problem).to_contain_text(says)
        assert problem.inner_text().count(".") == 1
        assert maps(page) == kept
    typed(page, "#window", 32)
    file = io.BytesIO()
    Image.fromarray(np.full((20, 20, 3), (200, 40, 40), np.uint8)).save(file, "PNG")
    drop(page, file.getvalue(), "small.png", "image/png")
    page.wait_for_function(
        "(old) => document.querySelector('#muting-maps img.heat')?.src !== old", arg=kept[0]
    )
    looked(page)


def test_a_long_run_starves_nobody_and_can_be_cancelled(visit: Visit) -> None:
    one, two = opened(visit()), visit()
    typed(one, "#stride", 4)
    one.click("#mute")
    one.wait_for_selector("#muting-status progress")
    example(two, "honey-bee.jpg")  # its maps are there ...
    assert one.locator("#muting-status progress").count() == 1  # ... while the run goes on
    one.locator("#chips .chip-main").nth(1).click()  # as is another class of the first visitor
    name = one.locator("#chips .chip-name").nth(1).inner_text()
    expect(one.locator("#muting-maps h3")).to_contain_text(name)
    one.click("#mute-cancel")
    expect(one.locator("#muting-status")).to_contain_text("Stopped at")
    one.wait_for_timeout(500)
    kept = one.locator("#muting-status").inner_text()
    assert kept.startswith("Stopped at")
    one.wait_for_timeout(1500)
    assert one.locator("#muting-status").inner_text() == kept


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_no_serious_accessibility_violation(visit: Visit, width: int, dark: bool) -> None:
    page = opened(visit(width=width, dark=dark))
    page.wait_for_timeout(400)
    serious = [
        (each["id"], [node["html"][:160] for node in each["nodes"]])
        for each in Axe().run(page).response["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert not serious
    overflow = page.evaluate(
        "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert overflow <= 0


def test_cells_lie_where_their_windows_lie() -> None:
    rows, cols = ((0, 20), (20, 40)), ((0, 20), (20, 40), (40, 60))
    cells = np.zeros((2, 3, 4), np.uint8)
    cells[1, 2] = 255
    # the input covers the photo's right half
    over = render.positions(cells, rows, cols, (40, 60), (0.5, 0, 1, 1), (120, 40))
    lit = np.argwhere((over == 255).all(-1))
    assert lit.min(0).tolist() == [20, 100]
    assert lit.max(0).tolist() == [39, 119]
    assert (over[:, :60, 3] == 150).all()  # dimmed: never seen by the network


def test_a_mask_is_taken_only_if_it_is_whole() -> None:
    good = brush.mask({"width": 4, "height": 2, "runs": [3, 2, 3]})
    assert good.tolist() == [[False] * 3 + [True], [True] + [False] * 3]
    for bad in (
        None,
        {"width": 4, "height": 2, "runs": [3, 2]},
        {"width": 4, "height": 2, "runs": [9, -1]},
        {"width": 4, "height": 2, "runs": [0] * 10**6},
        {"width": 10**6, "height": 10**6, "runs": [10**12]},
        {"width": 4, "height": 2, "runs": ["8"]},
        {"width": True, "height": 8, "runs": [8]},
    ):
        with pytest.raises(ExplainError, match="paint once more"):
            brush.mask(bad)
