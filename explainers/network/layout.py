"""Which parts of an activation are places on the photo, read off its shapes at two input sizes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["channels first", "channels last", "tokens", "tokens first"]
Size = tuple[int, int]  # height, width

TALLER, WIDER = 64, 128  # by so much the second input is larger, so that both sides differ
MOST_PREFIXES = 16  # tokens that stand for no place, such as the class token


@dataclass(frozen=True)
class Layout:
    """How an activation holds its places.

    kind: of its axes, (N, C, h, w), (N, h, w, C), (N, tokens, C) or (tokens, N, C). before, behind:
    how many tokens before the first place and behind the last one stand for none.
    """

    kind: Kind
    before: int = 0
    behind: int = 0

    @property
    def of_tokens(self) -> bool:
        return self.kind.startswith("tokens")

    def fits(self, value: Tensor, size: Size) -> bool:
        """Can its places be laid over an input of that (height, width)?"""
        try:
            return self.maps(value, size).ndim == 4
        except ValueError:
            return False

    def maps(self, value: Tensor, size: Size) -> Tensor:
        """The places of an activation as maps (N, C, h, w), a view of it where that can be.

        size: (height, width) of the network's input. Raises ValueError where the tokens are no
        grid of that shape.
        """
        if self.kind == "channels first":
            return value
        if self.kind == "channels last":
            return value.movedim(3, 1)
        value = self._by_photo(value)
        places = value[:, self.before : value.shape[1] - self.behind]
        return places.unflatten(1, grid(places.shape[1], size)).movedim(3, 1)

    def restored(self, maps: Tensor, value: Tensor) -> Tensor:
        """The activation `value` with those maps as its places, and all else as it is."""
        if self.kind == "channels first":
            return maps
        if self.kind == "channels last":
            return maps.movedim(1, 3)
        value = self._by_photo(value)
        first, last = value[:, : self.before], value[:, value.shape[1] - self.behind :]
        return self._by_photo(torch.cat([first, maps.flatten(2).transpose(1, 2), last], 1))

    def _by_photo(self, value: Tensor) -> Tensor:
        return value.transpose(0, 1) if self.kind == "tokens first" else value


#: Of what has no places: it stays as it is.
FLAT = Layout("channels first")


def grid(places: int, size: Size) -> Size:
    """Rows and columns of so many places on an input of that size; raises ValueError for none."""
    height, width = size
    rows = round((places * height / width) ** 0.5)
    for near in sorted(range(max(rows - 2, 1), rows + 3), key=lambda n: abs(n - rows)):
        columns = places // near
        if near * columns == places and abs(near - columns * height / width) < 1:
            return near, columns
    raise ValueError(f"{places} tokens are no grid on an input of {width} by {height} pixels.")


def order(
    shape: Sequence[int],
    larger: Sequence[int] | None,
    tokens: Collection[int],
    convolved: Collection[Sequence[int]] = (),
) -> Layout | None:
    """(1, C, h, w) or (1, h, w, C); None for what is no map.

    shape: for a square input. larger: for one that is taller and still wider, None where the
    network takes one size only. tokens: how many places the network's sequences have: squares of
    that side are attention. convolved: shapes that convolutions hand over, whose channels are first
    also where a side of them is cut or pooled to as many cells for all inputs.
    """
    if len(shape) != 4 or shape[0] != 1:
        return None
    if larger is not None and len(larger) == 4:
        moved = [axis for axis in (1, 2, 3) if shape[axis] != larger[axis]]
        if moved in ([2, 3], [1, 2]):
            upright = larger[moved[0]] <= larger[moved[1]]
            known = Layout("channels first" if moved == [2, 3] else "channels last")
            return known if upright else None
        if moved and (1 in moved or tuple(shape) not in convolved):
            return None
    if tuple(shape) in convolved:
        return Layout("channels first")
    _, first, second, third = shape
    if second == third and second not in tokens:
        return Layout("channels first")
    return Layout("channels last") if first == second != third else None


def unsure(shape: Sequence[int]) -> bool:
    """Is it worth a second pass to know which axes of this map are places?"""
    return len(shape) == 4 and min(shape[1:]) > 1 and not (shape[2] == shape[3] != shape[1])


def sequences(shape: Sequence[int], grids: Collection[int], size: Size) -> list[Layout]:
    """How (1, tokens, C) or (tokens, 1, C) may hold places on an input of that size, likeliest
    first.

    grids: rows of the maps that the tokens may have been made of; beside these places there may be
    as many tokens again, as learned prompts are.
    """
    if len(shape) != 3 or 1 not in shape[:2] or shape[2] < 2:
        return []
    kind: Kind = "tokens" if shape[0] == 1 else "tokens first"
    height, width = size
    left = {}  # tokens beside the places of that many rows
    for rows in range(1, max(shape[:2]) + 1):
        columns = rows * width / height
        places = round(columns) * rows
        if columns.is_integer() and 4 <= places <= max(shape[:2]):
            left[rows] = max(shape[:2]) - places, places
    sides = [rows for rows in left if rows in grids and left[rows][0] <= left[rows][1]]
    few = [rows for rows in left if left[rows][0] <= MOST_PREFIXES]
    spare = [left[rows][0] for rows in reversed(sides or few[-1:])]
    found = [Layout(kind, before=each) for each in spare]
    return found + [Layout(kind, behind=each) for each in spare if each]
