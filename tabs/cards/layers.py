"""Which unit an address names."""

from __future__ import annotations

import dataclasses
from typing import Any

from explainers import ExplainError, Network
from explainers import units as acts

from ..parts.fields import Choice, Choices
from ..subject import Asked


def layers(network: Network) -> Choices:
    """Those that have cards."""
    return [(each.title, name) for name, each in network.maps.items()]


class Layer(Choice):
    """A layer with maps. One that an address makes up is told of by the card, and not replaced."""

    def read(self, given: Any, network: Network) -> str:
        return str(given)[:80]


def first(asked: Asked, layer: str, unit: str) -> tuple[str, int]:
    """The unit that is named; without a number, one that stands out on the photo. Raises
    ExplainError for what there is not."""
    network = asked.network
    if layer not in network.maps:
        raise ExplainError(
            f"{network.title} has no layer “{layer}” with places: choose one from the list."
        )
    if unit:
        number = int(unit) if unit.isdecimal() and len(unit) < 7 else -1
        return layer, acts.check(network, layer, number)
    if asked.photo is None:
        return layer, 0
    return layer, acts.sharpest(dataclasses.replace(asked.question(), layer=layer))
