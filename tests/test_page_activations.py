"""Activations and filters in a browser: what a visitor clicks, drags, types, films and keeps."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from explainers import Question, render
from explainers import filters as kernels
from explainers.units.strongest import Strongest
from tabs import html
from tabs.activations import Activations
from tabs.live import Live
from tests import nets
from tests.browser import Visit, usable
from tests.test_video import clip

HERE = "&tab=activations&example=astronaut.jpg"
FACE = (0.36, 0.08, 0.56, 0.42)
SERVER = re.compile("component_server")  # where the frames go


def opened(visit: Visit, **size: object) -> Page:
    """The Activations tab, with a photo and a channel."""
    page = visit(query=HERE, **size)
    page.locator("#unit .unit-examples img").first.wait_for()  # drawn to the end
    return page


def channel(page: Page) -> int:
    return int(page.locator("#channel input").input_value())


def order(page: Page) -> list[int]:
    return page.locator("#mosaic .tiles").evaluate("(t) => JSON.parse(t.dataset.order)")


def shown(page: Page, number: int) -> None:
    """Wait until this channel is chosen and seen closely."""
    expect(page.locator("#channel input")).to_have_value(str(number))
    expect(page.locator("#unit figcaption b").first).to_contain_text(f"Channel {number} ·")


def pick_a_tile(page: Page) -> None:
    """The third tile of the second row opens its channel, and is marked."""
    columns, rows, wide = page.locator("#mosaic .tiles").evaluate(
        "(t) => [+t.dataset.columns, +t.dataset.rows, t.querySelector('img').clientWidth]"
    )
    assert wide / columns > 20  # a finger finds a tile
    tile, wanted = page.locator("#mosaic img"), order(page)[columns + 2]
    box = tile.bounding_box()
    tile.click(position={"x": box["width"] / columns * 2.5, "y": box["height"] / rows * 1.5})
    shown(page, wanted)
    mark, box = page.locator("#mosaic .tiles-mark").bounding_box(), tile.bounding_box()
    assert abs(mark["x"] - box["x"] - box["width"] / columns * 2) < 4


def test_the_face_exercise(visit: Visit) -> None:
    """Tile, box, unit, pin, another photo: the pin follows; keys and numbers work as well."""
    page = opened(visit)
    pick_a_tile(page)
    with page.expect_download() as download:
        page.locator("#mosaic .tiles-save").click()
    mosaic = Image.open(Path(download.value.path()))
    assert mosaic.width == int(page.locator("#mosaic img").get_attribute("width"))
    photo = page.locator(".finder-photo")
    photo.scroll_into_view_if_needed()
    box = photo.bounding_box()
    corners = [
        (box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (FACE[:2], FACE[2:])
    ]
    page.mouse.move(*corners[0])
    page.mouse.down()
    page.mouse.move(*corners[1], steps=4)
    page.mouse.up()
    best = page.locator("#found button").first
    best.wait_for()
    found = int(best.get_attribute("data-channel"))
    best.click()
    shown(page, found)
    page.click("#pin")
    pin = page.locator(".pin img")
    expect(pin).to_have_count(1)
    before = pin.get_attribute("src")
    page.click('#examples button[data-name="espresso.jpg"]')
    expect(pin).not_to_have_attribute("src", before)
    assert channel(page) == found  # the channel stays chosen, too
    for number in (1, 2, 3, 4):
        page.locator("#channel input").fill(str(number))
        shown(page, number)
        page.click("#pin")
        if number < 4:
            expect(pin).to_have_count(number + 1)
    expect(page.locator(".toast-body")).to_contain_text("remove one of them first")
    page.locator(".pin-drop").first.click()
    expect(pin).to_have_count(3)
    # from the keyboard
    mosaic = page.locator("#mosaic .tiles-sheet")
    mosaic.focus()
    now = order(page).index(channel(page))
    step = 1 if now == 0 else -1
    mosaic.press("ArrowRight" if step == 1 else "ArrowLeft")
    mosaic.press("Enter")
    shown(page, order(page)[now + step])
    # sorted, and where there is no geometry
    assert order(page) != sorted(order(page))
    page.get_by_label("Index").first.click()
    tiles = page.locator("#mosaic .tiles")
    expect(tiles).to_have_attribute("data-order", re.compile(r"^\[0, 1, 2, "))
    page.locator("#unit-layer input").click()
    page.get_by_role("option", name="Class scores").click()
    expect(page.locator("#mosaic")).to_contain_text("has no geometry")
    expect(page.locator("#mosaic .bars button")).to_have_count(24)


def frames(page: Page, more_than: int) -> int:
    """Wait for the camera's frames."""
    page.wait_for_function(
        "(n) => +document.querySelector('[data-frames]')?.dataset.frames > n", arg=more_than
    )
    return int(page.locator("[data-frames]").first.get_attribute("data-frames"))


def test_the_camera_moves_the_tiles_and_a_clip_becomes_a_video(
    visit: Visit, tmp_path: Path
) -> None:
    page = opened(visit)
    page.click("#pin")
    page.locator(".pin").wait_for()
    page.get_by_text("Camera: the channels live").click()
    page.click(".live-start")
    tiles, seen = page.locator(".live-mosaic"), set()
    for _ in range(3):
        frames(page, len(seen) * 3)
        seen.add(tiles.get_attribute("src"))
    assert len(seen) == 3
    assert page.locator(".live-classes li").count() == 5
    assert page.locator(".live-pins img").count() == 1
    expect(page.locator(".live-rate")).to_contain_text("frames/s")
    page.click(".live-stop")
    expect(page.locator(".live-state")).to_have_text("Stopped.")
    begun = frames(page, 0)
    page.click(".live-start")  # and again
    frames(page, begun + 2)
    over = "The minute is over."

    def end(route: Route) -> None:
        route.fulfill(json={"over": over}, status=200)

    page.route(SERVER, end)
    expect(page.locator(".live-state")).to_have_text(over)
    expect(page.locator(".live-start")).to_be_enabled()
    assert page.locator(".live-video").evaluate("(v) => v.srcObject") is None  # the camera is off
    page.unroute(SERVER)

    page.get_by_text("Video: photo, channel and Grad-CAM").click()
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    chooser = page.locator("#clip-file input[type=file]")
    chooser.set_input_files(bad)
    page.locator("#clip-file .file-preview").wait_for()
    page.click("#clip-go")
    expect(page.locator("#clip-status")).to_contain_text("not a video")
    expect(page.locator("#clip-cancel")).to_be_disabled()
    page.locator("#clip-file").get_by_label("Clear").or_(
        page.locator("#clip-file button[aria-label*=emove]")
    ).first.click()
    shades = list(range(20, 240, 40))
    chooser.set_input_files(clip(tmp_path / "in.mp4", shades))
    page.locator("#clip-file .file-preview").wait_for()
    page.click("#clip-go")
    expect(page.locator("#clip-status")).to_contain_text(f"{len(shades)} frames", timeout=60_000)
    video = page.locator("#clip-video video")
    page.wait_for_function("document.querySelector('#clip-video video')?.readyState >= 2")
    length, width = video.evaluate("(v) => [v.duration, v.videoWidth]")
    assert length == pytest.approx(len(shades) / 10, abs=0.15)
    assert width == 3 * 64 + 12


def test_on_a_phone_tiles_and_filters_before_and_with_a_photo(visit: Visit, lite0) -> None:
    page = visit(width=390, dark=True, query="&tab=filters")
    expect(page.locator("#gabor")).to_contain_text("No such claim can be made here")
    expect(page.locator("#filter-panel")).to_contain_text("Drop a photo above")
    page.click('#examples button[data-name="espresso.jpg"]')
    expect(page.locator("#filter-panel")).to_contain_text("On your photo")
    page.get_by_label("Frequency").first.click()
    conv = next(iter(kernels.convolutions(lite0).values()))
    wanted = kernels.order(kernels.weights(lite0, conv.name).numpy(), "frequency")
    expect(page.locator("#filters-grid .tiles")).to_have_attribute("data-order", str(wanted))
    image = page.locator("#filters-grid img")
    image.click(position={"x": image.bounding_box()["width"] * 0.99 / 6, "y": 9})
    expect(page.locator("#filter input")).to_have_value(str(wanted[0]))
    expect(page.locator("#filter-panel figcaption b").first).to_have_text(f"Filter {wanted[0]}")
    usable(page)
    deeper = list(kernels.convolutions(lite0).values())[5]
    values = kernels.weights(lite0, deeper.name).numpy()
    page.locator("#conv input").click()
    page.get_by_role("option").nth(5).click()
    expect(page.locator("#filters-grid")).to_contain_text("strongest first")
    read = [int(i) for i, *_ in kernels.slices(values, wanted[0], 8)]
    names = page.locator("#filter-panel .bar-name")
    expect(names).to_have_text([f"Channel {i}" for i in read])
    page.locator(".overflow-menu > button").click()
    page.locator(".overflow-dropdown button", has_text="Activations").click()
    page.locator("#unit .unit-examples img").first.wait_for()
    pick_a_tile(page)
    usable(page)


def test_a_stream_ends_after_a_minute_and_can_be_started_again(lite0) -> None:
    now = [5.0]
    camera = Live(SimpleNamespace(get=lambda _key: lite0), Strongest(list), lambda: now[0])
    picture = np.random.default_rng(1).integers(0, 255, (24, 32, 3), np.uint8)
    frame = {
        **camera.ticket({}),
        "image": html.data_url(render.jpeg(picture), "jpeg"),
        "layer": "bn2",
        "pins": [["bn2", 3]],
    }
    assert len(camera.frame(frame)["pins"]) == 1
    now[0] += 59
    assert "mosaic" in camera.frame(frame)
    now[0] += 2
    assert "minute is over" in camera.frame(frame)["over"]
    again = frame | camera.ticket({})
    assert "mosaic" in camera.frame(again)
    with camera._turn:  # another visitor's frame is being looked at: this one is not queued
        assert camera.frame(again) == {"late": True}
    for wrong in ({"image": "data:,"}, {"layer": "none"}, {"pins": [["bn2", 10**6]]}, {"gain": -1}):
        said = camera.frame(again | wrong)["over"]
        assert "/" not in said
        assert said.endswith(".")
    assert "over" in camera.frame(None)


def test_a_layer_of_another_network_gives_way_to_one_of_this(lite0, resnet18) -> None:
    """Until the list of layers follows a change of network, the old one's layer is asked for."""

    def question(*_given: object) -> Question:
        return Question(resnet18, resnet18.view(nets.noise(1, 3, 64, 64)), (0,), resnet18.last)

    tab = Activations(SimpleNamespace(question=question))
    layers = [tab.question(None, "", [0], None, "whole", name).layer for name in lite0.maps]
    assert set(layers) <= resnet18.maps.keys()
    assert tab.question(None, "", [0], None, "whole", "layer2").layer == "layer2"


def test_the_examples_are_looked_at_once(resnet18, photo) -> None:
    asked = []
    strongest = Strongest(lambda: asked.append(1) or [photo])
    assert strongest.ask(resnet18) is None
    strongest._worker.shutdown()  # waits
    first = strongest.ask(resnet18)
    assert first.keys() == resnet18.maps.keys()
    assert strongest.ask(resnet18) is first
    assert asked == [1]
