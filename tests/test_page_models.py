"""The network picker in Chromium, with a Hub in miniature behind it; and the camera."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from skimage import data

from tests.browser import (
    TRANSFORMER,
    Server,
    Visit,
    address,
    cat_jpeg,
    drop,
    heats,
    settled,
)
from tests.chromium import Browsers, opened
from tests.fake_hub import TINY, FakeHub


@pytest.fixture
def page(server: Server, browsers: Browsers) -> Iterator[Page]:
    with browsers.lent() as lent:
        made = opened(lent, server.url)
        made.goto(server.url)
        settled(made)
        yield made


def choose(page: Page, key: str) -> None:
    page.click("[data-networks] summary")
    page.click(f'[data-key="{key}"]')


def test_a_network_that_can_t_be_had_says_why_and_the_page_goes_on(page: Page) -> None:
    page.click(".rail .chip >> nth=1")
    settled(page)
    before, url = heats(page), address(page)
    choose(page, "vgg16")
    expect(page.locator("[data-list] [role=alert]")).to_contain_text("VGG-16")
    expect(page).to_have_url(url)
    settled(page)
    assert heats(page) == before  # what is shown is what the page says it is
    expect(page.locator("[data-network-name] >> nth=1")).to_have_text("EfficientNet-Lite0")
    expect(page.locator("#maps-tab .problem")).to_be_hidden()
    expect(page.locator('[data-key="vgg16"]')).to_contain_text("can’t be had now")
    page.keyboard.press("Escape")
    choose(page, "lite2")  # and with another one it goes on
    expect(page.locator(".rail [data-title]")).to_have_text("EfficientNet-Lite2 sees")
    settled(page)
    assert heats(page) != before


def test_a_link_to_a_network_that_can_t_be_had_shows_no_other_s_answer(
    page: Page, server: Server
) -> None:
    page.goto(f"{server.url}/?model=vgg16")
    problem = page.locator("#maps-tab > .problem")
    expect(problem).to_contain_text("VGG-16")
    expect(page.locator("#maps-tab .maps-bar")).to_be_hidden()  # nothing to set
    expect(page.locator(".rail .chips > *")).to_have_count(0)  # nothing on its way
    expect(page.locator(".rail [data-hint]")).to_contain_text("another network")
    choose(page, "lite0")
    settled(page)
    expect(problem).to_be_hidden()
    expect(page.locator(".rail .chip")).to_have_count(5)


def test_a_typed_network_is_waited_for_and_never_answered_for(
    page: Page, open_hub: FakeHub
) -> None:
    before = heats(page)
    open_hub.repos[TINY].hold = threading.Event()  # the download stops half way
    page.click("[data-networks] summary")
    page.fill("[data-hub-id]", "someone/else")
    page.get_by_role("button", name="Load it").click()
    expect(page.locator("[data-list] [role=alert]")).to_contain_text("timm/")
    page.fill("[data-hub-id]", TINY)
    page.get_by_role("button", name="Load it").click()
    expect(page.locator("#maps-tab .work >> nth=0")).to_contain_text("is on its way")
    expect(page.locator(".rail .ghost")).to_have_count(5)  # no other network’s answer
    expect(page.locator("#maps-tab .stage")).to_have_css("opacity", "0.3")
    assert f"model={TINY.replace('/', '%2F')}" in address(page)
    open_hub.repos[TINY].hold.set()
    expect(page.locator(".rail [data-title]")).to_contain_text("test_resnet")
    settled(page)
    expect(page.locator("#maps-tab .stage")).to_have_css("opacity", "1")
    assert heats(page) != before
    page.click("[data-networks] summary")
    page.fill("[data-hub-id]", TRANSFORMER)
    page.get_by_role("button", name="Load it").click()
    expect(page.locator(".rail [data-title]")).to_contain_text("test_vit")
    # What opens for a transformer, not what the network before had.
    expect(page.locator("#maps-tab .stage figcaption b")).to_have_text(
        ["Grad-CAM", "Attention rollout", "Gradient rollout"]
    )
    expect(page.locator("#maps-tab .stage .absent")).to_have_count(0)


def test_on_a_phone_the_networks_lie_inside_the_window(visit: Visit) -> None:
    page = visit(width=390, height=844)
    settled(page)
    page.click("[data-networks] summary")
    box = page.locator(".menu-body").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


HURRY = "() => document.querySelectorAll('.camera button').forEach((each) => each.click())"
SLOWLY = """() => { const real = OffscreenCanvas.prototype.convertToBlob;
  OffscreenCanvas.prototype.convertToBlob = async function (...how) {
    await new Promise((over) => setTimeout(over, 500));
    return real.apply(this, how);
  };
}"""


@pytest.mark.parametrize(
    ("width", "button"), [(1280, "[data-camera]"), (390, "[data-dock=camera]")]
)
def test_a_photo_from_the_camera(visit: Visit, width: int, button: str) -> None:
    page = visit(width=width)
    settled(page)
    page.locator(button).dblclick()  # in a hurry: shot before it sees, closed before it plays
    page.wait_for_selector("dialog.camera[open]")
    page.evaluate(HURRY)
    page.click(button)
    page.wait_for_function("() => document.querySelector('dialog.camera video').videoWidth")
    box = page.locator("dialog.camera").bounding_box()
    assert box["y"] == pytest.approx(900 - box["y"] - box["height"], abs=2)  # in the middle
    page.evaluate(SLOWLY)
    page.evaluate(HURRY)
    page.click(button)  # for another one, before the first is there
    page.wait_for_function("() => seeing.state.photo?.own && seeing.current()")
    expect(page.locator("dialog.camera")).to_be_visible()
    page.click("[data-stop]")
    settled(page)
    assert page.locator(".rail .chip").count() == 5
    page.click(button)
    page.wait_for_selector("dialog.camera[open]")
    drop(page, cat_jpeg(), "cat.jpg", "image/jpeg")  # instead
    expect(page.locator("dialog.camera")).to_be_hidden()


def test_maps_land_on_a_wide_turned_photo_as_it_is_seen(visit: Visit, tmp_path: Path) -> None:
    wide = np.full((1500, 6000, 3), 128, np.uint8)
    cat = np.asarray(Image.fromarray(data.chelsea()).resize((1900, 1264)))
    wide[100:1364, 4000:5900] = cat
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    turned = Image.fromarray(wide).transpose(Image.Transpose.ROTATE_90)
    path = tmp_path / "wide.jpg"
    turned.save(path, quality=85, exif=exif)
    page = visit()
    settled(page)
    page.set_input_files("[data-file]", path)
    page.wait_for_function("() => seeing.state.photo?.own && seeing.current()")
    settled(page)
    box = page.locator(".stage .picture").first.bounding_box()
    assert box["width"] / box["height"] == pytest.approx(4, rel=0.05)
    said = page.locator(".stage .picture").first.get_attribute("aria-label")
    assert "right" in said.partition(".")[0]  # where the cat is
