"""A layer's first filters on one sheet for a lecture: all of them, beside chance, and their tuning.

The sheet has the shape of a slide, and says on itself what was measured.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..filters.census import Trait, arranged, census
from ..filters.gabor import GOOD, Compared, Verdict, verdict
from .colour import DIM, INK, LABELS, PAPER, sheet
from .picture import png

WIDTH, HEIGHT, EDGE = 1600, 900, 40
TOP, SIDE = 150, 700  # of the sheet of filters
LEFT = EDGE + SIDE + 60  # of what stands beside it
LINE = (212, 212, 216)
MINE, RANDOM, SHUFFLED = LABELS[4], DIM, LABELS[6]
BINS = 25


def lecture(kernels: np.ndarray, compared: Compared, found: list[Trait], title: str) -> bytes:
    """PNG of filters (F, 3, size, size) called `title`, their fits and what they are tuned to."""
    page = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(page)
    size = kernels.shape[-1]
    result = verdict(compared.fits, compared.null, size, compared.shuffled)
    head, under = _said(found, result, size)
    _write(draw, (EDGE, 30), head, 40)
    _write(draw, (EDGE, 86), under, 24, DIM)
    _filters(page, draw, kernels, found)
    _histogram(draw, (LEFT, TOP, WIDTH - EDGE, 400), compared)
    _tuning(page, draw, (LEFT, 470, WIDTH - EDGE, 846), kernels, found)
    where = f"{title}: {len(kernels)} filters of {size} by {size} pixels, each in its own scale"
    _write(draw, (EDGE, HEIGHT - 36), f"{where}. Seeing Why", 18, DIM)
    return png(np.asarray(page))


def _said(found: list[Trait], result: Verdict, size: int) -> tuple[str, str]:
    """The claim, or why none can be made."""
    seen = census(found)
    if not result.claim:
        return (
            f"{size} by {size} pixels are too few for a claim",
            f"Random filters reach an R squared of {result.chance:.2f}, these {result.median:.2f}",
        )
    return (
        f"{result.good} of {len(found)} filters are Gabor filters",
        f"R squared at least {GOOD:g}, which {result.lucky or 'none'} of {result.tried} random and "
        f"shuffled ones reach; {seen.oriented} are oriented, {seen.coloured} coloured",
    )


def _filters(
    page: Image.Image, draw: ImageDraw.ImageDraw, kernels: np.ndarray, found: list[Trait]
) -> None:
    """All of them: Gabor filters first, by orientation, under a bar of their R squared."""
    columns = int(np.ceil(np.sqrt(len(kernels))))
    pitch = SIDE // columns
    tile = pitch - max(6, pitch // 7)
    for place, index in enumerate(arranged(found)):
        row, column = divmod(place, columns)
        x, y = EDGE + column * pitch, TOP + row * pitch
        page.paste(_tile(kernels[index], tile), (x, y))
        r2 = min(max(found[index].r2, 0), 1)
        draw.rectangle((x, y + tile + 2, x + tile - 1, y + tile + 5), LINE)
        colour = MINE if found[index].gabor else RANDOM
        draw.rectangle((x, y + tile + 2, x + max(0, round(r2 * tile) - 1), y + tile + 5), colour)


def _tile(kernel: np.ndarray, side: int) -> Image.Image:
    """A filter (3, h, w) in its colours, on grey; whole pixels where they fit."""
    top = max(float(np.abs(kernel).max()), 1e-12)
    picture = Image.fromarray(sheet((kernel / top).transpose(1, 2, 0), True))
    return picture.resize((side, side), Image.Resampling.NEAREST)


def _histogram(draw: ImageDraw.ImageDraw, box: tuple, compared: Compared) -> None:
    """R squared of the filters above the axis; of random and shuffled ones below it."""
    left, top, right, bottom = box
    middle, wide = (top + bottom) // 2 + 10, (right - left) / BINS
    reach = middle - top - 34
    looks = (MINE, -1, 0, 1), (RANDOM, 1, 0, 0.5), (SHUFFLED, 1, 0.5, 1)
    for share, (colour, way, low, high) in zip(compared.shares(BINS), looks, strict=True):
        for i, each in enumerate(share / max(share.max(), 1e-9)):
            x0 = left + (i + low) * wide + (low == 0)
            x1 = left + (i + high) * wide - 2
            ys = sorted((middle + way * 2, middle + way * (2 + round(each * reach))))
            if each > 0:
                draw.rectangle((x0, ys[0], x1, ys[1]), colour)
    draw.line((left, middle, right, middle), DIM, 2)
    x = left + GOOD * (right - left)
    draw.line((x, top + 28, x, bottom), LINE, 2)
    _write(draw, (left, top - 6), "How much of a filter the best Gabor explains (R squared)", 24)
    _write(draw, (left, top + 34), "these filters", 20, MINE)
    at = left + (GOOD - 0.02) * (right - left)
    _write(draw, (at, bottom - 52), "random filters", 20, RANDOM, "ra")
    _write(draw, (at, bottom - 26), "these, shuffled", 20, SHUFFLED, "ra")
    for share, words in ((0, "0"), (0.5, "0.5"), (GOOD, f"{GOOD:g}"), (1, "1")):
        at = (left + share * (right - left), bottom + 4)
        _write(draw, at, words, 18, DIM, "la" if share == 0 else "ra" if share == 1 else "ma")


def _tuning(
    page: Image.Image, draw: ImageDraw.ImageDraw, box: tuple, kernels: np.ndarray, found: list
) -> None:
    """Oriented Gabor filters where their stripes' direction and frequency put them."""
    left, top, right, bottom = box
    _write(draw, (left, top - 6), "Orientation and frequency of the Gabor filters", 24)
    middle, ground = (left + right) // 2, bottom - 6
    reach = min((right - left) // 2 - 70, ground - top - 58)
    shown = [each for each in found if each.gabor and each.oriented]
    most = max([0.25, *(np.ceil(each.frequency * 10) / 10 for each in shown)])
    for share in (0.25, 0.5, 0.75, 1):
        radius = share * reach
        around = (middle - radius, ground - radius, middle + radius, ground + radius)
        draw.arc(around, 180, 360, LINE, 2)
        if share in (0.5, 1):
            _write(draw, (middle + radius + 4, ground - 20), f"{share * most:.2g}", 17, DIM)
    for degrees in range(0, 181, 30):
        x, y = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        draw.line((middle, ground, middle + reach * x, ground - reach * y), LINE, 1)
        if 0 < degrees < 180:
            at = (middle + (reach + 24) * x, ground - (reach + 18) * y)
            _write(draw, at, f"{degrees}°", 17, DIM, "mm")
    side = 34
    for each in sorted(shown, key=lambda trait: -trait.frequency):
        radius, turn = each.frequency / most * reach, np.radians(each.orientation)
        x, y = middle + radius * np.cos(turn), ground - radius * np.sin(turn)
        page.paste(_tile(kernels[each.index], side), (round(x) - side // 2, round(y) - side // 2))
    _write(draw, (left, bottom - 64), "across the", 17, DIM)
    _write(draw, (left, bottom - 43), "stripes; cycles", 17, DIM)
    _write(draw, (left, bottom - 22), "per pixel", 17, DIM)


def _write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    colour: tuple[int, int, int] = INK,
    anchor: str = "la",
) -> None:
    draw.text(at, text, colour, ImageFont.load_default(size), anchor=anchor)
