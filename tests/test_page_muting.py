"""The Muting tab: the maps by position, the brush, the smallest region, RISE."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from explainers import ExplainError, Question, render
from tabs import brush
from tabs.muting import Mute, Settings
from tests import nets
from tests.browser import Visit, drop, usable

HERE = "&tab=muting&example="
PHOTO = "cat-and-dogs.jpg"
NUMBER = re.compile(r"[\d.]+ %")
TURN = "Waiting for its turn"


def opened(visit: Visit, photo: str = PHOTO, **size: object) -> Page:
    """The Muting tab with a photo and its first look."""
    page = visit(query=HERE + photo, **size)
    page.wait_for_selector("#muting-maps img.heat")
    expect(page.locator("#muting-status")).to_contain_text("“Mute”")
    return page


def typed(page: Page, field: str, value: int) -> None:
    page.locator(f"{field} input").fill(str(value))
    page.locator(f"{field} input").press("Tab")


def maps(page: Page) -> list[str]:
    return page.eval_on_selector_all("#muting-maps img.heat", "all => all.map((i) => i.src)")


def after(page: Page) -> list[str]:
    """Percentages after painting, class by class."""
    return page.locator("#brush-answer .change-value b").all_inner_texts()


def places(page: Page, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points of the brush's canvas, given as fractions, on the screen."""
    canvas = page.locator("#brush canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]


def stroke(page: Page, points: list[tuple[float, float]]) -> None:
    first, *rest = places(page, points)
    page.mouse.move(*first)
    page.mouse.down()
    for place in rest:
        page.mouse.move(*place)
    page.mouse.up()


def finger(page: Page, points: list[tuple[float, float]]) -> None:
    """The same on a touch screen."""
    send = page.context.new_cdp_session(page).send
    kind = "touchStart"
    for x, y in places(page, points):
        send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        kind = "touchMove"
    send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_a_first_look_by_itself_then_finer_maps_and_what_can_be_done_with_them(
    visit: Visit,
) -> None:
    page = opened(visit)
    coarse = maps(page)
    assert len(coarse) == 3
    status, seen = page.locator("#muting-status"), page.locator("#muting-look img")
    expect(page.locator("#muting-maps .swatches li").first).to_contain_text("Egyptian cat")
    expect(page.locator("#muting-look .change li")).to_have_count(5)
    expect(page.locator("#mute-cancel")).to_be_disabled()
    usable(page)
    # finer; while nobody points, the window seen closely is the strongest
    typed(page, "#stride", 16)
    page.click("#mute")
    expect(status).to_contain_text("every value is exact")
    page.wait_for_selector('.muting[data-stride="16"][data-done="1.000"]')
    fine, said = maps(page), status.inner_text()
    assert fine[0] != coarse[0]
    low = re.search(r"([\d.]+ %) to", page.locator("#muting-maps figcaption p").nth(1).inner_text())
    expect(page.locator("#muting-look .change-on b")).to_have_text(low[1])
    page.click("#flip-start")
    expect(page.locator("#flipped h4")).to_have_text(re.compile(r"Muting [\d.]+ % .* its mind"))
    expect(page.locator("#flipped")).to_contain_text("No longer")
    expect(page.locator("#flip-cancel")).to_be_disabled()
    # another class: drawn anew from the same scores
    page.locator("#chips .chip-main").nth(2).click()
    name = page.locator("#chips .chip-name").nth(2).inner_text()
    expect(page.locator("#muting-maps h3")).to_contain_text(name)
    assert maps(page)[0] != fine[0]
    assert maps(page)[2] == fine[2]
    assert status.inner_text() == said
    page.click("#flip-start")
    expect(page.locator("#flip-status")).to_contain_text("does not decide for this class")
    # pointing with the mouse, a tap or click, the keyboard
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
    with page.expect_download() as download:
        page.click("#muting-file")
    sheet = Image.open(Path(download.value.path()))
    assert sheet.width > 4 * 300


def test_the_brush_moves_the_bars_and_bad_settings_get_a_sentence(visit: Visit) -> None:
    page = opened(visit)
    answer = page.locator("#brush-answer")
    stroke(page, [(0.1, 0.4), (0.2, 0.42), (0.3, 0.4)])
    expect(answer.locator("h4")).to_contain_text("% of the photo is muted")
    page.wait_for_selector('[data-courier="idle"]')
    one = after(page)
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
    # what can't be is said, and the maps stay
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
        expect(page.locator("#mute-cancel")).to_be_disabled()
        assert problem.inner_text().count(".") == 1
        assert maps(page) == kept
    typed(page, "#window", 32)
    file = io.BytesIO()
    Image.fromarray(np.full((20, 20, 3), (200, 40, 40), np.uint8)).save(file, "PNG")
    drop(page, file.getvalue(), "small.png", "image/png")
    page.wait_for_function(
        "(old) => ![undefined, old].includes(document.querySelector('#muting-maps img.heat')?.src)",
        arg=kept[0],
    )
    expect(answer).to_contain_text("Paint over the photo")  # the old strokes are gone


def test_on_a_phone_a_finger_paints_and_rise_settles(visit: Visit) -> None:
    page = opened(visit, "cat.jpg", width=390, dark=True)
    page.locator("#brush canvas").scroll_into_view_if_needed()
    top = page.evaluate("scrollY")
    finger(page, [(0.4, 0.2), (0.4, 0.5), (0.4, 0.8)])
    expect(page.locator("#brush-answer h4")).to_contain_text("% of the photo is muted")
    assert float(NUMBER.search(page.locator("#brush-answer h4").inner_text())[0][:-2]) > 4
    assert page.evaluate("scrollY") == top  # it painted, and did not scroll
    typed(page, "#rise-masks", 64)
    page.click("#rise-start")
    expect(page.locator("#rise-status")).to_contain_text("All 64 masks are used")
    expect(page.locator("#rise img.heat")).to_have_count(1)
    usable(page)


def test_a_long_run_starves_nobody_and_all_can_be_cancelled(visit: Visit) -> None:
    one, two = opened(visit), opened(visit, "cat.jpg")
    typed(one, "#stride", 4)
    one.click("#mute")
    expect(one.locator("#muting-status")).to_contain_text("positions ·")
    # what is slow waits for its turn, and can be cancelled there
    two.click("#rise-start")
    expect(two.locator("#rise-status")).to_contain_text(TURN)
    two.click("#rise-cancel")
    expect(two.locator("#rise-status")).to_contain_text("Stopped")
    # what is not does not wait: the second visitor's maps, another class of the first
    two.get_by_role("tab", name="Maps").click()
    two.wait_for_selector(".maps-row img.heat")
    one.locator("#chips .chip-main").nth(1).click()
    name = one.locator("#chips .chip-name").nth(1).inner_text()
    expect(one.locator("#muting-maps h3")).to_contain_text(name)
    assert one.locator("#muting-status progress").count() == 1  # it is still running
    one.click("#mute-cancel")
    expect(one.locator("#muting-status")).to_contain_text("Stopped at")
    kept = one.locator("#muting-status").inner_text()
    one.click("#rise-start")
    one.locator("#rise img.heat").wait_for()
    one.click("#rise-cancel")
    expect(one.locator("#rise-status")).to_contain_text("Stopped")
    drawn = one.locator("#rise img.heat").get_attribute("src")
    one.wait_for_timeout(1500)  # longer than between two pictures
    assert one.locator("#rise img.heat").get_attribute("src") == drawn
    assert one.locator("#rise-status progress, #rise progress").count() == 0
    assert one.locator("#muting-status").inner_text() == kept


def test_a_network_that_needs_full_passes_says_so_under_the_maps() -> None:
    network = nets.seeded("legacy_seresnet18")
    asked = Question(network, network.view(nets.noise(1, 3, 64, 64)), (0,), network.last)
    *_, (words, _, _) = Mute(None)._run(asked, Settings(32, 32, "grey", 0), None)
    assert "squeeze-and-excitation" in words


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
