"""The maps of a muting result as pictures over the photo, and all of them on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import render
from ..explanation import Question
from ..notes import named
from ..photo import Photo
from ..render import sheets
from .maps import Winners, chances, drop_map, winners
from .result import Muting, Score

LABELS = len(render.label_colours()) - 1  # that get a colour of their own
CELL, OPACITY = 360, 0.75  # of the sheet: pixels of a picture's longer side; of what lies over it


def likely(muting: Muting, target: int, size: tuple[int, int]) -> tuple[np.ndarray, float, float]:
    """(picture (H, W, 4), lowest, highest) of the target's probability by position; the brightest
    is the highest, or that of the unmuted photo."""
    grid = chances(muting, target)
    before = float(muting.network.probabilities(muting.before)[target])
    low, high = float(np.nanmin(grid)), float(np.nanmax(grid))
    return _placed(render.likely(grid, max(before, high)), muting, size), low, high


def labels(muting: Muting, size: tuple[int, int]) -> tuple[np.ndarray, Winners]:
    """The picture (H, W, 4) of the most likely class by position, and which classes these are."""
    found = winners(muting, LABELS)
    return _placed(render.labelled(found.ranks), muting, size), found


def legend(found: Winners, names: Sequence[str]) -> list[tuple[str, str, float]]:
    """(colour, or "" for none, label, share of the positions) of the classes that win."""
    colours = render.label_colours()
    items = [("", names[found.classes[0]], found.shares[0])]
    items += [
        (colours[rank], names[each], found.shares[rank + 1])
        for rank, each in enumerate(found.classes[1:])
    ]
    return items + ([(colours[-1], "others", found.others)] if found.others else [])


def _placed(cells: np.ndarray, muting: Muting, size: tuple[int, int]) -> np.ndarray:
    return render.positions(cells, muting.rows, muting.cols, muting.size, muting.frame, size)


def sheet(photo: Photo, question: Question, muting: Muting, score: Score = "logit") -> bytes:
    """The photo and its three maps side by side with titles, a row for each target, as PNG; under
    them the labels' colours."""
    picture = render.shrink(photo, CELL)
    size = picture.shape[1], picture.shape[0]
    found = drop_map(muting, question, score)
    label_layer, won = labels(muting, size)
    before = muting.network.probabilities(muting.before)
    rows = []
    for row, target in enumerate(question.targets):
        likely_layer, low, high = likely(muting, target, size)
        titles = (
            f"{named(found, row)}  {float(before[target]):.1%}",
            f"Drop of its {score}, up to {float(found.values[row].max()):.2f}",
            f"Its probability, {low:.1%} to {high:.1%}",
            "The most likely label",
        )
        layers = (render.translucent(found, row, size), likely_layer, label_layer)
        pictures = [picture, *(render.blend(picture, each, OPACITY) for each in layers)]
        rows.append(sheets.row(pictures, titles))
    items = [(c, f"{label} {share:.1%}") for c, label, share in legend(won, found.labels)]
    rows.append(sheets.swatches(items, rows[0].shape[1]))
    return render.png(np.concatenate(rows))
