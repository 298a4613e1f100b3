"""A-MIL learning before one's eyes: a mark among decoys, then a bag of the visitor's own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from explainers import ExplainError, render
from explainers.mil import AttentionMIL, Reading, brightness
from explainers.mil.lesson import CELLS, CHANCE, SIDE, DrawnBag, Lesson, draw_bag, lesson, read_bag
from explainers.options import index_in
from explainers.recent import Recent

from ..parts import html
from ..parts.curve import curve
from ..parts.pace import Pace
from ..parts.tab import Settings, Show
from ..subject import FIRST, Asked

MOST_SEED = 99_999
STEPS = 300
LONGEST = 336
UNTRAINED = "Train the network first; then it reads this bag."

_pupils: Recent[str, AttentionMIL] = Recent(32)  # what visitors have trained


def markup() -> str:
    """The lesson’s part of the tab."""
    return f"""<section class="lesson-part"><h3>See it learn</h3>
<p class="note">A small network with attention (A-MIL) is trained on drawn bags of {CELLS} cells.
It is told only whether a bag holds a <b>cross</b>, never where: the attention has to find it.</p>
<p class="lesson-row"><label>Seed <input type="number" min="0" max="{MOST_SEED}" value="0"
data-lesson="seed"></label>
<button type="button" class="main" data-learn>Train before my eyes</button>
<!--work:learn--></p><div class="lesson-place" data-place="lesson"></div>
<h3>Your own test bag</h3><p class="lesson-row"><label>The bag <select data-lesson="kind">
<option value="drawn">Drawn</option><option value="photo">My photo, cut in 4 × 4</option></select>
</label><label>Crosses <input type="number" min="0" max="{CELLS}" value="1" data-lesson="crosses">
</label><label>Its seed <input type="number" min="0" max="{MOST_SEED}" value="1" data-lesson="bag">
</label></p><div class="own-place" data-place="own"></div></section>"""


def whole(value: Any, most: int, what: str) -> int:
    """A whole number from the browser, 0 to `most`, or a sentence."""
    found = index_in(value, most + 1)
    if found is None:
        raise ExplainError(f"{what} must be a whole number from 0 to {most:,}.")
    return found


def _pupil(data: Mapping[str, Any]) -> str:
    """Whose lesson it is: a name that the visitor’s browser made up."""
    return str(data.get("pupil", ""))[:40]


def learn(_asked: Asked, _settings: Settings, data: Mapping[str, Any]) -> Iterator[Show | None]:
    """The button: the curves as they grow; what is learned so far reads the visitor’s bag."""
    seed, pace = whole(data.get("seed"), MOST_SEED, "The seed"), Pace()
    yield Show(done=0.0, words="drawing the bags")
    for step in lesson(seed, STEPS):
        _pupils[_pupil(data)] = step.model
        left = f"step {step.step} of {step.steps}, {pace.words(step.done)}"
        yield Show({"lesson": curves(step)}, done=step.done, words=left)


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
    hit = step.test.truth[step.reading.top(1)[0]]
    bag = figure(
        step.test.picture,
        step.reading,
        "A bag it never trained on",
        f"The brightest cell is {'the cross' if hit else 'not the cross'}; outlined is the truth.",
        step.test.truth,
    )
    return f'<div class="lesson">{plots}{bag}</div>'


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


def own(asked: Asked, _settings: Settings, data: Mapping[str, Any]) -> Show:
    """The visitor's own test bag, read by what was learned so far."""
    kind, model = data.get("kind"), _pupils.get(_pupil(data))
    if kind == "photo":
        if asked.photo is None:
            return Show({"own": html.notice(FIRST)})
        return Show({"own": _own(model, asked.photo.pixels, None, "Your photo")})
    if kind != "drawn":
        raise ExplainError("There is no such bag: choose one of those offered.")
    crosses = whole(data.get("crosses"), CELLS, "The number of crosses")
    drawn: DrawnBag = draw_bag(whole(data.get("bag"), MOST_SEED, "The bag’s seed"), crosses)
    return Show({"own": _own(model, drawn.picture, drawn.truth, "Your bag")})


def _own(
    model: AttentionMIL | None, pixels: np.ndarray, truth: np.ndarray | None, name: str
) -> str:
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
