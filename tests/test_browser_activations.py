"""Activations and filters in a browser: what a visitor clicks, drags, types, films and keeps."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from explainers import filters as kernels
from tests.test_video import clip

FACE = (0.36, 0.08, 0.56, 0.42)


def opened(visit, tab: str = "Activations", photo: str = "astronaut.jpg", **size) -> Page:
    """The tab, with a photo."""
    page = visit(**size)
    page.get_by_role("tab", name=tab).click()
    page.click(f'#examples button[data-name="{photo}"]')
    expect(page.locator(".chip-on")).to_be_visible()
    return page


def channel(page: Page) -> int:
    return int(page.locator("#channel input").input_value())


def order(page: Page) -> list[int]:
    return page.locator("#mosaic .tiles").evaluate("(t) => JSON.parse(t.dataset.order)")


@pytest.mark.parametrize("width", [1280, 390])
def test_a_tile_opens_its_channel(visit, width):
    page = opened(visit, width=width)
    page.locator("#unit .unit-grid").wait_for()
    shape = page.locator("#mosaic .tiles").evaluate(
        "(t) => [+t.dataset.columns, +t.dataset.rows, t.querySelector('img').clientWidth]"
    )
    columns, rows, wide = shape
    assert wide / columns > 20  # a finger finds a tile
    place = columns + 2  # second row, third tile
    tile = page.locator("#mosaic img")
    box = tile.bounding_box()
    at = {"x": box["width"] / columns * 2.9, "y": box["height"] / rows * 1.1}
    tile.click(position=at)
    wanted = order(page)[place]
    expect(page.locator("#channel input")).to_have_value(str(wanted))
    expect(page.locator("#unit figcaption b").first).to_contain_text(f"Channel {wanted} ·")
    mark = page.locator("#mosaic .tiles-mark").bounding_box()
    box = tile.bounding_box()
    assert abs(mark["x"] - box["x"] - box["width"] / columns * 2) < 4
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_face_exercise(visit):
    """Box, unit, pin, another photo: the pin follows; keys and numbers work as well."""
    page = opened(visit)
    page.locator("#unit .unit-grid").wait_for()
    photo = page.locator(".finder-photo")
    photo.scroll_into_view_if_needed()
    box = photo.bounding_box()
    corner = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in
              (FACE[:2], FACE[2:])]  # fmt: skip
    page.mouse.move(*corner[0])
    page.mouse.down()
    page.mouse.move(*corner[1], steps=4)
    page.mouse.up()
    best = page.locator("#found button").first
    best.wait_for()
    found = int(best.get_attribute("data-channel"))
    best.click()
    expect(page.locator("#channel input")).to_have_value(str(found))
    page.click("#pin")
    pin = page.locator(".pin img")
    expect(pin).to_have_count(1)
    before = pin.get_attribute("src")
    page.click('#examples button[data-name="espresso.jpg"]')
    expect(pin).not_to_have_attribute("src", before)
    assert channel(page) == found  # the channel stays chosen, too
    for number in (1, 2, 3):
        page.locator("#channel input").fill(str(number))
        expect(page.locator("#unit figcaption b").first).to_contain_text(f"Channel {number} ·")
        page.click("#pin")
        expect(pin).to_have_count(number + 1)
    page.locator("#channel input").fill("4")
    expect(page.locator("#unit figcaption b").first).to_contain_text("Channel 4 ·")
    page.click("#pin")
    expect(page.locator(".toast-body")).to_contain_text("remove one of them first")
    page.locator(".pin-drop").first.click()
    expect(pin).to_have_count(3)
    mosaic = page.locator("#mosaic .tiles-sheet")
    mosaic.focus()
    now = order(page).index(channel(page))
    step = "ArrowRight" if now == 0 else "ArrowLeft"
    mosaic.press(step)
    mosaic.press("Enter")
    wanted = order(page)[now + (1 if now == 0 else -1)]
    expect(page.locator("#channel input")).to_have_value(str(wanted))


def test_layers_and_sorting(visit):
    page = opened(visit)
    page.locator("#unit .unit-grid").wait_for()
    assert order(page) != sorted(order(page))
    page.get_by_label("Index").first.click()
    expect(page.locator("#mosaic .tiles")).to_have_attribute(
        "data-order", re.compile(r"^\[0, 1, 2, ")
    )
    page.locator("#unit-layer input").click()
    page.get_by_role("option", name="Class scores").click()
    expect(page.locator("#mosaic")).to_contain_text("has no geometry")
    expect(page.locator("#mosaic .bars button")).to_have_count(24)


def test_the_camera_moves_the_tiles(visit):
    page = opened(visit)
    page.locator("#unit .unit-grid").wait_for()
    page.click("#pin")
    page.locator(".pin").wait_for()
    page.get_by_text("Camera: the channels live").click()
    page.click(".live-start")
    tiles = page.locator(".live-mosaic")
    seen = set()
    for _ in range(3):
        page.wait_for_function(
            "(n) => +document.querySelector('[data-frames]')?.dataset.frames > n", arg=len(seen) * 3
        )
        seen.add(tiles.get_attribute("src"))
    assert len(seen) == 3
    assert page.locator(".live-classes li").count() == 5
    assert page.locator(".live-pins img").count() == 1
    expect(page.locator(".live-rate")).to_contain_text("frames/s")
    page.click(".live-stop")
    expect(page.locator(".live-state")).to_have_text("Stopped.")
    frames = page.locator("[data-frames]").first.get_attribute("data-frames")
    page.wait_for_timeout(500)
    assert int(page.locator("[data-frames]").first.get_attribute("data-frames")) <= int(frames) + 1
    page.click(".live-start")  # and again
    page.wait_for_function(
        "(n) => +document.querySelector('[data-frames]').dataset.frames > n", arg=int(frames) + 2
    )


def test_a_clip_becomes_a_video_that_plays(visit, tmp_path: Path):
    page = opened(visit)
    page.locator("#unit .unit-grid").wait_for()
    page.get_by_text("Video: photo, channel and Grad-CAM").click()
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    page.locator("#clip-file input[type=file]").set_input_files(bad)
    page.get_by_text("bad.mp4").or_(page.get_by_text("bad")).first.wait_for()
    page.click("#clip-go")
    expect(page.locator("#clip-status")).to_contain_text("not a video")
    page.locator("#clip-file").get_by_label("Clear").or_(
        page.locator("#clip-file button[aria-label*=emove]")
    ).first.click()
    shades = list(range(20, 240, 20))
    page.locator("#clip-file input[type=file]").set_input_files(clip(tmp_path / "in.mp4", shades))
    page.wait_for_timeout(1500)
    page.click("#clip-go")
    expect(page.locator("#clip-status")).to_contain_text(f"{len(shades)} frames", timeout=60_000)
    video = page.locator("#clip-video video")
    page.wait_for_function("document.querySelector('#clip-video video')?.readyState >= 2")
    length, width = video.evaluate("(v) => [v.duration, v.videoWidth]")
    assert length == pytest.approx(len(shades) / 10, abs=0.15)
    assert width == 3 * 64 + 12


def test_filters_before_and_with_a_photo(visit, lite0):
    page = visit()
    page.get_by_role("tab", name="Filters").click()
    expect(page.locator("#gabor")).to_contain_text("No such claim can be made here")
    expect(page.locator("#filter-panel")).to_contain_text("Drop a photo above")
    page.click('#examples button[data-name="espresso.jpg"]')
    expect(page.locator("#filter-panel")).to_contain_text("On your photo")
    page.get_by_label("Frequency").first.click()
    conv = next(iter(kernels.convolutions(lite0).values()))
    wanted = kernels.order(kernels.weights(lite0, conv.name).numpy(), "frequency")
    expect(page.locator("#filters-grid .tiles")).to_have_attribute("data-order", str(wanted))
    image = page.locator("#filters-grid img")
    box = image.bounding_box()
    image.click(position={"x": box["width"] * 0.99 / 6, "y": 9})
    expect(page.locator("#filter input")).to_have_value(str(wanted[0]))
    page.locator("#conv input").click()
    page.get_by_role("option").nth(5).click()
    expect(page.locator("#filters-grid")).to_contain_text("strongest first")
    names = np.array(page.locator("#filters-grid img").get_attribute("alt").split())
    assert "strongest" in names
