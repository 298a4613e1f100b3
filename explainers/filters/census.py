"""What a layer's first filters are tuned to: orientation, frequency and colour, filter by filter.

Of a Gabor filter the fitted Gabor says it: its spectrum has one peak, where that of the filter
itself may have several.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .gabor import GOOD, Compared, Fit
from .kernels import separate, tuned

SELECTIVE = 2.0  # times the answer to stripes across, from which a filter counts as oriented


@dataclass(frozen=True)
class Trait:
    """One filter. r2: of its best Gabor. gabor: is it one, R squared at least `GOOD`? oriented: it
    answers at least twice as much to stripes of its orientation as to such across; else it is a
    blob. orientation: degrees across the stripes; frequency: cycles per pixel; both at the peak of
    the fitted Gabor's spectrum. grey: the share of its energy that red, green and blue have in
    common. one: the share that one colour times one plane holds."""

    index: int
    r2: float
    gabor: bool
    oriented: bool
    orientation: float
    frequency: float
    grey: float
    one: float
    colour: np.ndarray
    fit: Fit

    @property
    def coloured(self) -> bool:
        """Is more than half of it colour?"""
        return self.grey < 0.5


def traits(kernels: np.ndarray, fits: Sequence[Fit]) -> list[Trait]:
    """Of each filter (F, 3, size, size), in order."""
    return [_trait(i, *each) for i, each in enumerate(zip(kernels, fits, strict=True))]


def _trait(index: int, kernel: np.ndarray, fit: Fit) -> Trait:
    parts = separate(kernel)
    angle, frequency, across = tuned(fit.plane)
    energy = float((kernel**2).sum())
    common = len(kernel) * float((kernel.mean(0) ** 2).sum())
    return Trait(
        index=index,
        r2=fit.r2,
        gabor=fit.r2 >= GOOD,
        oriented=across <= 1 / SELECTIVE,
        orientation=angle,
        frequency=frequency,
        grey=common / energy if energy > 0 else 1.0,
        one=parts.share,
        colour=parts.colour,
        fit=fit,
    )


@dataclass(frozen=True)
class Census:
    """Of a layer's Gabor filters: how many there are, and of these, how many are oriented and how
    many coloured. Of the oriented ones: frequencies, the least and the most (cycles per pixel);
    gap: the largest between neighbouring orientations (degrees; 180 where there are not two)."""

    gabors: int
    oriented: int
    coloured: int
    frequencies: tuple[float, float]
    gap: float


def census(found: Sequence[Trait]) -> Census:
    """The Gabor filters among them, counted."""
    gabors = [each for each in found if each.gabor]
    striped = [each for each in gabors if each.oriented]
    angles = np.sort([each.orientation for each in striped])
    gaps = np.diff(np.append(angles, angles[:1] + 180))
    sizes = [each.frequency for each in striped] or [0.0]
    return Census(
        gabors=len(gabors),
        oriented=len(striped),
        coloured=sum(each.coloured for each in gabors),
        frequencies=(min(sizes), max(sizes)),
        gap=float(gaps.max()) if len(striped) > 1 else 180.0,
    )


def arranged(found: Sequence[Trait]) -> list[int]:
    """Indices for a sheet: oriented Gabor filters by orientation, then blobs, then the rest; each
    of the last two by colour, and from coarse to fine."""

    def key(each: Trait) -> tuple:
        if each.gabor and each.oriented:
            return 0, False, each.orientation
        return 1 + (not each.gabor), each.coloured, each.frequency

    return [each.index for each in sorted(found, key=key)]


def table(found: Sequence[Trait], compared: Compared) -> str:
    """All of it as CSV, a row for each filter. The ranks are the shares of random and of shuffled
    filters that are less like a Gabor."""
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(COLUMNS)
    for each in found:
        fit, nulls = each.fit, (compared.null, compared.shuffled)
        numbers = [each.r2, *((null < each.r2).mean() for null in nulls)]
        numbers += [each.orientation, each.frequency, fit.orientation, fit.wavelength, *fit.sigmas]
        numbers += [fit.phase, *each.colour, each.grey, each.one]
        yes = [int(each.gabor), int(each.oriented), int(each.coloured)]
        rows.writerow([each.index, *(f"{number:.4g}" for number in numbers), *yes])
    return file.getvalue()


COLUMNS = (
    "filter r2 rank_random rank_shuffled orientation_deg frequency_cycles_per_px "
    "fit_orientation_deg fit_wavelength_px fit_sigma_along_px fit_sigma_across_px fit_phase_deg "
    "red green blue grey_share one_colour_share gabor oriented coloured"
).split()
