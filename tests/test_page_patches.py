"""The Patches tab as a visitor meets it, in Chromium."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Visit, address
from tests.usable import usable


def rested(page: Page) -> None:
    """Wait until all patches are read."""
    page.wait_for_selector("#patches-tab .bag-picture")
    page.wait_for_function("() => !document.querySelector('#patches-tab.busy')")


def words(page: Page) -> str:
    return page.locator(".bag-words").inner_text()


def test_tissue_is_pointed_at_taken_apart_and_lit_in_other_ways(visit: Visit) -> None:
    page = visit(query="&tab=patches&patches.source=tissue", dark=True)
    rested(page)
    expect(page.locator(".bag-verdict")).to_contain_text("malignant")
    found = json.loads(page.locator(".bag").get_attribute("data-bag"))
    top = found["order"][0]
    picture = page.locator(".bag-picture").nth(2)
    box = picture.bounding_box()
    picture.hover(position={"x": box["width"] * 0.95, "y": box["height"] * 0.95})
    expect(page.locator(".bag-words")).to_contain_text("Patch 64 of 64")
    assert re.search(r"Attention [\d.]+\s%, rank \d+", words(page))
    page.mouse.move(5, 5)
    expect(page.locator(".bag-words")).to_be_hidden()
    page.locator(".bag-picture[tabindex]").focus()  # the keyboard: the top patch, its neighbour
    page.keyboard.press("Enter")
    assert f"Patch {top + 1} of 64" in words(page)
    page.keyboard.press("ArrowLeft")
    assert f"Patch {top} of 64" in words(page)
    page.locator(".bag-top button").nth(1).click()
    assert "rank 2" in words(page)
    slider = page.locator(".bag-range")  # without the top patches the probability falls
    slider.fill("12")
    without = page.locator(".bag-without").inner_text()
    assert "Without its top 12 patches" in without
    assert float(without.split(": ")[1].split()[0]) < 50 < 100 * found["curve"][0]
    usable(page)
    before = page.locator(".bag-picture img").nth(1).get_attribute("src")
    page.click("#patches-tab .adjust summary")
    page.select_option("[name=light]", "raw")
    expect(page.locator(".bag .maps-foot")).to_contain_text("100 %")
    assert page.locator(".bag-picture img").nth(1).get_attribute("src") != before
    page.click("[data-tissue=benign]")
    expect(page.locator(".bag-verdict")).to_contain_text("benign")
    assert "patches.tissue=benign" in address(page)


def test_a_photo_on_a_phone_and_the_lesson(visit: Visit) -> None:
    page = visit(query="&tab=patches&example=cat.jpg&patches.large=200", width=390, height=844)
    rested(page)
    expect(page.locator(".bag-verdict")).to_contain_text("from the patches")
    expect(page.locator(".tissue")).to_be_hidden()
    dot, thumb = (page.locator(f".bag-curve {each}").bounding_box() for each in ("circle", "input"))
    middle = dot["x"] + dot["width"] / 2
    assert middle == pytest.approx(thumb["x"] + 8, abs=2)  # the one above the other
    usable(page)
    expect(page.locator("[data-place=own]")).to_contain_text("Train the network first")
    page.click("[data-learn]")
    expect(page.locator("[data-place=lesson] polyline")).to_have_count(3)
    page.locator("[data-cancel]:visible").click()
    expect(page.locator("[data-place=own]")).to_contain_text("A cross is in it")
