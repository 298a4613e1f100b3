"""Networks that replicas build by themselves, named as an operator names his own."""

from __future__ import annotations

from pathlib import Path

from explainers import Network
from tests import nets


def cnn() -> Network:
    """Seeded, 20 classes, 64 × 64 pixels."""
    return nets.wrap(nets.module("resnet18", num_classes=20), classes=20, key="cnn", alone=True)


def transformer() -> Network:
    """The same for methods that read attention."""
    built = nets.module("test_vit", num_classes=20, img_size=64, depth=2)
    return nets.wrap(built, classes=20, key="transformer", alone=True)


NAMED = tuple(f"{Path(__file__)}:{made.__name__}" for made in (cnn, transformer))
