"""The Patches tab: an image as a bag of patches, lit by how much each of them counts."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from explainers import ExplainError, photo, render
from explainers.mil import AttentionMIL, attend, load_amil
from explainers.mil.patches import MAX_OVERLAP, cut
from explainers.mil.scores import POOLINGS, patch_scores
from explainers.recent import Recent

from . import bag, html, lesson
from .bagged import HEAD, Read, Wish, photo_bag, tissue_bag
from .guard import guarded
from .subject import GONE, STRIP_JS, Subject

TISSUE = Path(__file__).parent.parent / "assets" / "tissue"
CANVASES = {
    "one-corner": ("A corner", "Drawn tissue with crowded nuclei in the lower right corner."),
    "half": ("One half", "Drawn tissue, half of it with crowded nuclei."),
    "malignant": ("Malignant", "Drawn tissue with crowded, uneven nuclei everywhere."),
    "benign": ("Benign", "Drawn tissue with orderly glands."),
}
SOURCES = {
    "photo": "My photo, through its own network",
    "tissue": "Drawn colon tissue",
    "mine": "My photo, which is colon tissue",
}
POOLED = {"max": "Maximum", "mean": "Mean", "lse": "Log-sum-exp", "noisy-or": "Noisy-or"}
RULES = {"percentile": "Percentile", "raw": "Raw weights", "author": "As the authors did"}
AT_ONCE = {"photo": 160, "tissue": 400}  # patches: a few seconds; more are read on a button
OFTEN = 0.7  # seconds between pictures
PATCH = {"photo": 112, "tissue": 56}
NO_TISSUE = "Drop a photo of tissue above first, or choose the drawn tissue."
NO_PHOTO = "There is no photo yet, so this is drawn tissue: drop a photo above to see its patches."


@cache
def head() -> AttentionMIL:
    return load_amil()


@cache
def canvas(name: str) -> photo.Photo:
    return photo.read(TISSUE / f"{name}.jpg")


@cache
def strip(chosen: str) -> str:
    """The drawn canvases as buttons."""
    buttons = ""
    for name, (title, alt) in CANVASES.items():
        url = html.data_url(photo.to_jpeg(render.shrink(canvas(name), 160), 85), "jpeg")
        buttons += (
            f'<button type="button" data-name="{name}" title="{alt}" aria-pressed='
            f'"{str(name == chosen).lower()}"><img alt="{alt}" src="{url}"><span>{title}</span>'
            "</button>"
        )
    return f'<div class="tissue" role="group" aria-label="Drawn tissue">{buttons}</div>'


def number(value: Any, low: float, high: float, what: str) -> float:
    """A number from the browser within its limits, or a sentence."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ExplainError(f"{what} must be a number from {low:g} to {high:g}.")
    if not low <= value <= high:
        raise ExplainError(f"{what} goes from {low:g} to {high:g}: choose a value in between.")
    return value


class Patches:
    """The handlers. `given`: the subject's five inputs, then what `build` lists."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._read: Recent[tuple[Any, ...], Read] = Recent(6)

    def wish(self, *given: Any) -> Wish:
        """What is to be read and how it is to be lit, checked."""
        *shared, source, tissue, large, small, overlap, pooling, rule, floor = given
        if source not in SOURCES or pooling not in POOLINGS or rule not in RULES:
            raise ExplainError("There is no such choice: take one of those offered.")
        if tissue not in CANVASES:
            raise ExplainError("There is no such drawing: choose one of those shown.")
        seen, asked = shared[0], None
        if source == "photo" and seen is not None:
            asked = self.subject.question(*shared)
            if asked is None:
                raise ExplainError("Choose a class to look for in the patches.")
        if source == "mine" and seen is None:
            raise ExplainError(GONE if shared[2] else NO_TISSUE)
        return Wish(
            seen=canvas(tissue) if source == "tissue" or seen is None else seen,
            network=asked.network if asked else self.subject.zoo.get(),
            question=asked,
            patch=int(number(large if asked else small, 8, 320, "The patch size")),
            overlap=float(number(overlap, 0, MAX_OVERLAP, "The overlap")),
            pooling=pooling,
            rule=rule,
            floor=float(number(floor, 0, 0.6, "The brightness floor")),
            note=NO_PHOTO if source == "photo" and asked is None else None,
        )

    def stream(self, wish: Wish) -> Iterator[Read]:
        """Read all patches anew, keeping what was read so far."""
        pixels, patch, overlap = wish.seen.pixels, wish.patch, wish.overlap
        if wish.question:
            found = patch_scores(
                wish.network, pixels, wish.question.targets, patch, overlap, wish.pooling
            )
        else:
            found = attend(head(), wish.network, pixels, patch, overlap)
        for read in found:
            self._read[wish.key] = read
            yield read

    def grow(self, wish: Wish) -> Iterator[tuple[Any, ...]]:
        """The panel while the patches are read; then at rest."""
        shown = 0.0
        yield html.progress(0, "reading the patches"), gr.skip(), *_buttons(running=True)
        for read in self.stream(wish):
            if read.done < 1 and time.monotonic() - shown > OFTEN:
                shown = time.monotonic()
                spent = read.seconds
                count = f"{round(read.done * len(read.grid))} of {len(read.grid)} patches"
                bar = html.progress(read.done, f"{count}, {html.left(spent, read.done)}")
                yield bar, panel(wish, read), gr.skip(), gr.skip()
        yield self.rest(wish)

    def rest(self, wish: Wish, cancelled: bool = False) -> tuple[Any, ...]:
        """What is known of this wish, and a button where the rest would take long."""
        read = self._read.get(wish.key)
        count = len(read.grid) if read else len(cut(wish.seen.pixels, wish.patch, wish.overlap))
        shown = panel(wish, read) if read else bag_empty(count)
        if read and read.done >= 1:
            return html.notice(wish.note or ""), shown, *_buttons()
        words = f"This makes {count:,} patches, which takes a while: start when you like."
        if read:
            done = round(read.done * count)
            words = f"{done:,} of {count:,} patches were read; the pictures show those."
        elif cancelled:
            words = "Cancelled before the first patches were read."
        return html.notice(words), shown, *_buttons(todo=count)

    def draw(self, *given: Any) -> Iterator[tuple[Any, ...]]:
        """Something was asked: what is known, or a quick reading; outputs as in `build`."""
        source, tissue, seen = given[5], given[6], given[0]
        own = source == "photo" and seen is not None
        drawn = source == "tissue" or (source == "photo" and seen is None)
        shown = (
            gr.update(value=strip(tissue if tissue in CANVASES else ""), visible=drawn),
            *(gr.update(visible=own) for _ in range(2)),
            gr.update(visible=not own),
        )
        try:
            wish = self.wish(*given)
            read = self._read.get(wish.key)
            count = len(cut(wish.seen.pixels, wish.patch, wish.overlap))
            if (read and read.done >= 1) or count > AT_ONCE["photo" if wish.question else "tissue"]:
                yield *self.rest(wish), *shown
                return
            for values in self.grow(wish):
                yield *values, *shown
        except ExplainError as error:
            yield html.notice(str(error), "problem"), EMPTY, *_buttons(), *shown

    def read(self, *given: Any) -> Iterator[tuple[Any, ...]]:
        """The button: all patches, however many."""
        try:
            yield from self.grow(self.wish(*given))
        except ExplainError as error:
            yield html.notice(str(error), "problem"), gr.skip(), *_buttons()

    def stop(self, *given: Any) -> tuple[Any, ...]:
        """Cancel: what was read so far stays."""
        return self.rest(self.wish(*given), cancelled=True)


EMPTY = (
    '<div class="maps-empty"><p><b>The patches appear here.</b> The image is cut into patches; '
    "those that count most are bright.</p></div>"
)


def bag_empty(count: int) -> str:
    return (
        f'<div class="maps-empty"><p><b>{count:,} patches are waiting.</b> Larger patches or less '
        "overlap make fewer.</p></div>"
    )


def panel(wish: Wish, read: Read) -> str:
    return (photo_bag if wish.question else tissue_bag)(wish, read).html()


def _buttons(running: bool = False, todo: int = 0) -> tuple[Any, Any]:
    """Read and Cancel."""
    text = f"Read {todo:,} patches" if todo else "Read the patches"
    return gr.Button(text, visible=bool(todo)), gr.Button(visible=running)


def waiting() -> tuple[Any, ...]:
    """At once, since another visitor's long reading may come first."""
    return html.progress(0, "waiting for its turn"), *_buttons(running=True)


def pick(event: gr.EventData) -> tuple[str, str]:
    """A click on a drawn canvas."""
    name = event._data.get("name") if isinstance(event._data, dict) else None
    if name not in CANVASES:
        raise ExplainError("There is no such drawing: choose one of those shown.")
    return name, "tissue"


def _controls() -> dict[str, Any]:
    """What can be chosen, by name, in the order that handlers take them."""
    parts: dict[str, Any] = {"tissue": gr.State("one-corner")}
    parts["source"] = gr.Radio(
        [(title, key) for key, title in SOURCES.items()],
        value="photo",
        label="What is cut into patches",
        elem_id="patch-source",
    )
    parts["strip"] = gr.HTML(
        strip("one-corner"), js_on_load=STRIP_JS, elem_id="tissue", visible=False
    )
    with gr.Row(equal_height=True):
        sizes = {"step": 1, "label": "Patch size (pixels)", "min_width": 200}
        parts["large"] = gr.Slider(8, 320, PATCH["photo"], elem_id="patch-size", **sizes)
        parts["small"] = gr.Slider(
            8, 320, PATCH["tissue"], elem_id="tissue-size", visible=False, **sizes
        )
        parts["overlap"] = gr.Slider(
            0, MAX_OVERLAP, 0, step=0.05, label="Overlap", elem_id="patch-overlap", min_width=160
        )
        parts["pooling"] = gr.Radio(
            [(title, key) for key, title in POOLED.items()],
            value="max",
            label="Patches pooled by",
            elem_id="pooling",
            min_width=300,
            scale=2,
        )
    with gr.Row(equal_height=True):
        parts["rule"] = gr.Radio(
            [(title, key) for key, title in RULES.items()],
            value="percentile",
            label="Light",
            elem_id="patch-light",
            min_width=300,
        )
        parts["floor"] = gr.Slider(
            0, 0.6, 0.25, step=0.05, label="Brightness floor", elem_id="patch-floor", min_width=160
        )
    return parts


def build(subject: Subject) -> None:
    """Lay out the tab and wire it."""
    tab = Patches(subject)
    gr.HTML(HEAD, padding=False)
    parts = _controls()
    small: dict[str, Any] = {"size": "sm", "scale": 0, "min_width": 160}
    with gr.Row(elem_classes="bag-row"):
        status = gr.HTML("", elem_id="patch-status", min_width=240, padding=False)
        go = gr.Button(
            "Read the patches", visible=False, variant="primary", elem_id="patch-go", **small
        )
        cancel = gr.Button("Cancel", visible=False, elem_id="patch-cancel", **small)
    shown = gr.HTML(EMPTY, js_on_load=bag.JS, elem_id="patch-bag", min_height=240)
    names = ("source", "tissue", "large", "small", "overlap", "pooling", "rule", "floor")
    given = [*subject.inputs, *(parts[name] for name in names)]
    outputs = [status, shown, go, cancel]
    subject.settings["patches"] = {  # what a link carries
        "light" if name == "rule" else name: parts[name] for name in names if name != "tissue"
    }
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    go.click(waiting, None, [status, go, cancel], queue=False, **quiet)
    reading = go.click(
        guarded(tab.read), given, outputs, concurrency_limit=1, concurrency_id="slow", **quiet
    )
    drawing = subject.live(
        "patches",
        tab.draw,
        given,
        [*outputs, parts["strip"], parts["large"], parts["pooling"], parts["small"]],
        also=[parts[name].change for name in names],
        cancels=[reading],
        show_progress="minimal",
        show_progress_on=shown,
    )
    # a frame that is on its way when Cancel is pressed must not come after the last word
    cancel.click(None, cancels=[reading, drawing], **quiet).then(
        guarded(tab.stop), given, outputs, **quiet
    )
    parts["strip"].pick(guarded(pick), None, [parts["tissue"], parts["source"]], **quiet)
    lesson.build(subject)
