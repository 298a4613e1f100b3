"""The page as a visitor meets it, in Chromium: the frame, and the Maps tab."""

from __future__ import annotations

import base64
import io
import json
import re
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from explainers import Network, explain, read, render
from tabs.order import TABS
from tabs.server import gate
from tests.browser import (
    EXAMPLES,
    ROOT,
    Visit,
    address,
    calls,
    cat,
    cat_jpeg,
    chip,
    drop,
    heats,
    held,
    say,
    settled,
)
from tests.usable import usable

FIRST = EXAMPLES[0]["file"]
MAPS = ["Grad-CAM = CAM", "Guided backprop", "Guided Grad-CAM"]


def titles(page: Page) -> list[str]:
    return page.locator(".stage .row").first.locator("figcaption b").all_inner_texts()


@pytest.mark.parametrize(("width", "height"), [(1360, 900), (390, 844)])
def test_the_first_screen_is_an_answer(visit: Visit, width: int, height: int) -> None:
    page = visit(width=width, height=height)
    settled(page)
    assert titles(page) == MAPS
    for selector in (".stage .picture >> nth=0", ".chip.on >> visible=true", ".maps-bar input"):
        box = page.locator(selector).first.bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= height, f"{selector} is below the fold"
    tabs = page.locator("#tabs [role=tab]")
    expect(tabs).to_have_count(len(TABS))
    tabs.last.scroll_into_view_if_needed()  # no “…” between a phone and the last tab
    expect(tabs.last).to_be_in_viewport()
    root = "document.documentElement"
    assert page.evaluate(f"() => {root}.scrollWidth - {root}.clientWidth") <= 0
    if width > 1300:  # what one does with the maps stands in one line
        assert page.locator(".maps-bar").bounding_box()["height"] < 44
    page.goto(f"{address(page)}&maps.methods=gradcam")  # nor is a map that is alone
    settled(page)
    expect(page.locator(".stage figcaption")).to_be_in_viewport(ratio=1)


MOVED = """() => { Object.assign(window, { moved: 0, movers: [] }); new PerformanceObserver((list) => {
  for (const { hadRecentInput, value, sources } of list.getEntries()) if (!hadRecentInput) {
    window.moved += value;
    for (const { node, previousRect, currentRect } of sources) window.movers.push(
      [value, node?.outerHTML?.slice(0, 160) ?? node?.data, previousRect.toJSON(), currentRect.toJSON()]);
  }
}).observe({ type: 'layout-shift', buffered: true }); }"""  # noqa: E501
LINGERS = """() => { seeing.sheet(false); return [...document.querySelectorAll('.rail *')]
  .filter((each) => each.checkVisibility({visibilityProperty: true})).length; }"""
# What Tab comes to though it stands above what it comes from.
BACKWARDS = """() => [...document.querySelectorAll(
    '.tab-body :is(a[href], button, input, select, summary, [tabindex="0"])')]
  .filter((each) => each.checkVisibility({visibilityProperty: true}) && !each.disabled
    && each.getBoundingClientRect().height
    && !each.closest('.imp-tiles, .work')) // which scroll in a frame, and float
  .filter((each, i, all) => i
    && each.getBoundingClientRect().bottom <= all[i - 1].getBoundingClientRect().top)
  .map((each) => each.outerHTML.slice(0, 120))"""
DRAWN = """async () => {
  await Promise.all([...document.images].filter((each) => each.checkVisibility()).map((each) => each.decode().catch(() => 0)));
  for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
}"""  # noqa: E501


@pytest.mark.parametrize(("width", "height"), [(1360, 900), (390, 844)])
def test_what_comes_first_in_a_tab_moves_nothing(visit: Visit, width: int, height: int) -> None:
    page = visit(width=width, height=height, query="&compare.methods=gradcam")
    settled(page)
    page.evaluate(MOVED)
    page.evaluate(DRAWN)
    assert page.evaluate("() => window.moved") < 0.01, page.evaluate("() => window.movers")
    footer = page.locator("footer")
    if width < 640:  # below what Gradio hides of it there, and not under the dock
        footer.scroll_into_view_if_needed()
        expect(footer.locator(".divider >> visible=true")).to_have_count(0)
        page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
        low, dock = footer.locator(".settings").bounding_box(), page.locator(".dock").bounding_box()
        assert low["y"] + low["height"] <= dock["y"]
    for tab in TABS[1:]:
        page.evaluate(
            "(key) => { moved = movers.length = 0; scrollTo(0, 0); seeing.set({ tab: key }); }",
            tab.key,
        )
        body = page.locator(f"#{tab.key}-tab")
        expect(body.locator(".say")).not_to_be_empty()
        expect(body.locator("img, canvas").locator("visible=true").first).to_be_visible()
        page.evaluate(DRAWN)
        movers = page.evaluate("() => window.movers")
        assert page.evaluate("() => window.moved") < 0.05, (tab.key, movers)
        if width < 640:  # in one column the keyboard goes down
            assert not (up := page.evaluate(BACKWARDS)), f"{tab.key}: {up}"


def test_a_dropped_photo_shows_five_chips_and_its_maps(visit: Visit) -> None:
    page = visit()
    settled(page)
    before = heats(page)
    cat(page)
    assert page.locator(".rail .chip").count() == 5
    name = page.locator(".rail .chip-name").first.inner_text()
    assert "cat" in name or "tabby" in name
    say(page).to_contain_text(name)
    assert titles(page) == MAPS
    assert all(one != other for one, other in zip(before, heats(page), strict=True))
    assert "photo=own" in address(page)


def test_another_class_another_picture_and_several_rows(visit: Visit) -> None:
    page = visit()
    settled(page)
    first = heats(page)
    say(page).to_contain_text(chip(page, 3))
    settled(page)
    assert heats(page)[0] != first[0]
    page.click("[data-several]")
    chip(page, 0)
    expect(page.locator(".stage .row")).to_have_count(2)
    search = page.locator("[data-search]")  # a class that is not among the five, by its name
    search.press_sequentially("volcan")
    expect(page.locator("#found-classes [aria-selected=true]")).to_have_text("volcano")
    search.press("Enter")
    expect(page.locator(".stage .row")).to_have_count(3)
    settled(page)
    expect(page.locator(".stage h3").nth(2)).to_contain_text("volcano")
    assert page.locator(".rail .chip.on").count() == 3
    assert len(set(heats(page))) == 9
    page.click("#maps-tab .adjust summary")
    page.select_option("[name=scale]", "shared")
    expect(page.locator("#maps-tab [data-legend]")).to_contain_text("strongest of all rows")


def test_why_this_and_not_that(visit: Visit) -> None:
    page = visit()
    settled(page)
    before = heats(page)
    page.click("[data-contrast]")
    other = page.locator("[data-against] option").nth(2).inner_text()
    page.locator("[data-against]").select_option(other)
    say(page).to_contain_text(f"against {other}")
    settled(page)
    assert heats(page)[0] != before[0]
    expect(page.locator("#maps-tab [data-legend]")).to_contain_text("against it")
    assert "against=" in address(page)


def test_a_bad_file_gets_a_sentence_and_nothing_is_lost(visit: Visit) -> None:
    many = cv2.imencode(".png", np.zeros((11_000, 11_000), np.uint8))[1].tobytes()
    page = visit(width=390, height=800)  # a phone, where the rail is a sheet
    settled(page)
    before, problem = heats(page), page.locator(".rail [data-problem]")
    crowded = gate.CROWDED.format(5)
    for status, said, words in (
        (413, gate.LARGE, "photos may have 20 MB"),
        (429, crowded, crowded),
    ):
        refusal = partial(Route.fulfill, status=status, json={"detail": said})
        page.route("**/gradio_api/upload_photo", lambda route, *, refuse=refusal: refuse(route))
        drop(page, cat_jpeg(), "cat.jpg", "image/jpeg")
        expect(problem).to_be_visible()
        expect(problem).to_contain_text(words)
        page.unroute("**/gradio_api/upload_photo")
    expect(page.locator(".toast-body")).to_have_count(0)  # Gradio's, with what is not for visitors
    for name, content in (
        ("broken.jpg", cat_jpeg()[:300] + bytes(500)),
        ("bomb.png", many),  # few bytes, 121 million pixels
        ("notes.png", b"these are words, not a picture"),
    ):
        drop(page, content, name, "image/png")
        text = problem.inner_text()
        assert ("megapixel" in text) == (name == "bomb.png")
        assert text.endswith(".")
        assert "/" not in text
        assert "Traceback" not in text
        assert heats(page) == before
    folder = {"items": [], "files": [str(ROOT / "tests")], "dragOperationsMask": 1}
    mouse = page.context.new_cdp_session(page)
    for event in ("dragEnter", "dragOver", "drop"):
        where = {"type": event, "x": 100, "y": 600, "data": folder}
        mouse.send("Input.dispatchDragEvent", where)
    expect(problem).to_contain_text("a folder")
    expect(page.locator(".rail .chip").first).to_be_visible()
    assert not page.evaluate(LINGERS), "words of the closed sheet stand on the page"
    note = page.locator("#maps-tab [data-note]")
    drop(page, cat_jpeg(), "cat.jpg", "image/jpeg", "of my cat.txt")
    settled(page)
    expect(note).to_contain_text("Of 2 files “cat.jpg” was taken")
    cat(page)
    expect(note).to_be_hidden()
    expect(problem).to_be_hidden()
    expect(page.locator("#rail-side")).to_be_hidden()  # the sheet makes room for the answer
    page.evaluate("() => seeing.set({ targets: [seeing.seen.chips.at(-1).index] })")
    settled(page)  # wherever it was chosen, the strip of answers shows it
    expect(page.locator(".phone-chips .chip.on")).to_be_in_viewport(ratio=0.95)


def test_looking_costs_no_request(visit: Visit) -> None:
    """Heat, colours, scale, wipe, lens, large and pointing: the browser alone."""
    page = visit()
    settled(page)
    asked, before = calls(page), heats(page)
    page.locator("[name=opacity]").fill("0.3")
    assert (
        page.evaluate("() => +getComputedStyle(document.querySelector('.stage canvas')).opacity")
        == 0.3
    )
    page.click("#maps-tab .adjust summary")
    page.select_option("[name=colours]", "Viridis")
    assert heats(page)[0] != before[0]
    key = page.locator(".fine-key")  # of what grey means
    expect(key).to_have_count(2)
    expect(key.first).to_contain_text("grey: no effect")
    page.select_option("[name=gradients]", "strength")
    expect(key.first).to_be_hidden()
    page.wait_for_function(
        "old => document.querySelectorAll('.stage canvas')[1].toDataURL() !== old", arg=before[1]
    )
    page.click("[data-wipe]")
    page.locator("[data-wiper]").fill("0.25")
    expect(page.locator(".stage canvas").first).to_have_css(
        "clip-path", re.compile(r"inset\(.*25%")
    )
    page.click("[data-wipe]")
    page.locator(".stage .picture").first.hover(position={"x": 60, "y": 90})
    tips = page.locator(".stage .tip")
    expect(tips.first).to_have_text(re.compile(r"^-?\d+ %$"))
    places = page.eval_on_selector_all(
        ".stage .dot", "all => all.map((dot) => dot.style.left + dot.style.top)"
    )
    assert len(set(places)) == 1
    page.locator(".stage .picture").first.click(position={"x": 60, "y": 90})
    held = tips.all_inner_texts()
    page.locator(".stage .picture").nth(1).hover(position={"x": 5, "y": 5})
    assert tips.all_inner_texts() == held  # pinned
    page.click("[data-raw]")
    assert tips.all_inner_texts() != held
    page.click("[data-unpin]")
    for shown in (3, 0):  # a lens at no place in particular leaves no mark
        page.click("[data-lens]")
        expect(page.locator(".stage .dot >> visible=true")).to_have_count(shown)
    expect(page.locator(".maps-here")).to_contain_text("Point at a map")
    page.click("[data-layout=large]")
    expect(page.locator(".stage")).to_have_attribute("data-view", "large")
    page.set_viewport_size({"width": 1100, "height": 900})  # less wide than the photo would be
    box = page.locator(".stage .picture").first.bounding_box()
    photo = page.locator(".stage .picture img").first
    shape = photo.evaluate("(photo) => photo.naturalWidth / photo.naturalHeight")
    assert box["width"] / box["height"] == pytest.approx(shape, rel=0.01)
    assert not asked
    for setting in ("maps.opacity=0.3", "maps.colours=Viridis", "maps.large="):
        assert setting in address(page)


def test_a_slow_method_grows_is_stopped_and_goes_on(visit: Visit) -> None:
    page = visit()
    settled(page)
    page.click("#maps-tab .adjust summary")
    bar = page.locator("#maps-tab .work >> nth=0")
    with held(page, "maps.more", since="Integrated gradients: "):
        page.get_by_label("Integrated gradients").check()
        expect(bar).to_contain_text("Integrated gradients")
        bar.get_by_role("button").click()
        expect(bar).to_contain_text("Stopped")
    asked = calls(page)
    page.click("[data-wipe]")  # the page still answers, and nothing goes on by itself
    page.click("[data-wipe]")
    assert "maps.more" not in asked
    bar.get_by_role("button", name="Go on").click()
    expect(bar).to_be_hidden()
    settled(page)
    assert "Integrated gradients" in titles(page)


def test_downloads_hold_the_maps_and_nothing_of_the_photo_s_metadata(visit: Visit) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    page = visit()
    drop(page, cat_jpeg(exif=exif), "cat.jpg", "image/jpeg")
    settled(page)
    asked = calls(page)
    with page.expect_download() as download:
        page.dblclick("[data-take=png]")  # as who comes from a desktop does
    content = Path(download.value.path()).read_bytes()
    panel = Image.open(io.BytesIO(content))
    assert panel.width > panel.height
    assert b"SecretCamera" not in content
    with page.expect_download() as download:
        page.click("[data-take=npz]")
    with np.load(download.value.path()) as arrays:
        about = json.loads(str(arrays["about"]))
        assert [each["method"] for each in about] == ["cam", "gradcam", "guided", "guided_gradcam"]
        assert arrays["gradcam"].shape[0] == 1
        assert arrays["guided"].shape[1] == 3
    assert asked.count("maps.act") == 2


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_no_serious_accessibility_violation(visit: Visit, width: int, dark: bool) -> None:
    page = visit(width=width, dark=dark)
    settled(page)
    page.evaluate("() => { document.querySelector('.adjust').open = true; }")
    usable(page)


def test_other_eyes_other_paper(visit: Visit) -> None:
    """Colours of the system's own, nothing that moves, a sheet of paper."""
    page = visit(dark=True)
    settled(page)
    page.emulate_media(forced_colors="active")
    looks = "([where, name]) => getComputedStyle(document.querySelector(where))[name]"

    def look(where: str, name: str) -> str:
        return page.evaluate(looks, [where, name])

    assert look(".rail .chip.on", "outline-style") != look(".rail .chip:not(.on)", "outline-style")
    line = "border-bottom-color"
    assert look("#tab-maps-button", line) != look("#tab-cards-button", line)
    assert "gradient" in look("#maps-tab [data-legend] i", "background-image")
    page.emulate_media(forced_colors="none", reduced_motion="reduce")
    with held(page, "maps.ask"):
        chip(page, 1)
        expect(page.locator("#maps-tab")).to_have_class(re.compile("busy"))
        moving = (
            "() => document.getAnimations().filter((each) => each.playState === 'running').length"
        )
        assert page.evaluate(moving) == 0
    settled(page)
    page.emulate_media(media="print", reduced_motion="no-preference")
    page.set_viewport_size({"width": 720, "height": 1000})  # A4
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    expect(page.locator(".dock")).to_be_hidden()
    expect(page.locator(".stage canvas").first).to_be_visible()
    ink = look("#maps-tab .say", "color")
    assert max(map(int, re.findall(r"\d+", ink)[:3])) < 80, f"{ink} on white paper"


def test_chips_and_maps_work_from_the_keyboard(visit: Visit) -> None:
    page = visit()
    page.locator("[data-example]").nth(1).focus()
    page.keyboard.press("Enter")
    settled(page)
    page.locator(".rail .chip").nth(1).focus()
    page.keyboard.press("Space")
    expect(page.locator(".rail .chip").nth(1)).to_have_attribute("aria-pressed", "true")
    say(page).to_contain_text(page.locator(".rail .chip-name").nth(1).inner_text())
    page.locator("[data-lens]").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".stage .map.lens")).to_have_count(3)  # with nothing pointed at
    page.locator(".stage .picture").last.focus()
    for key in ("ArrowRight", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    expect(page.locator(".stage .dot.pinned")).to_have_count(3)
    expect(page.locator(".stage canvas").last).to_have_css("transform", re.compile("matrix.3,"))
    page.keyboard.press("Escape")
    expect(page.locator(".stage .map.lens")).to_have_count(0)
    page.keyboard.press("+")
    expect(page.locator(".stage figcaption b").first).to_have_text("Guided Grad-CAM")
    page.locator("#tabs [role=tab]").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-muting-button")).to_have_attribute("aria-selected", "true")


def test_the_browser_draws_what_render_draws(visit: Visit, lite0: Network) -> None:
    page = visit()
    settled(page)
    seen = read(ROOT / "assets/examples" / FIRST)
    found = explain(lite0, seen)
    address = heats(page)[0].partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(address))) as image:
        drawn = np.asarray(image.convert("RGBA")).astype(int)
    expected = render.translucent(found, 0, (drawn.shape[1], drawn.shape[0])).astype(int)
    assert np.abs(drawn[..., 3] - expected[..., 3]).mean() < 2
    strong = expected[..., 3] > 100  # where little is laid over, a canvas keeps few bits of colour
    assert np.abs(drawn - expected)[strong].mean() < 3
