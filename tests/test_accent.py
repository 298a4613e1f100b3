"""Drawn on a photo: the unit answers more, the coarse shapes stay, and far is farther than near."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from explainers import Network, impressions, photo
from explainers.impressions.drawing import fitted
from explainers.impressions.goals import of_unit
from explainers.impressions.images import Fourier
from explainers.impressions.knobs import Knobs
from tests import nets

KNOBS = Knobs(steps=12, size=64, far=0.5)


@pytest.fixture(scope="module")
def scene():
    return photo.read("assets/examples/bridge.jpg")


@pytest.fixture(scope="module")
def resnet18() -> Network:
    """With all its channels: it answers to small changes."""
    return nets.seeded("resnet18", slim=False)


def last(network, scene, knobs=KNOBS):
    goal = of_unit(network, "layer2", 5)
    *_, found = impressions.draw(network, [goal], knobs, photo=scene)
    return found[0]


@pytest.mark.slow
def test_it_begins_at_the_photo_and_keeps_its_coarse_shapes(resnet18, scene):
    found = last(resnet18, scene)
    home = fitted(scene, 64)
    assert torch.equal(found.photo, home[0])
    canvas = Fourier.of(home, 6.0)
    assert (canvas.picture() - home).abs().max() < 0.02  # but for black and white themselves
    assert found.points[-1].score > found.points[0].score + 0.01
    assert impressions.stayed(found).structure > 0.8
    assert (found.values - home[0]).abs().mean() > 0.003
    away = (canvas.parameters[0].detach(), Fourier.of(found.values[None], 6.0).parameters[0])
    assert torch.allclose(away[0][:, :, :4, :3], away[1][:, :, :4, :3], atol=0.03)


@pytest.mark.slow
def test_how_far_is_how_far(resnet18, scene):
    near, far = (last(resnet18, scene, replace(KNOBS, far=share)) for share in (0.1, 1.0))
    assert near.points[-1].score < far.points[-1].score
    assert impressions.stayed(near).structure > impressions.stayed(far).structure
    assert impressions.stayed(near).structure > 0.97


def test_a_second_network_says_what_it_was_and_is(resnet18, scene):
    found = impressions.stayed(last(resnet18, scene), resnet18)
    assert found.second == resnet18.title
    assert found.before in resnet18.labels
    assert found.after in resnet18.labels


def test_the_similarity_is_one_for_the_same_and_less_for_another_picture(scene):
    one = fitted(scene, 64)
    assert impressions.similarity(one, one) == pytest.approx(1)
    assert impressions.similarity(one, 1 - one) < 0.5
