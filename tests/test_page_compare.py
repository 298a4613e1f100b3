"""The Compare tab and links, in Chromium; few visits, each with much to see."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from explainers import METHODS, load, photo
from explainers.api import question
from explainers.scores.comparison import Comparison, applicable
from tests.browser import ROOT, TWIN, Server, Visit, usable
from tests.test_page_models import choose

CAT = "&tab=compare&example=cat.jpg&framing=crop&compare.methods="
TWO = CAT + "gradcam,guided"
BUSY = 120_000  # ms that a busy machine may take


def measured(page: Page, count: int) -> None:
    """Wait until the scores are in the cards and nothing is under way."""
    last = page.locator("#compare-grid .compare-figures").nth(count - 1)
    expect(last).to_be_visible(timeout=BUSY)
    under_way = page.locator("#compare-state progress, #compare-state .notice")
    expect(under_way).to_have_count(0, timeout=BUSY)


def figures(page: Page, method: str) -> dict[str, str]:
    card = page.locator(f'#compare-grid .compare-card[data-method="{method}"]')
    names = card.locator("dt").all_inner_texts()
    return dict(zip(names, card.locator("dd").all_inner_texts(), strict=True))


def pick(page: Page, field: str, option: str | re.Pattern[str]) -> None:
    page.locator(f"{field} input").click()
    page.get_by_role("option", name=option).first.click()


def test_scores_are_those_of_python_sorted_boxed_and_reported(visit: Visit) -> None:
    page = visit(query=TWO, dark=True)
    measured(page, 2)
    assert page.locator("#compare-methods input").count() == len(METHODS)
    network = load("lite0")
    asked = question(network, photo.read(ROOT / "assets/examples/cat.jpg"), framing="crop")
    found = Comparison(asked, ["gradcam", "guided"])
    for work in (found.draw(), found.measure()):
        list(work)
    for method in found.methods:
        shown, expected = figures(page, method), found.figures(method)
        for name in ("Deletion", "Insertion"):
            value, floor = shown[name].replace("\n", " ").split(" random ")
            assert value == f"{expected[name.lower()]:.2f}"
            assert floor == f"{expected[name.lower() + '_floor']:.2f}"
        assert shown["Gain"] == f"{expected['gain']:+.3f}"
        assert "Strongest place" not in shown
    rows = page.locator(".compare-matrix th[scope=row]")
    expect(rows).to_have_text(["Grad-CAM", "Guided backprop"])
    expect(page.locator("#compare-scores .details")).to_contain_text("can’t they say")
    worst = found.sorted("gain")[-1]  # sorting by time or area may leave the order as it was
    by = next(key for key in ("insertion", "deletion", "gain") if found.sorted(key)[0] != worst)
    pick(page, "#compare-sort", re.compile(by, re.I))
    page.wait_for_function(
        "want => document.querySelector('#compare-grid .compare-card').dataset.method === want",
        arg=found.sorted(by)[0],
    )

    # a box, with the mouse and as numbers
    page.locator("#compare-box > button").click()
    area = page.locator(".box-photo")
    area.scroll_into_view_if_needed()
    page.wait_for_function(  # the section has opened
        "() => { const {x, y, height} = document.querySelector('.box-photo')"
        ".getBoundingClientRect(), now = [x, y, height].join(), same = window.was === now; "
        "window.was = now; return same && height > 50; }"
    )
    at = area.bounding_box()
    page.mouse.move(at["x"] + 2, at["y"] + 2)
    page.mouse.down()
    page.mouse.move(at["x"] + at["width"] * 0.05, at["y"] + at["height"] * 0.05, steps=3)
    page.mouse.up()
    card = page.locator('.compare-card[data-method="gradcam"]')
    expect(card).to_contain_text(re.compile(r"Strongest place\s*outside"))
    numbers = page.locator("#box input")
    for side, value in enumerate(("0", "0", "100", "100")):
        numbers.nth(side).fill(value)
    numbers.nth(3).press("Tab")
    expect(card).to_contain_text(re.compile(r"Strongest place\s*inside"))
    expect(card).to_contain_text("100%")
    usable(page)

    with page.expect_download() as download:
        page.click("#compare-report")
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as archive:
        told = json.loads(archive.read("scores.json"))
        assert {"report.html", "maps.npz", "maps/guided.png"} <= set(archive.namelist())
    assert list(told["methods"]) == ["gradcam", "guided"]
    assert told["methods"]["gradcam"]["insertion"] == pytest.approx(
        found.figures("gradcam")["insertion"], abs=1e-4
    )
    assert told["methods"]["gradcam"]["energy_inside"] == pytest.approx(1, abs=1e-3)
    page.get_by_role("button", name="Remove the box").click()
    expect(card).not_to_contain_text("Strongest place")


def test_forgetting_then_each_method_in_its_own_tab_and_a_link_to_it(visit: Visit) -> None:
    page = visit(query=CAT + "guided,occlusion,patches&target=281,282&compare.colours=Viridis")
    measured(page, 3)
    for title, tab, field, value in (
        ("Muting windows", "Muting", "#stride input", "16"),
        ("Patches", "Patches", "#patch-overlap input[type=number]", "0.5"),
    ):
        page.get_by_role("button", name=f"Open {title} in {tab}").click()
        expect(page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
        expect(page.locator(field)).to_have_value(value)
        page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-methods").get_by_label("Muting windows").uncheck()
    page.locator("#compare-methods").get_by_label("Patches").uncheck()
    expect(page.locator("#compare-grid .compare-card")).to_have_count(1)
    measured(page, 1)

    page.locator("#compare-sanity > button").click()
    page.click("#compare-forget")
    expect(page.locator(".compare-sanity th[scope=col]").nth(1)).to_have_text("The head")
    verdict = page.locator("#compare-forgotten .notice")
    expect(verdict).to_contain_text("Guided backprop (", timeout=BUSY)
    assert page.locator(".compare-sanity tr").nth(1).locator("img").count() > 5

    page.get_by_role("button", name="Open Guided backprop in Maps").click()
    expect(page.get_by_role("tab", name="Maps")).to_have_attribute("aria-selected", "true")
    only = page.locator(".maps-row").first.locator("figcaption b")
    expect(only).to_have_text(["Photo", "Guided backprop"])
    page.get_by_role("button", name="Copy a link").click()
    field = page.locator("#link textarea, #link input")
    expect(field).to_have_value(re.compile("^http"))
    link = field.input_value()
    for part in ("maps.colours=Viridis", "target=281%2C282", "example=cat.jpg", "muting.stride=16"):
        assert part in link
    other = visit(query="&" + link.partition("?")[2])
    expect(other.locator(".maps-row")).to_have_count(2)
    only = other.locator(".maps-row").first.locator("figcaption b")
    expect(only).to_have_text(["Photo", "Guided backprop"])
    expect(other.locator("#chips .chip-on")).to_have_count(2)
    expect(other.locator("#framing input[value=crop]")).to_be_checked()


def test_two_classes_and_two_photos_side_by_side_on_a_phone(visit: Visit) -> None:
    page = visit(query=TWO + "&compare.beside=class&compare.class=lynx, catamount", width=390)
    titles = page.locator(".compare-side h3")
    expect(titles).to_have_count(2)
    expect(titles.nth(1)).to_contain_text("lynx")
    measured(page, 4)
    maps = page.eval_on_selector_all('[data-method="gradcam"] img', "all => all.map((i) => i.src)")
    assert maps[0] != maps[1]
    usable(page)
    page.locator("#compare-beside > button").click()
    page.get_by_label("Another photo").check()
    page.get_by_label("That photo").click()
    page.get_by_role("option", name="Espresso").first.click()
    page.wait_for_function(
        "() => new Set([...document.querySelectorAll('.compare-side')]"
        ".map((s) => s.style.getPropertyValue('--photo'))).size === 2"
    )


def test_a_photo_is_compared_at_once_and_a_link_that_means_nothing_harms_nothing(
    visit: Visit,
) -> None:
    page = visit(
        query="&model=../../etc&tab=compare&example=../x.jpg&target=99999,x&maps.methods=evil"
        "&maps.layer=<script>&maps.colours=Pink&muting.stride=nan"
    )
    page.click('#examples button[data-name="cat.jpg"]')  # while the link is still being read
    expect(page.locator("#compare-grid .compare-card")).to_have_count(len(applicable()))
    expect(page.locator("#compare-grid img.compare-map").nth(5)).to_be_visible()
    expect(page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")


@pytest.fixture
def page_with_hub(open_server: Server, chromium: Browser) -> Iterator[Page]:
    made = chromium.new_page()
    made.goto(f"{open_server.url}/?{TWO}")
    made.wait_for_selector("#examples button")
    yield made
    made.close()


def test_two_networks_side_by_side(page_with_hub: Page) -> None:
    page = page_with_hub
    measured(page, 2)  # the link has set everything; it would set the network back
    page.locator("#hub-id input, #hub-id textarea").fill(TWIN)
    page.get_by_role("button", name="Load it").click()
    sees = page.locator("#chips ul")
    expect(sees).to_have_attribute("aria-label", re.compile("test_resnet"))
    choose(page, "EfficientNet-Lite0")
    expect(sees).to_have_attribute("aria-label", re.compile("Lite0"))
    page.locator("#compare-beside > button").click()
    page.get_by_label("Another network").check()
    pick(page, "#compare-network", re.compile("test_resnet"))
    expect(page.locator(".compare-side h3").nth(1)).to_contain_text("test_resnet")
    expect(page.locator(".compare-side").nth(1).locator("img.compare-map").first).to_be_visible()
