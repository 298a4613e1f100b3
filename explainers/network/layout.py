"""Which axes of an activation are places on the photo, read off its shapes at two input sizes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

Order = Literal["channels first", "channels last"]

TALLER, WIDER = 64, 128  # by so much the second input is larger, so that both sides differ


def order(
    shape: Sequence[int], larger: Sequence[int] | None, tokens: Collection[int]
) -> Order | None:
    """(1, C, h, w) or (1, h, w, C); None for what is no map.

    shape: for a square input. larger: for one that is taller and still wider, None where the
    network takes one size only. tokens: how many places the network's sequences have: squares of
    that side are attention.
    """
    if len(shape) != 4 or shape[0] != 1:
        return None
    if larger is not None and len(larger) == 4:
        moved = [axis for axis in (1, 2, 3) if shape[axis] != larger[axis]]
        if moved in ([2, 3], [1, 2]):
            upright = larger[moved[0]] <= larger[moved[1]]
            known: Order = "channels first" if moved == [2, 3] else "channels last"
            return known if upright else None
        if moved:
            return None
    _, first, second, third = shape
    if second == third and second not in tokens:
        return "channels first"
    return "channels last" if first == second != third else None


def unsure(shape: Sequence[int]) -> bool:
    """Is it worth a second pass to know which axes of this map are places?"""
    return len(shape) == 4 and min(shape[1:]) > 1 and not (shape[2] == shape[3] != shape[1])
