"""The smallest region that flips the decision: the machine takes the brush."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from explainers import ExplainError
from explainers.muting import Muting
from explainers.muting.brush import Flip, smallest_flip

from ..parts.guard import sentence
from ..parts.pace import Often, Pace
from ..parts.tab import Settings, Show
from ..subject import Asked
from . import told, windows

OFTEN = 0.25  # seconds between pictures
AT_ONCE = 2  # regions tried in one step, so that Cancel is heard


def smallest(asked: Asked, settings: Settings, _data: Mapping[str, Any]) -> Iterator[Show | None]:
    """The region as it grows and shrinks; what can't be done is said beside the button."""
    try:
        return (yield from _smallest(asked, settings))
    except ExplainError as error:
        return Show({"flip": sentence(error)})


def _smallest(asked: Asked, settings: Settings) -> Iterator[Show | None]:
    yield Show({"flip": ""}, done=0.0, words="Looking where the answer falls most")
    muting = yield from windows.known(asked, settings)
    due, pace = Often(OFTEN), Pace()
    for found in smallest_flip(muting, asked.targets[0], batch=AT_ONCE):
        if found.done >= 1 or not due():
            yield None
            continue
        words = (
            f"{found.percent:.1f} % covered, not enough yet"
            if found.grows
            else f"Giving back what is not needed: {pace.words(found.done)}"
        )
        yield Show({}, {"flip": _found(asked, muting, found)}, found.done, words)
    return Show({"flip": _said(asked, found)}, {"flip": _found(asked, muting, found)})


def _said(asked: Asked, found: Flip) -> str:
    name = asked.network.labels[asked.targets[0]]
    if not found.flipped:
        return (
            "Even with every window covered the network does not change its mind: try another "
            "“Covered with” under “Adjust”."
        )
    return (
        f"The smallest region found: {found.percent:.1f} % of the picture, and it is no longer "
        f"“{name}”. Paint on from here, or undo."
    )


def _found(asked: Asked, muting: Muting, found: Flip) -> dict[str, Any]:
    """The region as boxes, fractions of the photo, and what the network says without it."""
    boxes = [windows.box(muting, position) for position in found.positions]
    about = {"boxes": boxes, "share": found.percent / 100, "done": found.done}
    return about | {"flipped": found.flipped} | told.muted(asked, found.change)
