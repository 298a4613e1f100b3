"""Coming and going: quick clicks, Back, links, what is left in mid-run, a server that is away."""

from __future__ import annotations

import json

from playwright.sync_api import Route, expect

from tests.browser import (
    COMPONENTS,
    EXAMPLES,
    Visit,
    address,
    calls,
    cat,
    cat_jpeg,
    chip,
    drop,
    finger,
    heats,
    held,
    say,
    settled,
    told,
)

SECOND = EXAMPLES[1]["file"]


def test_quick_clicks_back_forward_and_reload_end_where_the_address_says(visit: Visit) -> None:
    page = visit()
    settled(page)
    for at in (1, 2, 3, 4, 2):
        name = chip(page, at)
    settled(page)
    say(page).to_contain_text(name)
    one = heats(page)
    page.click(f'[data-example="{SECOND}"]')
    settled(page)
    two, url = heats(page), address(page)
    page.go_back()
    say(page).to_contain_text(name)
    expect(page).to_have_title(f"{name} · Maps · Seeing Why")
    settled(page)
    assert heats(page) == one
    page.go_forward()
    settled(page)
    assert (heats(page), address(page)) == (two, url)
    page.reload()
    settled(page)
    assert heats(page) == two
    sent = page.evaluate("() => performance.getEntriesByType('navigation')[0].transferSize")
    assert sent < 10_000, "the page itself is kept, whatever its address says"


def test_a_second_photo_in_mid_run_and_leaving_stop_what_ran(visit: Visit) -> None:
    page = visit(query="&maps.methods=gradcam")
    bar, slow = page.locator("#maps-tab .work >> nth=0"), "Integrated gradients: "
    drop(page, cat_jpeg(90), "cat.jpg", "image/jpeg")
    settled(page)  # nothing that is slow runs yet, whose words would be taken for those to come
    page.click("#maps-tab .adjust summary")
    with held(page, "maps.more", since=slow):
        page.get_by_label("Integrated gradients").check()
        expect(bar).to_be_visible()
        first = page.evaluate("() => seeing.state.photo.own")
        with held(page, "maps.more", since=slow):  # what comes of the second photo, anew
            drop(page, cat_jpeg(91), "cat.jpg", "image/jpeg")
            page.wait_for_function(
                "(first) => seeing.state.photo.own !== first && seeing.current()", arg=first
            )
            expect(bar).to_be_visible()
            page.click("#tab-filters-button")
            page.wait_for_selector("#filters-tab .say:not(:empty)")
    asked = calls(page)
    page.evaluate("() => new Promise((done) => setTimeout(done, 400))")  # longer than a slice
    assert "maps.more" not in asked, "work that was left goes on"
    page.click("#tab-maps-button")
    page.get_by_role("checkbox", name="Integrated gradients").uncheck()
    settled(page)
    assert "cat" in page.locator(".rail .chips").inner_text()


def test_work_whose_network_left_meanwhile_waits_for_it(visit: Visit) -> None:
    page = visit()
    bar = page.locator("#maps-tab .work >> nth=0")
    settled(page)
    with told(page, "maps.more", lambda _: {"wait": {"done": 0.3, "words": "It is on its way"}}):
        chip(page, 1)
        expect(bar).to_contain_text("It is on its way")
    settled(page)
    expect(bar).to_be_hidden()
    assert page.locator(".stage canvas").count() == 3


def test_where_the_server_was_away_the_page_goes_on_by_itself(visit: Visit) -> None:
    page = visit(query="&maps.methods=gradcam")
    problem, lost = page.locator("#maps-tab > .problem"), ("ask", "more")
    drop(page, cat_jpeg(), "cat.jpg", "image/jpeg")
    page.wait_for_function("() => seeing.state.photo.own && seeing.current()")
    page.click("#maps-tab .adjust summary")
    slow = page.get_by_role("checkbox", name="Integrated gradients")

    def lose(route: Route) -> None:
        if json.loads(route.request.post_data or "{}").get("fn_name") == lost[at - 1]:
            route.abort()
        else:
            route.continue_()

    for at in (1, 2):  # as a class is asked for, and amid slow work
        if lost[at - 1] == "more":
            slow.check()
        page.route(COMPONENTS, lose)
        wanted = chip(page, at)
        expect(problem).to_contain_text("goes on by itself")
        page.unroute(COMPONENTS)
        expect(problem).to_be_hidden()
        settled(page)
        say(page).to_contain_text(wanted)
    slow.uncheck()
    settled(page)
    forgotten = {"problem": "Your photo is gone: drop it again.", "gone": True}
    page.route(COMPONENTS, lambda route: route.fulfill(json=forgotten), times=1)
    kept, wanted = page.evaluate("seeing.state.photo.own"), chip(page, 3)
    page.wait_for_function("(kept) => seeing.state.photo.own !== kept", arg=kept)
    say(page).to_contain_text(wanted)  # the photo was handed in again, for the class that is asked
    settled(page)


def test_a_photo_that_is_lost_on_its_way_is_sent_again(visit: Visit) -> None:
    page = visit(width=390, height=800)  # where what is wrong opens the sheet
    settled(page)
    page.route("**/gradio_api/upload_photo", lambda route: route.abort(), times=1)
    drop(page, cat_jpeg(), "cat.jpg", "image/jpeg")
    problem = page.locator(".rail [data-problem]")
    expect(problem).to_contain_text("goes on by itself")
    page.wait_for_function("() => seeing.state.photo.own")
    expect(problem).to_be_hidden()
    settled(page)
    page.route("**/gradio_api/upload_photo", lambda route: route.abort())
    drop(page, cat_jpeg(91), "cat.jpg", "image/jpeg")
    expect(problem).to_contain_text("goes on by itself")
    page.click(f'.rail [data-example="{SECOND}"]')  # instead, which is meant
    expect(problem).to_be_hidden()
    settled(page)


def test_a_link_restores_all_but_the_photo(visit: Visit) -> None:
    page = visit()
    cat(page)
    name = chip(page, 1)
    say(page).to_contain_text(name)
    settled(page)
    query = "&" + address(page).partition("?")[2]
    other = visit(query=query, width=390)  # where the rail is a sheet
    note = other.locator("[data-note] >> visible=true")
    expect(note).to_contain_text("The photo of this link is not in it")
    drop(other, cat_jpeg(), "cat.jpg", "image/jpeg")
    say(other).to_contain_text(name)
    settled(other)
    assert heats(other) == heats(page)
    there = visit(query=f"&model=lite0&example={SECOND}&target=967&maps.layer=blocks.4&tab=maps")
    settled(there)
    say(there).to_contain_text("espresso")
    assert there.locator("[name=layer]").input_value() == "blocks.4"


def test_two_visitors_see_their_own_photos(visit: Visit) -> None:
    one, two = visit(), visit()
    one.click(f'[data-example="{EXAMPLES[2]["file"]}"]')
    two.click(f'[data-example="{SECOND}"]')
    settled(one)
    settled(two)
    names = [page.locator(".rail .chip-name").first.inner_text() for page in (one, two)]
    assert names[0] != names[1]
    assert heats(one) != heats(two)


def test_a_finger_swipes_to_the_next_map_and_marks_by_a_tap(visit: Visit) -> None:
    page = visit(width=390, height=844)
    settled(page)
    maps, marks = page.locator(".stage .map"), page.locator(".stage .dot >> visible=true")
    words = page.locator(".maps-here").inner_text()
    finger(page, [(x, 300) for x in range(330, 40, -20)])
    expect(maps.nth(1)).to_be_in_viewport(ratio=0.9)
    expect(marks).to_have_count(0)
    finger(page, [(200, y) for y in range(440, 200, -20)])
    page.wait_for_function("() => scrollY > 100")
    expect(marks).to_have_count(0)
    assert page.locator(".maps-here").inner_text() == words
    box = maps.nth(1).locator(".picture").bounding_box()
    finger(page, [(200, box["y"] + box["height"] - 20)])
    expect(page.locator(".stage .dot.pinned")).to_have_count(3)
