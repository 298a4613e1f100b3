"""A mosaic on the page: one picture, whose tiles can be pointed at, clicked and walked through.

A tab's script says `seeing.tiles(tab, {pick: (number, name) => …})` once, for all its mosaics.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from explainers import render
from explainers.units.mosaic import Mosaic

from . import html

WIDTH = 640  # pixels across that a sheet is made for; the browser takes fewer columns where it must


def tiles(
    sheet: Mosaic,
    kind: str,
    alt: str,
    chosen: int = -1,
    *,
    names: Sequence[int] | None = None,
    name: str = "",
    foot: str = "",
) -> str:
    """The picture of a mosaic; `kind` says what a tile is ("channel"), `foot` is HTML made here.

    chosen: the number of the tile that is marked. names: the tiles' numbers where they are not the
    mosaic's order. name: what the tab's script calls this mosaic.
    """
    facts = {
        "order": list(names or sheet.order),
        "across": sheet.columns,
        "pitch": [size + sheet.gap for size in sheet.tile],
        "chosen": chosen,
        "kind": kind,
        "name": name,
    }
    label = escape(f"{alt} Walk with the arrow keys, choose with Enter.")
    return (
        f'<div class="tiles" data-tiles="{escape(json.dumps(facts))}">'
        f'<div class="tiles-scroll"><div class="tiles-sheet" tabindex="0" role="application" '
        f'aria-label="{label}">'
        f'<img alt="" src="{_picture(sheet)}"><canvas></canvas>'
        '<span class="tiles-mark" hidden></span><span class="tiles-point" hidden></span>'
        "</div></div>"
        f'<div class="tiles-foot">{legend(sheet)}<span class="tiles-tip" aria-live="polite">'
        f'</span><button type="button" class="tiles-save">Picture (PNG)</button>{foot}</div></div>'
    )


def _picture(sheet: Mosaic) -> str:
    if sheet.values.ndim == 3:
        return html.data_url(render.jpeg(render.sheet(sheet.values, sheet.signed), 92), "jpeg")
    return html.data_url(render.indexed_png(*render.indexed(sheet.values, sheet.signed)), "png")


def legend(sheet: Mosaic) -> str:
    """What the colours of the tiles mean."""
    if sheet.values.ndim == 3:
        return "<span>Each filter in its own colours; grey is zero.</span>"
    stops = render.tone_stops(sheet.signed)
    if not sheet.signed:
        return html.scale(stops, "nothing", "strongest")
    words = "Colours from negative to positive, black being zero"
    return html.scale(stops, "negative", "positive", words)
