"""Two networks' maps of one photo on one scale, and their difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import OptionError
from ..explanation import Explanation
from ..photo import Photo
from ..registry import METHODS
from .colour import DEFAULT
from .overlays import blend, graded
from .picture import enlarge, laid, shrink
from .strength import from_lowest, signed

CELLS = 28  # of the shorter side, over which magnitudes of single pixels are averaged
PALE = 0.5  # of the photo's contrast under the change
DENSE = 0.4  # power by which the change is more opaque than a map


@dataclass(frozen=True)
class Pair:
    """One method's maps of one class in two networks, as they are laid over a picture (h, w, 3).

    before, after: (h, w) float32 in one unit; NaN where that network never looked. both: do they
    show what speaks against the class, too?
    """

    picture: np.ndarray
    before: np.ndarray
    after: np.ndarray
    both: bool

    @property
    def change(self) -> np.ndarray:
        """(h, w): after minus before."""
        return self.after - self.before

    @property
    def top(self) -> float:
        """The magnitude at which all of them are drawn at full strength; 0 if all are blank."""
        found = np.abs([self.before, self.after])
        return float(np.nanmax(found, initial=0.0))

    @property
    def moved(self) -> list[tuple[float, float]]:
        """Where most was gained and where most was lost: (x, y) as fractions of the photo."""
        height, width = self.change.shape
        places = []
        for values in (self.change, -self.change):
            y, x = divmod(int(np.nan_to_num(values, nan=-np.inf).argmax()), width)
            places.append(((x + 0.5) / width, (y + 0.5) / height))
        return places

    def drawn(self, colourmap: str = DEFAULT, opacity: float = 0.75) -> list[np.ndarray]:
        """Before, after and the change over the picture, each (h, w, 3)."""
        full = max(self.top, 1e-12)
        before, after, change = (
            graded((values / full).clip(-1, 1), colourmap, both)
            for values, both in (
                (self.before, self.both),
                (self.after, self.both),
                (self.change, True),
            )
        )
        # two colours that meet in white need a quiet ground, and hide it sooner
        pale = 255 - (255 - self.picture.mean(2, keepdims=True).repeat(3, 2)) * PALE
        change[..., 3] = 255 * (change[..., 3] / 255) ** DENSE
        maps = [blend(self.picture, each, opacity) for each in (before, after)]
        return [*maps, blend(pale, change, 1.0)]


def pair(
    photo: Photo, before: Explanation, after: Explanation, row: int = 0, longest: int = 480
) -> Pair:
    """Both maps over one picture of the photo.

    They show what each shows alone: what speaks for the class, or both signs of a contrast; those
    of single pixels show magnitudes, averaged over cells, since no two networks agree on a pixel.
    Values that add up over the places are multiplied by their number, so that a network with a
    finer grid does not look paler. Raises OptionError for maps of two methods.
    """
    if before.method != after.method:
        raise OptionError("Two networks are compared by one method: choose the same for both.")
    picture = shrink(photo, longest)
    maps = [_laid(each, row, *picture.shape[:2]) for each in (before, after)]
    return Pair(picture, *maps, both=signed(before))


def _laid(found: Explanation, row: int, height: int, width: int) -> np.ndarray:
    """One map over the whole picture."""
    found = found if found.zero else from_lowest(found)
    values = found.values[row].nan_to_num(0.0, 0.0, 0.0).numpy()
    if found.per_pixel:
        values = np.abs(values).max(0)
    elif not signed(found):
        values = values.clip(0)
    if METHODS[found.method].sums:
        values = values * values.size
    if found.per_pixel:
        share = CELLS / min(values.shape)
        values = enlarge(values, *(max(1, round(side * share)) for side in values.shape[::-1]))
    canvas = np.full((height, width), np.nan, np.float32)
    part, over = laid(values, found.frame, (width, height))
    canvas[part] = over
    return canvas
