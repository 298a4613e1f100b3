"""A curve as an inline SVG in the theme's colours."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 320, 150
LEFT, TOP, WIDE, HIGH = 40, 8, 270, 112
MOST = 300  # points that a line of this size can show


def curve(
    xs: Sequence[float],
    ys: Sequence[float],
    *,
    label: str,
    below: str,
    most_x: float,
    most_y: float = 1.0,
    least_y: float = 0.0,
    guide: tuple[float, str] | None = None,
    mark: bool = False,
) -> str:
    """ys over xs, which begin at 0. label: what a screen reader says; below: what x is; least_y,
    most_y: the ends of what is shown upwards; guide: a dashed line at a height, and its name; mark:
    a dot that scripts may move."""
    step = max(1, -(-len(xs) // MOST))
    first, last = (xs[0], ys[0]), (xs[-1], ys[-1])
    kept = list(zip(xs, ys, strict=True))[::step]
    if last != kept[-1]:
        kept.append(last)

    def height(y: float) -> float:
        return TOP + HIGH * (1 - min(max((y - least_y) / max(most_y - least_y, 1e-9), 0), 1))

    points = " ".join(f"{_x(x, most_x):.1f},{height(y):.1f}" for x, y in kept)
    low = f"{least_y:.1f}" if least_y else "0"
    ends = ((low, TOP + HIGH), (_tick(most_y), TOP))
    ticks = "".join(
        f'<text x="{LEFT - 5}" y="{y + 4}" text-anchor="end">{text}</text>' for text, y in ends
    )
    line = ""
    if guide:
        y, name = height(guide[0]), escape(guide[1])
        line = (
            f'<line class="guide" x1="{LEFT}" x2="{LEFT + WIDE}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT + WIDE}" y="{y - 4:.1f}" text-anchor="end">{name}</text>'
        )
    x, y = first if mark else last
    dot = f'<circle cx="{_x(x, most_x):.1f}" cy="{height(y):.1f}" r="4.5"/>'
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}" '
        f'data-box="{LEFT} {TOP} {WIDE} {HIGH}"><path class="axis" d="M{LEFT},{TOP}V{TOP + HIGH}'
        f'H{LEFT + WIDE}"/>{ticks}{line}<polyline points="{points}"/>{dot}'
        f'<text x="{LEFT}" y="{HEIGHT - 12}">0</text><text x="{LEFT + WIDE / 2}" '
        f'y="{HEIGHT - 12}" text-anchor="middle">{escape(below)}</text><text x="{LEFT + WIDE}" '
        f'y="{HEIGHT - 12}" text-anchor="end">{most_x:g}</text></svg>'
    )


def _x(x: float, most: float) -> float:
    return LEFT + WIDE * x / max(most, 1e-9)


def _tick(most: float) -> str:
    return "100 %" if most == 1 else f"{most:.1f}"
