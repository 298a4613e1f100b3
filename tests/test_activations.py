"""Mosaics, units and receptive fields against the network's own numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from explainers import ExplainError, Network, OptionError, Photo, Question, filters, read, render
from explainers import units as acts
from explainers.impressions import goals
from explainers.units.glance import decode, glance
from explainers.units.mosaic import mosaic
from explainers.units.receptive import fields
from explainers.units.reference import references
from explainers.units.shipped import shipped
from explainers.units.strongest import Strongest, Survey
from tests import nets
from tests.test_cam import RED_GREEN_BLUE, Paper

LAYERS = {"lite0": ["blocks.4.2.se", "blocks.3", "bn2"], "resnet18": ["layer2", "layer4"]}


def ask(network: Network, x: Tensor, layer: str, target: int = 0) -> Question:
    return Question(network, network.view(x), (target,), layer)


def by_hook(network: Network, x: Tensor, layer: str) -> Tensor:
    """The layer's activation from a copy of the module that nothing of ours is attached to."""
    plain, found = nets.plain(network), []
    plain.get_submodule(layer).register_forward_hook(lambda *all: found.append(all[2].clone()))
    with torch.no_grad():
        plain(x)
    return found[-1][0]


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_a_mosaics_tiles_are_the_layers_activations(name, request):
    network = request.getfixturevalue(name)
    x = nets.noise(1, 3, 64, 96, seed=11)
    for layer in LAYERS[name]:
        asked = ask(network, x, layer)
        expected = by_hook(network, x, layer).numpy()
        order = acts.order(asked, "mean")
        sheet = mosaic(acts.activation(asked).numpy(), order, 600, per="channel")
        means = expected.mean((1, 2))[list(sheet.order)]
        assert (np.diff(means) <= 1e-5).all()
        assert sheet.signed == bool((expected < 0).any())
        height, width = expected.shape[1:]
        for place in (0, 1, len(order) // 2, len(order) - 1):
            top, left = sheet.corner(place)
            tile = sheet.values[top : top + sheet.tile[0], left : left + sheet.tile[1]]
            cells = tile[:: sheet.tile[0] // height, :: sheet.tile[1] // width]
            channel = expected[sheet.order[place]]
            scale = max(np.abs(channel).max(), 1e-12)
            np.testing.assert_allclose(cells, channel / scale, atol=1e-4)


def test_contributions_add_up_to_the_logit(resnet18):
    x, target = nets.noise(1, 3, 64, 64, seed=12), 7
    asked = ask(resnet18, x, resnet18.last, target)
    shares = acts.contributions(asked)
    head = resnet18.module.get_classifier()
    logit = float(resnet18.logits(x)[0, target])
    assert float(shares.sum()) == pytest.approx(logit - float(head.bias[target]), abs=1e-4)
    pooled = acts.activation(asked).mean((1, 2))
    by_hand = (pooled * head.weight[target]).argsort(descending=True).tolist()
    assert acts.order(asked, "contribution")[:20] == by_hand[:20]
    with pytest.raises(OptionError, match="sorted by"):
        acts.order(asked, "size")


def test_the_box_finds_the_unit_that_was_planted():
    a = torch.full((5, 4, 8), 0.5)
    a[3, 0, 2:4] = 3.0  # x from 1/4 to 1/2, the top quarter
    a[1] = 4.0  # strong, but everywhere
    scores = acts.inside_out(a, (0.25, 0.0, 0.5, 0.25), (0, 0, 1, 1))
    assert int(scores.argmax()) == 3
    assert float(scores[3]) == pytest.approx(2.5)
    assert float(scores[1]) == pytest.approx(0, abs=1e-6)
    # the same place where the network saw the left half of the photo only
    half = acts.inside_out(a, (0.125, 0.0, 0.25, 0.25), (0, 0, 0.5, 1))
    torch.testing.assert_close(half, scores)
    # half a cell counts half
    part = acts.inside_out(a, (0.375, 0.0, 0.5625, 0.25), (0, 0, 1, 1))
    assert float(part[3]) == pytest.approx((3 + 0.5 * 0.5) / 1.5 - (3 + 29.5 * 0.5) / 30.5)
    for box in ((0.2, 0.2, 0.2, 0.9), (0.9, 0, 0.1, 1), (0, 0, 1, 1)):
        with pytest.raises(OptionError):
            acts.inside_out(a, box, (0, 0, 1, 1))


def test_the_face_unit_of_the_bundled_network(lite0, astronaut):
    view = lite0.prepare(astronaut)
    asked = Question(lite0, view, (0,), acts.default_layer(lite0))
    face = (0.36, 0.08, 0.56, 0.42)
    (channel, score), *rest = acts.inside(asked, face, 5)
    assert score > rest[0][1]
    x, y = acts.unit(asked, channel).place
    assert face[0] < x < face[2]
    assert face[1] < y < face[3]


def test_classes_a_channel_feeds(resnet18):
    x = nets.noise(1, 3, 64, 64, seed=13)
    head = resnet18.module.get_classifier().weight[:, 9]
    found = acts.feeds(ask(resnet18, x, resnet18.last), 9, 20)
    assert found.exact
    np.testing.assert_allclose(found.values, head[list(found.classes)], rtol=1e-6)
    assert list(found.values) == sorted(found.values, reverse=True)
    # elsewhere: what the scores lose when the channel is switched off
    plain = nets.plain(resnet18)
    layer = plain.get_submodule("layer2")
    layer.register_forward_hook(lambda _m, _i, out: out.index_fill(1, torch.tensor([5]), 0))
    with torch.no_grad():
        loss = (resnet18.logits(x) - plain(x))[0]
    found = acts.feeds(ask(resnet18, x, "layer2"), 5, 20)
    assert not found.exact
    np.testing.assert_allclose(found.values, loss[list(found.classes)], atol=1e-4)


def test_guided_backprop_of_a_unit_by_hand():
    network = nets.wrap(Paper(), classes=2, size=2)
    # its second map is max(a - 2 b, 0) with a, b as in test_cam: [[0, 0], [0, 2]]
    asked = ask(network, torch.tensor(RED_GREEN_BLUE), "second")
    asked = dataclasses.replace(asked, layer=network.last)
    found = acts.unit(asked, 1)
    assert found.guided
    assert (found.peak, found.mean, found.cell) == (2.0, 0.5, (1, 1))
    # there a = x0 - x1 is active and b = x1 - x2 is not; one map feeds it with +1
    expected = torch.zeros(1, 3, 2, 2)
    expected[0, 0, 1, 1], expected[0, 1, 1, 1] = 1, -1
    torch.testing.assert_close(found.pixels, expected)
    assert found.field == (0.5, 0.5, 1, 1)


class Ceiling(nn.Module):
    """A blob detector under a ReLU6, which a bright blob saturates."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 2, 3, stride=2, padding=1), nn.ReLU6()
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.conv.weight.fill_(1)
            self.conv.bias.zero_()
            self.head.weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.conv(x)).mean((2, 3)))


def test_a_saturated_unit_still_shows_its_place_and_pixels():
    network = nets.wrap(Ceiling(), classes=2, size=32, mean=(0,) * 3, std=(1,) * 3)
    x = torch.zeros(1, 3, 32, 32)
    x[..., 8:14, 20:26] = 9
    found = acts.unit(ask(network, x, network.last), 0)
    assert found.peak == 6
    assert 20 / 32 < found.place[0] < 26 / 32
    assert 8 / 32 < found.place[1] < 14 / 32
    row, column = found.cell
    near = torch.zeros(32, 32, dtype=torch.bool)
    near[2 * row - 1 : 2 * row + 2, 2 * column - 1 : 2 * column + 2] = True
    assert ((found.pixels[0, 0] != 0) == near).all()
    assert found.core == pytest.approx(found.field)


def test_a_layer_without_geometry_says_so(vgg16):
    x = nets.noise(1, 3, 64, 64, seed=14)
    titles = [layer.title for layer in vgg16.flat.values()]
    assert titles == [
        "Fully connected 1 · 128 units",
        "Fully connected 2 · 4096 units",
        "Class scores · 20 units",
    ]
    first, second, scores = vgg16.flat
    asked = ask(vgg16, x, second, 3)
    values = acts.activation(asked)
    assert values.shape == (4096, 1, 1)
    best = acts.order(asked, "mean")
    assert values[best[0]] == values.max()
    logits = acts.activation(ask(vgg16, x, scores))[:, 0, 0]
    torch.testing.assert_close(logits, vgg16.logits(x)[0])
    for layer in (first, second, scores):
        with pytest.raises(OptionError, match="no places"):
            acts.unit(ask(vgg16, x, layer), 0)
    # of the scores only the class's own contributes to it: the others follow by their size
    seen = int(logits.argmax())
    ranked = acts.order(ask(vgg16, x, scores, seen), "contribution")
    assert ranked[0] == seen
    assert (logits[ranked[1:]].diff() <= 0).all()
    with pytest.raises(OptionError, match="no places"):
        acts.inside_out(values, (0, 0, 0.5, 0.5), (0, 0, 1, 1))
    assert not acts.feeds(asked, best[0]).exact


@pytest.mark.parametrize("channel", [-1, 112, 2.5, "3", None, True, float("nan")])
def test_no_such_channel(resnet18, channel):
    with pytest.raises(OptionError, match="0 to 111"):
        acts.unit(ask(resnet18, nets.noise(1, 3, 64, 64), resnet18.last), channel)


@pytest.mark.parametrize("number", [7, 7.0, np.int64(7), np.float32(7)])
def test_a_channel_is_a_whole_number_of_whatever_type(resnet18, number):
    layer, conv = resnet18.last, next(iter(filters.convolutions(resnet18).values()))
    found = acts.check(resnet18, layer, number), filters.check(conv, number)
    assert found == (7, 7)
    assert {type(each) for each in found} == {int}
    assert goals.of_unit(resnet18, "conv1", number) == goals.of_unit(resnet18, "conv1", 7)


# --- receptive fields


def peaks(network, photos):
    *_, found = Strongest(lambda: photos).asking(network)
    return found.layers


def test_the_examples_on_which_a_unit_fires_most(resnet18):
    photos = [
        read(np.random.default_rng(seed).integers(0, 255, (80, 100, 3), np.uint8))
        for seed in range(3)
    ]
    found = peaks(resnet18, photos)["layer3"]
    maps = [by_hook(resnet18, resnet18.prepare(photo).tensor, "layer3") for photo in photos]
    for channel in (0, 88):
        strongest = [float(a[channel].max()) for a in maps]
        best = found.best(channel, 2)[0]
        assert best.photo == int(np.argmax(strongest))
        assert best.peak == pytest.approx(max(strongest), rel=1e-4)
        assert maps[best.photo][channel][best.cell] == pytest.approx(best.peak, rel=1e-4)


def test_photos_are_ranked_by_what_a_unit_was_before_its_bound():
    """ReLU6 makes six of whatever is above: of two bright blobs the brighter one comes first."""
    network = nets.wrap(Ceiling(), classes=2, size=32, mean=(0,) * 3, std=(1,) * 3)
    photos = []
    for light in (200, 255, 60, 230):
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels[12:20, 4:12] = light
        photos.append(read(pixels))
    found = peaks(network, photos)[network.last]
    best = found.best(0, 4)
    assert [each.photo for each in best] == [1, 3, 0, 2]
    assert best[0].peak == pytest.approx(27, rel=1e-3)  # nine white places of three colours
    assert found.bound == found.top(0) == 6  # which is all that the network itself is told
    row, column = best[0].cell  # amid the blob, and not at its first corner
    assert 12 < 2 * row < 20
    assert 4 < 2 * column < 12


def test_units_that_answer_alike_are_neighbours():
    network = nets.wrap(Ceiling(), classes=2, size=32, mean=(0,) * 3, std=(1,) * 3)
    with torch.no_grad():
        network.module.conv.weight[1] *= 2
    photos = [read(np.full((32, 32, 3), light, np.uint8)) for light in (10, 200, 90)]
    found = peaks(network, photos)[network.last]
    (other,) = found.neighbours(0)
    assert other.channel == 1
    assert other.correlation == pytest.approx(1, abs=1e-4)


def test_a_slow_network_is_content_with_a_part_of_the_photos(resnet18, photo, monkeypatch):
    monkeypatch.setattr("explainers.units.strongest.LEAST", 5)
    survey = Survey([photo] * 400, budget=0)
    while not survey.over:
        survey.step(resnet18)
        assert 0 < survey.done <= 1
    assert survey.asked == 5
    assert len(survey.answers().seen) == 5


@pytest.mark.slow
def test_what_lies_ready_is_what_the_network_answers(lite0):
    """Half precision is all that it loses, and other weights are not taken for these."""
    found = shipped(lite0)
    assert len(found.seen) == len(references()) >= 200
    for name in ("bn2", "blocks.4.2.se"):
        best = found.layers[name].best(7, 1)[0]
        now = peaks(lite0, [references()[best.photo]])[name].best(7, 1)[0]
        assert now.peak == pytest.approx(best.peak, rel=2e-3)
        assert now.cell == best.cell
    assert shipped(lite0, Path("/nowhere")) is None
    other = nets.seeded("tf_efficientnet_lite0", classes=1000, size=224)
    other.key = lite0.key
    assert shipped(other) is None


def test_peaks_are_found_once_and_step_by_step(resnet18, photo):
    asked = []
    strongest = Strongest(lambda: asked.append(1) or [photo, photo])
    assert strongest.known(resnet18) is None
    *steps, first = strongest.asking(resnet18)
    assert len(steps) == 2  # a pause after each photo
    assert first.layers.keys() == resnet18.maps.keys()
    assert strongest.known(resnet18) is first.layers
    assert list(strongest.asking(resnet18)) == [first]
    assert asked == [1]


def test_a_glance_is_the_networks_own_answer(resnet18, photo):
    data = render.jpeg(render.shrink(photo, 320), 95)
    seen = decode(data)
    pins = [("layer4", 7), ("layer3", 2)]
    found = glance(resnet18, seen, "layer3", pins, per="channel", target=3)
    x = resnet18.prepare(seen).tensor
    assert found.classes[0][0] == int(resnet18.logits(x).argmax())
    np.testing.assert_allclose(found.pins[0], by_hook(resnet18, x, "layer4")[7], atol=1e-4)
    np.testing.assert_allclose(found.pins[1], by_hook(resnet18, x, "layer3")[2], atol=1e-4)
    assert found.mosaic.order == tuple(range(96))
    for wrong in (b"", b"GIF89a", render.png(photo.pixels), data[:200], b"x" * 500_000):
        with pytest.raises(ExplainError, match="start it again"):
            decode(wrong)
    with pytest.raises(OptionError):
        glance(resnet18, seen, "layer3", [("layer3", 4096)])


@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
def test_a_glances_heat_is_grad_cam(name, request, photo):
    network = request.getfixturevalue(name)
    first = glance(network, photo, network.last)
    assert first.target == first.classes[0][0]
    for target in (0, 7):
        found = glance(network, photo, network.last, target=target)
        assert found.target == target
        expected = nets.maps(network, network.prepare(photo).tensor, "gradcam", target)[0]
        nets.assert_close(torch.from_numpy(found.heat), expected, 1e-4)
    with pytest.raises(ExplainError):
        glance(network, photo, network.last, target=10**6)


def test_looking_leaves_no_trace_on_the_network(resnet18, photo):
    before = {name: value.clone() for name, value in resnet18.module.state_dict().items()}
    asked = Question(resnet18, resnet18.prepare(photo), (1,), "layer2")
    first = acts.activation(asked).clone()
    acts.unit(asked, 3)
    acts.feeds(asked, 3)
    fields(resnet18, 64, 64)
    again = resnet18.record(asked.view.tensor, ("layer2",), gradients=False)
    assert not again.activations["layer2"].requires_grad
    torch.testing.assert_close(again.activations["layer2"][0], first)
    assert all(torch.equal(before[name], v) for name, v in resnet18.module.state_dict().items())
    assert not any(p.requires_grad for p in resnet18.module.parameters())


def test_a_crop_is_where_its_box_says():
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[20:40, 120:160] = 255
    shown = render.crop(read(pixels), (0.6, 0.2, 0.8, 0.4), 80)
    assert shown.shape == (40, 80, 3)
    assert shown.min() > 240
    assert render.crop(read(pixels), (0.2, 0.2, 0.2, 0.2), 10).size  # a point is a pixel


@pytest.fixture(scope="session")
def astronaut() -> Photo:
    from skimage import data

    return read(data.astronaut())
