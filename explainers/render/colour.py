"""The colours of the page and of every picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import cv2
import numpy as np

from ..errors import OptionError
from .strength import see_through

DEFAULT = "Inferno"
# The first three grow evenly in lightness, so they read alike with and without colour vision; Jet
# is here because papers use it.
COLOURMAPS = {
    "Inferno": cv2.COLORMAP_INFERNO,
    "Viridis": cv2.COLORMAP_VIRIDIS,
    "Cividis": cv2.COLORMAP_CIVIDIS,
    "Turbo": cv2.COLORMAP_TURBO,
    "Jet": cv2.COLORMAP_JET,
}
_BLUE, ORANGE = (33, 102, 172), (230, 97, 1)  # against and for: told apart by colour-blind eyes
PAPER, INK, DIM = (255, 255, 255), (24, 24, 27), (113, 113, 122)
STOPS = 9  # colours of a legend
_CRACK = (39, 39, 42)  # between the tiles of a mosaic: apart from black, calm on light and dark


@cache
def colours(name: str, signed: bool = False) -> np.ndarray:
    """(256, 3) RGB: from nothing to the strongest, or from against (blue) to for (orange)."""
    if signed:
        ends = np.array([_BLUE, PAPER, ORANGE], dtype=np.float32)
        return np.stack(
            [np.interp(np.linspace(0, 2, 256), [0, 1, 2], ends[:, c]) for c in range(3)], 1
        ).astype(np.uint8)
    if name not in COLOURMAPS:
        raise OptionError(f"The colour maps are {', '.join(COLOURMAPS)}: choose one of them.")
    ramp = np.arange(256, dtype=np.uint8).reshape(-1, 1)
    return cv2.applyColorMap(ramp, COLOURMAPS[name])[:, 0, ::-1].copy()


def stops(name: str, signed: bool = False) -> list[str]:
    """Hex colours along the map, for a legend."""
    return _hex(colours(name, signed)[np.linspace(0, 255, STOPS).astype(int)])


def _hex(rgb: Iterable[Sequence[int]]) -> list[str]:
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in rgb]


# Okabe and Ito's colours, told apart by colour-blind eyes; what is beyond them shares a grey.
LABELS = ((213, 94, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178))
LABELS += ((204, 121, 167), (230, 159, 0), DIM)
CHANCES = "Viridis"  # of probabilities by position, apart from the heat of the drop


def label_colours() -> list[str]:
    """Hex colours of the labels of `labelled`, from rank 1 on; the last is for all others."""
    return _hex(LABELS)


@cache
def _tones(signed: bool) -> np.ndarray:
    """(257, 3): strengths -1..1 in 256 steps, nothing being black; the last is the crack."""
    if not signed:
        ramp = colours(DEFAULT)[np.clip(2 * np.arange(256) - 256, 0, 255)]
    else:
        bright = np.array([[147, 197, 253], _BLUE, (0, 0, 0), ORANGE, (255, 237, 160)])
        steps = [np.interp(np.linspace(0, 4, 256), range(5), bright[:, c]) for c in range(3)]
        ramp = np.stack(steps, 1)
    return np.vstack([ramp, [_CRACK]]).astype(np.uint8)


def tones(strengths: np.ndarray, signed: bool) -> np.ndarray:
    """Strengths (..., ) in -1..1 as RGB that glows out of black; NaN is what lies between tiles.

    Unsigned, from black to yellow; signed, orange for positive and blue for negative.
    """
    steps = np.where(np.isnan(strengths), 256, np.nan_to_num(strengths) * 127.5 + 127.5)
    return np.take(_tones(signed), np.rint(steps).astype(np.int32), axis=0)


def sheet(values: np.ndarray, signed: bool) -> np.ndarray:
    """A mosaic's values as RGB: tones, or, where they are (..., 3), colours on mid-grey."""
    if values.ndim == 2:
        return tones(values, signed)
    colour = np.nan_to_num(values) * 127 + 128
    return np.where(np.isnan(values), np.array(_CRACK), colour).astype(np.uint8)


def indexed(values: np.ndarray, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """`tones` of values (H, W) as steps (H, W) uint8 and their colours (256, 3): a quarter of the
    bytes. Step 0 is what lies between tiles; what is most negative shares step 1."""
    steps = np.rint(np.nan_to_num(values) * 127.5 + 127.5).clip(1, 255)
    table = _tones(signed)[:256].copy()
    table[0] = _CRACK
    return np.where(np.isnan(values), 0, steps).astype(np.uint8), table


def tone_stops(signed: bool) -> list[str]:
    """Hex colours of `tones` from nothing (signed: from the most negative) to the strongest."""
    return _hex(tones(np.linspace(-1 if signed else 0, 1, STOPS), signed))


def fine_stops() -> list[str]:
    """Hex colours of a signed value at every pixel, from against to for, grey being nothing."""
    greys = np.linspace(-1, 1, STOPS)[None, :, None].repeat(3, 2)
    return _hex(sheet(greys, True)[0])


def light_stops(floor: float) -> list[str]:
    """Hex greys from the dimmest to the brightest light of `lit`, for a legend."""
    return _hex([(round(255 * light),) * 3 for light in (floor, 1)])


@cache
def ramp(name: str, signed: bool = False) -> np.ndarray:
    """(256, 4) RGBA of the steps of a map laid over a photo: weak places are see-through."""
    share = np.linspace(-1 if signed else 0, 1, 256)
    alpha = (see_through(share) * 255).astype(np.uint8)
    return np.dstack([colours(name, signed)[None], alpha[None, :, None]])[0]
