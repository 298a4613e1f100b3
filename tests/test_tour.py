"""What the guided tour says of its photos is true by the numbers, and one click shows it."""

from __future__ import annotations

import pytest
import torch
from playwright.sync_api import expect
from torch import Tensor

from explainers import Explanation, Question, ask, load, read, units
from explainers.methods.cam import identity_gap
from tabs.subject import EXAMPLES, examples
from tabs.tour import STEPS, Step

from .browser import Visit, address, settled

WHERE = {  # left, top, right, bottom of what is in the composed photos
    ("four-things.jpg", "espresso"): (0.5, 0, 1, 0.5),
    ("four-things.jpg", "cocker spaniel"): (0.5, 0.5, 1, 1),
    ("cat-and-dogs.jpg", "lynx"): (0, 0, 0.5, 1),
    ("cat-and-espresso.jpg", "cat"): (0, 0, 1, 0.5),
    ("cat-and-espresso.jpg", "cup"): (0, 0.5, 1, 1),
    ("cat-and-espresso.jpg", "tabby"): (0, 0, 1, 0.5),
    ("cat-and-espresso.jpg", "espresso"): (0, 0.5, 1, 1),
}


def asked(step: Step) -> tuple[Question, dict[str, Explanation]]:
    network = load(step.model)
    view = network.prepare(read(EXAMPLES / step.example))
    targets = tuple(network.resolve(name) for name in step.classes)
    question = Question(network, view, targets, network.last)
    return question, {key: list(ask(question, key))[-1] for key in step.methods}


def strength(explanation: Explanation, row: int) -> Tensor:
    values = explanation.values[row]
    return values.abs().amax(0) if explanation.per_pixel else values.clamp(min=0)


def share(explanation: Explanation, row: int, box: tuple[float, float, float, float]) -> float:
    """Of the map's strength, what lies in the box."""
    values = strength(explanation, row)
    height, width = values.shape
    left, top, right, bottom = box
    rows = slice(round(top * height), round(bottom * height))
    inside = values[rows, round(left * width) : round(right * width)]
    return float(inside.sum() / values.sum())


def alike(explanation: Explanation) -> float:
    """Cosine between the maps of the first two classes."""
    a, b = (strength(explanation, row).flatten() for row in (0, 1))
    return float(torch.dot(a, b) / (a.norm() * b.norm()))


LONG = {2: [pytest.mark.slow]}


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", [pytest.param(STEPS[i], id=STEPS[i].title, marks=LONG.get(i, ())) for i in (0, 1, 2, 5)]
)
def test_each_class_lights_its_own_place(step: Step) -> None:
    _, found = asked(step)
    for method in set(found) - {"guided"}:
        for row, name in enumerate(step.classes):
            box = WHERE[step.example, name]
            x, y = found[method].peak(row)
            inside = box[0] <= x <= box[2] and box[1] <= y <= box[3]
            assert inside or method == "guided_gradcam", (method, name)
            assert share(found[method], row, box) > 0.6, (method, name)


def test_the_first_step_asks_for_classes_that_are_not_guessed() -> None:
    question, found = asked(STEPS[0])
    guessed = found["gradcam"].logits.topk(5).indices.tolist()
    assert not set(question.targets) & set(guessed)


def test_several_classes_are_seen_at_once() -> None:
    question, found = asked(STEPS[2])
    assert set(question.targets) <= set(question.network.present(found["gradcam"].logits))


def test_cam_and_gradcam_agree() -> None:
    _, found = asked(STEPS[3])
    assert identity_gap(found["cam"], found["gradcam"]) < 5e-6


def test_guided_backprop_is_blind_to_the_class_and_guided_gradcam_is_not() -> None:
    _, blind = asked(STEPS[4])
    _, both = asked(STEPS[5])
    assert alike(blind["guided"]) > 0.8
    assert alike(both["guided_gradcam"]) < 0.3


HEADS = {  # left, top, right, bottom
    "astronaut.jpg": (0.25, 0, 0.62, 0.4),
    "tripod.jpg": (0.25, 0.05, 0.6, 0.4),
    "two-spaniels.jpg": (0.25, 0.1, 0.9, 0.9),
}


def test_a_unit_sees_heads_though_no_class_is_called_face() -> None:
    step = STEPS[-1]
    network = load(step.model)
    layer, _, channel = step.look["unit"].rpartition(":")
    tops = {}
    for name in (step.example, *step.others):
        view = network.prepare(read(EXAMPLES / name))
        values = units.activation(Question(network, view, (0,), layer))[int(channel)]
        tops[name] = float(values.max())
        if name in HEADS:
            height, width = values.shape
            left, top, right, bottom = HEADS[name]
            rows = slice(round(top * height), round(bottom * height))
            inside = values[rows, round(left * width) : round(right * width)]
            assert inside.sum() > 0.6 * values.sum(), name
    (cat,) = set(tops) - set(HEADS)
    assert tops[cat] < min(tops[name] for name in HEADS) / 2


def test_the_last_step_shows_the_unit_on_four_photos(visit: Visit) -> None:
    page = visit(query=f"&step={len(STEPS) - 1}")  # by hand: it shows what the step is about
    expect(page.locator(".tour")).to_be_visible()
    settled(page)
    assert f"example={STEPS[-2].example}" in address(page)
    chosen = page.locator(".rail .chip.on .chip-name").all_inner_texts()
    assert set(chosen) == set(STEPS[-2].classes)
    page.locator(".tour").get_by_role("button", name="Next").click()
    expect(page.locator(".tour")).to_contain_text("No class is called face")
    more = page.locator(".tour details")
    more.locator("summary").click()
    where = page.locator(".act-where b").first
    expect(where).to_have_text("Unit 174 · conv5")
    photos = page.locator(".tour-photos button")
    expect(photos).to_have_count(4)
    picture = page.locator("[data-place=glow] img").get_attribute("src")
    photos.nth(2).click()
    expect(photos.nth(2)).to_have_attribute("aria-pressed", "true")
    expect(more).to_have_attribute("open", "")
    expect(page.locator("[data-place=glow] img")).not_to_have_attribute("src", picture)
    expect(where).to_have_text("Unit 174 · conv5")
    expect(page.locator(".tour")).to_contain_text(f"{len(STEPS)} of {len(STEPS)}")
    page.evaluate("() => seeing.set({ photo: { example: 'espresso.jpg' } })")  # and of no other
    expect(page.locator(".tour")).to_be_hidden()
    assert "step=" not in address(page)


def test_a_step_shows_what_it_says_and_the_visitor_s_photo_comes_back(visit: Visit) -> None:
    assert all(step.example in examples() for step in STEPS)
    page = visit()
    settled(page)
    page.locator("[data-example]").nth(1).click()
    settled(page)
    before = address(page)
    page.click("[data-tour]")
    expect(page.locator(".tour")).to_contain_text(STEPS[0].say)
    page.reload()  # what was asked before the tour is known still
    for number in (1, 2):
        expect(page.locator(".tour")).to_contain_text(f"{number} of {len(STEPS)}")
        page.locator(".tour").get_by_role("button", name="Next").click()
    expect(page.locator(".tour")).to_contain_text(STEPS[2].say)
    expect(page.locator(".class-key li")).to_have_text(["cat", "cup"])
    settled(page)
    expect(page.locator(".stage h3")).to_have_count(2)
    assert {"cat", "cup"} <= set(page.locator(".rail .chip.on .chip-name").all_inner_texts())
    chips = page.locator(".rail .chip")
    assert chips.locator(".chip-mark").count() == chips.count()  # where each counts as seen
    page.locator("[data-search]").press_sequentially("zebra")
    page.locator("[data-search]").press("Enter")  # alone, or beside the two
    expect(page.locator(".stage .row-note").last).to_contain_text("does not see")
    page.go_back()
    page.locator(".tour").get_by_role("button", name="End the tour").click()
    settled(page)
    expect(page.locator(".tour")).to_be_hidden()
    assert address(page) == before
