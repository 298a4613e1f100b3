"""What is laid over a photo, on the right pixels of it, and how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

from ..explanation import Explanation
from ..photo import Photo
from .colour import CHANCES, DEFAULT, LABELS, ORANGE, colours
from .picture import laid, shrink
from .strength import STRONG, Scale, heat, see_through, signed

Pixels = Literal["colour", "strength"]
DIMMED = 150  # opacity of the black over what a network never saw, of 255


def translucent(
    explanation: Explanation,
    row: int,
    size: tuple[int, int],
    *,
    colourmap: str = DEFAULT,
    scale: Scale = "each",
    pixels: Pixels = "colour",
) -> np.ndarray:
    """One map as (H, W, 4), to be laid over a picture of the whole photo of that size (W, H).

    Weak places are see-through, so that the photo stays readable; places outside the map's frame
    are dimmed, since the network never saw them.
    """
    canvas = _unseen(size)
    if explanation.per_pixel and pixels == "colour" and explanation.values.shape[1] == 3:
        part, picture = laid(_embossed(explanation, row, scale), explanation.frame, size)
        canvas[part] = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    else:
        values = heat(explanation, scale)[row].astype(np.float32)
        part, values = laid(values, explanation.frame, size)
        canvas[part] = graded(values, colourmap, signed(explanation))
    return canvas


def _unseen(size: tuple[int, int]) -> np.ndarray:
    """(H, W, 4) that dims all of a picture of that size (W, H)."""
    canvas = np.zeros((size[1], size[0], 4), dtype=np.uint8)
    canvas[..., 3] = DIMMED
    return canvas


def graded(values: np.ndarray, colourmap: str = DEFAULT, both: bool = False) -> np.ndarray:
    """Strengths (h, w) in 0..1, or -1..1 with `both`, as (h, w, 4); NaN dims what is below."""
    unseen = np.isnan(values)
    values = np.nan_to_num(values)
    steps = (values + 1) / 2 if both else values
    rgb = colours(colourmap, both)[(np.clip(steps, 0, 1) * 255).round().astype(np.uint8)]
    alpha = np.where(unseen, DIMMED, see_through(values) * 255).astype(np.uint8)
    return np.dstack([np.where(unseen[..., None], 0, rgb).astype(np.uint8), alpha])


def _embossed(explanation: Explanation, row: int, scale: Scale) -> np.ndarray:
    """Signed colours on mid-grey (H, W, 3), as papers show guided backprop."""
    values = explanation.values.numpy()
    chosen = values if scale == "shared" else values[row]
    return relief(values[row], float(np.percentile(np.abs(chosen), STRONG)))


def relief(values: np.ndarray, top: float | None = None) -> np.ndarray:
    """Signed values (C, H, W) on mid-grey (H, W, 3): three channels as colours, the mean of any
    others in grey. `top` is full strength."""
    values = values if len(values) == 3 else values.mean(0, keepdims=True).repeat(3, 0)
    if top is None:
        top = float(np.percentile(np.abs(values), STRONG))
    scaled = (values.transpose(1, 2, 0) / max(top, 1e-12)).clip(-1, 1)
    return (scaled * 127 + 128).astype(np.uint8)


def glow(
    picture: np.ndarray,
    values: np.ndarray,
    frame: Sequence[float],
    top: float | None,
    opacity: float = 0.8,
    *,
    both: bool = False,
) -> np.ndarray:
    """A picture of the photo (H, W, 3) with one channel (h, w) over it; `top` is full strength.

    both: negative values are shown too, in blue, and positive ones in orange. A `top` of None is
    a high percentile of the values.
    """
    if top is None:
        top = float(np.percentile(np.abs(values), STRONG))
    height, width = picture.shape[:2]
    values = np.clip(values / max(top, 1e-12), -1 if both else 0, 1).astype(np.float32)
    part, values = laid(values, frame, (width, height))
    if both:  # two colours need a quiet ground
        picture = (picture.mean(axis=2, keepdims=True) * 0.6).astype(np.uint8).repeat(3, 2)
        steps, alpha = np.where(values < 0, 0, 255), np.abs(values) ** 0.6 * opacity
    else:
        steps, alpha = (values * 255).astype(np.uint8), see_through(values) * opacity
    alpha, colour = alpha[..., None], colours(DEFAULT, both)[steps]
    shown = (picture * 0.41).astype(np.uint8)  # the network never saw what is outside the frame
    shown[part] = picture[part] * (1 - alpha) + colour * alpha
    return shown


def labelled(ranks: np.ndarray) -> np.ndarray:
    """Ranks (rows, cols) as cells (rows, cols, 4): 0 is see-through, the others have colours."""
    table = np.array([(0, 0, 0, 0), *((*each, 225) for each in LABELS)], dtype=np.uint8)
    return table[np.clip(ranks, 0, len(LABELS))]


def classes(explanation: Explanation, size: tuple[int, int]) -> np.ndarray:
    """All classes' maps in one (H, W, 4), for a picture of the whole photo of that size (W, H).

    Each place has the colour of the class that is strongest there, measured by the strongest place
    of its own map, since otherwise the surest class would paint over all others.
    """
    placed = [laid(each.astype(np.float32), explanation.frame, size) for each in heat(explanation)]
    part, strengths = placed[0][0], np.stack([values for _, values in placed])
    strongest = strengths.max(0).clip(0, 1)
    colour = np.array(LABELS[:-1], np.uint8)[strengths.argmax(0) % (len(LABELS) - 1)]
    canvas = _unseen(size)
    alpha = (230 * strongest**0.8).astype(np.uint8)
    canvas[part] = np.dstack([colour, alpha])
    return canvas


def likely(chances: np.ndarray, top: float) -> np.ndarray:
    """Probabilities (rows, cols) as cells (rows, cols, 4); `top` is the brightest."""
    steps = np.clip(np.nan_to_num(chances) / max(top, 1e-12), 0, 1)
    rgb = colours(CHANCES)[(steps * 255).round().astype(np.uint8)]
    alpha = np.where(np.isnan(chances), 0, 215).astype(np.uint8)
    return np.dstack([rgb, alpha])


def positions(
    cells: np.ndarray,
    rows: Sequence[tuple[int, int]],
    cols: Sequence[tuple[int, int]],
    inputs: tuple[int, int],
    frame: Sequence[float],
    size: tuple[int, int],
) -> np.ndarray:
    """Cells (rows, cols, 4) as (H, W, 4), for a picture of the whole photo of that size (W, H).

    Each pixel has the colour of the window whose centre is nearest. rows, cols: the windows'
    intervals in the input, which is `inputs` (height, width) and covers `frame` of the photo.
    """
    canvas = _unseen(size)

    def by_centre(cells: np.ndarray, width: int, height: int) -> np.ndarray:
        return cells[np.ix_(_nearest(rows, inputs[0], height), _nearest(cols, inputs[1], width))]

    part, placed = laid(cells, frame, size, by_centre)
    canvas[part] = placed
    return canvas


def _nearest(intervals: Sequence[tuple[int, int]], length: int, pixels: int) -> np.ndarray:
    """For each of `pixels` along a side: the number of the interval whose centre is nearest."""
    centres = np.array(intervals, dtype=np.float64).mean(1)
    places = (np.arange(pixels) + 0.5) * length / max(pixels, 1)
    return np.abs(places[:, None] - centres[None]).argmin(1)


def region(picture: np.ndarray, mask: np.ndarray, frame: Sequence[float]) -> np.ndarray:
    """A picture of the photo (H, W, 3), dimmed but for a region, mask (h, w) of the frame."""
    height, width = picture.shape[:2]

    def sharp(mask: np.ndarray, width: int, height: int) -> np.ndarray:
        return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)

    part, inside = laid(mask.astype(np.uint8), frame, (width, height), sharp)
    whole = np.zeros((height, width), dtype=np.uint8)
    whole[part] = inside
    shown = np.where(whole[..., None] > 0, picture, (picture * 0.35).astype(np.uint8))
    outline, _ = cv2.findContours(whole, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(shown.copy(), outline, -1, ORANGE, max(2, width // 160))


def blend(picture: np.ndarray, over: np.ndarray, opacity: float) -> np.ndarray:
    """`over` (H, W, 4) laid on `picture` (H, W, 3) with that opacity (0 to 1)."""
    alpha = over[..., 3:].astype(np.float32) / 255 * opacity
    return (picture * (1 - alpha) + over[..., :3] * alpha).round().astype(np.uint8)


def overlay(
    photo: Photo,
    explanation: Explanation,
    row: int = 0,
    *,
    opacity: float = 0.75,
    longest: int = 640,
    colourmap: str = DEFAULT,
    scale: Scale = "each",
    pixels: Pixels = "colour",
) -> np.ndarray:
    """The photo with one map over it (H, W, 3)."""
    picture = shrink(photo, longest)
    size = picture.shape[1], picture.shape[0]
    over = translucent(explanation, row, size, colourmap=colourmap, scale=scale, pixels=pixels)
    return blend(picture, over, opacity)


def lit(picture: np.ndarray, light: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) as bright as `light` (h, w), 0..1, says; grey and dim where it is NaN."""
    height, width = picture.shape[:2]
    light = light.astype(np.float32)
    light = cv2.resize(light, (width, height), interpolation=cv2.INTER_NEAREST)[..., None]
    unread = picture.mean(2, keepdims=True) * 0.35
    return np.where(np.isnan(light), unread, picture * np.nan_to_num(light)).astype(np.uint8)
