"""The page as a visitor meets it, in Chromium."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from skimage import data

from tests.browser import (
    Visit,
    drop,
    example,
    heats,
    settled,
    usable,
)

HERE = Path(__file__).parent
EXAMPLES = json.loads((HERE.parent / "assets/examples/examples.json").read_text("utf-8"))
FIRST, SECOND = EXAMPLES[0]["file"], EXAMPLES[1]["file"]
MAPS = ["CAM", "Grad-CAM", "Guided backprop", "Guided Grad-CAM"]


def cat_jpeg(**more: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(data.chelsea()).save(file, "JPEG", quality=92, **more)
    return file.getvalue()


def titles(page: Page) -> list[str]:
    return page.locator(".maps-row").first.locator("figcaption b").all_inner_texts()


def test_a_dropped_photo_shows_five_chips_and_its_maps(visit: Visit) -> None:
    page = visit()
    drop(page, cat_jpeg(), "my cat.jpg", "image/jpeg")
    settled(page)
    assert page.locator("#chips .chip").count() == 5
    assert "cat" in page.locator("#chips .chip-name").first.inner_text()
    assert titles(page) == ["Photo", *MAPS]
    assert len(heats(page)) == len(MAPS)
    expect(page.locator(".maps-foot")).to_contain_text("CAM and Grad-CAM are the same map here")
    expect(page.locator("#closer img").first).to_be_visible()


def test_another_class_another_picture_and_several_rows(visit: Visit) -> None:
    page = visit()
    example(page, FIRST)
    first = heats(page)
    page.locator("#chips .chip-main").nth(3).click()
    other = page.locator("#chips .chip-name").nth(3).inner_text()
    expect(page.locator(".maps-row h3")).to_contain_text(other)
    settled(page)
    assert heats(page)[1] != first[1]
    page.locator("#chips .chip-add").nth(0).click()
    expect(page.locator(".maps-row")).to_have_count(2)
    # a class that is not among the five, by its name
    typed = page.locator("#targets input")
    typed.click()
    typed.press_sequentially("volcano", delay=10)
    typed.press("Enter")
    expect(page.locator(".maps-row")).to_have_count(3)
    expect(page.locator(".maps-row h3").nth(2)).to_contain_text("volcano")
    assert page.locator("#chips .chip-on").count() == 3


def test_why_this_and_not_that(visit: Visit) -> None:
    page = visit()
    example(page, FIRST)
    before = heats(page)
    against = page.locator("#against input")
    against.click()
    against.press_sequentially("volcano", delay=10)
    against.press("Enter")
    against.blur()
    expect(page.locator(".maps-row h3")).to_contain_text("and not volcano")
    settled(page)
    assert heats(page)[1] != before[1]
    expect(page.locator(".legend")).to_contain_text("speaks against it")
    against.click()
    against.fill("")
    against.press_sequentially("no such beast", delay=10)
    against.press("Enter")
    against.blur()
    expect(page.locator("#message [role=alert]")).to_contain_text("knows no class")


def test_a_bad_file_gets_a_sentence_and_nothing_is_lost(visit: Visit) -> None:
    many = cv2.imencode(".png", np.zeros((11_000, 11_000), np.uint8))[1].tobytes()
    page = visit()
    example(page, FIRST)
    before = heats(page)
    problem = page.locator("#message [role=alert]")
    text = ""
    for name, content in (
        ("broken.jpg", cat_jpeg()[:300] + bytes(500)),
        ("bomb.png", many),  # few bytes, 121 million pixels
        ("notes.png", b"these are words, not a picture"),
    ):
        drop(page, content, name, "image/png")
        page.wait_for_function(
            "old => { const now = document.querySelector('#message [role=alert]'); "
            "return now && now.innerText !== old; }",
            arg=text,
        )
        text = problem.inner_text()
        assert ("megapixel" in text) == (name == "bomb.png")
        assert 1 <= text.count(".") <= 2
        assert "/" not in text.replace("and/or", "")
        assert "Traceback" not in text
        assert heats(page) == before
    drop(page, cat_jpeg(), "cat.jpg", "image/jpeg")
    expect(problem).to_have_count(0)
    settled(page)


def test_methods_layers_scale_and_colours_change_the_maps(visit: Visit) -> None:
    page = visit()
    example(page, FIRST)
    page.get_by_label("LayerCAM").check()
    expect(page.locator("figcaption b", has_text="LayerCAM")).to_be_visible()
    page.get_by_label("Guided backprop", exact=True).uncheck()
    expect(page.locator("figcaption b", has_text=re.compile("^Guided backprop$"))).to_have_count(0)
    settled(page)
    before = heats(page)
    page.get_by_text("More settings").click()
    layer = page.locator("#layer input")
    layer.click()
    page.get_by_role("option", name=re.compile("Stage 5")).click()
    expect(page.locator(".maps-foot")).not_to_contain_text("the same map here")
    settled(page)
    after = heats(page)
    assert after[0] == before[0]  # CAM has no layer to choose
    assert after[1] != before[1]
    page.get_by_label("Opacity").first.fill("0.3")
    page.get_by_label("Opacity").first.press("Enter")
    page.wait_for_function(
        "() => +getComputedStyle(document.querySelector('img.heat')).opacity < 0.35"
    )


def test_a_slow_method_grows_and_can_be_cancelled(visit: Visit) -> None:
    page = visit()
    example(page, FIRST)
    page.get_by_label("Integrated gradients").check()
    page.wait_for_selector(".stack progress")
    page.click("#cancel")
    page.wait_for_timeout(1500)
    kept = page.locator(".stack progress").get_attribute("value")
    page.wait_for_timeout(1500)
    assert page.locator(".stack progress").get_attribute("value") == kept
    assert 0 < float(kept) < 1


def test_downloads_hold_the_maps_and_nothing_of_the_photo_s_metadata(visit: Visit) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    page = visit()
    drop(page, cat_jpeg(exif=exif), "cat.jpg", "image/jpeg")
    settled(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the panel (PNG)").click()
    content = Path(download.value.path()).read_bytes()
    panel = Image.open(io.BytesIO(content))
    assert panel.width > panel.height
    assert b"SecretCamera" not in content
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the raw maps (.npz)").click()
    with np.load(download.value.path()) as arrays:
        about = json.loads(str(arrays["about"]))
        assert [each["method"] for each in about] == ["cam", "gradcam", "guided", "guided_gradcam"]
        assert arrays["gradcam"].shape[0] == 1
        assert arrays["guided"].shape[1] == 3
    shown = page.locator("#photo img").first.get_attribute("src")
    assert b"SecretCamera" not in page.request.get(shown).body()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_no_serious_accessibility_violation(visit: Visit, width: int, dark: bool) -> None:
    page = visit(width=width, dark=dark)
    example(page, SECOND)
    page.wait_for_timeout(500)
    usable(page)


def test_chips_and_maps_work_from_the_keyboard(visit: Visit) -> None:
    page = visit()
    page.locator("#examples button").first.focus()
    page.keyboard.press("Enter")
    settled(page)
    second = page.locator("#chips .chip-main").nth(1)
    second.focus()
    page.keyboard.press("Space")
    expect(page.locator("#chips .chip-main").nth(1)).to_have_attribute("aria-pressed", "true")
    chosen = page.locator("#chips .chip-name").nth(1).inner_text()
    expect(page.locator("#closer")).to_contain_text(chosen)  # drawn to the end
    page.locator("button.stack").last.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#closer")).to_contain_text("Guided Grad-CAM")


def test_two_visitors_see_their_own_photos(visit: Visit) -> None:
    one, two = visit(), visit()
    one.click(f'#examples button[data-name="{FIRST}"]')
    two.click(f'#examples button[data-name="{SECOND}"]')
    settled(one)
    settled(two)
    names = [page.locator("#chips .chip-name").first.inner_text() for page in (one, two)]
    assert names[0] != names[1]
    assert heats(one) != heats(two)
