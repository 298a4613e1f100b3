"""Muting: what if I cover it? A brush, the smallest region that decides, windows in turn, RISE."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from explainers.muting.baselines import BASELINES

from ..parts.fields import Choice, Number
from ..parts.tab import Settings, Show, Tab
from ..subject import Asked
from . import brush, flip, rise, windows

HERE = Path(__file__).parent
SCRIPT = "\n".join(
    (HERE / name).read_text("utf-8") for name in ("muting.js", "brush.js", "windows.js")
)

FIELDS = (
    Choice(
        key="baseline",
        label="Covered with",
        choices=[(title.capitalize(), key) for key, title in BASELINES.items()],
        default="grey",
        help="What the network gets in place of the covered pixels; no choice is neutral, so try "
        "another one before you believe a map.",
    ),
    Number(
        key="seed",
        label="Seed",
        default=0,
        low=0,
        high=999_999,
        help="Another seed, another noise; the same seed repeats it.",
    ),
    Number(
        key="window",
        label="Window (px)",
        default=32,
        low=1,
        high=4096,
        help="The side of the square that covers one place after another, in pixels of the "
        "picture that the network gets.",
    ),
    Number(
        key="stride",
        label="Stride (px)",
        default=8,
        low=windows.FINEST,
        high=4096,
        help="How far the window moves between two places: half as much takes four times as long.",
    ),
    Choice(
        key="score",
        label="Drop of the",
        choices=(("Logit", "logit"), ("Probability", "probability")),
        default="logit",
        help="A logit is the class’s own score, before it is weighed against the other classes; "
        "the probability is what is left after that.",
    ),
)


def draw(asked: Asked, settings: Settings) -> Iterator[Show | None]:
    """The photo to paint on at once, then windows over it, coarsely."""
    first = Show({"say": _say(asked)}, {"brush": brush.facts(asked, settings)})
    return (yield from windows.first_look(asked, settings, first))


def _say(asked: Asked) -> str:
    name = f"<b>{escape(asked.network.labels[asked.targets[0]])}</b>"
    told = f"Paint over the photo: what helps {name}, and what hurts it?"
    if asked.says():
        told = f"Paint over the photo until the answer is no longer {name}."
    return f"{told} <em>Try: the eyes, the background, one half.</em>"


TAB = Tab(
    key="muting",
    title="Muting",
    asks="What if I cover it?",
    draw=draw,
    markup=(HERE / "muting.html").read_text("utf-8"),
    fields=FIELDS,
    front=rise.FIELDS,
    under=(HERE / "rise.html").read_text("utf-8"),
    acts={
        "paint": brush.paint,
        "flip": flip.smallest,
        "sweep": windows.sweep,
        "rise": rise.rise,
        "png": windows.sheet,
        "npz": windows.raw,
    },
    script=SCRIPT,
)
