"""The only place where numbers become colours.

Maps arrive raw and signed. Here they are scaled, coloured and laid over the right pixels of the
photo. Everything returns uint8 arrays or encoded bytes; nothing of a photo's metadata survives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Literal

import cv2
import numpy as np

from .errors import OptionError
from .explanation import Explanation
from .photo import Photo

Scale = Literal["each", "shared"]
Pixels = Literal["colour", "strength"]

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
_BLUE, _ORANGE = (33, 102, 172), (230, 97, 1)  # against and for: told apart by colour-blind eyes
PAPER, INK, DIM = (255, 255, 255), (24, 24, 27), (113, 113, 122)
_CRACK = (39, 39, 42)  # between the tiles of a mosaic: apart from black, calm on light and dark
_STRONG = 99.5  # per cent: a few glaring pixels must not darken all others


@cache
def colours(name: str, signed: bool = False) -> np.ndarray:
    """(256, 3) RGB: from nothing to the strongest, or from against (blue) to for (orange)."""
    if signed:
        ends = np.array([_BLUE, PAPER, _ORANGE], dtype=np.float32)
        return np.stack(
            [np.interp(np.linspace(0, 2, 256), [0, 1, 2], ends[:, c]) for c in range(3)], 1
        ).astype(np.uint8)
    if name not in COLOURMAPS:
        raise OptionError(f"The colour maps are {', '.join(COLOURMAPS)}: choose one of them.")
    ramp = np.arange(256, dtype=np.uint8).reshape(-1, 1)
    return cv2.applyColorMap(ramp, COLOURMAPS[name])[:, 0, ::-1].copy()


def stops(name: str, signed: bool = False, count: int = 9) -> list[str]:
    """Hex colours along the map, for a legend."""
    chosen = colours(name, signed)[np.linspace(0, 255, count).astype(int)]
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in chosen]


def signed(explanation: Explanation) -> bool:
    """Contrastive maps show both signs; others show evidence for the class only."""
    return explanation.against is not None and not explanation.per_pixel


def heat(explanation: Explanation, scale: Scale = "each") -> np.ndarray:
    """Strengths (K, h, w) in 0..1, or -1..1 for a contrastive map.

    Maps lose what speaks against the class (the ReLU of the Grad-CAM paper); per-pixel values
    become the largest magnitude over the colours. scale: "each" map by its own maximum, or
    "shared" by the largest of them all, so that classes can be compared.
    """
    values = explanation.values.numpy()
    if explanation.per_pixel:
        values = np.abs(values).max(axis=1)
        top = np.percentile(values, _STRONG, axis=(1, 2))
    else:
        values = values if signed(explanation) else np.maximum(values, 0)
        top = np.abs(values).max(axis=(1, 2))
    if scale == "shared":
        top = np.full_like(top, top.max())
    return np.clip(values / np.maximum(top, 1e-12)[:, None, None], -1, 1)


def from_lowest(explanation: Explanation) -> Explanation:
    """Maps without a zero of their own, such as RISE's mean scores, from their lowest value on."""
    if signed(explanation):
        return explanation
    lowest = explanation.values.flatten(1).amin(1)[:, None, None]
    return replace(explanation, values=explanation.values - lowest)


def _enlarge(values: np.ndarray, width: int, height: int) -> np.ndarray:
    """Bilinear enlargement (cell centres on cell centres), or averaging when shrinking."""
    shrinks = values.shape[0] > height
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(values, (width, height), interpolation=how)


def _box(explanation: Explanation, width: int, height: int) -> tuple[int, int, int, int]:
    """The map's frame in pixels of a picture of the photo."""
    left, top, right, bottom = explanation.frame
    return round(left * width), round(top * height), round(right * width), round(bottom * height)


def layer(
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
    width, height = size
    left, top, right, bottom = _box(explanation, width, height)
    canvas = np.zeros((height, width, 4), dtype=np.uint8)
    canvas[..., 3] = 150
    inside = (right - left, bottom - top)
    if explanation.per_pixel and pixels == "colour":
        picture = _enlarge(_embossed(explanation, row, scale), *inside)
        patch = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    else:
        values = _enlarge(heat(explanation, scale)[row].astype(np.float32), *inside)
        both = signed(explanation)
        steps = (values + 1) / 2 if both else values
        rgb = colours(colourmap, both)[(np.clip(steps, 0, 1) * 255).round().astype(np.uint8)]
        alpha = 0.08 + 0.92 * np.abs(values) ** 0.8
        patch = np.dstack([rgb, (alpha * 255).astype(np.uint8)])
    canvas[top:bottom, left:right] = patch
    return canvas


def _embossed(explanation: Explanation, row: int, scale: Scale) -> np.ndarray:
    """Signed colours on mid-grey (H, W, 3), as papers show guided backprop."""
    values = explanation.values.numpy()
    chosen = values if scale == "shared" else values[row]
    return relief(values[row], float(np.percentile(np.abs(chosen), _STRONG)))


def relief(values: np.ndarray, top: float | None = None) -> np.ndarray:
    """Signed values (3, H, W) as colours on mid-grey (H, W, 3); `top` is full strength."""
    if top is None:
        top = float(np.percentile(np.abs(values), _STRONG))
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
        top = float(np.percentile(np.abs(values), _STRONG))
    height, width = picture.shape[:2]
    edges = [round(share * side) for share, side in zip(frame, (width, height) * 2, strict=True)]
    left, top_edge, right, bottom = edges
    part = (slice(top_edge, bottom), slice(left, right))
    values = np.clip(values / max(top, 1e-12), -1 if both else 0, 1).astype(np.float32)
    values = _enlarge(values, right - left, bottom - top_edge)
    alpha = (0.08 + 0.92 * np.abs(values) ** 0.8)[..., None] * opacity
    steps = (values + 1) / 2 if both else values
    if both:  # two colours need a quiet ground
        alpha = np.abs(values)[..., None] ** 0.6 * opacity
        picture = (picture.mean(axis=2, keepdims=True) * 0.6).astype(np.uint8).repeat(3, 2)
        steps = np.where(values < 0, 0, 1) * 1.0
    colour = colours(DEFAULT, both)[(steps * 255).astype(np.uint8)]
    shown = (picture * 0.41).astype(np.uint8)  # the network never saw what is outside the frame
    shown[part] = picture[part] * (1 - alpha) + colour * alpha
    return shown


# Okabe and Ito's colours, told apart by colour-blind eyes; what is beyond them shares a grey.
_LABELS = ((213, 94, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178))
_LABELS += ((204, 121, 167), (230, 159, 0), DIM)
CHANCES = "Viridis"  # of probabilities by position, apart from the heat of the drop


def label_colours() -> list[str]:
    """Hex colours of the labels of `labelled`, from rank 1 on; the last is for all others."""
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in _LABELS]


def labelled(ranks: np.ndarray) -> np.ndarray:
    """Ranks (rows, cols) as cells (rows, cols, 4): 0 is see-through, the others have colours."""
    table = np.array([(0, 0, 0, 0), *((*each, 225) for each in _LABELS)], dtype=np.uint8)
    return table[np.clip(ranks, 0, len(_LABELS))]


def classes(explanation: Explanation, size: tuple[int, int]) -> np.ndarray:
    """All classes' maps in one (H, W, 4), for a picture of the whole photo of that size (W, H).

    Each place has the colour of the class that is strongest there, measured by the strongest place
    of its own map, since otherwise the surest class would paint over all others.
    """
    width, height = size
    left, top, right, bottom = _box(explanation, width, height)
    strengths = np.stack(
        [
            _enlarge(each.astype(np.float32), right - left, bottom - top)
            for each in heat(explanation)
        ]
    )
    strongest = strengths.max(0).clip(0, 1)
    colour = np.array(_LABELS[:-1], np.uint8)[strengths.argmax(0) % (len(_LABELS) - 1)]
    canvas = np.zeros((height, width, 4), np.uint8)
    canvas[..., 3] = 150
    alpha = (230 * strongest**0.8).astype(np.uint8)
    canvas[top:bottom, left:right] = np.dstack([colour, alpha])
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
    width, height = size
    left, top, right, bottom = (round(f * s) for f, s in zip(frame, size * 2, strict=True))
    canvas = np.zeros((height, width, 4), dtype=np.uint8)
    canvas[..., 3] = 150
    down = _nearest(rows, inputs[0], bottom - top)
    across = _nearest(cols, inputs[1], right - left)
    canvas[top:bottom, left:right] = cells[np.ix_(down, across)]
    return canvas


def _nearest(intervals: Sequence[tuple[int, int]], length: int, pixels: int) -> np.ndarray:
    """For each of `pixels` along a side: the number of the interval whose centre is nearest."""
    centres = np.array(intervals, dtype=np.float64).mean(1)
    places = (np.arange(pixels) + 0.5) * length / max(pixels, 1)
    return np.abs(places[:, None] - centres[None]).argmin(1)


def region(picture: np.ndarray, mask: np.ndarray, frame: Sequence[float]) -> np.ndarray:
    """A picture of the photo (H, W, 3), dimmed but for a region, mask (h, w) of the frame."""
    height, width = picture.shape[:2]
    left, top, right, bottom = (
        round(f * s) for f, s in zip(frame, (width, height) * 2, strict=True)
    )
    inside = cv2.resize(
        mask.astype(np.uint8), (right - left, bottom - top), interpolation=cv2.INTER_NEAREST
    )
    whole = np.zeros((height, width), dtype=np.uint8)
    whole[top:bottom, left:right] = inside
    shown = np.where(whole[..., None] > 0, picture, (picture * 0.35).astype(np.uint8))
    outline, _ = cv2.findContours(whole, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(shown.copy(), outline, -1, _ORANGE, max(2, width // 160))


def shrink(photo: Photo, longest: int) -> np.ndarray:
    """The photo (H, W, 3) with its longer side at most `longest` pixels."""
    factor = min(1.0, longest / max(photo.width, photo.height))
    size = max(1, round(photo.width * factor)), max(1, round(photo.height * factor))
    return cv2.resize(photo.pixels, size, interpolation=cv2.INTER_AREA)


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
    over = layer(explanation, row, size, colourmap=colourmap, scale=scale, pixels=pixels)
    return blend(picture, over, opacity)


def png(pixels: np.ndarray) -> bytes:
    """RGB or RGBA pixels as PNG: quick rather than small."""
    order = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    _, data = cv2.imencode(".png", cv2.cvtColor(pixels, order), [cv2.IMWRITE_PNG_COMPRESSION, 4])
    return data.tobytes()


def jpeg(pixels: np.ndarray, quality: int = 88) -> bytes:
    """RGB pixels as JPEG with sharp colours: a few milliseconds."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
    settings += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), settings)[1].tobytes()


@cache
def _tones(signed: bool) -> np.ndarray:
    """(257, 3): strengths -1..1 in 256 steps, nothing being black; the last is the crack."""
    if not signed:
        ramp = colours(DEFAULT)[np.clip(2 * np.arange(256) - 256, 0, 255)]
    else:
        bright = np.array([[147, 197, 253], _BLUE, (0, 0, 0), _ORANGE, (255, 237, 160)])
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


def tone_stops(signed: bool, count: int = 9) -> list[str]:
    """Hex colours of `tones` from nothing (signed: from the most negative) to the strongest."""
    chosen = tones(np.linspace(-1 if signed else 0, 1, count), signed)
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in chosen]


def crop(photo: Photo, box: Sequence[float], longest: int) -> np.ndarray:
    """The part of the photo in a box of fractions, its longer side `longest` pixels."""
    x = [min(max(round(box[i] * photo.width), 0), photo.width) for i in (0, 2)]
    y = [min(max(round(box[i] * photo.height), 0), photo.height) for i in (1, 3)]
    left, top = min(x[0], photo.width - 1), min(y[0], photo.height - 1)
    part = photo.pixels[top : max(y[1], top + 1), left : max(x[1], left + 1)]
    factor = longest / max(part.shape[:2])
    size = max(1, round(part.shape[1] * factor)), max(1, round(part.shape[0] * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(part, size, interpolation=how)


def lit(picture: np.ndarray, light: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) as bright as `light` (h, w), 0..1, says; grey and dim where it is NaN."""
    height, width = picture.shape[:2]
    light = cv2.resize(light.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST)[
        ..., None
    ]
    unread = picture.mean(2, keepdims=True) * 0.35
    return np.where(np.isnan(light), unread, picture * np.nan_to_num(light)).astype(np.uint8)


def light_stops(floor: float) -> list[str]:
    """Hex greys from the dimmest to the brightest light of `lit`, for a legend."""
    return ["#" + f"{round(255 * light):02x}" * 3 for light in (floor, 1)]


def fit(pixels: np.ndarray, longest: int) -> np.ndarray:
    """Pixels (H, W, 3) resized so that their longer side has `longest` pixels."""
    factor = longest / max(pixels.shape[:2])
    size = tuple(max(1, round(side * factor)) for side in pixels.shape[1::-1])
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(pixels), size, interpolation=how)
