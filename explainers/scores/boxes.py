"""Does a map find the object that somebody drew a box round?

Pointing: Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016. Energy
inside: Wang et al., "Score-CAM", CVPRW 2020.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ..errors import OptionError
from ..explanation import Explanation
from ..network import Frame
from ..notes import measure
from .faithfulness import strength


def checked_box(given: Any) -> Frame:
    """(left, top, right, bottom) as fractions of the photo, in order; raises OptionError."""
    fine = isinstance(given, list | tuple) and len(given) == 4
    fine = fine and all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in given
    )
    if not fine:
        raise OptionError("A box has four numbers: left, top, right and bottom, from 0 to 1.")
    left, top, right, bottom = (min(max(float(v), 0.0), 1.0) for v in given)
    left, right, top, bottom = *sorted((left, right)), *sorted((top, bottom))
    if right - left < 0.005 or bottom - top < 0.005:
        raise OptionError("The box is empty: draw one round the object.")
    return left, top, right, bottom


def pointing(explanation: Explanation, box: Frame, row: int = 0) -> bool | None:
    """Is the strongest place of the map inside the box (fractions of the photo)?

    None for a map that has no strongest place, since nothing speaks for the class.
    """
    if not measure(explanation, row).strongest_place:
        return None
    (x, y), (left, top, right, bottom) = explanation.peak(row), box
    return left <= x <= right and top <= y <= bottom


def energy_inside(
    explanation: Explanation, box: Frame, size: tuple[int, int], row: int = 0
) -> float | None:
    """Share of the map's positive strength that lies inside the box, 0..1.

    size: (H, W) of the input, at which pixels are counted by their centres. None for a map that is
    positive nowhere.
    """
    energy = strength(explanation, row, size).clamp(min=0).double()
    left, top, right, bottom = explanation.frame
    x = left + (torch.arange(size[1], device="cpu") + 0.5) / size[1] * (right - left)
    y = top + (torch.arange(size[0], device="cpu") + 0.5) / size[0] * (bottom - top)
    inside = ((y >= box[1]) & (y <= box[3])).double()[:, None] * (
        (x >= box[0]) & (x <= box[2])
    ).double()
    total = float(energy.sum())
    return float((energy * inside).sum()) / total if total > 0 else None
