"""A guided tour: the survey's findings, each one step, on photos that come with the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .parts.tab import begun
from .subject import examples

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Step:
    """One finding. say: what to look at, in a sentence or a few. classes: the targets, by name;
    none are the network's guesses. methods: of the Maps tab. tab, look: another tab, and its
    settings. others: example photos to try besides. more: what to know of it besides, folded: its
    heading and text."""

    title: str
    say: str
    model: str
    example: str
    classes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    tab: str = "maps"
    look: Mapping[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    more: tuple[str, str] | None = None


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
    Step(
        "No class is called face",
        "AlexNet learned dogs, tripods and helmets, and no faces. Yet unit 174 of its conv5 "
        "lights up on this head, on that of the man with the camera and on both spaniels’, and "
        "hardly on the cat’s.",
        "alexnet",
        "astronaut.jpg",
        tab="activations",
        look={"layer": "conv5", "unit": "conv5:174"},
        others=("tripod.jpg", "two-spaniels.jpg", "tortoiseshell-cat.jpg"),
        more=(
            "How often, and what it does not prove",
            "In 181 photos that had no say in its choice, its strongest place lies on somebody’s "
            "head in 48 %; a blind guess would in 9 %, and so would the median unit. That it means "
            "a face is not proved by this: it misses every second head and takes dogs’ as well, "
            "backs of heads were never told from faces, and two other units do nearly as well.",
        ),
    ),
)


def widget() -> dict[str, Any]:
    """The tour's place, above the tabs, as `gr.HTML` takes it; empty until it is taken."""
    titles = {name: about["title"] for name, about in examples().items()}
    photos = [[[name, titles[name]] for name in (step.example, *step.others)] for step in STEPS]
    steps = json.dumps(
        [{**asdict(step), "photos": each} for step, each in zip(STEPS, photos, strict=True)]
    )
    return {
        "value": '<section class="tour" aria-label="Guided tour" hidden></section>',
        "js_on_load": begun((HERE / "tour.js").read_text("utf-8")),
        "elem_id": "tour",
        "steps": steps,
    }
