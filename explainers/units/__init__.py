"""Units: what single channels of a layer do, where, for which classes, on which photos."""

from .activations import (
    NOT_HERE,
    Feeds,
    Order,
    Unit,
    activation,
    check,
    contributions,
    default_layer,
    feeds,
    inside,
    inside_out,
    layer_of,
    order,
    peak,
    sharpest,
    unit,
)

__all__ = [
    "NOT_HERE",
    "Feeds",
    "Order",
    "Unit",
    "activation",
    "check",
    "contributions",
    "default_layer",
    "feeds",
    "inside",
    "inside_out",
    "layer_of",
    "order",
    "peak",
    "sharpest",
    "unit",
]
