"""The Patches tab as a visitor meets it, in Chromium."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Visit, usable
from tests.test_page import FIRST

TAB = "&tab=patches"


def rested(page: Page) -> None:
    """Wait until all patches are read."""
    page.wait_for_selector("#patch-bag .bag-picture")
    page.wait_for_function("() => !document.querySelector('#patch-status progress')")


def bag(page: Page) -> dict:
    return json.loads(page.locator("#patch-bag .bag").get_attribute("data-bag"))


def lit(page: Page, number: int = 1) -> str:
    return page.locator("#patch-bag .bag-picture img").nth(number).get_attribute("src")


def words(page: Page) -> str:
    return page.locator(".bag-words").inner_text()


def type_number(page: Page, selector: str, value: str) -> None:
    field = page.locator(f"{selector} input[type=number]")
    field.fill(value)
    field.press("Tab")


def test_tissue_is_lit_named_pointed_at_and_taken_apart(visit: Visit) -> None:
    page = visit(query=TAB, dark=True)  # no photo yet, and still no empty tab
    rested(page)
    expect(page.locator("#patch-status")).to_contain_text("drop a photo")
    expect(page.locator(".bag-verdict")).to_contain_text("malignant")
    expect(page.locator(".bag-answer")).to_contain_text("no diagnosis")
    expect(page.locator(".bag-answer")).to_contain_text("benign bags light up too")
    titles = page.locator("#patch-bag figcaption b").all_inner_texts()
    assert titles == ["The image", "Attention", "Attention × score", "Grad-CAM"]
    found = bag(page)
    attention, scores, weighted = (values for _, values in found["facts"])
    assert sum(attention) == pytest.approx(1, abs=1e-3)
    assert weighted[5] == pytest.approx(attention[5] * scores[5], rel=1e-2)
    # the drawing is malignant in its lower right corner
    top = found["order"][0]
    assert min(found["boxes"][top][:2]) > 224

    # pointing, and leaving again
    picture = page.locator(".bag-picture").nth(2)
    box = picture.bounding_box()
    picture.hover(position={"x": box["width"] * 0.95, "y": box["height"] * 0.95})
    expect(page.locator(".bag-words")).to_contain_text("Patch 64 of 64")
    assert re.search(r"Attention [\d.]+ %, rank \d+", words(page))
    page.mouse.move(5, 5)
    expect(page.locator(".bag-words")).to_be_hidden()
    # the keyboard: the top patch, then its neighbour
    page.locator(".bag-picture[tabindex]").focus()
    page.keyboard.press("Enter")
    assert f"Patch {top + 1} of 64" in words(page)
    assert "Attention" in words(page)
    assert "rank 1\n" in words(page)
    page.keyboard.press("ArrowLeft")
    assert f"Patch {top} of 64" in words(page)
    page.locator(".bag-top button").nth(1).click()
    assert "rank 2" in words(page)
    usable(page)

    # without the top patches the probability falls
    slider = page.locator(".bag-range")
    slider.focus()
    for _ in range(12):
        slider.press("ArrowRight")
    without = page.locator(".bag-without").inner_text()
    assert "Without its top 12 patches" in without
    assert float(without.split(": ")[1].split()[0]) < 50 < 100 * found["curve"][0]

    # light: three rules, three pictures
    pictures = [lit(page)]
    for rule, says in (("Raw weights", "100 %"), ("As the authors did", "no floor")):
        page.get_by_label(rule).check()
        expect(page.locator(".maps-foot").filter(has_text="Light")).to_contain_text(says)
        pictures.append(lit(page))
    assert len(set(pictures)) == 3

    page.click("#tissue button[data-name=benign]")
    expect(page.locator(".bag-verdict")).to_contain_text("benign")
    rested(page)


def test_an_ordinary_photo_is_lit_for_its_class_on_a_phone(visit: Visit) -> None:
    page = visit(query=f"{TAB}&example={FIRST}&patches.large=200", width=390)
    expect(page.locator(".bag-verdict")).to_contain_text("from the patches")
    rested(page)
    name = page.locator("#chips .chip-name").first.inner_text()
    found = bag(page)
    assert found["facts"][0][0] == name
    assert found["curve"][0] == max(found["facts"][0][1])  # pooled by the maximum
    expect(page.locator("#tissue")).to_have_count(0)
    page.get_by_label("Mean", exact=True).last.check()
    expect(page.locator(".bag-verdict")).to_contain_text("all patches count alike")
    mean = sum(found["facts"][0][1]) / len(found["order"])
    assert bag(page)["curve"][0] == pytest.approx(mean, rel=1e-2)
    # another class costs no new reading, and a row of its own
    page.locator("#chips .chip-add").nth(1).click()
    expect(page.locator("#patch-bag .bag-picture")).to_have_count(5)
    usable(page)


def test_many_patches_stream_can_be_cancelled_and_have_a_limit(visit: Visit) -> None:
    page = visit(query=f"{TAB}&patches.source=tissue&patches.overlap=0.75")
    page.get_by_role("button", name="Read 841 patches").click()
    expect(page.locator("#patch-status")).to_contain_text(re.compile(r"of 841 patches, .* left"))
    page.wait_for_function("() => document.querySelector('.bag-cells')")
    page.click("#patch-cancel")
    expect(page.locator("#patch-status")).to_contain_text("the pictures show those")
    expect(page.locator("#patch-cancel")).to_be_hidden()
    assert len(bag(page)["order"]) < 841
    type_number(page, "#tissue-size", "8")  # nothing of the reading comes after this, either
    problem = page.locator("#patch-status [role=alert]")
    expect(problem).to_contain_text("at most 2,000 can be read: choose patches of")
    page.get_by_label("My photo, which is colon tissue").check()
    expect(problem).to_contain_text("Drop a photo of tissue above first")


def test_the_lesson_grows_stops_and_reads_the_visitors_own_bag(visit: Visit) -> None:
    page = visit(query=TAB)
    expect(page.locator("#own-bag")).to_contain_text("Train the network first")
    type_number(page, "#lesson-seed", "-1")
    page.click("#lesson-go")
    expect(page.locator("#lesson")).to_contain_text("must be a whole number")
    type_number(page, "#lesson-seed", "0")
    page.click("#lesson-go")
    expect(page.locator("#lesson progress")).to_have_attribute("value", re.compile(r"0\.[1-9]"))
    points = page.locator("#lesson polyline").nth(2).get_attribute("points")
    assert len(points.split()) > 3
    expect(page.locator("#lesson .plot")).to_have_count(3)
    page.click("#lesson-cancel")
    expect(page.locator("#own-bag")).to_contain_text("A cross is in it")
    expect(page.locator("#lesson-go")).to_be_enabled()
    before = page.locator("#own-bag img").first.get_attribute("src")
    type_number(page, "#own-crosses", "0")
    expect(page.locator("#own-bag")).to_contain_text("There is no cross")
    assert page.locator("#own-bag img").first.get_attribute("src") != before
    page.get_by_label("My photo, cut in 4 × 4").check()
    expect(page.locator("#own-bag")).to_contain_text("Drop a photo above")
