"""Did the maps find the object? A box on the photo, and the answer beside it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from explainers import METHODS
from explainers.scores.boxes import checked_box

from ..parts import figures, html
from ..parts.tab import Settings, Show
from ..subject import Asked
from . import board
from .sides import Side, chosen


def act(asked: Asked, settings: Settings, data: Mapping[str, Any]) -> Show:
    """What all maps that are there say of the box, {"box": [left, top, right, bottom]} in shares
    of the photo; null for none."""
    box = None if data.get("box") is None else checked_box(data["box"])
    sides = chosen(asked, {**settings, "box": ""})[0]
    slots: dict[str, str] = {}
    numbers: dict[str, Any] = {}
    for number, side in enumerate(sides):
        if number and "photo" in side.state:
            continue  # that box is on another photo
        side.found.box = box
        side.found.recall()  # nothing is computed for it
        for name in side.found.maps:
            scored = board.scored(side, number, name)
            kinds = ("pointing", "energy_inside")
            slots |= {k: v for k, v in scored.items() if k.rpartition(":")[2] in kinds}
            numbers |= board.values(side, number, name)
    return Show({"boxed": tell(sides[0])}, {"slots": slots, "values": numbers})


def tell(side: Side) -> str:
    """The answer, for the place beside the box."""
    found, twins = side.found, side.found.twins()
    if found.box is None or not twins:
        return ""
    known = [(name, found.figures(name)) for name in twins]
    inside = [name for name, figure in known if figure["pointing"]]
    share = {name: figure["energy_inside"] or 0.0 for name, figure in known}
    rows = "".join(
        figures.bar(
            f"{'✓' if name in inside else '✗'} {METHODS[name].title}",
            html.percent(share[name]),
            share[name],
        )
        for name in sorted(share, key=lambda name: -share[name])
    )
    left, top, right, bottom = found.box
    area = (right - left) * (bottom - top)
    return (
        f"<p><b>{len(inside)} of {len(known)} maps</b> have their strongest place (✓) in the box. "
        "The bars: how much of what speaks for "
        f"{escape(side.network.labels[found.target])} lies in it; the box is "
        f'{html.percent(area)} of the photo.</p><ol class="bars">{rows}</ol>'
    )
