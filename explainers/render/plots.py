"""Small drawings of curves as SVG, for the page and the report."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..scores.faithfulness import Curve, Scores
from .colour import stops

WIDTH, HEIGHT, EDGE = 240, 120, 6


def ink() -> tuple[str, str]:
    """Hex colours of the deletion and the insertion curve."""
    deletion, *_, insertion = stops("", signed=True)
    return deletion, insertion


def curves(scores: Scores, floor: Scores | None, label: str) -> str:
    """Deletion and insertion as solid lines, the same of a random order dotted; 0..1 both ways."""
    parts = [_path(c, colour, "") for c, colour in zip(_pair(scores), ink(), strict=True)]
    if floor:
        parts[:0] = [_path(c, k, "floor") for c, k in zip(_pair(floor), ink(), strict=True)]
    return _svg("".join(parts), label)


def losses(several: Sequence[tuple[Scores, Scores | None]], label: str) -> str:
    """Deletion curves of two maps, in the colours of `ink`, and of their random orders, dotted."""
    parts = ""
    for (scores, floor), colour in zip(several, ink(), strict=True):
        parts += _path(floor.deletion, colour, "floor") if floor else ""
        parts += _path(scores.deletion, colour, "")
    return _svg(parts, label)


def _svg(parts: str, label: str) -> str:
    frame = (
        f'<path d="M{EDGE},{EDGE}V{HEIGHT - EDGE}H{WIDTH - EDGE}" fill="none" '
        'stroke="currentColor" stroke-opacity=".35"/>'
    )
    return (
        f'<svg class="curves" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(label)}">{frame}{parts}</svg>'
    )


def _pair(scores: Scores) -> tuple[Curve, Curve]:
    return scores.deletion, scores.insertion


def _path(curve: Curve, colour: str, kind: str) -> str:
    wide, high = WIDTH - 2 * EDGE, HEIGHT - 2 * EDGE
    points = " ".join(
        f"{EDGE + x * wide:.1f},{EDGE + (1 - y) * high:.1f}"
        for x, y in zip(curve.fractions, curve.chances, strict=True)
    )
    style = 'stroke-width="1.5" stroke-dasharray="2 4"' if kind else 'stroke-width="2.5"'
    return (
        f'<polyline class="{kind or "line"}" points="{points}" fill="none" stroke="{colour}" '
        f'stroke-linejoin="round" stroke-linecap="round" {style}/>'
    )
