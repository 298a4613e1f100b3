"""A guided tour: the survey's findings, each one click away, on photos that come with the page."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from explainers import ExplainError
from explainers.zoo import Zoo

from . import html
from .guard import guarded
from .links import Links
from .subject import Subject

STEPS_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-step]');
  if (button) trigger('pick', {step: +button.dataset.step});
});
"""
SCROLL_JS = "() => document.querySelector('#tabs')?.scrollIntoView({behavior: 'smooth'})"


@dataclass(frozen=True)
class Step:
    """One finding. say: what to look at, in a sentence. classes: the targets, by name."""

    title: str
    say: str
    model: str
    example: str
    classes: tuple[str, ...]
    methods: tuple[str, ...]

    def query(self, zoo: Zoo) -> dict[str, str]:
        """The step as a link would say it."""
        network = zoo.get(self.model)
        return {
            "model": self.model,
            "example": self.example,
            "target": ",".join(str(network.resolve(name)) for name in self.classes),
            "tab": "maps",
            "maps.methods": ",".join(self.methods),
        }


STEPS = (
    Step(
        "The map follows the question",
        "Neither class is among the network’s first five guesses, and still each map finds its own "
        "picture: espresso at the top right, the spaniels below it.",
        "lite0",
        "four-things.jpg",
        ("espresso", "cocker spaniel"),
        ("gradcam",),
    ),
    Step(
        "Ask for what is not there",
        "There is no lynx: the map lights what comes nearest, the cat, and leaves the dogs alone.",
        "lite0",
        "cat-and-dogs.jpg",
        ("lynx",),
        ("gradcam",),
    ),
    Step(
        "Several classes at once",
        "This network answers for each class on its own: the cat’s map lights the cat, the cup’s "
        "map the cup, and the picture on top shows both.",
        "coco80",
        "cat-and-espresso.jpg",
        ("cat", "cup"),
        ("gradcam", "guided_gradcam"),
    ),
    Step(
        "CAM and Grad-CAM agree",
        "One reads the last layer’s weights, the other asks the gradient; behind a global average "
        "the two maps are the same.",
        "lite0",
        "espresso.jpg",
        ("espresso",),
        ("cam", "gradcam"),
    ),
    Step(
        "Sharp, but blind to the class",
        "Guided backprop draws fine edges, and nearly the same ones for the cat as for the "
        "espresso.",
        "lite0",
        "cat-and-espresso.jpg",
        ("tabby", "espresso"),
        ("guided",),
    ),
    Step(
        "Sharp and telling",
        "Guided Grad-CAM keeps only the edges where Grad-CAM is warm: now each class has its own.",
        "lite0",
        "cat-and-espresso.jpg",
        ("tabby", "espresso"),
        ("gradcam", "guided", "guided_gradcam"),
    ),
)


def _list(at: int | None = None) -> str:
    items = "".join(
        f'<li><button type="button" data-step="{number}" '
        f'aria-pressed="{"true" if number == at else "false"}">'
        f"<b>{number + 1}</b> {escape(step.title)}</button></li>"
        for number, step in enumerate(STEPS)
    )
    say = html.notice(STEPS[at].say if at is not None else "Click a step: it sets up everything.")
    return f'<ol class="tour" aria-label="Guided tour">{items}</ol>{say}'


def build(subject: Subject, links: Links, outputs: list[Any]) -> None:
    """The tour's steps, and what a click sets: the outputs of `links.open`."""
    steps = gr.HTML(_list(), js_on_load=STEPS_JS, elem_id="tour")

    def go(event: gr.EventData) -> list[Any]:
        number = event._data.get("step") if isinstance(event._data, dict) else None
        if not isinstance(number, int) or not 0 <= number < len(STEPS):
            raise ExplainError("There is no such step: choose one of those shown.")
        return [_list(number), *links.open(STEPS[number].query(subject.zoo))]

    steps.pick(
        guarded(go),
        None,
        [steps, *outputs],
        show_progress="hidden",
        trigger_mode="always_last",
        api_visibility="private",
    ).success(None, None, None, js=SCROLL_JS)
