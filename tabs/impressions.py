"""The Impressions tab: what the network remembers of a class, drawn from noise as one watches."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from explainers import ExplainError, Network, impressions
from explainers.api import MOST_TARGETS
from explainers.impressions import PRESETS, Check, Impression
from explainers.impressions.goals import Goal, fused, of_class, of_unit
from explainers.impressions.images import CANVASES
from explainers.impressions.knobs import LIMITS, Knobs
from explainers.recent import Recent
from explainers.zoo import Zoo

from . import html
from .guard import guarded
from .impressions_sheet import EMPTY, sheet
from .subject import Subject

OFTEN = 0.5  # seconds between pictures
FIRST = "Choose a class above (“Explain these classes”): no photo is needed."
TWO = "Choose exactly two classes above: their impressions are fused."

HEAD = html.notice(
    "What does the network remember of a class? From noise, each step changes the picture so that "
    "the class’s score rises (Mopuri et al. 2018). What appears was learnt, not photographed."
)
WHAT = {
    "classes": "The classes above",
    "fused": "Two of them fused",
    "unit": "A unit inside the network",
}
HOW = {"plain": "Plain", "driven": "Saliency-driven", "both": "Both, side by side"}
DRIVEN = {"plain": (False,), "driven": (True,), "both": (False, True)}
PRESET = {
    "quick": "Quick (about 10 s)",
    "good": "Good (about 20 s)",
    "best": "Best (about 1 min)",
}
CANVAS = {"fourier": "Fourier waves", "pixels": "Pixels", "maco": "Fourier phases only (MACO)"}
SUGGESTED = (
    "goldfish",
    "flamingo",
    "lion",
    "monarch",
    "school bus",
    "teapot",
    "strawberry",
    "pizza",
)
PICK_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-class]');
  if (button) trigger('pick', {index: +button.dataset.class});
});
"""
SETTABLE = [name for name in LIMITS if name != "seed"]

Shown = str | None


def layers(network: Network) -> list[tuple[str, str]]:
    """The layers whose units can be drawn, input to output."""
    return [(layer.title, name) for name, layer in (network.maps | network.flat).items()]


def suggestions(network: Network) -> str:
    """Classes to begin with, as buttons; those that the network knows."""
    known = {label: index for index, label in enumerate(network.labels)}
    chosen = {name: known[name] for name in SUGGESTED if name in known}
    if len(chosen) < 3:
        step = max(1, len(known) // len(SUGGESTED))
        chosen = dict(list(known.items())[::step][: len(SUGGESTED)])
    buttons = "".join(
        f'<li><button type="button" data-class="{index}">{escape(name)}</button></li>'
        for name, index in chosen.items()
    )
    return f'<p>Choose classes above, or one of these:</p><ul aria-label="Classes">{buttons}</ul>'


def verifier(zoo: Zoo, network: Network) -> Network | None:
    """A second network that is loaded already and knows the same classes, bundled ones first."""
    ready = [status for status in zoo.status() if status.state == "ready"]
    ready.sort(key=lambda status: not status.entry.bundled)
    others = (zoo.get(status.key) for status in ready if status.key != network.key)
    return next((each for each in others if each.labels == network.labels), None)


class Impressions:
    """The handlers. `given`: photo, network key, targets, against, framing; what, how, mix, layer,
    channel, part, canvas, seed; the other knobs in the order of SETTABLE."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.stopped: Recent[str, bool] = Recent(500)

    def begin(self, before: Shown) -> tuple[Any, ...]:
        """A new turn, which ends the one before: what is shown from now on, words, Cancel."""
        self.stop(before)
        waiting = html.progress(0, "Waiting for its turn …")
        return secrets.token_hex(8), waiting, gr.Button(interactive=True)

    def stop(self, turn: Shown) -> tuple[Any, ...]:
        """Has the drawing end itself. Gradio's cancelling would let pictures through after it."""
        if isinstance(turn, str):
            self.stopped[turn] = True
        return html.notice("Stopping …"), gr.Button(interactive=False)

    def run(self, turn: Shown, *given: Any) -> Iterator[tuple[Any, ...]]:
        """Words and bar, pictures, Cancel."""
        try:
            yield from self._run(str(turn), *given)
        except ExplainError as error:
            yield html.notice(str(error), "problem"), gr.skip(), gr.Button(interactive=False)

    def _run(self, turn: str, *given: Any) -> Iterator[tuple[Any, ...]]:
        network = self.subject.zoo.get(given[1])
        what, how, mix, layer, channel, part, canvas, seed, *values = given[5:]
        knobs = Knobs(canvas=canvas, seed=seed, **dict(zip(SETTABLE, values, strict=True)))
        goals = self.goals(network, given[2], what, mix, layer, channel, part)
        if turn in self.stopped:
            yield html.notice("Stopped before it began."), gr.skip(), gr.Button(interactive=False)
            return
        drawn, shown, verb = (), 0.0, "Drawn"
        for drawn in impressions.draw(network, goals, knobs, driven=DRIVEN.get(how, (False,))):
            if turn in self.stopped:
                verb = "Stopped after"
                break
            if drawn[0].done < 1 and time.monotonic() - shown > OFTEN:
                shown = time.monotonic()
                yield _words(drawn), sheet(network, drawn), gr.Button(interactive=True)
        off = gr.Button(interactive=False)
        yield html.progress(drawn[0].done, "looking at it afresh …"), sheet(network, drawn), off
        yield self.ended(network, drawn, verb)

    def goals(
        self, network: Network, targets: Any, what: str, mix: Any, layer: Any, channel: Any, part
    ) -> list[Goal]:
        """What is to be drawn, checked."""
        if what == "unit":
            return [of_unit(network, layer, channel, part)]
        targets = list(targets or [])[: MOST_TARGETS + 1]
        if not targets:
            raise ExplainError(FIRST)
        if what == "fused":
            if len(targets) != 2:
                raise ExplainError(TWO)
            if not isinstance(mix, int | float):
                raise ExplainError("The mix goes from 0 to 100 %.")
            return [fused(network, targets, mix / 100)]
        return [of_class(network, target) for target in targets]

    def ended(self, network: Network, drawn: tuple[Impression, ...], verb: str) -> tuple[Any, ...]:
        """The drawing with the check, the way there and the files to take away."""
        second = verifier(self.subject.zoo, network)
        checks: list[Check | None] = [impressions.check(network, each, second) for each in drawn]
        taken = round(drawn[0].done * drawn[0].knobs.steps)
        words = f"{verb} {taken} steps, seed {drawn[0].knobs.seed}, in {drawn[0].seconds:.0f} s."
        if drawn[0].done == 1:
            words += " The same seed and settings give the same picture."
        shown = sheet(network, drawn, checks, ended=True)
        return html.notice(words), shown, gr.Button(interactive=False)


def _words(drawn: tuple[Impression, ...]) -> str:
    first = drawn[0]
    step = round(first.done * first.knobs.steps)
    left = html.left(first.seconds, first.done)
    return html.progress(first.done, f"step {step} of {first.knobs.steps} · {left}")


def _pick(options: dict[str, str]) -> list[tuple[str, str]]:
    return [(title, key) for key, title in options.items()]


def _choices(subject: Subject) -> dict[str, Any]:
    """What to draw, and how."""
    first = subject.zoo.get()
    with gr.Row(equal_height=True):
        what = gr.Radio(
            _pick(WHAT), value="classes", label="Draw", elem_id="impressions-what", min_width=300
        )
        how = gr.Radio(
            _pick(HOW), value="plain", label="How", elem_id="impressions-how", min_width=300,
            info="Saliency-driven keeps one object on a plain background.",
        )  # fmt: skip
    mix = gr.Slider(
        0, 100, 50, step=5, label="Share of the first class (%)", visible=False,
        elem_id="impressions-mix",
    )  # fmt: skip
    with gr.Row(visible=False, equal_height=True, elem_id="impressions-unit") as row:
        layer = gr.Dropdown(
            layers(first), value=first.last, label="Layer", allow_custom_value=True, min_width=280,
            elem_id="impressions-layer",
        )  # fmt: skip
        channel = gr.Number(0, label="Channel", precision=0, minimum=0, min_width=110,
                            elem_id="impressions-channel")  # fmt: skip
        part = gr.Radio(
            [("All of the channel", "channel"), ("One neuron in the middle", "neuron")],
            value="channel", label="Which part", min_width=260,
        )  # fmt: skip
    return {"what": what, "how": how, "mix": mix, "row": row, "layer": layer, "channel": channel,
            "part": part}  # fmt: skip


def _settings() -> dict[str, Any]:
    """Presets, seed and every knob."""
    start = PRESETS["quick"]
    with gr.Row(equal_height=True):
        preset = gr.Radio(
            _pick(PRESET), value="quick", label="Care", elem_id="impressions-preset", min_width=380
        )
        seed = gr.Number(
            0, label="Seed", precision=0, minimum=0, maximum=LIMITS["seed"][1], min_width=100,
            info="Another one starts from other noise.", elem_id="impressions-seed",
        )  # fmt: skip
    knobs: dict[str, Any] = {}
    with gr.Accordion("All settings", open=False), gr.Row():
        canvas = gr.Dropdown(
            _pick(CANVAS), value=start.canvas, label="Picture made of", min_width=160,
            elem_id="impressions-canvas",
        )  # fmt: skip
        for name in SETTABLE:
            low, high, whole, words = LIMITS[name]
            knobs[name] = gr.Number(
                getattr(start, name), label=words[0].upper() + words[1:], minimum=low, maximum=high,
                precision=0 if whole else None, min_width=160, elem_id=f"impressions-{name}",
            )  # fmt: skip
    return {"preset": preset, "seed": seed, "canvas": canvas, "knobs": knobs}


def _picked(event: gr.EventData) -> list[int]:
    index = event._data.get("index") if isinstance(event._data, dict) else None
    if type(index) is not int:
        raise ExplainError("There is no such class: choose one of those shown.")
    return [index]


def build(subject: Subject) -> None:
    """Lay out the tab and wire it."""
    gr.HTML(HEAD)
    offered = gr.HTML(
        suggestions(subject.zoo.get()), js_on_load=PICK_JS, elem_id="impressions-suggested"
    )
    parts = {"offered": offered} | _choices(subject) | _settings()
    with gr.Row(elem_id="impressions-buttons"):
        parts["start"] = gr.Button(
            "Draw", variant="primary", scale=0, min_width=170, elem_id="impressions-draw"
        )
        parts["stop"] = gr.Button(
            "Cancel", interactive=False, scale=0, min_width=110, elem_id="impressions-cancel"
        )
    parts["status"] = gr.HTML("", elem_id="impressions-status", min_height=28)
    parts["sheet"] = gr.HTML(EMPTY, elem_id="impressions", min_height=220)
    names = ("what", "how", "mix", "layer", "channel", "part", "preset", "canvas", "seed")
    subject.settings["impressions"] = {name: parts[name] for name in names} | parts["knobs"]
    _wire(subject, Impressions(subject), parts)


def _wire(subject: Subject, tab: Impressions, parts: dict[str, Any]) -> None:
    """Connect what `build` made."""
    turn = gr.State(None)
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    names = ("what", "how", "mix", "layer", "channel", "part", "canvas", "seed")
    knobs = parts["knobs"]
    told = [parts["status"], parts["sheet"], parts["stop"]]
    parts["start"].click(
        guarded(tab.begin), turn, [turn, parts["status"], parts["stop"]], **quiet
    ).then(
        guarded(tab.run),
        [turn, *subject.inputs, *(parts[name] for name in names), *knobs.values()],
        told,
        concurrency_limit=1,
        concurrency_id="slow",
        **quiet,
    )
    parts["stop"].click(guarded(tab.stop), turn, [parts["status"], parts["stop"]], **quiet)
    parts["what"].change(
        lambda what: (gr.update(visible=what == "fused"), gr.update(visible=what == "unit")),
        parts["what"],
        [parts["mix"], parts["row"]],
        **quiet,
    )
    parts["preset"].input(  # not `change`: a link may carry other settings along
        guarded(_preset), parts["preset"], [parts["canvas"], *knobs.values()], **quiet
    )
    parts["offered"].pick(guarded(_picked), None, subject.targets, **quiet)
    subject.network.change(
        guarded(lambda key, now: _another(subject.zoo.get(key), now)),
        [subject.network, parts["layer"]],
        [parts["layer"], parts["offered"]],
        **quiet,
    )


def _preset(name: str) -> list[Any]:
    if name not in PRESETS:
        raise ExplainError("There is no such preset: choose Quick, Good or Best.")
    return [PRESETS[name].canvas, *(getattr(PRESETS[name], knob) for knob in SETTABLE)]


def _another(network: Network, now: Any) -> tuple[Any, str]:
    """Another network's layers and classes."""
    value = now if now in network.maps or now in network.flat else network.last
    return gr.update(choices=layers(network), value=value), suggestions(network)


def offer(subject: Subject, elem_id: str) -> None:
    """A button, for other tabs, that has the chosen unit drawn here."""
    button = gr.Button("Draw what this unit looks for", size="sm", elem_id=elem_id)
    button.click(
        guarded(_wanted),
        [subject.unit, subject.network],
        subject.wanted,
        api_visibility="private",
        show_progress="hidden",
    )


def _wanted(unit: Any, key: str) -> dict[str, Any]:
    if not isinstance(unit, dict) or unit.get("network") != key:
        raise ExplainError("Choose a channel first: it is then drawn in the Impressions tab.")
    settings = {"what": "unit", "layer": unit["layer"], "channel": unit["channel"]}
    return {"tab": "impressions", "settings": settings, "at": time.time()}


assert set(CANVAS) == set(CANVASES)
