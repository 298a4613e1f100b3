"""Maps that say when not to trust them: short sentences, each with a key and a number.

Every finished `Explanation` carries `notes`, worked out from its values and its pass alone. A page
shows `sentences(explanation, row)` under a map and `describe(explanation, row)` as its alternative
text. What needs another pass, a neighbouring crop, is `unstable`, and is there only where somebody
measured it (`explainers.steady`).

Thresholds were chosen on photos, beside networks with planted faults: `benchmarks/notes.py` prints
how often each note is raised without need, `benchmarks/README.md` keeps the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .explanation import Explanation, Note, Question
from .network import Network

CELLS = 14  # of a map's shorter side: finer maps are averaged to as many first
AGAINST = 0.95  # share of the evidence that is against the class
SURE = 0.99  # probability from which on its gradient is less than a hundredth of the logit's
UNLIKELY = 0.01  # a softmax network does not see a class below it, or below an even chance
BORDER = 0.32  # heat in the outermost cells, beyond an even spread (0) and up to all of it (1)
FLAT = {"cells": 1.65, "pixels": 2.2, "scores": 1.14}  # the strongest cell over the average one
OFF = 0.5  # of the heat lies off the photo (`benchmarks/padding.py`), more than is shown
LEAST = 4  # cells of the shorter side from which on a map has an inside
UNSTABLE = 0.25  # rank correlation of two neighbouring crops' maps
UNSETTLED = 0.18  # standard error of a mean over random masks, in ranges of the map
CANCELLED = 0.001  # of what is averaged is left; by chance it is one in the root of the places
#: What is remarked on a network, but holds for some of its maps alone: those made at that layer or
#: at none, by a method of that family.
SOME: dict[str, Callable[[str | None, Network, str], bool]] = {
    "mixed": lambda layer, network, _family: layer == network.last,
    "bordered": lambda layer, network, _family: layer == network.last,
    "past": lambda layer, network, _family: layer == network.last,
    "trimmed": lambda layer, _network, _family: layer is not None,
    "cut": lambda _layer, _network, family: family not in ("perturbation", "patches"),
}
ROUNDING = 4 * torch.finfo(torch.float32).eps  # of the largest logit, where logits are subtracted


@dataclass(frozen=True)
class Measures:
    """What a map's notes go by. broken: share of values that are not finite; the others are None
    then. blank: is nothing left but rounding? strongest: the largest value. against: share of the
    evidence that is negative, None for maps of magnitudes. border: share of the heat in the
    outermost cells, and beyond: that from an even spread (0) to all of it (1), None on a map too
    small to have an inside. peak: the strongest cell over the average one.
    """

    broken: float
    blank: bool = False
    strongest: float | None = None
    against: float | None = None
    border: float | None = None
    beyond: float | None = None
    peak: float | None = None

    @property
    def strongest_place(self) -> bool:
        """Is there a place that speaks for the class?"""
        return not self.blank and self.strongest is not None and self.strongest > 0


def of(explanation: Explanation, network: Network) -> tuple[Note, ...]:
    """All notes of a map, target by target; costs no pass."""
    notes: list[Note] = []
    lost = 1 - float(explanation.logits.isfinite().float().mean())
    for row, target in enumerate(explanation.targets):
        measured = measure(explanation, row)
        if lost and not measured.broken:  # gradients and muted maps may look sound all the same
            notes.append(overflow(lost, "of the network’s scores", row))
            continue
        found = of_map(measured, kind(explanation), row) + of_padding(explanation, row)
        if network.head != "none":
            chance, bound = float(explanation.probabilities[target]), seen_from(network, target)
            notes += of_pass(chance, bound, row)
            if network.head == "sigmoid" and explanation.against is None and chance >= bound:
                # The logit is above its threshold: it is the head's bias that the map leaves out.
                found = [note for note in found if note.key != "only against"]
        notes += found
    return tuple(notes)


def of_question(question: Question, layer: str | None, family: str) -> tuple[Note, ...]:
    """What holds for every map of that network and view, made at that layer or at none, by a method
    of that family."""
    remarks = {**question.network.remarks, **question.view.remarks}
    return tuple(
        Note(key, 0.0, sentence)
        for key, sentence in remarks.items()
        if key not in SOME or SOME[key](layer, question.network, family)
    )


def seen_from(network: Network, target: int) -> float:
    """The probability below which the network does not see that class."""
    if network.head == "softmax":
        return min(UNLIKELY, 1 / len(network.labels))
    return network.thresholds[target]


def sentences(explanation: Explanation, row: int = 0) -> list[str]:
    """What to say under the map of that target; empty where there is nothing against it."""
    return [note.sentence for note in explanation.notes if note.row == row]


def describe(explanation: Explanation, row: int = 0) -> str:
    """A map in words, for those who can't see it: what it is of, where it is strongest, its notes.

    Works for a map that is still growing, too. Plain text, not escaped.
    """
    found = measure(explanation, row)
    words = f"{explanation.title or explanation.method} for {named(explanation, row)}"
    if found.blank:
        words += ": blank"
    elif found.strongest_place:
        words += f": strongest at the {place(*explanation.peak(row))}"
    return " ".join([f"{words}.", *sentences(explanation, row)])


def named(explanation: Explanation, row: int = 0) -> str:
    """The class of that row, and the one that it is contrasted with."""
    about = [explanation.targets[row]]
    about += [] if explanation.against is None else [explanation.against]
    labels = explanation.labels
    return ", and not ".join(labels[each] if labels else f"class {each}" for each in about)


def place(x: float, y: float) -> str:
    """A point of the photo, as fractions, in words."""
    column = ("left", "centre", "right")[min(2, int(x * 3))]
    row = ("top", "middle", "bottom")[min(2, int(y * 3))]
    return "centre" if (row, column) == ("middle", "centre") else f"{row} {column}"


def percent(share: float) -> str:
    """A share as people read it, never rounded to an untrue 0 or 100."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    if 0.9995 <= share < 1:
        return ">99.9 %"
    return f"{share:.1%}".replace("%", " %").replace(".0 ", " ")


def measure(explanation: Explanation, row: int = 0) -> Measures:
    """The numbers that the notes of that target go by."""
    values = explanation.on_photo(row).numpy()  # half of torch's time for small maps
    sizes = np.abs(values)
    total = float(sizes.sum(dtype=np.float64))
    if not math.isfinite(total):
        return Measures(1 - float(np.isfinite(values).mean()))
    top, low = float(values.max()), float(values.min())
    if not explanation.zero and low < 0:  # scores that are no probabilities: from the lowest on
        values, top, low = values - low, top - low, 0.0
        sizes, total = values, float(values.sum(dtype=np.float64))
    spread = max(top, -low) if explanation.zero else top - low  # without a zero, differences count
    if spread <= _rounding(explanation):
        return Measures(0.0, blank=True, strongest=top)
    against = None
    if explanation.per_pixel:
        heat = sizes.max(0)
    else:
        against = max(0.0, (total - float(values.sum(dtype=np.float64))) / 2 / total)
        heat = sizes if explanation.against is not None else np.maximum(values, 0)
    if not explanation.per_pixel and explanation.against is None and top <= 0:
        return Measures(0.0, strongest=top, against=against)
    heat = heat / heat.max()  # sums of what is as it came may overflow
    heat = cells(torch.from_numpy(heat)).numpy() if min(heat.shape) > CELLS else heat
    total, peak = float(heat.sum()), float(heat.max())
    border = beyond = None
    if min(heat.shape) >= LEAST:
        inside = heat[1:-1, 1:-1]
        border, area = 1 - float(inside.sum()) / total, 1 - inside.size / heat.size
        beyond = (border - area) / (1 - area)
    return Measures(
        broken=0.0,
        strongest=top,
        against=against,
        border=border,
        beyond=beyond,
        peak=peak * heat.size / total,
    )


def overflow(share: float, of: str, row: int = 0) -> Note:
    """The note on values that are not finite."""
    words = "is not a number: the network overflows on this photo, so take another."
    return Note("NaN", share, f"{percent(share)} {of} {words}", row)


def unstable(agreement: float, row: int = 0) -> Note | None:
    """The note on how far the maps of two neighbouring crops agree (`scores.stability`), if any."""
    if agreement >= UNSTABLE:
        return None
    words = (
        f"Cropped a little differently, the photo gives another map (rank correlation "
        f"{agreement:.2f}): what both show is all that counts."
    )
    return Note("unstable", agreement, words, row)


def cancelled(left: float, row: int = 0) -> Note | None:
    """The note on a map's weights, if hardly anything is left of what they are averages of; where
    nothing is, the map is blank."""
    if not 0 < left < CANCELLED:
        return None
    words = (
        f"Less than {percent(CANCELLED)} is left of what this map’s weights average, as before an "
        "InstanceNorm: see LayerCAM or HiResCAM, which average nothing."
    )
    return Note("cancelled", left, words, row)


def unsettled(error: float, row: int = 0) -> Note | None:
    """The note on a map's standard error, as a share of its range."""
    if error < UNSETTLED:
        return None
    words = (
        f"The map’s standard error is {percent(error)} of its range, so other random masks may "
        "give another map: take more masks, or a coarser grid."
    )
    return Note("unsettled", error, words, row)


def _rounding(explanation: Explanation) -> float:
    """The largest value that means nothing: maps of a layer and gradients have none."""
    if explanation.layer is not None or explanation.per_pixel:
        return 0.0
    return ROUNDING * float(explanation.logits.abs().max())  # differences of scores


def cells(heat: Tensor) -> Tensor:
    """(h, w) averaged to at most CELLS on the shorter side."""
    scale = CELLS / min(heat.shape)
    if scale >= 1:
        return heat
    return F.adaptive_avg_pool2d(heat[None], [round(side * scale) for side in heat.shape])[0]


def kind(explanation: Explanation) -> str:
    """cells, pixels or scores: which maps are as peaked as each other by nature."""
    if explanation.per_pixel:
        return "pixels"
    return "cells" if explanation.zero else "scores"


def of_pass(chance: float, bound: float, row: int = 0) -> list[Note]:
    """Notes that the probability alone gives reason for."""
    if chance >= SURE:
        words = (
            f"The network is {percent(chance)} sure, where the probability hardly moves any more: "
            "go by the logit."
        )
        return [Note("saturated", chance, words, row)]
    if chance < bound:
        words = (
            f"The network gives this class {percent(chance)}, so it does not see it here: the map "
            "shows what comes nearest."
        )
        return [Note("not seen", chance, words, row)]
    return []


def of_padding(explanation: Explanation, row: int = 0) -> list[Note]:
    """The note on heat that lies on what a transform pads the photo with, and is not drawn."""
    share = off_photo(explanation, row)
    if share < OFF:
        return []
    words = f"{percent(share)} of the heat lies off the photo, on what it is padded with."
    return [Note("padding", share, words, row)]


def off_photo(explanation: Explanation, row: int = 0) -> float:
    """The share of the heat that lies on what a transform pads the photo with."""
    whole, here = explanation.values[row], explanation.on_photo(row)
    if here.shape == whole.shape or not explanation.zero:
        return 0.0
    if explanation.per_pixel or explanation.against is not None:
        whole, here = whole.abs(), here.abs()
    every, shown = (float(each.clamp(min=0).sum()) for each in (whole, here))
    return 1 - shown / every if every > 0 else 0.0


def of_map(found: Measures, kind: str, row: int = 0) -> list[Note]:
    """Notes that the values give reason for. kind: a key of FLAT."""
    if found.broken:
        return [overflow(found.broken, "of the map", row)]
    if found.blank:
        words = "The map is blank: nothing in the photo moves this class here, or it cancels out."
        return [Note("blank", 0.0, words, row)]
    if found.against is not None and found.against >= AGAINST:
        words = f"{percent(found.against)} of the evidence in this map speaks against the class."
        return [Note("only against", found.against, words, row)]
    notes = []
    if found.beyond is not None and found.beyond >= BORDER:
        words = (
            f"{percent(found.border)} of the heat lies along the border, within the padding’s "
            "reach: see whether it stays there when the photo is cropped."
        )
        notes.append(Note("border", found.border, words, row))
    if found.peak is not None and found.peak < FLAT[kind]:
        words = (
            f"The strongest place has only {found.peak:.1f} times the average: the map is nearly "
            "flat and prefers no place."
        )
        notes.append(Note("flat", found.peak, words, row))
    return notes
