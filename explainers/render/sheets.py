"""Sheets of maps with words beside them: the panel to take away, the frames of a video."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..explanation import Explanation
from ..notes import named
from ..photo import Photo
from .colour import DEFAULT, DIM, INK, PAPER, colours
from .overlays import Pixels, blend, translucent
from .picture import shrink
from .strength import Scale, signed


def panel(
    photo: Photo,
    explanations: Sequence[Explanation],
    *,
    titles: Sequence[str] | None = None,
    opacity: float = 0.75,
    colourmap: str = DEFAULT,
    scale: Scale = "each",
    pixels: Pixels = "colour",
    cell: int = 320,
) -> bytes:
    """All maps side by side with titles and a legend, a row for each target, as PNG."""
    picture = shrink(photo, cell)
    height, width = picture.shape[:2]
    titles = list(titles or [each.title or each.method for each in explanations])
    targets = explanations[0].targets if explanations else ()
    gap, head, foot = 12, 30, 44
    wide = (width + gap) * (len(explanations) + 1) + gap
    sheet = Image.new("RGB", (wide, len(targets) * (height + head) + head + foot), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(["Photo", *titles]):
        _text(draw, (gap + column * (width + gap), 8), title, width, 15, INK)
    for row, target in enumerate(targets):
        y = head + row * (height + head)
        for column, each in enumerate([None, *explanations]):
            x = gap + column * (width + gap)
            shown = picture
            if each is not None:
                over = translucent(
                    each, row, (width, height), colourmap=colourmap, scale=scale, pixels=pixels
                )
                shown = blend(picture, over, opacity)
            sheet.paste(Image.fromarray(shown), (x, y))
        first, value = explanations[0], float(explanations[0].probabilities[target])
        about = f"{value:.4g}" if first.head == "none" else f"{value:.1%}"
        about = f"{named(first, row)}   {about}"
        _text(draw, (gap, y + height + 6), about, sheet.width - 2 * gap, 14, DIM)
    _legend(sheet, explanations, colourmap, sheet.height - foot + 10, gap)
    file = io.BytesIO()
    sheet.save(file, "PNG", compress_level=4)
    return file.getvalue()


def row(pictures: Sequence[np.ndarray], titles: Sequence[str]) -> np.ndarray:
    """Pictures of one size (h, w, 3) side by side, each under its title; even sides, as videos
    need."""
    height, width = pictures[0].shape[:2]
    head, gap = 26, 6
    full = len(pictures) * (width + gap) - gap
    sheet = Image.new("RGB", (full + full % 2, height + head + height % 2), INK)
    draw = ImageDraw.Draw(sheet)
    for column, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        x = column * (width + gap)
        _text(draw, (x + 6, 5), title, width - 12, 13, PAPER)
        sheet.paste(Image.fromarray(picture), (x, head))
    return np.asarray(sheet)


def swatches(items: Sequence[tuple[str, str]], width: int) -> np.ndarray:
    """(colour, words) in lines of that width, as the legend of a row above; "" is no colour."""
    font, line, gap = ImageFont.load_default(13), 24, 18
    places, x, y = [], 6, 4
    for _, words in items:
        need = round(20 + ImageDraw.Draw(Image.new("L", (1, 1))).textlength(words, font)) + gap
        if x + need > width and x > 6:
            x, y = 6, y + line
        places.append((x, y))
        x += need
    sheet = Image.new("RGB", (width, y + line), INK)
    draw = ImageDraw.Draw(sheet)
    for (colour, words), (x, y) in zip(items, places, strict=True):
        draw.rectangle((x, y + 2, x + 13, y + 15), colour or None, PAPER)
        _text(draw, (x + 20, y), words, width, 13, PAPER)
    return np.asarray(sheet)


def _text(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    width: int,
    size: int,
    colour: tuple[int, int, int],
) -> None:
    """A line of text, cut with an ellipsis where it would leave its column."""
    font = ImageFont.load_default(size)
    if draw.textlength(text, font) > width:
        while text and draw.textlength(text + "…", font) > width:
            text = text[:-1]
        text += "…"
    draw.text(at, text, colour, font)


def _legend(
    sheet: Image.Image, explanations: Sequence[Explanation], colourmap: str, y: int, x: int
) -> None:
    both = any(signed(each) for each in explanations)
    ramp = Image.fromarray(colours(colourmap, both)[None]).resize((180, 12))
    draw = ImageDraw.Draw(sheet)
    low, high = ("against", "for the class") if both else ("none", "strongest")
    _text(draw, (x, y), low, 120, 13, DIM)
    start = x + int(draw.textlength(low, ImageFont.load_default(13))) + 8
    sheet.paste(ramp, (start, y + 2))
    _text(draw, (start + 188, y), high, 160, 13, DIM)
