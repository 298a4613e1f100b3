"""The Compare tab and links, in Chromium."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from explainers import METHODS, load, photo
from explainers.api import question
from explainers.comparison import Comparison, applicable
from tests.browser import ROOT, Server, Visit
from tests.test_page_models import choose, hub, open_server  # noqa: F401  fixtures
from tests.test_zoo import TINY

TWO = "&tab=compare&example=cat.jpg&framing=crop&compare.methods=gradcam,guided"


def measured(page: Page, count: int = 1) -> None:
    """Wait until the scores are in the cards and nothing is under way."""
    last = page.locator("#compare-grid .compare-figures").nth(count - 1)
    expect(last).to_be_visible(timeout=120_000)  # a busy machine
    page.wait_for_function(
        "() => !document.querySelector('#compare-state').innerText.trim()", timeout=120_000
    )


def order(page: Page) -> list[str]:
    cards = "all => all.map((card) => card.dataset.method)"
    return page.eval_on_selector_all("#compare-grid .compare-card", cards)


def figures(page: Page, method: str) -> dict[str, str]:
    card = page.locator(f'#compare-grid .compare-card[data-method="{method}"]')
    names = card.locator("dt").all_inner_texts()
    return dict(zip(names, card.locator("dd").all_inner_texts(), strict=True))


def test_every_method_is_in_the_grid_and_the_scores_are_those_of_python(visit: Visit) -> None:
    page = visit(query=TWO)
    measured(page, 2)
    assert order(page) == ["gradcam", "guided"]
    offered = page.locator("#compare-methods input").count()
    assert offered == len(METHODS)
    assert page.locator("#compare-methods input:checked").count() == 2
    network = load("lite0")
    asked = question(network, photo.read(ROOT / "assets/examples/cat.jpg"), framing="crop")
    found = Comparison(asked, ["gradcam", "guided"])
    for work in (found.draw(), found.measure()):
        list(work)
    for method in found.methods:
        shown = figures(page, method)
        expected = found.figures(method)
        assert shown["Deletion"].startswith(f"{expected['deletion']:.2f}")
        assert shown["Insertion"].startswith(f"{expected['insertion']:.2f}")
    # sorted by deletion: the order follows the scores
    page.locator("#compare-sort input").click()
    page.get_by_role("option", name="Deletion").click()
    page.wait_for_function(
        "want => document.querySelector('#compare-grid .compare-card').dataset.method === want",
        arg=found.sorted("deletion")[0],
    )
    expect(page.locator(".compare-matrix th[scope=row]")).to_have_text(
        ["Grad-CAM", "Guided backprop"]
    )
    expect(page.locator("#compare-scores .details")).to_contain_text("can’t they say")


def test_all_methods_but_the_slow_ones_are_ticked_at_first(visit: Visit) -> None:
    page = visit(query="&tab=compare")
    expect(page.locator("#compare-methods input:checked")).to_have_count(len(applicable()))


def test_a_box_by_mouse_and_by_numbers(visit: Visit) -> None:
    page = visit(query=TWO)
    measured(page, 2)
    assert "Strongest place" not in figures(page, "gradcam")
    page.locator("#compare-box > button").click()
    area = page.locator(".box-photo")
    area.scroll_into_view_if_needed()
    at = area.bounding_box()
    page.mouse.move(at["x"] + 2, at["y"] + 2)
    page.mouse.down()
    page.mouse.move(at["x"] + at["width"] * 0.05, at["y"] + at["height"] * 0.05, steps=3)
    page.mouse.up()
    card = page.locator('.compare-card[data-method="gradcam"]')
    expect(card).to_contain_text("outside")
    numbers = page.locator("#box input")
    for side, value in enumerate(("0", "0", "100", "100")):
        numbers.nth(side).fill(value)
    numbers.nth(3).press("Tab")
    expect(card).to_contain_text("inside")
    expect(card).to_contain_text("100%")
    page.get_by_role("button", name="Remove the box").click()
    expect(card).not_to_contain_text("Strongest place")


def test_forgetting_is_streamed_stage_by_stage_and_judged(visit: Visit) -> None:
    page = visit(query=TWO)
    measured(page, 2)
    page.locator("#compare-sanity > button").click()
    page.click("#compare-forget")
    expect(page.locator(".compare-sanity th[scope=col]").nth(1)).to_have_text("The head")
    expect(page.locator("#compare-forgotten .notice")).to_contain_text(
        "Guided backprop (", timeout=90_000
    )
    assert page.locator(".compare-sanity tr").nth(1).locator("img").count() > 5


def test_a_method_opens_in_its_own_tab_and_a_link_brings_it_all_back(visit: Visit) -> None:
    page = visit(query=TWO + "&target=281,282&compare.colours=Viridis")
    measured(page, 2)
    page.get_by_role("button", name="Open Guided backprop in Maps").click()
    expect(page.get_by_role("tab", name="Maps")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".maps-row").first.locator("figcaption b")).to_have_text(
        ["Photo", "Guided backprop"]
    )
    page.get_by_role("button", name="Copy a link").click()
    field = page.locator("#link textarea, #link input")
    expect(field).to_have_value(re.compile("^http"))
    link = field.input_value()
    assert "maps.colours=Viridis" in link
    assert "target=281%2C282" in link
    assert "example=cat.jpg" in link
    other = visit(query="&" + link.partition("?")[2])
    expect(other.locator(".maps-row")).to_have_count(2)
    expect(other.locator(".maps-row").first.locator("figcaption b")).to_have_text(
        ["Photo", "Guided backprop"]
    )
    expect(other.locator("#chips .chip-on")).to_have_count(2)
    expect(other.locator("#framing input[value=crop]")).to_be_checked()


def test_a_link_that_means_nothing_harms_nothing(visit: Visit) -> None:
    page = visit(
        query="&model=../../etc&tab=nowhere&example=../x.jpg&target=99999,x&maps.methods=evil"
        "&maps.layer=<script>&maps.colours=Pink"
    )
    expect(page.get_by_role("tab", name="Maps")).to_have_attribute("aria-selected", "true")
    page.click('#examples button[data-name="cat.jpg"]')
    expect(page.locator(".maps-row img.heat").first).to_be_visible()


def test_the_report_is_one_click(visit: Visit) -> None:
    page = visit(query=TWO)
    measured(page, 2)
    with page.expect_download() as download:
        page.click("#compare-report")
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as archive:
        numbers = json.loads(archive.read("scores.json"))
        assert {"report.html", "maps.npz", "maps/guided.png"} <= set(archive.namelist())
    assert list(numbers["methods"]) == ["gradcam", "guided"]
    assert numbers["methods"]["gradcam"]["insertion"] > 0


def test_two_classes_and_two_photos_side_by_side(visit: Visit) -> None:
    page = visit(query=TWO + "&compare.beside=class&compare.class=lynx, catamount")
    expect(page.locator(".compare-side h3")).to_have_count(2)
    expect(page.locator(".compare-side h3").nth(1)).to_contain_text("lynx")
    measured(page, 4)
    maps = page.eval_on_selector_all('[data-method="gradcam"] img', "all => all.map((i) => i.src)")
    assert maps[0] != maps[1]
    page.locator("#compare-beside > button").click()
    page.get_by_label("Another photo").check()
    page.get_by_label("That photo").click()
    page.get_by_role("option", name="Espresso").first.click()
    shape = "all => all.map((side) => side.style.getPropertyValue('--photo'))"
    page.wait_for_function(
        "() => new Set([...document.querySelectorAll('.compare-side')]"
        ".map((s) => s.style.getPropertyValue('--photo'))).size === 2"
    )
    assert len(set(page.eval_on_selector_all(".compare-side", shape))) == 2


@pytest.fixture
def page_with_hub(open_server: Server, chromium: Browser) -> Iterator[Page]:  # noqa: F811
    made = chromium.new_page()
    made.goto(f"{open_server.url}/?{TWO}")
    made.wait_for_selector("#examples button")
    yield made
    made.close()


def test_two_networks_side_by_side(page_with_hub: Page) -> None:
    page = page_with_hub
    page.locator("#hub-id input, #hub-id textarea").fill(TINY)
    page.get_by_role("button", name="Load it").click()
    expect(page.locator("#chips ul")).to_have_attribute("aria-label", re.compile("test_resnet"))
    choose(page, "EfficientNet-Lite0")
    expect(page.locator("#chips ul")).to_have_attribute("aria-label", re.compile("Lite0"))
    page.locator("#compare-beside > button").click()
    page.get_by_label("Another network").check()
    page.locator("#compare-network input").click()
    page.get_by_role("option", name=re.compile("test_resnet")).click()
    expect(page.locator(".compare-side h3").nth(1)).to_contain_text("test_resnet")
    expect(page.locator(".compare-side").nth(1).locator("img.compare-map").first).to_be_visible()


@pytest.mark.parametrize(("width", "dark"), [(1280, True), (390, False)])
def test_no_serious_accessibility_violation(visit: Visit, width: int, dark: bool) -> None:
    page = visit(width=width, dark=dark, query=TWO)
    measured(page, 2)
    page.locator("#compare-box > button").click()
    page.wait_for_timeout(500)
    found = Axe().run(page).response["violations"]
    serious = [
        (each["id"], [node["html"][:160] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert not serious
    overflow = page.evaluate(
        "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert overflow <= 0
