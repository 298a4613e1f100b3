"""Cards: an address for every unit and every class, with all that is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from explainers import ExplainError
from explainers.units import default_layer

from ..parts.fields import Text
from ..parts.tab import Settings, Show, Tab
from ..subject import Asked
from . import drawing, of_class, of_unit
from .layers import Layer, first, layers

HERE = Path(__file__).parent


def draw(asked: Asked, settings: Settings) -> Iterator[Show | None]:
    """The card that the address names; or what is wrong with the address."""
    try:
        if settings["class"]:
            yield from of_class.card(asked, settings["class"])
        else:
            layer, channel = first(asked, settings["layer"], settings["unit"])
            yield from of_unit.card(asked, layer, channel)
    except ExplainError as error:
        yield of_unit.nothing(str(error))


TAB = Tab(
    key="cards",
    title="Cards",
    asks="What is this one for?",
    draw=draw,
    markup=(HERE / "cards.html").read_text("utf-8"),
    front=(
        Layer(key="layer", label="Layer", choices=layers, default=default_layer),
        Text(key="unit", label="Unit"),
        Text(key="class", label="Class"),
    ),
    acts={"draw": drawing.draw},
    script=(HERE / "cards.js").read_text("utf-8"),
    needs=("photo", "network", "framing"),
    lone=True,
)
