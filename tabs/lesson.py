"""A-MIL learning before one's eyes: a mark among decoys, then a bag of the visitor's own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from explainers import ExplainError, Photo, render
from explainers.mil import AttentionMIL, Reading, brightness
from explainers.mil.lesson import CELLS, CHANCE, SIDE, DrawnBag, Lesson, draw_bag, lesson, read_bag

from . import html
from .curve import curve
from .guard import guarded
from .subject import HOUR, WELCOME, Subject

MOST_SEED = 99_999
STEPS = 300
LONGEST = 336
HEAD = (
    '<h3 class="finder-head">See it learn</h3><p class="notice">A small A-MIL is trained on drawn '
    f"bags of {CELLS} cells. It is told only whether a bag holds a <b>cross</b>, never where: the "
    "attention has to find that out by itself. It takes less than a minute.</p>"
)
EMPTY = (
    '<div class="maps-empty"><p><b>The curves grow here.</b> Loss falls, bag accuracy rises, and '
    "at some step the attention finds the crosses.</p></div>"
)
UNTRAINED = "Train the network first; then it reads this bag."


def whole(value: Any, most: int, what: str) -> int:
    """A whole number from the browser, 0 to `most`, or a sentence."""
    fine = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not fine or value != int(value) or not 0 <= value <= most:
        raise ExplainError(f"{what} must be a whole number from 0 to {most:,}.")
    return int(value)


def train(seed: Any) -> Iterator[tuple[Any, ...]]:
    """The button: curves, the model so far, both buttons."""
    off, on = gr.Button(interactive=False), gr.Button(interactive=True)
    try:
        seed = whole(seed, MOST_SEED, "The seed")
    except ExplainError as error:
        yield html.notice(str(error), "problem"), gr.skip(), on, off
        return
    yield html.progress(0, "drawing the bags"), None, off, on
    for step in lesson(seed, STEPS):
        last = step.done >= 1
        yield curves(step), step.model, gr.Button(interactive=last), gr.Button(interactive=not last)


def waiting() -> tuple[Any, ...]:
    """At once, since another visitor's slow work may come first."""
    off, on = gr.Button(interactive=False), gr.Button(interactive=True)
    return html.progress(0, "waiting for its turn"), off, on


def stopped() -> tuple[Any, ...]:
    """Cancel: what was learned so far stays."""
    return gr.Button(interactive=True), gr.Button(interactive=False)


def curves(step: Lesson) -> str:
    """Loss, bag accuracy and attention hit rate so far, and the held-out bag as it is read now."""
    drawn = (
        ("Loss", step.losses, max(0.8, *step.losses), (math.log(2), "guessing"), "{:.2f}"),
        ("Bag accuracy", step.bag_accuracy, 1.0, (0.5, "guessing"), "{:.0%}"),
        ("Attention hit rate", step.hit_rate, 1.0, (CHANCE, "chance"), "{:.0%}"),
    )
    plots = ""
    for title, values, most, guide, form in drawn:
        now = form.format(values[-1]).replace("%", " %")
        label = f"{title} over the training steps, now {now}"
        svg = curve(
            step.at, values, label=label, below="step", most_x=STEPS, most_y=most, guide=guide
        )
        plots += (
            f'<figure class="lesson-plot"><figcaption><b>{title}</b> {now}</figcaption>{svg}'
            "</figure>"
        )
    words = f"step {step.step} of {step.steps}, {html.left(step.seconds, step.done)}"
    bar = html.progress(step.done, words) if step.done < 1 else html.notice("Trained.")
    hit = step.test.truth[step.reading.top(1)[0]]
    bag = figure(
        step.test.picture,
        step.reading,
        "A bag it never trained on",
        f"The brightest cell is {'the cross' if hit else 'not the cross'}; outlined is the truth.",
        step.test.truth,
    )
    return f'{bar}<div class="lesson">{plots}{bag}</div>'


def figure(
    pixels: np.ndarray,
    reading: Reading | None,
    title: str,
    caption: str,
    truth: np.ndarray | None = None,
    weighted: bool = False,
) -> str:
    """A bag, lit by attention (or attention × score) where it was read; the truth outlined."""
    picture = render.fit(pixels, LONGEST)
    if reading is not None:
        values = reading.weighted if weighted else reading.attention
        light = brightness(values, "percentile", like=reading.attention)
        picture = render.lit(picture, reading.picture(light))
    side = 100 / SIDE
    marks = "".join(
        f'<span class="lesson-truth" style="left:{cell % SIDE * side}%;top:{cell // SIDE * side}%">'
        "</span>"
        for cell in (np.flatnonzero(truth).tolist() if truth is not None else ())
    )
    url = html.data_url(render.png(picture), "png")
    return (
        f'<figure class="lesson-bag"><figcaption><b>{title}</b></figcaption><div>'
        f'<img alt="{title}: {caption}" src="{url}">{marks}</div><p>{caption}</p></figure>'
    )


def own(model: AttentionMIL | None, kind: str, crosses: Any, seed: Any, seen: Photo | None) -> str:
    """The visitor's own test bag, read by what was learned so far."""
    if kind == "photo":
        if seen is None:
            return html.notice(WELCOME)
        pixels, truth, name = seen.pixels, None, "Your photo"
    elif kind == "drawn":
        crosses = whole(crosses, CELLS, "The number of crosses")
        drawn: DrawnBag = draw_bag(whole(seed, MOST_SEED, "The bag’s seed"), crosses)
        pixels, truth, name = drawn.picture, drawn.truth, "Your bag"
    else:
        raise ExplainError("There is no such bag: choose one of those offered.")
    if model is None:
        return f'<div class="lesson-own">{figure(pixels, None, name, UNTRAINED, truth)}</div>'
    reading = read_bag(model, pixels)
    says = f"A cross is in it: {html.percent(reading.probability)}."
    if truth is None:
        says += " It has only ever seen drawn marks, so this says little about a photo."
    elif truth.any():
        places = "on a cross" if truth[reading.top(1)[0]] else "beside the crosses"
        says += f" The most attention falls {places}."
    else:
        says += (
            " There is no cross, and still the attention has to go somewhere: it is no evidence."
        )
    return (
        f'<p class="bag-verdict" role="status">{says}</p><div class="lesson-own">'
        f"{figure(pixels, None, name, 'As it is.', truth)}"
        f"{figure(pixels, reading, 'Attention', 'Where it looked.', truth)}"
        f"{figure(pixels, reading, 'Attention × score', 'What it found.', truth, True)}</div>"
    )


def build(subject: Subject) -> None:
    """Lay out the lesson and wire it."""
    model = gr.State(None, time_to_live=HOUR)
    gr.HTML(HEAD, padding=False)
    with gr.Row(elem_classes="lesson-row"):
        seed = gr.Number(0, label="Seed", precision=0, elem_id="lesson-seed", min_width=120)
        go = gr.Button(
            "Train before my eyes", variant="primary", elem_id="lesson-go", min_width=200
        )
        cancel = gr.Button("Cancel", interactive=False, elem_id="lesson-cancel", min_width=120)
    shown = gr.HTML(EMPTY, elem_id="lesson", min_height=200)
    gr.HTML('<h3 class="finder-head">Your own test bag</h3>', padding=False)
    with gr.Row(equal_height=True):
        kind = gr.Radio(
            [("Drawn", "drawn"), ("My photo, cut in 4 × 4", "photo")],
            value="drawn",
            label="The bag",
            elem_id="own-kind",
            min_width=260,
        )
        crosses = gr.Slider(
            0, CELLS, 1, step=1, label="Crosses", elem_id="own-crosses", min_width=180
        )
        bag_seed = gr.Number(
            1, label="The bag’s seed", precision=0, elem_id="own-seed", min_width=120
        )
    result = gr.HTML("", elem_id="own-bag", min_height=120)
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    go.click(waiting, None, [shown, go, cancel], queue=False, **quiet)
    training = go.click(
        guarded(train),
        seed,
        [shown, model, go, cancel],
        concurrency_limit=1,
        concurrency_id="slow",
        **quiet,
    )
    given = [model, kind, crosses, bag_seed, subject.photo]
    cancelled = cancel.click(None, cancels=[training], **quiet)
    cancelled.then(guarded(stopped), None, [go, cancel], **quiet)
    cancelled.then(guarded(own), given, result, **quiet)
    training.then(guarded(own), given, result, **quiet)

    def first(tab: str, *rest: Any) -> Any:
        return own(*rest) if tab == "patches" else gr.skip()

    gr.on(
        [kind.change, crosses.change, bag_seed.change, subject.tab.change],
        guarded(first),
        [subject.tab, *given],
        result,
        trigger_mode="always_last",
        **quiet,
    )
