"""Where the focus is, for who has no mouse: never nowhere."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Visit, held, settled


def press(page: Page, selector: str, key: str = "Enter") -> None:
    page.locator(selector).locator("visible=true").first.focus()
    page.keyboard.press(key)


# As where another network has loaded meanwhile; which one has the focus then.
ANEW = """async () => {
  const list = document.querySelector('[data-list]');
  list.innerHTML += '';
  await null;
  return document.activeElement.dataset.key;
}"""


def test_what_is_drawn_anew_keeps_the_focus(visit: Visit) -> None:
    page = visit()
    settled(page)
    focused = page.locator(":focus")
    press(page, "[data-networks] summary")
    page.locator("[data-key=lite2]").focus()
    assert page.evaluate(ANEW) == "lite2"  # before the next key is pressed
    press(page, "[data-key=lite0]")  # the list closes
    expect(focused).to_have_attribute("aria-label", "Network: EfficientNet-Lite0")
    press(page, "[data-tour]")
    press(page, ".tour [data-go='2']")
    expect(focused).to_have_attribute("data-go", "3")  # still “Next”
    press(page, "[data-leave]")
    expect(focused).to_have_text("Tour")
    settled(page)
    press(page, "[data-enlarge]")  # the pictures are laid out anew, without it
    expect(focused).to_have_class("picture")
    press(page, ".stage .picture")  # pins
    press(page, "[data-raw]")
    expect(focused).to_have_text("Share of the strongest")
    press(page, "[data-unpin]")
    expect(focused).to_be_visible()
    page.locator(".stage figcaption p").first.click()  # beside all of it, which means it
    page.evaluate("() => seeing.set({ targets: [seeing.seen.chips[1].index] })")
    settled(page)
    expect(focused).to_have_count(0)
    page.click("#tab-cards-button")
    expect(page.locator(".card-tiles a").first).to_be_visible()
    press(page, "#cards-tab [data-unit] >> nth=1")  # one unit on
    unit = int(page.evaluate("seeing.state.settings.cards.unit"))
    expect(page.locator("#cards-tab .say")).to_contain_text(f"Unit {unit} ")
    expect(focused).to_have_attribute("data-unit", str(unit + 1))  # still “›”
    press(page, ".card-tiles a")
    expect(focused).to_have_class("say")  # of another card
    with held(page, "muting.ask"):  # nothing that would be lost can be asked before
        page.click("#tab-muting-button")
        expect(page.locator("[data-flip]")).to_be_disabled()
    expect(page.locator("[data-flip]")).to_be_enabled()
    press(page, "[data-flip]")  # which is disabled while it runs
    expect(focused).to_be_visible()
    expect(page.locator("[data-flip]")).to_be_enabled()
    expect(focused).to_be_visible()


def test_what_the_keyboard_comes_to_lies_under_nothing(visit: Visit) -> None:
    page = visit(width=1360, height=500)
    settled(page)
    end = "() => scrollTo(0, document.documentElement.scrollHeight)"
    page.evaluate(end)
    press(page, "[data-link]", "Tab")  # from the bar into the rail
    expect(page.locator(".pick-own")).to_be_focused()
    assert (
        page.locator(".pick-own").bounding_box()["y"]
        >= page.locator("#bar").bounding_box()["height"]
    )
    page.evaluate(end)
    press(page, "#maps-tab .adjust summary", "Shift+Tab")
    for _ in range(12):  # up through what is done with the maps, to the maps
        page.keyboard.press("Shift+Tab")
        tabs, focus = (page.locator(each).bounding_box() for each in (".tab-wrapper", ":focus"))
        if page.evaluate("() => document.activeElement.matches('[role=tab]')"):
            break
        assert focus["y"] >= tabs["y"] + tabs["height"], page.locator(":focus").first.inner_html()


COVERED = "#stage-side :focus, header.bar :focus, footer :focus"
SLOWLY = "#rail-side, #rail-side * { transition: visibility .4s !important; }"


@pytest.mark.parametrize("where", ["photo", "classes"])
def test_a_phone_s_sheet_takes_the_focus_and_gives_it_back(visit: Visit, where: str) -> None:
    page = visit(width=390, height=844)
    settled(page)
    page.add_style_tag(content=SLOWLY)
    press(page, "[data-dock=adjust]")  # to what it shows
    expect(page.locator("#maps-tab .adjust summary")).to_be_focused()
    page.evaluate("() => seeing.set({ tab: 'cards' })")  # where nothing is folded
    expect(page.locator("#cards-tab [name=layer]")).to_be_visible()
    page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
    press(page, "[data-dock=adjust]")
    expect(page.locator("#cards-tab [name=layer]")).to_be_focused()
    expect(page.locator("#cards-tab [name=layer]")).to_be_in_viewport()
    page.evaluate("() => seeing.set({ tab: 'maps' })")
    expect(page.locator("#maps-tab .stage")).to_be_visible()
    opener = page.locator(f"[data-dock={where}]")
    inside = page.locator("#rail-side :focus")
    press(page, "[data-tour]", "Tab")  # the dock comes last, as it stands
    expect(page.locator("#tabs [role=tab]:focus")).to_have_count(1)
    for close in ("Escape", "Enter"):
        opener.focus()
        page.keyboard.press("Enter")
        expect(inside).to_be_visible()
        expect(page.get_by_role("dialog", name="Photo and classes")).to_be_visible()
        page.keyboard.press("Shift+Tab")
        expect(page.locator(COVERED)).to_have_count(0)
        if close == "Enter":
            press(page, "[data-close]")
        else:
            page.keyboard.press(close)
        expect(opener).to_be_focused()
        expect(page.get_by_role("dialog")).to_have_count(0)
    opener.focus()
    page.keyboard.press("Enter")
    page.set_viewport_size({"width": 1200, "height": 800})  # turned: no sheet, and
    expect(page.locator("[inert]")).to_have_count(0)  # nothing covered
    page.locator("[data-lens]").focus()
    expect(page.locator("[data-lens]")).to_be_focused()
