"""Networks, a photo and a Hub that many test files share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from skimage import data

from explainers import Network, Photo, load, read
from explainers.settings import Settings
from explainers.units.reference import references
from explainers.units.strongest import Strongest
from tests import nets
from tests.browser import open_hub, server, visit  # noqa: F401
from tests.chromium import browsers, chromium, playwright  # noqa: F401
from tests.fake_hub import FakeHub, running, weights_of

torch.set_num_threads(1)  # as quick for small inputs, and steady when the machine is busy


@pytest.fixture(scope="session")
def lite0() -> Network:
    """The bundled network, trained."""
    return load("lite0")


@pytest.fixture(scope="session")
def resnet18() -> Network:
    """Seeded random weights, 20 classes, 64 × 64 pixels: global average and a linear head."""
    return nets.seeded("resnet18")


@pytest.fixture(scope="session")
def vgg16() -> Network:
    """Seeded random weights, 20 classes, 64 × 64 pixels: fully connected layers, no CAM."""
    return nets.narrow_vgg16()


@pytest.fixture(scope="session")
def photo() -> Photo:
    """A cat, 451 × 300."""
    return read(data.chelsea())


@pytest.fixture(scope="session")
def exact(lite0, resnet18, vgg16) -> Callable[[str], Network]:
    """By the name of a fixture above: that network in float64."""
    found = {"lite0": lite0, "resnet18": resnet18, "vgg16": vgg16}
    return cache(lambda name: nets.exact(found[name]))


@pytest.fixture(scope="session")
def tiny() -> bytes:
    """A file of weights of the smallest ResNet."""
    return weights_of("test_resnet")


@pytest.fixture
def few_photos(monkeypatch: pytest.MonkeyPatch) -> Strongest:
    """For Cards, four reference photos, which are quicker than all."""
    few = Strongest(lambda: references()[:4])
    for card in ("of_unit", "of_class"):
        monkeypatch.setattr(f"tabs.cards.{card}.STRONGEST", few)
    return few


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A Hub on loopback, which is empty at first."""
    with running() as hub:
        yield hub


@pytest.fixture
def settings(hub: FakeHub, tmp_path: Path) -> Settings:
    """Of a server that asks that Hub, and whose cache is empty."""
    return Settings(
        startup=(), endpoint=hub.url, cache_dir=str(tmp_path / "cache"), device="cpu", hub_ids=True
    )
