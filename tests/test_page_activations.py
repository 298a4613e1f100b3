"""Activations in a browser: what a visitor clicks, draws, types, films and keeps."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.browser import Visit, address, held
from tests.test_video import clip
from tests.usable import usable

pytestmark = pytest.mark.browser

HERE = "&tab=activations&example=astronaut.jpg"
FACE = (0.36, 0.08, 0.56, 0.42)


def opened(visit: Visit, query: str = HERE, **size: object) -> Page:
    """The Activations tab, with a photo and a channel, drawn to the end."""
    page = visit(query=query, **size)
    settled(page)
    return page


def settled(page: Page) -> None:
    """The chosen channel is there with all that is told of it, and so is the mosaic."""
    page.wait_for_function(
        "() => document.querySelector('#activations-tab .unit-examples img')"
        " && document.querySelector('.act-sheet .tiles[data-painted]')"
        " && !document.querySelector('#activations-tab.busy, #activations-tab .stale')"
    )


def channel(page: Page) -> int:
    return int(page.locator("[data-channel-number]").input_value())


def order(page: Page) -> list[int]:
    return json.loads(page.locator(".act-sheet .tiles").get_attribute("data-tiles"))["order"]


def shown(page: Page, number: int) -> None:
    """Wait until this channel is chosen and seen closely."""
    expect(page.locator("[data-channel-number]")).to_have_value(str(number))
    expect(page.locator(".act-where b").first).to_contain_text(f"Unit {number} ·")
    settled(page)


def top(page: Page, selector: str) -> float:
    return page.locator(selector).first.bounding_box()["y"]


def pick_a_tile(page: Page) -> None:
    """The third tile of the second row opens its channel and is marked; the page stays put."""
    canvas = page.locator(".act-sheet canvas")
    columns = int(page.locator(".act-sheet .tiles").get_attribute("data-painted"))
    wanted, box, before = order(page)[columns + 2], canvas.bounding_box(), page.evaluate("scrollY")
    pitch = json.loads(page.locator(".act-sheet .tiles").get_attribute("data-tiles"))["pitch"]
    wide, high = box["width"] / columns, box["width"] / columns * pitch[0] / pitch[1]
    assert wide >= 26  # a finger finds a tile
    canvas.click(position={"x": wide * 2.5, "y": high * 1.5})
    shown(page, wanted)
    mark = page.locator(".act-sheet .tiles-mark").bounding_box()
    assert abs(mark["x"] - box["x"] - wide * 2) < 2
    assert page.evaluate("scrollY") == before


def test_the_face_exercise(visit: Visit) -> None:
    """Tile, box, unit, pin, another photo: the pin follows, and nothing jumps."""
    page = opened(visit, width=1360)
    for selector in (".act-sheet canvas", ".act-picture", ".act-found", ".act-tools"):
        assert top(page, selector) < 900, f"{selector} is below the fold"
    pick_a_tile(page)
    with page.expect_download() as download:
        page.click(".tiles-save")
    assert Image.open(Path(download.value.path())).width > 400
    box = page.locator(".act-picture").bounding_box()
    (x0, y0), (x1, y1) = (
        (box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (FACE[:2], FACE[2:])
    )
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move(x1, y1, steps=4)
    page.mouse.up()
    best = page.locator(".units-found button")
    found = int(best.first.get_attribute("data-channel"))
    shown(page, found)  # the best of them is opened on the photo at once
    expect(best.first).to_have_attribute("aria-pressed", "true")
    before = top(page, ".act-sheet canvas"), top(page, ".unit-crops"), page.evaluate("scrollY")
    page.click("[data-pin]")
    pin = page.locator(".pin img")
    expect(pin).to_have_count(1)
    after = top(page, ".act-sheet canvas"), top(page, ".unit-crops"), page.evaluate("scrollY")
    assert after == before  # a pin pushes nothing down
    picture = pin.get_attribute("src")
    page.click("[data-example='espresso.jpg']")
    expect(pin).not_to_have_attribute("src", picture)
    settled(page)
    assert channel(page) == found  # the channel stays chosen, too
    assert page.locator(".units-found button").count() == 0  # the box belonged to the other photo
    for number in (1, 2, 3, 4):
        page.locator("[data-channel-number]").fill(str(number))
        page.locator("[data-channel-number]").press("Enter")
        shown(page, number)
        page.click("[data-pin]")
        if number < 4:
            expect(pin).to_have_count(number + 1)
    expect(page.locator("#activations-tab .problem")).to_contain_text("remove one of them first")
    page.locator(".pin-drop").first.click()
    expect(pin).to_have_count(3)
    page.locator(".pin figcaption a").first.click()  # a pin leads to its card
    expect(page.get_by_role("tab", name="Cards")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#cards-tab .say")).to_contain_text("where it fires")
    page.go_back()
    page.reload()  # the address keeps channel and pins
    shown(page, 4)
    expect(pin).to_have_count(3)
    page.click("[data-look]")
    expect(page.locator("#tab-impressions-button")).to_have_attribute("aria-selected", "true")
    assert "impressions.channel=4" in address(page)
    expect(page.locator("#impressions-tab [data-work]:not([hidden])").first).to_be_visible()
    page.go_back()
    shown(page, 4)


def test_by_the_keyboard_sorted_and_where_there_is_no_geometry(visit: Visit) -> None:
    page = opened(visit)
    mosaic = page.locator(".act-sheet .tiles-sheet")
    now = order(page).index(channel(page))
    step = 1 if now == 0 else -1
    mosaic.press("ArrowRight" if step == 1 else "ArrowLeft")
    mosaic.press("Enter")
    shown(page, order(page)[now + step])
    page.locator(".act-picture").press("ArrowRight")  # a box, moved by keys
    page.locator(".act-picture").press("Enter")
    expect(page.locator(".units-found button")).to_have_count(8)
    settled(page)
    assert order(page) != sorted(order(page))
    page.locator("#activations-tab .adjust summary").click()
    page.locator("#activations-tab [name=sort]").select_option("index")
    page.wait_for_function(
        "() => JSON.parse(document.querySelector('.act-sheet .tiles').dataset.tiles).order[1] === 1"
    )
    assert order(page) == sorted(order(page))
    page.locator("#activations-tab [name=layer]").select_option(label="Class scores · 1000 units")
    bars = page.locator(".act-sheet .bars button")
    expect(bars).to_have_count(24)
    expect(page.locator(".act-sheet")).to_contain_text("has no geometry")
    expect(page.locator("[data-pin]")).to_be_disabled()
    bars.nth(1).click()
    expect(bars.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".act-where.still")).to_contain_text("Unit")


def frames(page: Page, more_than: int) -> int:
    """Wait for the camera's frames."""
    page.wait_for_function(
        "(n) => +document.querySelector('[data-frames]')?.dataset.frames > n", arg=more_than
    )
    return int(page.locator("[data-frames]").first.get_attribute("data-frames"))


TRACKS = """() => {
  const devices = navigator.mediaDevices, given = devices.getUserMedia.bind(devices);
  window.tracks = [];
  devices.getUserMedia = async (wanted) => {
    const stream = await given(wanted);
    tracks.push(...stream.getTracks());
    return stream;
  };
}"""


def dark(page: Page) -> bool:
    """Is every camera off that was ever on?"""
    return page.evaluate("() => tracks.length && tracks.every((t) => t.readyState === 'ended')")


def test_the_camera_moves_heat_tiles_and_pins(visit: Visit) -> None:
    page = opened(visit)
    page.click("[data-pin]")
    page.locator(".pin img").wait_for()
    picture = page.locator(".pin img").get_attribute("src")
    place = top(page, ".act-sheet .live, .act-sheet [data-place=sheet]")
    page.evaluate(TRACKS)
    page.evaluate(
        "() => { for (const _ of [1, 2]) document.querySelector('[data-live]').click(); }"
    )
    heat, tiles = page.locator("[data-live-heat]"), page.locator("[data-live-sheet]")
    seen: set[str] = set()
    for _ in range(3):
        frames(page, len(seen) * 3)
        seen.add((heat.get_attribute("src"), tiles.get_attribute("src")))
    assert len(seen) == 3
    boxes = heat.bounding_box(), tiles.bounding_box()
    assert boxes[0]["x"] > boxes[1]["x"] + boxes[1]["width"]  # beside one another
    assert abs(boxes[0]["y"] - place) < 60
    assert page.locator("[data-live-classes] li").count() == 5
    expect(page.locator(".pin img")).not_to_have_attribute("src", picture)
    expect(page.locator("[data-rate]")).to_contain_text("frames/s")
    expect(page.locator("[data-live-title]")).to_contain_text("Grad-CAM of")
    tiles.click(position={"x": 4, "y": 4})
    expect(page.locator("[data-live-title]")).to_contain_text("Unit 0 ·")
    page.click("[data-live]")
    expect(page.locator("[data-state]")).to_have_text("Stopped.")
    assert dark(page)
    settled(page)
    page.click("[data-live]")  # and again
    frames(page, frames(page, 0) + 1)
    page.evaluate("() => seeing.set({ tab: 'maps' })")
    assert dark(page)  # nor does it look on when the visitor leaves
    page.evaluate("() => seeing.set({ tab: 'activations' })")
    expect(page.locator(".pin img")).to_have_attribute("src", picture)
    page.click("[data-live]")
    frames(page, frames(page, 0) + 2)
    page.click("[data-example='espresso.jpg']")  # which it would cover
    expect(page.locator("[data-state]")).to_have_text("Stopped for the photo.")
    assert dark(page)
    page.click("[data-live]")
    frames(page, frames(page, 0) + 2)
    over = "The minute is over."

    def end(route: Route) -> None:
        asked = json.loads(route.request.post_data or "{}")
        if asked.get("fn_name") != "call":
            return route.continue_()
        return route.fulfill(json={"over": over}, status=200)

    page.route(re.compile("component_server"), end)
    expect(page.locator("[data-state]")).to_have_text(over)
    expect(page.locator("[data-live]")).to_have_text("Camera, live")
    assert page.locator("video.live").evaluate("(v) => v.srcObject") is None  # the camera is off


def test_the_surveys_figure_is_a_click_away_while_the_camera_runs(visit: Visit) -> None:
    page = opened(visit)
    page.click("[data-live]")
    frames(page, 1)
    page.click("[data-survey]")
    expect(page.locator("[data-survey]")).to_be_disabled()  # there
    frames(page, frames(page, 0) + 3)  # and the camera goes on
    page.click("[data-live]")
    settled(page)
    assert order(page) == list(range(256))
    expect(page.locator(".act-where b").first).to_contain_text("conv5")
    expect(page.locator("#activations-tab [name=layer] option:checked")).to_have_text(
        "conv5 · 13 × 13, 256 units"
    )
    page.wait_for_function("() => /model=alexnet.*activations.layer=conv5/.test(location.search)")


def test_a_clip_becomes_a_video(visit: Visit, tmp_path: Path) -> None:
    page = opened(visit)
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    page.set_input_files("[data-clip]", bad)
    expect(page.locator("#activations-tab .problem")).to_contain_text("not a video")
    shades = list(range(20, 240, 40))
    expect(page.locator("[data-state]")).to_have_text("")  # nothing stands side by side
    expect(page.locator(".act-clip")).to_be_hidden()
    given = clip(tmp_path / "in.mp4", shades)
    with held(page, "activations.ask"):  # chosen before there is anything
        page.reload()
        page.set_input_files("[data-clip]", given)
        expect(page.locator("[data-state]")).to_contain_text("on its way")
        expect(page.locator("[data-pin]")).to_be_disabled()
    page.locator(".act-clip video").wait_for()
    page.click("[data-clip-close]")
    settled(page)
    with held(page, "activations.act"):  # as long as it is on its way
        page.set_input_files("[data-clip]", given)
        page.locator(".act-clip").wait_for()
        place = top(page, ".act")
    with held(page, "activations.more"):
        page.locator(".act-clip img").wait_for()
        page.locator(".act-clip [data-cancel]").click()
        expect(page.locator(".act-clip .work")).to_contain_text("Stopped")
        page.click("[data-clip-close]")  # which does not make it go on
        expect(page.locator(".act-clip [data-cancel]")).to_have_text("Go on")
        page.set_input_files("[data-clip]", given)
        page.locator(".act-clip img").wait_for()
    expect(page.locator("[data-state]")).to_contain_text(f"{len(shades)} frames", timeout=60_000)
    page.wait_for_function("document.querySelector('.act-clip video')?.readyState >= 2")
    length, width = page.locator(".act-clip video").evaluate("(v) => [v.duration, v.videoWidth]")
    assert length == pytest.approx(len(shades) / 10, abs=0.15)
    assert width == 3 * 64 + 12
    assert abs(top(page, ".act") - place) < 3  # nothing moves when it comes
    with page.expect_download() as download:
        page.click("[data-clip-save]")
    assert download.value.suggested_filename == "seeing-why.mp4"
    page.click("[data-clip-close]")
    expect(page.locator(".act-clip")).to_be_hidden()


def test_on_a_phone_in_the_dark(visit: Visit) -> None:
    page = opened(visit, width=390, height=844, dark=True)
    assert top(page, ".act-sheet canvas") < 700  # photo and mosaic together
    pick_a_tile(page)
    usable(page)
