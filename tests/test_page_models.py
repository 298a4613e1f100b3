"""The network picker in Chromium, with a Hub in miniature behind it; and the camera."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from skimage import data

from tests.browser import TRANSFORMER, Server, Visit, example, heats, settled
from tests.fake_hub import TINY, FakeHub


@pytest.fixture
def page(open_server: Server, chromium: Browser) -> Iterator[Page]:
    made = chromium.new_page()
    made.goto(open_server.url)
    made.wait_for_selector("#examples button")
    yield made
    made.close()


def choose(page: Page, title: str) -> None:
    page.locator("#model input").click()
    page.get_by_role("option", name=re.compile(title)).click()


def test_a_network_that_can_t_be_had_says_why_and_the_page_goes_on(page: Page) -> None:
    example(page, "cat.jpg")
    before = heats(page)
    expect(page.locator("#model-news")).to_contain_text("can’t be had now")  # the startup set
    choose(page, "VGG-16")
    expect(page.locator("#model-news [role=alert]")).to_contain_text("VGG-16")
    assert heats(page) == before
    page.locator("#chips .chip-main").nth(1).click()  # the page answers with the old network
    expect(page.locator("#chips .chip-main").nth(1)).to_have_attribute("aria-pressed", "true")


def test_a_typed_network_is_loaded_with_a_progress_bar_and_used(
    page: Page, open_hub: FakeHub
) -> None:
    example(page, "cat.jpg")
    before = heats(page)
    open_hub.repos[TINY].hold = threading.Event()  # the download stops half way
    page.locator("#hub-id input, #hub-id textarea").fill(TINY)
    page.get_by_role("button", name="Load it").click()
    expect(page.locator("#model-news progress")).to_be_visible()
    open_hub.repos[TINY].hold.set()
    expect(page.locator("#chips ul")).to_have_attribute("aria-label", re.compile("test_resnet"))
    changed = "old => document.querySelector('.maps-row img.heat')?.src !== old"
    page.wait_for_function(changed, arg=before[0])
    page.locator("#hub-id input, #hub-id textarea").fill(TRANSFORMER)
    page.get_by_role("button", name="Load it").click()
    expect(page.locator("#model-news")).to_contain_text(re.compile("convolution", re.I))
    page.locator("#hub-id input, #hub-id textarea").fill("someone/else")
    page.get_by_role("button", name="Load it").click()
    expect(page.locator(".toast-body").last).to_contain_text("timm/")


def test_where_it_is_not_allowed_nobody_can_type_a_hub_id(visit: Visit) -> None:
    page = visit()
    assert page.locator("#hub-id").count() == 0


def test_a_photo_from_the_camera(visit: Visit) -> None:
    page = visit()
    page.get_by_role("button", name="Capture from camera").click()
    page.locator("#photo").get_by_text("Click to Access Webcam").click()
    page.locator("#photo video").wait_for()
    page.wait_for_timeout(1000)
    page.get_by_role("button", name="capture photo").click()
    settled(page)
    assert page.locator("#chips .chip:not(.ghost)").count() == 5


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
    page.locator("#photo input[type=file]").set_input_files(path)
    settled(page)
    box = page.locator("button.stack").nth(1).bounding_box()
    assert box["width"] / box["height"] == pytest.approx(4, rel=0.05)
    alt = page.locator("button.stack img").nth(1).get_attribute("alt")
    assert alt.endswith("right")  # where the cat is
