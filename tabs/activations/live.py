"""The camera: heat, a layer's channels, the pinned ones and the likeliest classes, by the frame.

The browser sends a frame only when the answer to an earlier one is there, so nothing ever queues;
frames that come meanwhile are never taken. Each stream has a ticket that is good for a minute.
"""

from __future__ import annotations

import base64
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from explainers import ExplainError, Network, render
from explainers.recent import Recent
from explainers.units import check, default_layer
from explainers.units.glance import Glance, decode, glance
from explainers.units.strongest import Strongest

from ..parts import fields, html
from ..parts.figures import bar
from ..subject import Subject
from . import pins, unit

MINUTE = 60  # seconds that a stream lasts
STREAMS = 64  # tickets in memory
PATIENCE = 0.25  # seconds a frame waits for other visitors' frames before it is dropped
LARGE, SMALL = 320, 240  # pixels on the longer side of the heat and of a pinned channel


class Live:
    """What the browser may ask for; every value is checked, since requests can hold anything."""

    def __init__(
        self,
        strongest: Strongest,
        brightness: list[fields.Field],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.strongest, self.brightness, self.clock = strongest, brightness, clock
        self._tickets: Recent[str, float] = Recent(STREAMS)
        self._turn = threading.Semaphore(1)

    def ticket(self, _subject: Subject, _data: Mapping[str, Any]) -> dict[str, str]:
        """Start a stream."""
        ticket = secrets.token_urlsafe(12)
        self._tickets[ticket] = self.clock()
        return {"ticket": ticket}

    def frame(self, subject: Subject, data: Mapping[str, Any]) -> dict[str, Any]:
        """Look at one frame: {"late": true} if others are in the way, {"over": why} at the end."""
        started = self._tickets.get(str(data.get("ticket")))
        if started is None or self.clock() - started > MINUTE:
            return {"over": "The minute is over: start the camera again."}
        network = subject.network(data.get("network"))
        if not self._turn.acquire(timeout=PATIENCE):
            return {"late": True}
        try:
            return self._look(network, data)
        finally:
            self._turn.release()

    def _look(self, network: Network, data: Mapping[str, Any]) -> dict[str, Any]:
        layer, width = str(data.get("layer") or default_layer(network)), data.get("width")
        kept = pins.read(str(data.get("pins", "")), network)
        chosen = None
        if data.get("heat") == "channel" and layer in network.maps:
            chosen = (layer, check(network, layer, data.get("channel")))
        look, problems = fields.read(self.brightness, data, network)
        if problems:
            raise problems[0]
        seen = glance(
            network,
            decode(_bytes(data.get("image"))),
            layer,
            [*kept, *([chosen] if chosen else [])],
            target=data.get("target") if data.get("heat") == "class" else None,
            width=min(max(width, 200), 640) if isinstance(width, int) else 480,
            **look,
        )
        return {
            **_sheet(seen),
            **self._large(network, chosen, seen),
            "pins": [
                self._glow(network, pin, values, seen, SMALL)
                for pin, values in zip(kept, seen.pins, strict=False)
            ],
            "classes": _classes(network, seen),
            "network_ms": seen.network_seconds * 1000,
        }

    def _large(self, network: Network, chosen: pins.Pin | None, seen: Glance) -> dict[str, str]:
        """The picture in the photo's place, and what it is."""
        if chosen:
            title = unit.name(network, *chosen)
            return {"heat": self._glow(network, chosen, seen.pins[-1], seen, LARGE), "title": title}
        small = render.shrink(seen.photo, LARGE)
        shown = render.glow(small, seen.heat, seen.frame, max(float(seen.heat.max()), 1e-9))
        title = f"Grad-CAM of {network.labels[seen.target]}"
        return {"heat": html.data_url(render.jpeg(shown, 80), "jpeg"), "title": title}

    def _glow(self, network: Network, pin: pins.Pin, values: Any, seen: Glance, size: int) -> str:
        known = self.strongest.known(network)
        top = known[pin[0]].top(pin[1]) if known else float(values.max())
        shown = render.glow(render.shrink(seen.photo, size), values, seen.frame, max(top, 1e-9))
        return html.data_url(render.jpeg(shown, 80), "jpeg")


def _bytes(url: Any) -> bytes:
    head, _, body = str(url).partition(",")
    if head != "data:image/jpeg;base64" or len(body) > 600_000:
        raise ExplainError("The camera’s picture can’t be read: start the camera again.")
    return base64.b64decode(body)


def _sheet(seen: Glance) -> dict[str, Any]:
    made = seen.mosaic
    if made is None:
        return {"sheet": ""}
    picture = render.jpeg(render.sheet(made.values, made.signed), 80)
    facts = {"columns": made.columns, "rows": made.rows, "count": len(made.order)}
    return {"sheet": html.data_url(picture, "jpeg"), **facts}


def _classes(network: Network, seen: Glance) -> str:
    rows = (
        bar(network.labels[each], html.percent(chance), chance) for each, chance in seen.classes
    )
    return f'<ol class="bars">{"".join(rows)}</ol>'
