"""What the guided tour says of its photos is true by the numbers, and one click shows it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from explainers import Explanation, Question, ask, load, read
from explainers.methods.cam import identity_gap
from tabs.subject import EXAMPLES, examples
from tabs.tour import STEPS, Step

from .browser import Visit, settled

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


@pytest.mark.parametrize("step", [STEPS[i] for i in (0, 1, 2, 5)], ids=lambda step: step.title)
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


def test_one_click_shows_a_step_and_a_class_that_is_not_seen_is_named_so(visit: Visit) -> None:
    assert all(step.example in examples() for step in STEPS)
    page = visit()
    page.get_by_text("New here?").click()
    page.click("#tour button[data-step='2']")
    settled(page)
    page.wait_for_selector(".together .class-key li")
    assert page.locator("#tour .notice").inner_text() == STEPS[2].say
    assert page.locator(".class-key li").all_inner_texts() == ["cat", "cup"]
    assert page.locator(".maps-row h3").count() == 3  # together, cat, cup
    on = page.locator("#chips .chip-on .chip-name").all_inner_texts()
    assert {"cat", "cup"} <= set(on)
    assert "need not add up" in page.locator("#chips").inner_text()
    chips = page.locator("#chips .chip")
    assert chips.locator(".chip-mark").count() == chips.count()
    page.click('#examples button[data-name="espresso.jpg"]')  # what is present is on by itself
    page.wait_for_function("() => !document.querySelector('#chips').innerText.includes('cat')")
    settled(page)
    assert page.locator("#chips .chip-on").count() >= 1
    page.locator("#targets input").press_sequentially("zebra")
    page.get_by_role("option", name="zebra").click()
    page.wait_for_selector(".maps-row .notice")
    assert "does not see it here" in page.locator(".maps-row .notice").last.inner_text()
    page.click("#tour button[data-step='5']")
    page.wait_for_selector(".maps-row[aria-label='espresso']")
    settled(page)
    assert page.locator(".together").count() == 0
    assert page.locator(".maps-row .cell").count() == 8
