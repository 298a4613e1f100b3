"""The Impressions tab: drawn without a photo, cancelled, checked; units of other tabs."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from explainers import ExplainError
from explainers.impressions.goals import Classes, Unit
from tabs.impressions import PRESET, Impressions, _preset, _wanted, verifier
from tests import nets
from tests.browser import Visit, usable

SMALL = "&tab=impressions&impressions.size=96&impressions.start=64"


def draw(page: Page) -> None:
    page.click("#impressions-draw")
    page.wait_for_selector("#impressions img")


def test_a_class_is_drawn_without_a_photo_checked_and_taken_away(visit: Visit) -> None:
    page = visit(width=390, query=f"{SMALL}&impressions.steps=40&impressions.how=both")
    page.click("#impressions-draw")
    expect(page.locator("#impressions-status [role=alert]")).to_contain_text("Choose a class")
    page.click("#impressions-suggested button:has-text('goldfish')")
    expect(page.locator("#targets")).to_contain_text("goldfish")
    draw(page)
    page.wait_for_selector(".impression-links")
    expect(page.locator("#impressions-status")).to_contain_text("Drawn 40 steps, seed 0")
    figures = page.locator("figure.impression")
    expect(figures).to_have_count(2)
    expect(figures.nth(0)).to_contain_text("plain")
    expect(figures.nth(1).locator("img[alt*='mask']")).to_be_visible()
    expect(figures.nth(0)).to_contain_text("EfficientNet-Lite2 says")
    expect(figures.nth(0)).to_contain_text("Shaken 16 ways")
    expect(figures.nth(0).locator(".impression-strip img")).to_have_count(8)
    expect(figures.nth(0).locator("svg.plot")).to_have_count(2)
    files = {}
    for kind in ("PNG", "WebP"):
        with page.expect_download() as waited:
            figures.nth(1).get_by_text(f"({kind})").click()
        name = waited.value.suggested_filename
        files[name] = Image.open(io.BytesIO(Path(waited.value.path()).read_bytes()))
    stem = "impression-goldfish-saliency-driven-seed-0"
    assert {name: image.size for name, image in files.items()} == {
        f"{stem}.png": (96, 96),
        f"{stem}.webp": (96, 96),
    }
    assert files[f"{stem}.webp"].n_frames > 8
    usable(page)


def test_cancel_keeps_what_is_there_and_units_come_from_other_tabs(visit: Visit) -> None:
    page = visit(query=f"{SMALL}&target=1&impressions.steps=3000")
    draw(page)
    page.wait_for_function(
        "() => /step [1-9]/.test(document.querySelector('#impressions-status').textContent)"
    )
    page.click("#impressions-cancel")
    status = page.locator("#impressions-status")
    expect(status).to_contain_text(re.compile(r"Stopped after [1-9]\d* steps"), timeout=90_000)
    said = status.text_content()
    assert re.search(r"Stopped after \d{1,3} steps", said), said
    page.wait_for_selector(".impression-links")
    picture = page.get_attribute("#impressions img", "src")
    expect(page.locator("#impressions-cancel")).to_be_disabled()
    page.get_by_role("tab", name="Filters").click()
    page.wait_for_selector("#filter-panel img")
    page.click("#filter-draw")
    expect(page.locator("#impressions-channel input")).to_be_visible()
    expect(page.locator("#impressions-layer input")).to_have_value("conv_stem")
    assert page.get_attribute("#impressions img", "src") == picture  # nothing went on meanwhile
    page.click("#impressions-draw")
    expect(page.locator("figure.impression")).to_contain_text("Filter 0 · conv_stem")
    page.click("#impressions-cancel")
    expect(status).to_contain_text("Stopped")


def test_what_is_asked_is_checked(resnet18) -> None:
    tab = Impressions(SimpleNamespace())
    asked = lambda targets, what, mix=50, layer="layer2", channel=1, part="channel": tab.goals(  # noqa: E731
        resnet18, targets, what, mix, layer, channel, part
    )
    assert asked([3, "class 4"], "classes") == [Classes((3,)), Classes((4,))]
    assert asked([3, 4], "fused", 25) == [Classes((3, 4), (0.25, 0.75))]
    assert asked(None, "unit") == [Unit("layer2", 1)]
    for wrong in (
        ([], "classes"),
        ([99], "classes"),
        ([3], "fused"),
        ([3, 4], "fused", None),
        (None, "unit", 50, "nowhere"),
        (None, "unit", 50, "layer2", 10**9),
        (None, "unit", 50, ["layer2"]),
    ):
        with pytest.raises(ExplainError):
            asked(*wrong)
    for name in PRESET:
        assert _preset(name)
    with pytest.raises(ExplainError):
        _preset("worst")
    unit = {"network": "lite0", "layer": "bn2", "channel": 7}
    assert _wanted(unit, "lite0")["settings"] == {"what": "unit", "layer": "bn2", "channel": 7}
    for wrong in (None, unit | {"network": "other"}):
        with pytest.raises(ExplainError):
            _wanted(wrong, "lite0")


def test_the_verifier_is_another_network_of_the_same_classes(resnet18) -> None:
    def status(key, state="ready", bundled=False):
        return SimpleNamespace(key=key, state=state, entry=SimpleNamespace(bundled=bundled))

    twin = nets.seeded("resnet18", seed=1)
    twin.key = "twin"
    other = nets.seeded("resnet18", classes=5)
    other.key = "other"
    networks = {"resnet18": resnet18, "twin": twin, "other": other}
    zoo = SimpleNamespace(
        status=lambda: [status("resnet18"), status("late", "loading"), status("other"),
                        status("twin", bundled=True)],
        get=networks.__getitem__,
    )  # fmt: skip
    assert verifier(zoo, resnet18) is twin
    assert verifier(zoo, other) is None


def test_without_a_photo_classes_have_the_names_of_the_network_in_use(visit: Visit) -> None:
    page = visit(query="&tab=impressions&model=coco80")
    expect(page.locator("#chips")).to_contain_text("What Lite2 for COCO sees", timeout=30_000)
    page = visit(query="&tab=impressions&model=coco80&target=15")
    expect(page.locator("#targets")).to_contain_text("cat")
    page.locator("#model input").click()
    page.get_by_role("option", name="EfficientNet-Lite0").click()
    expect(page.locator("#chips")).to_contain_text("What EfficientNet-Lite0 sees")
    expect(page.locator("#targets")).not_to_contain_text("cat")
