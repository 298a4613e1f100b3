"""The page's scripts among themselves, in Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tabs.parts.tab import begun, script

from .browser import AHEAD, COMPONENTS, ROOT, Server, address, calls, drop, held, settled, told


def test_scripts_wait_for_the_one_that_sets_up_what_they_share(chromium: Browser) -> None:
    """Gradio draws its components in no fixed order."""
    page = chromium.new_page()
    page.goto("about:blank")
    page.evaluate("text => Function(text)()", begun("window.ran = seeing.state.tab;"))
    assert page.evaluate("() => window.ran") is None
    page.evaluate("text => Function(text)()", script("store.js"))
    page.evaluate("() => seeing.begin({tabs: ['maps'], tab: 'maps'})")
    page.wait_for_function("() => window.ran === 'maps'")
    page.close()


def test_what_can_be_seen_soonest_comes_first(server: Server, chromium: Browser) -> None:
    """On a slow line: a sign of the page before its scripts, one map before the large ones."""
    page = chromium.new_page()
    scripts, answers, held_scripts, held_answers = "**/assets/*.js", COMPONENTS, [], []
    page.route(scripts, lambda route: held_scripts.append(route))
    page.route(answers, lambda route: held_answers.append(route))
    page.goto(server.url, wait_until="commit")
    sign = page.locator("#first")
    expect(sign.get_by_text("The page is on its way")).to_be_visible()
    page.route(scripts, lambda route: route.continue_())
    for route in held_scripts:
        route.continue_()
    expect(page.locator(".stage canvas[data-painted]")).to_have_count(1)
    expect(sign).to_have_count(0)
    expect(page.locator(".stage .waiting")).to_have_count(2)
    rules = """() => [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules])
      .filter((rule) => rule.selectorText?.endsWith('.chip-mark')).length"""
    assert page.evaluate(rules) == 1, "each rule is a browser's work with every change of style"
    page.unroute(answers)
    for route in held_answers:
        route.continue_()
    settled(page)
    page.close()


@pytest.mark.parametrize("lost", [False, True])
def test_a_tab_is_asked_for_before_it_is_drawn(visit: Callable[..., Page], lost: bool) -> None:
    """Once; and where that question is lost, the tab asks by itself."""
    page = visit()
    settled(page)
    ahead: list[str] = []

    def first(route: Route) -> None:
        if f'"{AHEAD}"' not in (route.request.post_data or ""):
            route.continue_()
            return
        ahead.append(route.request.post_data)
        route.abort() if lost else route.continue_()

    page.route(COMPONENTS, first)
    asked = calls(page)
    page.click("#tab-impressions-button")
    expect(page.locator(".imp-wall img").first).to_be_visible()
    assert len(ahead) == 1
    assert asked.count("impressions.ask") == 1 + lost
    page.click("#tab-maps-button")
    page.click("#tab-impressions-button")
    expect(page.locator(".imp-wall img").first).to_be_visible()
    assert asked.count("impressions.ask") == 1 + lost


def test_what_a_visitor_came_for_is_drawn_before_more_is_asked(visit: Callable[..., Page]) -> None:
    """Drawing it needs the cores on which the rest would be worked out."""
    page = visit()
    settled(page)
    page.evaluate("""() => { window.frames_ = [];
      seeing.frame = () => new Promise((over) => frames_.push(() => over(true))); }""")
    asked = calls(page)
    page.click("#tab-impressions-button")
    expect(page.locator(".imp-wall img").first).to_be_visible()
    rest = {"impressions.more", "impressions.act", "rail.labels"}
    assert not rest & set(asked)
    page.evaluate("() => frames_.forEach((drawn) => drawn())")
    expect(page.locator("[data-takes]")).to_have_text(re.compile("about .* on this machine"))
    assert rest <= set(asked)


def test_back_at_what_is_shown_nothing_is_waited_for(visit: Callable[..., Page]) -> None:
    """Though what was asked meanwhile had no answer yet, or has to wait."""
    page = visit()
    settled(page)
    with held(page, "maps.ask"):
        page.locator(".rail .chip").nth(1).click()
        expect(page.locator("#maps-tab")).to_have_class(re.compile("busy"))
        page.go_back()
    settled(page)
    expect(page.locator("#maps-tab")).not_to_have_class(re.compile("busy"))
    waits = {"wait": {"words": "ResNet-18 is on its way", "done": 0.5}}
    with told(page, "maps.ask", lambda _: waits):
        page.locator(".rail .chip").nth(1).click()
        expect(page.locator("#maps-tab .work")).to_contain_text("on its way")
        page.go_back()
        expect(page.locator("#maps-tab .work")).to_be_hidden()


def test_a_sentence_goes_when_what_it_was_about_is_asked_no_more(
    visit: Callable[..., Page],
) -> None:
    page = visit()
    settled(page)
    for tab in ("maps", "filters"):  # of which the second is not drawn anew for a class
        page.click(f"#tab-{tab}-button")
        page.wait_for_selector(f"#{tab}-tab:not(.busy) .say:not(:empty)")
        problem = page.locator(f"#{tab}-tab > .problem")
        page.evaluate("() => seeing.set({against: 1, targets: [1]})")
        expect(problem).to_contain_text("with itself")
        page.go_back()
        expect(problem).to_be_hidden()

    def late(_question: object) -> dict[str, str]:
        page.go_back()
        return {"problem": "Your photo is gone: drop it again."}

    with told(page, "filters.see", late), page.expect_response(COMPONENTS) as answer:
        page.evaluate("() => seeing.set({against: 1, targets: [1]})")
    answer.value.finished()
    page.evaluate("async () => { for (const _ of '123') await new Promise(requestAnimationFrame) }")
    expect(problem).to_be_hidden()


def test_what_is_asked_for_beside_a_new_drawing_stays(visit: Callable[..., Page]) -> None:
    """Though its answer comes first."""
    page = visit(query="&tab=muting&example=cat.jpg")
    tab = page.locator("#muting-tab")
    expect(tab.locator("[data-place=looked]")).to_contain_text("A first look")
    other = page.locator(".rail .chip-name").nth(1).inner_text()
    map_ = {"places": {"rise": "<i>the map</i>"}, "data": {}, "settings": {}, "state": {}}
    with held(page, "muting.ask"), told(page, "muting.act", lambda _: map_):
        page.locator(".rail .chip").nth(1).click()
        with page.expect_response(COMPONENTS):
            tab.locator("[data-rise]").evaluate("button => button.click()")
    expect(tab.locator(".say")).to_contain_text(other)
    expect(tab.locator("[data-place=rise]")).to_have_text("the map")


def test_a_link_to_no_class_shows_the_photo_s_answer_beside_the_sentence(
    visit: Callable[..., Page],
) -> None:
    for tab in ("maps", "filters"):  # of which the second is not drawn anew for a class
        page = visit(query=f"&network=lite0&target=blorp&tab={tab}")
        problem = page.locator(f"#{tab}-tab > .problem")
        expect(problem).to_contain_text("knows no class “blorp”")
        expect(page.locator(".rail .chip[data-class]")).to_have_count(5)
        expect(page.locator(".rail .chip").first).to_have_attribute("aria-pressed", "true")
    page.locator(".rail .chip").nth(1).click()
    expect(problem).to_be_hidden()


def test_a_link_to_no_example_says_so_and_keeps_no_other_answer(visit: Callable[..., Page]) -> None:
    page = visit(query="&network=lite0&example=../zebra.jpg")
    expect(page.locator(".rail [data-note]")).to_contain_text("none of ours")
    expect(page.locator("#maps-tab")).to_have_class(re.compile("empty"))
    expect(page.locator(".rail .chip[data-class]")).to_have_count(0)
    page.locator(".rail [data-example]").nth(1).click()
    expect(page.locator(".rail .chip[data-class]")).to_have_count(5)
    expect(page.locator(".rail [data-note]")).to_be_hidden()


def test_a_picture_dragged_from_another_page_is_asked_for_as_a_file(
    visit: Callable[..., Page],
) -> None:
    """Browsers would leave for its address."""
    page = visit()
    settled(page)
    dropped = """own => {
      const dataTransfer = new DataTransfer(), main = document.querySelector('#main');
      if (own) dataTransfer.items.add(new File(['x'], 'example.jpg', {type: 'image/jpeg'}));
      dataTransfer.setData('text/uri-list', 'https://there.org/cat.jpg');
      const fire = (name) => main.dispatchEvent(
        new DragEvent(name, {dataTransfer, bubbles: true, cancelable: true}));
      if (own) fire('dragstart');
      const stays = !fire('dragover') && !fire('drop');
      fire('dragend');
      return stays;
    }"""
    problem = page.locator(".rail [data-problem]")
    assert not page.evaluate(dropped, True)  # the page's own pictures, which are files too
    expect(problem).to_be_hidden()
    assert page.evaluate(dropped, False)
    expect(problem).to_contain_text("save it first, or copy it and paste it here")


def test_a_link_says_that_the_photo_shown_is_not_its_own(visit: Callable[..., Page]) -> None:
    page = visit()
    photo = ROOT / "assets" / "examples" / "espresso.jpg"
    drop(page, photo.read_bytes(), "mine.jpg", "image/jpeg")
    settled(page)
    note = page.locator(".rail [data-note]")
    page.reload()
    settled(page)
    expect(note).to_be_hidden()
    page.goto(f"{address(page)}&framing=crop")  # somebody else's link, which names no photo either
    settled(page)
    expect(note).to_contain_text("this one is your own")


def test_a_page_that_nobody_touches_rests(server: Server, chromium: Browser) -> None:
    """No loop goes on, of ours or of Gradio's, for which a phone would draw in every frame."""
    page = chromium.new_page()
    page.add_init_script("""(() => {
      const draw = window.requestAnimationFrame;
      window.asked = 0;
      window.requestAnimationFrame = (then) => { window.asked += 1; return draw(then); };
    })()""")
    page.goto(server.url)
    settled(page)
    quiet = "() => { const now = asked - window.before; window.before = asked; return now === 0; }"
    page.wait_for_function(quiet, polling=250, timeout=20_000)  # some fifteen frames
    page.close()
