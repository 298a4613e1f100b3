"""Impressions: same seed, same picture; every transformation by its definition; nothing shared is
changed."""

from __future__ import annotations

import gc
import io
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explainers import impressions, load
from explainers.errors import ExplainError, OptionError, TargetError
from explainers.impressions import goals, impression, masks, priors, shaking
from explainers.impressions.images import CANVASES, falloff
from explainers.impressions.knobs import Knobs
from explainers.network import folding
from tests import nets

CALM = {"jitter": 0, "rotation": 0, "scale": 0, "colour": 0, "noise": 0, "tv": 0, "grey": 0}
SMALL = Knobs(steps=6, size=64, start=32, statistics=1.0, every=3)


def last(network, goal, knobs=SMALL, **options):
    *_, found = impressions.draw(network, [goal], knobs, **options)
    return found[0]


def of(network, target=3):
    return goals.of_class(network, target)


# --- the drawing -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("canvas", CANVASES)
def test_the_logit_grows_and_the_same_seed_gives_the_same_picture(canvas, resnet18):
    rate = {"pixels": 0.02, "maco": 0.3, "fourier": 0.1}[canvas]
    knobs = Knobs(steps=12, size=64, start=64, canvas=canvas, rate=rate, **CALM)
    first, again = (last(resnet18, of(resnet18), knobs) for _ in range(2))
    assert torch.equal(first.values, again.values)
    assert first.points[-1].score > first.points[0].score + 0.02
    other = last(resnet18, of(resnet18), replace(knobs, seed=1))
    assert not torch.equal(first.values, other.values)
    assert float(first.values.min()) >= 0
    assert float(first.values.max()) <= 1


@pytest.mark.slow
def test_a_picture_does_not_depend_on_what_is_drawn_beside_it(resnet18):
    both = [of(resnet18, 3), of(resnet18, 4)]
    *_, found = impressions.draw(resnet18, both, SMALL, driven=(False, True))
    assert [each.goal for each in found] == [both[0], both[0], both[1], both[1]]
    assert [each.driven for each in found] == [False, True, False, True]
    alone = last(resnet18, both[1], driven=(True,))
    assert torch.equal(found[3].values, alone.values)
    assert torch.equal(found[0].values, last(resnet18, both[0]).values)


def test_a_run_leaves_the_shared_network_as_it_was(resnet18):
    module = resnet18.module
    before = {name: value.clone() for name, value in module.state_dict().items()}
    hooks = [len(part._forward_hooks) for part in module.modules()]
    parts = [id(part) for part in module.modules()]
    drawing = impressions.draw(resnet18, [of(resnet18)], SMALL, driven=(False, True))
    next(drawing)
    assert torch.is_grad_enabled()
    recording = resnet18.record(nets.noise(1, 3, 64, 64))  # between two steps, nobody listens
    assert not recording.activations
    drawing.close()
    last(resnet18, of(resnet18))
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert hooks == [len(part._forward_hooks) for part in module.modules()]
    assert parts == [id(part) for part in module.modules()]
    assert not any(p.requires_grad or p.grad is not None for p in module.parameters())
    assert not any(part.training for part in module.modules())


@pytest.mark.slow
def test_ten_runs_do_not_grow_memory(resnet18):
    knobs = Knobs(steps=2, size=64, start=32)
    tensors = lambda: sum(torch.is_tensor(each) for each in gc.get_objects())  # noqa: E731
    last(resnet18, of(resnet18), knobs)
    gc.collect()
    held = tensors()
    tracemalloc.start()
    last(resnet18, of(resnet18), knobs)
    small = tracemalloc.get_traced_memory()[0]
    for _ in range(10):
        last(resnet18, of(resnet18), knobs)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - small
    tracemalloc.stop()
    assert tensors() <= held + 4
    assert grown < 200_000


def test_it_is_shown_as_it_grows_and_what_is_there_can_be_kept(resnet18, monkeypatch):
    monkeypatch.setattr(impression, "OFTEN", 0.0)
    seen = list(impressions.draw(resnet18, [of(resnet18)], SMALL))
    assert [each[0].done for each in seen] == [step / 6 for step in range(7)]
    kept = seen[3][0]
    assert 1 < len(kept.points) < len(seen[-1][0].points)
    assert [point.step for point in seen[-1][0].points] == list(range(7))
    picture = np.asarray(Image.open(io.BytesIO(kept.points[-1].frame)))
    assert picture.shape == (32, 32, 3)  # the first stage
    assert seen[-1][0].pixels.shape == (64, 64, 3)
    film = Image.open(io.BytesIO(impressions.animation(seen[-1][0])))
    assert (film.format, film.size) == ("WEBP", (64, 64))
    assert film.n_frames > 2


def test_fused_and_multi_label_networks_are_drawn_too(resnet18):
    sigmoid = nets.wrap(resnet18.module, classes=20, head="sigmoid", key="many")
    goal = goals.fused(sigmoid, ("class 2", 5), 0.25)
    found = last(sigmoid, goal)
    assert found.title == "25% class 2 + 75% class 5"
    logits = sigmoid.logits(impressions.as_input(sigmoid, found.values[None]))[0]
    assert found.points[-1].score == pytest.approx(
        0.25 * float(logits[2]) + 0.75 * float(logits[5]), abs=1e-4
    )
    assert found.points[-1].probability == pytest.approx(
        float(logits.sigmoid()[[2, 5]].sum()), abs=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("part", ["channel", "neuron"])
@pytest.mark.parametrize("layer", ["layer2", "conv1", "fc"])
def test_any_unit_is_drawn_with_no_more_of_the_network_than_it_needs(layer, part, resnet18):
    goal = goals.of_unit(resnet18, layer, 5, part)
    later = {"layer2": "layer3", "conv1": "bn1", "fc": None}[layer]
    passed = []
    module = resnet18.module.get_submodule(later) if later else None
    handle = module and module.register_forward_hook(lambda *_: passed.append(1))
    try:
        found = last(resnet18, goal, Knobs(steps=6, size=64, start=64, rate=0.1, **CALM))
    finally:
        if handle:
            handle.remove()
    assert not passed
    assert found.points[-1].score > found.points[0].score
    assert found.points[-1].probability is None
    assert impressions.check(resnet18, found) is None
    if layer == "fc":
        logits = resnet18.logits(impressions.as_input(resnet18, found.values[None]))
        assert found.points[-1].score == pytest.approx(float(logits[0, 5]), abs=1e-4)


@pytest.mark.slow
def test_saliency_driven_keeps_an_object_on_grey(resnet18):
    knobs = Knobs(steps=30, size=64, start=64, rate=0.2)
    plain, driven = (last(resnet18, of(resnet18), knobs, driven=(d,)) for d in (False, True))
    assert plain.mask is None
    outside = torch.from_numpy(driven.mask < 0.02)
    assert outside.any()
    assert (driven.mask > 0.5).any()
    apart = [(each.values[:, outside] - 0.5).abs().mean() for each in (plain, driven)]
    assert apart[1] < 0.5 * apart[0]
    dim, bright = impressions.with_mask(driven)[outside], driven.pixels[outside]
    assert dim.mean() < 0.4 * bright.mean()


@pytest.mark.slow
def test_the_trained_network_draws_what_it_knows(lite0):
    found = last(lite0, of(lite0, "goldfish"), Knobs(steps=30, size=112, start=80))
    seen = impressions.check(lite0, found, lite0)
    assert seen.probability[0] > 0.5
    assert seen.robust[0] > 0.25
    assert (seen.guess, seen.rank) == ("goldfish", 0)
    stranger = impressions.check(lite0, found, nets.seeded("resnet18"))
    assert stranger.rank is None  # it has no class of that name
    assert 0 < impressions.concentration(lite0, found) <= 1


# --- transformations, by their definitions ---------------------------------------------------


def still(**given) -> shaking.Shake:
    plain = {
        "shift": torch.zeros(1, 2),
        "turn": torch.zeros(1),
        "zoom": torch.ones(1),
        "gain": torch.ones(1, 3, 1, 1),
        "offset": torch.zeros(1, 3, 1, 1),
    }
    return shaking.Shake(**plain | given)


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(3))


def moved(picture, size=16, **given):
    return shaking.apply(picture, still(**given), size)


def test_no_shake_changes_nothing(picture):
    assert torch.allclose(moved(picture), picture, atol=1e-5)


def test_shift_moves_by_whole_pixels_and_mirrors_at_the_border(picture):
    out = moved(picture, shift=torch.tensor([[2 / 16, -3 / 16]]))  # 2 right, 3 up
    assert torch.allclose(out[..., :13, 2:], picture[..., 3:, :14], atol=1e-5)
    assert torch.allclose(out[..., :13, :2], picture[..., 3:, :2].flip(-1), atol=1e-5)


def test_rotation_is_clockwise_in_degrees(picture):
    out = moved(picture, turn=torch.tensor([90.0]))
    assert torch.allclose(out, picture.rot90(-1, (2, 3)), atol=1e-4)


def test_zoom_enlarges_round_the_centre(picture):
    coarse = picture[..., 4:12, 4:12].repeat_interleave(2, 2).repeat_interleave(2, 3)
    ramp = torch.linspace(0, 1, 16).expand(1, 3, 16, 16)
    out = moved(ramp, zoom=torch.tensor([2.0]))[0, 0, 0]
    assert float(out[-1] - out[0]) == pytest.approx(0.5, abs=1e-5)
    assert float(out.mean()) == pytest.approx(0.5, abs=1e-5)
    assert float((moved(picture, zoom=torch.tensor([2.0])) - coarse).abs().mean()) < 0.2


def test_rgb_jitter_is_a_gain_round_grey_and_an_offset(picture):
    gain = torch.tensor([1.5, 1.0, 0.5]).view(1, 3, 1, 1)
    offset = torch.tensor([0.0, 0.1, -0.2]).view(1, 3, 1, 1)
    out = moved(picture, gain=gain, offset=offset)
    assert torch.allclose(out, (picture - 0.5) * gain + 0.5 + offset, atol=1e-5)


def test_noise_is_added_last(picture):
    noise = torch.full((1, 3, 16, 16), 0.25)
    out = moved(picture, gain=torch.full((1, 3, 1, 1), 3.0), noise=noise)
    assert torch.allclose(out - noise, moved(picture, gain=torch.full((1, 3, 1, 1), 3.0)))


def test_random_shakes_fill_their_ranges_and_go_no_further():
    ranges = shaking.Ranges(shift=0.1, rotation=20, zoom=0.5, colour=0.4, noise=0.05)
    drawn = shaking.draw(ranges, 400, 8, torch.Generator().manual_seed(0))
    for values, low, high in (
        (drawn.shift, -0.1, 0.1),
        (drawn.turn, -20, 20),
        (drawn.zoom, 1 / 1.5, 1.5),
        (drawn.gain, 1 / 1.4, 1.4),
        (drawn.offset, -0.2, 0.2),
    ):
        assert low <= float(values.min()) < low + 0.05 * (high - low)
        assert high >= float(values.max()) > high - 0.05 * (high - low)
    assert float(drawn.noise.std()) == pytest.approx(0.05, rel=0.02)


# --- priors, spectra, masks ------------------------------------------------------------------


def test_total_variation_of_a_picture_worked_out_by_hand():
    grid = torch.tensor([[0.0, 1.0, 3.0], [2.0, 2.0, 2.0]])
    # across: 1 + 2 + 0 + 0 = 3; down: 2 + 1 + 1 = 4; 7 over 6 pixels
    assert float(priors.total_variation(grid[None, None])) == pytest.approx(7 / 6)
    assert priors.total_variation(torch.ones(2, 3, 4, 4)).tolist() == [0, 0]


def test_batchnorm_statistics_are_met_without_touching_a_module(resnet18):
    x = nets.noise(2, 3, 64, 64)
    met = []
    names = [n for n, m in resnet18.module.named_modules() if isinstance(m, torch.nn.BatchNorm2d)]
    handles = [
        resnet18.module.get_submodule(name).register_forward_pre_hook(
            lambda module, given: met.append(
                priors.distance(given[0], module.running_mean, module.running_var)
            )
        )
        for name in names
    ]
    try:
        resnet18.logits(x)
    finally:
        for handle in handles:
            handle.remove()
    with priors.BatchNormPrior() as prior:
        resnet18.logits(x)
    assert float(prior.value()) == pytest.approx(float(torch.stack(met).mean()))
    with priors.BatchNormPrior(every=4, phase=3) as some:
        resnet18.logits(x)
    assert float(some.value()) == pytest.approx(float(torch.stack(met[3::4]).mean()))
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    assert float(priors.distance(x, mean, variance)) < 1e-9
    assert float(priors.distance(x, mean + 2 * variance.sqrt(), variance)) == pytest.approx(4, 1e-3)


def test_growing_keeps_the_picture():
    generator = torch.Generator().manual_seed(0)
    for canvas in CANVASES.values():
        small = canvas(32, generator, torch.device("cpu"))
        large = small.grown(64)
        before = small.picture().detach()
        after = torch.nn.functional.avg_pool2d(large.picture().detach(), 2)
        likeness = torch.corrcoef(torch.stack([before.flatten(), after.flatten()]))[0, 1]
        assert likeness > 0.85, canvas


def test_maco_keeps_the_magnitudes_of_natural_pictures():
    canvas = CANVASES["maco"](32, torch.Generator().manual_seed(0), torch.device("cpu"))
    planes = torch.fft.irfft2(
        torch.polar(canvas._magnitude.expand(3, -1, -1), canvas.parameters[0].detach()[0]),
        s=(32, 32),
        norm="ortho",
    )
    spectrum = torch.fft.rfft2(planes, norm="ortho").abs()
    wanted = falloff(32)[1:16, 1:16].expand(3, -1, -1)
    assert torch.allclose(spectrum[:, 1:16, 1:16], wanted, rtol=1e-3)
    assert float(falloff(32)[3, 4]) == pytest.approx(32 / 5)


def test_the_mask_is_the_largest_blob():
    saliency = np.zeros((60, 60), np.float32)
    saliency[5:12, 5:12] = 1  # smaller, and as strong
    saliency[25:50, 20:50] = 1
    mask = masks.soft(saliency)
    assert mask[37, 35] > 0.9
    assert mask[8, 8] < 0.1
    assert masks.concentration(saliency) == pytest.approx(750 / 799, abs=0.01)
    diagonal = np.eye(4, dtype=bool)
    assert masks.largest(diagonal).sum() == 4  # corners touch
    assert masks.soft(np.zeros((8, 8), np.float32)).min() == 1


# --- what comes from outside -----------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"steps": 10**9},
        {"steps": 2.5},
        {"steps": "9"},
        {"steps": True},
        {"rate": float("nan")},
        {"tv": -1},
        {"size": 5000},
        {"size": 7},
        {"crops": 99},
        {"canvas": "oil"},
        {"seed": 2**40},
        {"seed": None},
    ],
)
def test_every_knob_has_its_limits(wrong):
    with pytest.raises(OptionError):
        Knobs(**wrong)


def test_what_cannot_be_drawn_is_said(resnet18):
    with pytest.raises(TargetError):
        goals.of_class(resnet18, 20)
    for bad in (((1, 1), 0.5), ((1, 2, 3), 0.5), ((1, 2), 1.5), ((1, 2), None)):
        with pytest.raises(ExplainError):
            goals.fused(resnet18, *bad)
    for bad in (("nowhere", 0), ("layer2", 10**6), ("layer2", "1"), ("layer2", 0, "all")):
        with pytest.raises(OptionError):
            goals.of_unit(resnet18, *bad)
    with pytest.raises(OptionError):
        next(impressions.draw(resnet18, [], SMALL))
    with pytest.raises(OptionError):
        next(impressions.draw(resnet18, [of(resnet18)] * 7, SMALL))
    with pytest.raises(OptionError, match="too long"):
        next(impressions.draw(resnet18, [of(resnet18)] * 6, Knobs(steps=3000, size=384, crops=8)))


class Swapped(nn.Module):
    """Its BatchNorm is defined behind the convolution, and works before it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
        self.norm.running_mean += 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.norm(x)).mean((2, 3))


def test_drawing_goes_through_a_folded_copy_of_the_same_function() -> None:
    network = load("lite0")
    copy = folding.folded(network.module, network.size)
    assert copy is not network.module
    assert folding.folded(network.module, network.size) is copy
    assert not [part for part in copy.modules() if isinstance(part, nn.BatchNorm2d)]
    assert [part for part in network.module.modules() if isinstance(part, nn.BatchNorm2d)]
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        logits = network.module(x)
        assert (copy(x) - logits).abs().max() < 1e-4 * (logits.max() - logits.min())
    for same in (Swapped().eval(), nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten())):
        assert folding.folded(same, 8) is same
