"""What all tabs explain: one photo, one network, the classes asked for. It stands above them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from explainers import ExplainError, Network, Photo, Question, photo, render
from explainers.api import MOST_TARGETS, question
from explainers.zoo import Zoo

from . import html, models
from .guard import guarded, sentence

EXAMPLES = Path(__file__).parent.parent / "assets" / "examples"
SHOWN = 5  # chips
MANY = (
    "This network answers yes or no for each class on its own, so the percentages need not add up "
    "to 100. The mark on each bar is where its class counts as seen."
)
OFFERED = 12  # classes to contrast with, likeliest first
HOUR = 3600

WELCOME = "Drop a photo above, or take one of these examples:"
ANOTHER = "Drop another photo, or take one of these examples:"
GONE = "Your photo has left our memory after an hour without use: please drop it again."
CHIP_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-class]');
  if (button) trigger('pick', {index: +button.dataset.class, add: !!button.dataset.add});
});
"""
STRIP_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-name]');
  if (button) trigger('pick', {name: button.dataset.name});
});
"""


@dataclass(frozen=True)
class Subject:
    """The shared widgets. `asked` changes whenever there is something new to explain.

    unit: the channel chosen last, {"network": key, "layer": name, "channel": index}, or None.
    wanted: {"tab": name, "settings": {...}} to show another tab with these settings. titles: of the
    tabs, by name. settings: tab -> name -> widget, what a link carries of each tab; a tab adds its
    own, and lists what it can show under "methods" or "method". parts: what `links` restores.
    """

    zoo: Zoo
    photo: gr.State
    network: gr.State
    targets: gr.Dropdown
    against: gr.Dropdown
    framing: gr.Radio
    asked: gr.State
    tab: gr.State
    unit: gr.State
    wanted: gr.State
    titles: dict[str, str] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> list[gr.components.Component]:
        """What a tab's handler takes first, to be handed to `question`."""
        return [self.photo, self.network, self.targets, self.against, self.framing]

    def live(
        self,
        tab: str,
        draw: Callable[..., Iterator[Any]],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        *,
        also: Sequence[Any] = (),
        **options: Any,
    ) -> Any:
        """Draw anew whenever something else is asked, but only in the tab that is looked at.

        draw(*inputs) is a generator of tuples for `outputs`. Its other triggers are `also`.
        """
        drawn = gr.State(None)

        def when_shown(
            event: gr.EventData, shown: str, asked: str, before: str, *rest: Any
        ) -> Iterator[Any]:
            # The browser replays what came during a draw as if the tab had been chosen once more,
            # so the settings, and not the trigger alone, tell whether there is anything new.
            now = asked + repr(rest[len(self.inputs) :])
            if shown != tab or (event.target is self.tab and now == before):
                yield (gr.skip(),) * (len(outputs) + 1)
                return
            for values in draw(*_as_asked(asked, rest)):
                yield now, *values

        return gr.on(
            [self.asked.change, self.tab.change, *also],
            guarded(when_shown),
            [self.tab, self.asked, drawn, *inputs],
            [drawn, *outputs],
            trigger_mode="always_last",
            api_visibility="private",
            **options,
        )

    def question(
        self,
        seen: Photo | None,
        key: str,
        targets: list[int] | None,
        against: str | None,
        framing: str,
        layer: str | None = None,
    ) -> Question | None:
        """What the visitor asks, checked; None while there is no photo or no class."""
        if seen is None or not targets:
            return None
        network = self.zoo.get(key)
        layer = layer if layer in network.layers else None
        return question(
            network, seen, targets, layer=layer, against=against or None, framing=framing
        )


def _as_asked(asked: str, given: Sequence[Any]) -> tuple[Any, ...]:
    """The shared inputs as `asked` knows them, and the rest as it came.

    The browser may send its widgets before they show what a photo's arrival has set in them.
    """
    seen, *rest = given
    if seen is None or not asked:
        return tuple(given)
    digest, *shared = json.loads(asked)
    return (seen, *shared, *rest[len(shared) :]) if digest == seen.digest else tuple(given)


@cache
def examples() -> dict[str, dict[str, Any]]:
    """The example photos by file name: title, alternative text, classes worth asking for."""
    listed = json.loads((EXAMPLES / "examples.json").read_text("utf-8"))
    return {each["file"]: each for each in listed}


@cache
def _strip() -> str:
    items = []
    for name, about in examples().items():
        small = render.shrink(photo.read(EXAMPLES / name), 128)
        items.append((name, about["alt"], photo.to_jpeg(small, 80)))
    return html.strip(items)


def _chips(network: Network, logits: Any, targets: list[int]) -> str:
    chances = network.probabilities(logits)
    best = network.ranked(logits, SHOWN)
    shown = list(dict.fromkeys([*network.present(logits), *best, *targets]))
    bounds = network.thresholds if network.head == "sigmoid" else [None] * len(chances)
    items = [
        html.chip(i, network.labels[i], float(chances[i]), i in targets, bounds[i]) for i in shown
    ]
    return _chip_list(network, "".join(items))


def _chip_list(network: Network, items: str) -> str:
    title = f"What {escape(network.title)} sees"
    many = html.notice(MANY) if network.head == "sigmoid" else ""
    return (
        f'<p class="chips-title">{title}</p>'
        f'<ul class="chips" aria-label="{title}">{items}</ul>{many}'
    )


def ghosts(network: Network) -> str:
    """The chips before there is a photo."""
    return _chip_list(network, '<li class="chip ghost"></li>' * SHOWN)


def _first(network: Network, logits: Any) -> list[int]:
    """What to explain before the visitor chooses: all that is present, else the best guess."""
    return network.present(logits)[:MOST_TARGETS] or network.ranked(logits, 1)


def _against(network: Network, logits: Any) -> Any:
    """The classes to contrast with, likeliest first, none of them chosen."""
    choices = [network.labels[i] for i in network.ranked(logits, OFFERED)]
    return gr.update(choices=choices, value=None)


def named(network: Network) -> list[tuple[str, int]]:
    return [(label, index) for index, label in enumerate(network.labels)]


class Desk:
    """The handlers behind the shared widgets."""

    def __init__(self, zoo: Zoo) -> None:
        self.zoo = zoo

    def look(self, seen: Photo, key: str, framing: str) -> tuple[Any, ...]:
        """A new photo: classify it and make the first guess the target."""
        network = self.zoo.get(key)
        logits = network.answer(network.prepare(seen, framing))
        targets = _first(network, logits)
        return (
            seen,
            render.shrink(seen, 960),
            html.notice(ANOTHER),
            _chips(network, logits, targets),
            gr.update(value=targets, choices=named(network)),
            _against(network, logits),
            self.fingerprint(seen, key, targets, None, framing),
        )

    def upload(self, file: dict[str, Any] | None, old: Photo | None, key: str, framing: str):
        """A dropped, pasted or taken photo; a bad one leaves everything else as it is."""
        if not file or not file.get("path"):
            return (gr.skip(),) * 7
        try:
            return self.look(photo.read(Path(file["path"])), key, framing)
        except Exception as error:
            kept = render.shrink(old, 960) if old else None
            problem = html.notice(sentence(error), "problem")
            return gr.skip(), kept, problem, *(gr.skip(),) * 4

    def example(self, key: str, framing: str, event: gr.EventData):
        """One of the example photos, by its file name."""
        name = str(event._data.get("name", "")) if isinstance(event._data, dict) else ""
        if name not in examples():
            raise ExplainError("There is no such example: choose one of those shown.")
        return self.look(photo.read(EXAMPLES / name), key, framing)

    def pick(self, targets: list[int] | None, event: gr.EventData) -> list[int]:
        """A click on a chip: explain this class alone, or add or remove its row."""
        data = event._data if isinstance(event._data, dict) else {}
        index, add = data.get("index"), data.get("add")
        if not isinstance(index, int):
            raise ExplainError("There is no such class: choose one of those shown.")
        chosen = list(targets or [])
        if not add:
            return [index]
        if index in chosen:
            return [each for each in chosen if each != index]
        if len(chosen) >= MOST_TARGETS:
            raise ExplainError(f"At most {MOST_TARGETS} classes fit: remove one of them first.")
        return [*chosen, index]

    def ask(self, seen: Photo | None, key: str, targets, against, framing: str):
        """Classes, contrast or framing changed: chips, and what is asked."""
        if seen is None:
            return gr.skip(), gr.skip(), html.notice(WELCOME)
        network = self.zoo.get(key)
        targets = [network.resolve(target) for target in targets or []]
        try:
            if targets:
                question(network, seen, targets, against=against or None, framing=framing)
            problem = html.notice(ANOTHER) if targets else html.notice("Choose a class to explain.")
        except ExplainError as error:
            problem = html.notice(str(error), "problem")
        chips = _chips(network, network.answer(network.prepare(seen, framing)), targets)
        return chips, self.fingerprint(seen, key, targets, against, framing), problem

    @staticmethod
    def fingerprint(seen: Photo, key: str, targets, against, framing: str) -> str:
        """Changes exactly when there is something new to explain."""
        return json.dumps([seen.digest, key, targets, against, framing])

    def switch(self, seen: Photo | None, key: str, old: str, targets, framing: str):
        """Another network is in use now: keep the target where it knows the class."""
        network, before = self.zoo.get(key), self.zoo.get(old)
        same = network.labels == before.labels
        kept = list(targets or []) if same else []
        update = gr.update(value=kept) if same else gr.update(value=kept, choices=named(network))
        if seen is None:
            return key, ghosts(network), update, gr.skip(), gr.skip()
        logits = network.answer(network.prepare(seen, framing))
        if not kept:
            kept = _first(network, logits)
            update["value"] = kept
        asked = self.fingerprint(seen, key, kept, None, framing)
        return key, _chips(network, logits, kept), update, _against(network, logits), asked


def _photo_side() -> tuple[gr.Image, gr.HTML, gr.HTML]:
    upload = gr.Image(
        label="Your photo",
        sources=["upload", "webcam", "clipboard"],
        height=340,
        format="jpeg",
        buttons=[],
        elem_id="photo",
        placeholder="Drop a photo here\n— or —\nclick to choose one",
        alt_text="Your photo",
        webcam_options=gr.WebcamOptions(mirror=False),
    )
    message = gr.HTML(html.notice(WELCOME), elem_id="message")
    strip = gr.HTML(_strip(), js_on_load=STRIP_JS, elem_id="examples")
    return upload, message, strip


def _class_side(first: Network) -> tuple[gr.HTML, gr.Dropdown, gr.Dropdown]:
    chips = gr.HTML(
        ghosts(first),
        js_on_load=CHIP_JS,
        elem_id="chips",
    )
    targets = gr.Dropdown(
        named(first),
        value=[],
        multiselect=True,
        max_choices=MOST_TARGETS,
        label="Explain these classes",
        info="Type any class name; each gets a row of its own.",
        elem_id="targets",
    )
    against = gr.Dropdown(
        [],
        value=None,
        allow_custom_value=True,
        label="… and not this one (optional)",
        info="Why A and not B: the map of the difference of the two scores.",
        elem_id="against",
    )
    return chips, targets, against


def build(zoo: Zoo) -> Subject:
    """Lay out the shared widgets and wire them."""
    desk = Desk(zoo)
    first = zoo.get()
    seen = gr.State(None, time_to_live=HOUR)
    key = gr.State(first.key)
    asked = gr.State("")
    with gr.Row(elem_classes="subject"):
        with gr.Column(scale=2, min_width=300):
            upload, message, strip = _photo_side()
        with gr.Column(scale=3, min_width=300):
            chips, targets, against = _class_side(first)
            with gr.Row():
                place = gr.Column(elem_id="models", min_width=240)
                framing = gr.Radio(
                    [("Whole photo", "whole"), ("Centre square", "crop")],
                    value="whole",
                    label="What the network sees",
                    elem_id="framing",
                    min_width=240,
                )
    tab, unit, wanted = gr.State("maps"), gr.State(None), gr.State(None)
    subject = Subject(zoo, seen, key, targets, against, framing, asked, tab, unit, wanted)
    looked = [seen, upload, message, chips, targets, against, asked]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
    upload.upload(  # fires for drop, choice, paste and camera; `input` misses a second drop
        guarded(desk.upload),
        [upload, seen, key, framing],
        looked,
        preprocess=False,
        trigger_mode="always_last",
        **quiet,
    )
    strip.pick(guarded(desk.example), [key, framing], looked, trigger_mode="always_last", **quiet)
    chips.pick(guarded(desk.pick), targets, targets, **quiet)
    gr.on(
        [targets.change, against.change, framing.change],
        guarded(desk.ask),
        subject.inputs,
        [chips, asked, message],
        trigger_mode="always_last",
        **quiet,
    )
    with place:
        picker, timer = models.build(subject, desk.switch, [key, chips, targets, against, asked])
    subject.parts.update(picker=picker, timer=timer, looked=looked)
    return subject
