"""RISE: random masks, and which parts must be visible; streamed until it has settled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from explainers import Explanation, ask, notes, render

from ..parts import html
from ..parts.fields import Number
from ..parts.pace import Often, Pace
from ..parts.tab import Settings, Show
from ..subject import Asked

CELL = 448
OFTEN = 0.6  # seconds between pictures
MOST = 8000  # masks

FIELDS = (
    Number(key="masks", label="Masks at most", default=2000, low=1, high=MOST, here=True),
    Number(
        key="tolerance",
        label="Stop at an error of (%)",
        default=10,
        low=0,
        high=100,
        step=0.5,
        here=True,
        help="The standard error: how far the map would still move if other masks were drawn, as "
        "a share of its range.",
    ),
)


def rise(asked: Asked, settings: Settings, _data: Mapping[str, Any]) -> Iterator[Show | None]:
    """The maps as they settle, a picture for each class."""
    tolerance, due, pace = settings["tolerance"], Often(OFTEN), Pace()
    options = {"masks": settings["masks"], "tolerance": tolerance / 100}
    options |= {"baseline": settings["baseline"], "seed": settings["seed"]}
    yield Show({"risen": ""}, done=0.0, words="Drawing the first masks")
    for found in ask(asked.question(), "rise", **options):
        left = pace.words(found.done)
        if found.done >= 1 or not due():
            yield None
            continue
        words = f"{found.facts['used']} masks, error {_error(found)} · {left}"
        yield Show({"rise": _maps(asked, found)}, done=found.done, words=words)
    return Show({"rise": _maps(asked, found), "risen": _ending(found, tolerance)})


def _error(found: Explanation) -> str:
    return f"{100 * found.facts['standard_error']:.1f} % of the range"


def _ending(found: Explanation, tolerance: float) -> str:
    used = found.facts["used"]
    if 100 * found.facts["standard_error"] <= tolerance:
        return f"Settled after {used} masks: the standard error is {_error(found)}."
    return (
        f"All {used} masks are used, and the standard error is still {_error(found)}: allow more "
        "masks to have it settle."
    )


def _maps(asked: Asked, found: Explanation) -> str:
    size = render.shrunk(asked.seen, CELL)
    cells = "".join(_cell(asked, found, row, size) for row in range(len(found.values)))
    return f'<div class="windows-cells" style="--shape:{size[0]}/{size[1]}">{cells}</div>'


def _cell(asked: Asked, found: Explanation, row: int, size: tuple[int, int]) -> str:
    name = asked.name(row)
    alt = escape(notes.describe(found, row))
    over = render.translucent(render.from_lowest(found), row, size)
    return (
        '<figure><div class="windows-picture"><img data-photo alt="" decoding="sync">'
        f'<img class="heat" decoding="sync" alt="{alt}" '
        f'src="{html.data_url(render.png(over), "png")}"></div><figcaption><b>{escape(name)}</b>'
        f"{html.legend(render.DEFAULT, asked.against is not None)}</figcaption></figure>"
    )
