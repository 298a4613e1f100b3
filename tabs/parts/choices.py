"""Settings that more than one tab has."""

from __future__ import annotations

from explainers import render

from .fields import Choice

LAYER = Choice(
    key="layer",
    label="Layer to explain",
    choices=lambda network: [(layer.title, name) for name, layer in network.layers.items()],
    default=lambda network: network.last,
    help="The stage of the network whose maps are weighed; later ones are coarser and know more.",
)
COLOURS = Choice(
    key="colours",
    label="Colours",
    choices=[(name, name) for name in render.COLOURMAPS],
    default=render.DEFAULT,
)
