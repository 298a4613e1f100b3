"""Which convolution is looked at: one of the network's own, or the first of a classic.

Whether first filters are Gabor filters can be asked of large ones only; so the tab leads with
AlexNet's, whatever network of the catalogue the page explains. One's own network leads itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from explainers import Network, filters
from explainers.filters import Conv
from explainers.zoo.catalogue import CATALOGUE
from explainers.zoo.first import first_kernels

from ..parts.fields import Choice, Choices
from ..parts.tab import Settings
from ..subject import Asked, ready

LEADS = "alexnet"
CLASSICS = {LEADS: "AlexNet", "vgg16-coco": "VGG-16"}
MARK = ":"  # behind a classic's key, where a layer's name stands otherwise


@dataclass(frozen=True)
class Looked:
    """asked: the question, of the network whose convolution it is. values: kernels (F, C, h, w)."""

    asked: Asked
    conv: Conv
    values: np.ndarray

    @property
    def value(self) -> str:
        """What the choice of layers calls it."""
        classic = self.conv.first and self.asked.network.key in CLASSICS
        return f"{self.asked.network.key}{MARK}" if classic else self.conv.name

    @property
    def square(self) -> bool:
        """Can Gabors be fitted to it?"""
        height, width = self.conv.kernel
        return self.conv.first and height == width > 1


def _offered(network: Network) -> Choices:
    """The classics' first convolutions, then the network's own from input to output."""
    own = [(conv.title, conv.name) for conv in filters.convolutions(network).values()]
    firsts = [(f"{title}, first layer", f"{key}{MARK}") for key, title in CLASSICS.items()]
    if network.key in CLASSICS:
        own = own[1:]
    return [*firsts, *((f"{network.title}: {title}", name) for title, name in own)]


def _leading(network: Network) -> str:
    if network.key in {each.key for each in CATALOGUE}:
        return f"{LEADS}{MARK}"
    return next(iter(filters.convolutions(network)))


LAYER = Choice(
    key="layer",
    label="Convolution",
    choices=_offered,
    default=_leading,
    help="A layer in which small filters slide over what comes in; the first one reads the photo, "
    "later ones what came out of the one before.",
)


def known(asked: Asked) -> list[str]:
    """The classics that this server has."""
    keys = {each.key for each in asked.zoo.status()}
    return [key for key in CLASSICS if key in keys]


def looked(asked: Asked, settings: Settings) -> Looked:
    """The convolution that the settings name; the network's own first one where the server has no
    such classic. Raises Wait while a classic is on its way."""
    key, mark, _ = settings["layer"].partition(MARK)
    classic = bool(mark) and key in known(asked)
    network = ready(asked.zoo, key) if classic else asked.network
    found = filters.convolutions(network)
    conv = found.get(settings["layer"]) or next(iter(found.values()))
    values = filters.weights(network, conv.name).numpy()
    return Looked(replace(asked, network=network), conv, values)


def beside(shown: Looked, asked: Asked) -> list[tuple[str, str, np.ndarray]]:
    """(title, value of the choice, kernels) of other first convolutions to compare with: those of
    the classics, and that of the network asked about, or the bundled one."""
    found = [
        (CLASSICS[key], f"{key}{MARK}", first_kernels(key))
        for key in known(asked)
        if key != shown.asked.network.key
    ]
    network = asked.zoo.get() if asked.network.key in CLASSICS else asked.network
    conv = next(iter(filters.convolutions(network).values()))
    if conv.first and network.key != shown.asked.network.key:
        value = conv.name if network.key == asked.network.key else ""
        found.append((network.title, value, filters.weights(network, conv.name).numpy()))
    return found
