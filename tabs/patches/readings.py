"""Readings of a bag, by attention or by an ordinary network, as what the page shows of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape

import numpy as np

from explainers import Explanation, Network, Photo, Question, ask, notes, render
from explainers.mil import Reading, brightness
from explainers.mil.patches import stitch
from explainers.mil.scores import PatchScores
from explainers.mil.tiles import tile_cam
from explainers.recent import Recent

from ..parts import html
from .bag import LONGEST, Bag, Figure, light_legend

Read = Reading | PatchScores

TISSUE_WORDS = (
    "<p><b>Colon tissue only. This is a demonstration and no diagnosis:</b> the network was never "
    "tested on slides of a clinic, and answers with confidence to anything.</p>"
)
ATTENTION_WORDS = (
    "<p>Attention alone is no evidence for a class: it says where the network looked, and benign "
    "bags light up too. Attention × score says what it found there.</p>"
)
POOLING_WORDS = {
    "max": "the surest patch decides",
    "mean": "all patches count alike",
    "lse": "log-sum-exp, a soft maximum",
    "noisy-or": "noisy-or, the chance that at least one patch is right",
}
_heat: Recent[str, Explanation] = Recent(8)


@dataclass(frozen=True)
class Wish:
    """What is read, and how it is lit. question: of an ordinary photo; None for tissue."""

    seen: Photo
    network: Network
    question: Question | None
    patch: int
    overlap: float
    pooling: str
    rule: str
    floor: float

    @property
    def key(self) -> tuple:
        """Equal keys need no new reading: classes, pooling and light follow from the same one."""
        kind = self.network.serial if self.question else "tissue"
        return self.seen.digest, kind, self.patch, self.overlap


def light(wish: Wish, read: Read, values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The image lit by the values (n,) of its patches, on the scale of others."""
    each = brightness(values, wish.rule, wish.floor, like=like)
    over = stitch(each, read.grid.boxes, read.grid.size)
    return render.lit(render.shrink(wish.seen, LONGEST), over)


def full_light(wish: Wish, values: np.ndarray) -> str:
    """What full light stands for, in words."""
    if wish.rule == "raw":
        return "full light: 100 %"
    if wish.rule == "author":
        return f"full light: the largest, {html.percent(float(values.max()))}; no floor"
    if len(values) == 1:
        return "the one patch, in full light"
    strong = float(np.percentile(values, 95))
    more = f"exceeded by {(values > strong).sum()} of {len(values)} patches"
    return f"full light: {html.percent(strong)} or more (95th percentile, {more})"


def _count(read: Read) -> str:
    """How many patches, and what to do where one cut nothing."""
    if len(read.grid) > 1:
        return f"{len(read.grid)} patches."
    return "One patch, as large as this: choose smaller ones under “Adjust” to see which decides."


def _where(wish: Wish, read: Read, values: np.ndarray) -> str:
    x0, y0, x1, y1 = read.grid.boxes[int(values.argmax())]
    return notes.place((x0 + x1) / 2 / wish.seen.width, (y0 + y1) / 2 / wish.seen.height)


def _plain(wish: Wish, alt: str, caption: str) -> Figure:
    return Figure(render.shrink(wish.seen, LONGEST), "The image", caption, alt)


def _tile_heat(wish: Wish) -> Figure:
    """Grad-CAM of the plain classifier of whole tiles; on a benign image it may have nothing."""
    cam = _heat.get(wish.seen.digest)
    if cam is None:
        cam = _heat[wish.seen.digest] = tile_cam(wish.network, wish.seen.pixels)
    whole = html.percent(float(cam.probabilities[0]))
    caption = f"Of a plain classifier of whole tiles, which says {whole} malignant."
    if not notes.measure(cam).strongest_place:
        caption += " It has no heat here: no place speaks for malignant."
    picture = render.overlay(wish.seen, cam, longest=LONGEST)
    return Figure(picture, "Grad-CAM", caption, notes.describe(cam))


def tissue_bag(wish: Wish, read: Reading) -> Bag:
    """Attention beside attention × score beside Grad-CAM."""
    attention, weighted = read.attention, read.weighted
    place = _where(wish, read, attention)
    figures = [
        _plain(wish, "The tissue", _count(read)),
        Figure(
            light(wish, read, attention, attention),
            "Attention",
            "Where the network looked.",
            f"The image lit by attention: brightest at the {place}",
            removes=True,
        ),
        Figure(
            light(wish, read, weighted, attention),
            "Attention × score",
            "Looked at, and found malignant; on the scale of attention.",
            "The image lit by attention times score: brightest at the "
            f"{_where(wish, read, weighted)}",
            removes=True,
        ),
        _tile_heat(wish),
    ]
    chance = html.percent(read.probability)
    verdict = "malignant" if read.probability >= 0.5 else "benign"
    note = f"<p>{escape(read.note)}</p>" if read.note else ""
    return Bag(
        key=str(wish.key),
        grid=read.grid,
        facts=[
            ("Attention", attention),
            ("Its own score", read.scores),
            ("Attention × score", weighted),
        ],
        order=read.top(len(attention)),
        removal=read.remove_top(),
        answer=f"<p class='bag-verdict'>The bag reads as <b>{verdict}</b>: {chance} malignant.</p>"
        f"{note}{TISSUE_WORDS}{ATTENTION_WORDS}",
        figures=figures,
        legend=light_legend(wish.rule, wish.floor, full_light(wish, attention)),
        top_words="By attention; the weights of all patches sum to 100 %.",
        removal_words="The attention of the others is shared out anew; below the dashed line the "
        "bag reads as benign.",
        threshold=True,
    )


def photo_bag(wish: Wish, read: PatchScores) -> Bag:
    """Each class's confidence beside its Grad-CAM."""
    asked = wish.question
    read = replace(read, targets=asked.targets, pooling=wish.pooling)
    labels = [asked.network.labels[target] for target in asked.targets]
    *_, cam = ask(asked, "gradcam")
    figures = [_plain(wish, "Your photo", _count(read))]
    for row, (label, values) in enumerate(zip(labels, read.probabilities.T, strict=True)):
        figures += _pair(wish, read, cam, row, label, values)
    values, whole = read.probabilities[:, 0], float(cam.probabilities[asked.targets[0]])
    pooled, shared = html.percent(float(read.bag[0])), POOLING_WORDS[wish.pooling]
    rest = f" The details below are for {labels[0]}." if len(labels) > 1 else ""
    return Bag(
        key=str((wish.key, asked.targets)),
        grid=read.grid,
        facts=list(zip(labels, read.probabilities.T, strict=True)),
        order=read.top(count=len(values)),
        removal=read.remove_top(),
        answer=f"<p class='bag-verdict'><b>{escape(labels[0])}</b>: {pooled} from the patches "
        f"({escape(shared)}), {html.percent(whole)} from the photo as a whole.</p>"
        f"<p>Each patch goes through {escape(asked.network.title)} alone, at its own scale, so it "
        f"answers without its surroundings.{escape(rest)}</p>",
        figures=figures,
        legend=light_legend(wish.rule, wish.floor, "full, as said under each picture"),
        top_words=f"Those that are surest of {labels[0]}.",
        removal_words="How much of the answer is left when the surest patches are gone.",
    )


def _pair(
    wish: Wish, read: PatchScores, cam: Explanation, row: int, label: str, values: np.ndarray
) -> tuple[Figure, Figure]:
    """One class: lit patches, Grad-CAM."""
    pooled = html.percent(float(read.bag[row]))
    return (
        Figure(
            light(wish, read, values, values),
            f"Patches: {label}",
            f"Pooled {pooled}, surest patch {html.percent(float(values.max()))}; "
            f"{full_light(wish, values)}.",
            f"The photo lit by confidence in {label}: brightest at the "
            f"{_where(wish, read, values)}",
            removes=row == 0,
        ),
        Figure(
            render.overlay(wish.seen, cam, row, longest=LONGEST),
            f"Grad-CAM: {label}",
            "Of the photo as a whole.",
            notes.describe(cam, row),
        ),
    )
