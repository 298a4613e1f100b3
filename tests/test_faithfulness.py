"""Scores of maps against cases worked out by hand, planted evidence, torchcam and scipy."""

from __future__ import annotations

import io
import zipfile

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.faithfulness import torchcam_areas
from explainers import METHODS, OptionError, View, ask
from explainers.api import question
from explainers.explanation import Question
from explainers.network import frozen
from explainers.registry import register
from explainers.render import report
from explainers.scores import faithfulness as f
from explainers.scores import sanity
from explainers.scores.agreement import rank_correlation
from explainers.scores.boxes import checked_box, energy_inside, pointing
from explainers.scores.comparison import Comparison, applicable
from explainers.scores.verdict import lines, verdict
from tests import nets


class Planted(nn.Module):
    """Two classes; the logit of class 0 grows with the brightness of the upper left quarter."""

    def __init__(self, size: int = 16, gain: float = 8.0) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 4, 1)
        self.size, self.gain = size, gain

    def forward(self, x):
        maps = self.features(x) * 0 + x.mean(1, keepdim=True)
        half = self.size // 2
        seen = maps[:, 0, :half, :half].mean((1, 2))
        return torch.stack([self.gain * (2 * seen - 1), torch.zeros_like(seen)], 1)


@pytest.fixture(scope="module")
def planted():
    return nets.wrap(
        Planted(), classes=2, size=16, mean=(0.0,) * 3, std=(1.0,) * 3, layers={"features": "Maps"}
    )


def ones(size: int = 16):
    return torch.ones(1, 3, size, size)


def test_areas_are_those_worked_out_by_hand(planted) -> None:
    """Four steps over a quarter of evidence: by hand p falls from p1 to p0 in the first step."""
    order = torch.zeros(16, 16)
    order[:8, :8] = 1
    scores = f.curves(planted, ones(), torch.zeros(1, 3, 16, 16), f.ranks(order), 0, steps=4)
    high, low = torch.tensor([8.0, -8.0]).sigmoid().tolist()
    assert scores.deletion.fractions == (0, 0.25, 0.5, 0.75, 1)
    assert scores.deletion.chances == pytest.approx((high, low, low, low, low), abs=1e-6)
    assert scores.deletion.area == pytest.approx((high + low) / 2 * 0.25 + low * 0.75, abs=1e-6)
    assert scores.insertion.area == pytest.approx((high + low) / 2 * 0.25 + high * 0.75, abs=1e-6)


def test_a_perfect_map_scores_at_one_bound_and_its_inverse_at_the_other(planted) -> None:
    x, blank = ones(), torch.zeros(1, 3, 16, 16)
    order = torch.zeros(16, 16)
    order[:8, :8] = torch.rand(8, 8, generator=torch.Generator().manual_seed(1)) + 1
    perfect = f.curves(planted, x, blank, f.ranks(order), 0, steps=16)
    inverse = f.curves(planted, x, blank, f.ranks(-order), 0, steps=16)
    seen = [
        f.curves(planted, x, blank, f.ranks(nets.noise(16, 16, seed=s)), 0, steps=16)
        for s in range(20)
    ]
    for other in (*seen, inverse):
        assert perfect.deletion.area <= other.deletion.area + 1e-6
        assert perfect.insertion.area >= other.insertion.area - 1e-6
    for other in seen:
        assert inverse.deletion.area >= other.deletion.area - 1e-6
        assert inverse.insertion.area <= other.insertion.area + 1e-6
    # deleting in reverse order is inserting, read backwards
    assert inverse.deletion.area == pytest.approx(perfect.insertion.area, abs=1e-6)


def test_a_sigmoid_network_is_followed_by_the_sigmoid_of_its_own_logit() -> None:
    """With many labels a class's chance does not depend on the others' logits."""
    many = nets.wrap(
        Planted(), classes=2, size=16, mean=(0.0,) * 3, std=(1.0,) * 3, head="sigmoid",
        layers={"features": "Maps"},
    )  # fmt: skip
    order = torch.zeros(16, 16)
    order[:8, :8] = 1
    blank = torch.zeros(1, 3, 16, 16)
    scores = f.curves(many, ones(), blank, f.ranks(order), 0, steps=4)
    high, low = torch.tensor([8.0, -8.0]).sigmoid().tolist()
    assert scores.deletion.chances == pytest.approx((high, low, low, low, low), abs=1e-6)
    other = f.curves(many, ones(), blank, f.ranks(order), 1, steps=4)  # its logit is always 0
    assert other.insertion.chances == pytest.approx((0.5,) * 5, abs=1e-6)


@pytest.fixture(scope="module")
def many_labels():
    built = nets.module("resnet18", num_classes=20)
    return nets.wrap(built, classes=20, head="sigmoid")


@pytest.mark.slow
def test_a_sigmoid_network_is_compared_reported_and_forgotten(many_labels, photo) -> None:
    asked = question(many_labels, photo, 3)
    found = Comparison(asked, ["gradcam", "guided", "patches", "rise"], steps=4,
                       options={"rise": {"masks": 64}})  # fmt: skip
    for work in (found.draw(), found.measure()):
        list(work)
    chance = float(many_labels.logits(asked.view.tensor)[0, 3].sigmoid())
    for method in found.methods:
        assert found.scores[method].deletion.chances[0] == pytest.approx(chance, abs=1e-5)
    assert found.maps["rise"].options["masks"] == 64
    with zipfile.ZipFile(io.BytesIO(report.build(photo, found))) as archive:
        assert f"Probability {chance:.1%}" in archive.read("report.html").decode()


def test_a_patch_s_value_is_the_class_s_chance_when_it_is_seen_alone(
    resnet18, photo, monkeypatch
) -> None:
    monkeypatch.setattr(frozen, "PIXELS", 8 * 64 * 64)
    asked = question(resnet18, photo, [2, 5], against=7, framing="crop")
    growing = list(ask(asked, "patches", patch=16, overlap=0.0))
    assert [each.done for each in growing] == [0.5, 1.0]
    values, x = growing[-1].values, asked.view.tensor
    assert values.shape == (2, 64, 64)
    for top, left in ((0, 0), (16, 48)):
        alone = x[:, :, top : top + 16, left : left + 16]
        alone = F.interpolate(alone, (64, 64), mode="bilinear", antialias=True)
        chances = resnet18.probabilities(resnet18.logits(alone))[0]
        for row, target in enumerate((2, 5)):
            part = values[row, top : top + 16, left : left + 16]
            assert part.numpy() == pytest.approx(float(chances[target] - chances[7]), abs=1e-6)
    with pytest.raises(OptionError, match="16 to 64 pixels"):
        list(ask(asked, "patches", patch=65))


def test_maps_that_differ_by_a_scale_alone_are_measured_once(resnet18, photo, monkeypatch) -> None:
    asked = question(resnet18, photo, 6)
    found = [list(ask(asked, name))[-1] for name in ("gradcam", "hirescam", "cam", "gradcam++")]
    runs, measure = [], f._measure
    monkeypatch.setattr(f, "_measure", lambda *given: runs.append(1) or measure(*given))
    scores = [f.score(asked, each, steps=5) for each in found]
    assert scores[0] is scores[1] is scores[2]
    assert scores[3] is not scores[0]
    assert len(runs) == 2


def test_equals_leave_from_the_upper_left_and_steps_that_do_not_divide_end_at_all() -> None:
    assert f.ranks(torch.zeros(2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert f.counts(10, 4) == [0, 3, 6, 9, 10]
    with pytest.raises(OptionError, match="from 2 to 200"):
        f.counts(10, 1)


@pytest.mark.slow
def test_areas_agree_with_torchcam(resnet18, photo) -> None:
    asked = question(resnet18, photo)
    for method in ("gradcam", "guided"):
        *_, found = ask(asked, method)
        for kind in f.BASELINES:
            scores = f.score(asked, found, baseline=kind, steps=10)
            strengths = f.strength(found, 0, tuple(asked.view.tensor.shape[2:]))
            theirs = torchcam_areas(asked, strengths, kind, 10)
            assert theirs == pytest.approx((scores.deletion.area, scores.insertion.area), abs=1e-5)


def test_ends_are_the_whole_photo_and_the_baseline_alone_and_are_shared(resnet18, photo) -> None:
    asked = question(resnet18, photo, 3)
    *_, found = ask(asked, "gradcam")
    scores = f.score(asked, found, steps=5)
    assert scores.deletion.chances[0] == scores.insertion.chances[-1]
    assert scores.deletion.chances[0] == pytest.approx(float(found.probabilities[3]), abs=1e-5)
    other = f.floor(asked, 3, steps=5)
    assert other.deletion.chances[-1] == scores.deletion.chances[-1]
    assert f.floor(asked, 3, steps=5) == other
    with pytest.raises(OptionError, match="blur or mean"):
        f.score(asked, found, baseline="black")


def test_what_was_scored_is_not_scored_again(resnet18, photo, monkeypatch) -> None:
    asked = question(resnet18, photo, 5)
    *_, found = ask(asked, "layercam")
    first = f.score(asked, found, steps=4)
    monkeypatch.setattr(f, "_measure", lambda *_: pytest.fail("computed again"))
    assert f.score(asked, found, steps=4) is first


def at(values: torch.Tensor, network, **more):
    view = View(torch.zeros(1, 3, 8, 8), (0.0, 0.0, 1.0, 1.0), "by hand")
    asked = Question(network, view, (0,), network.last)
    return asked.answer("gradcam", values, torch.zeros(1, 2), 0.0, **more)


def test_pointing_and_energy_on_a_map_of_four_cells(planted) -> None:
    found = at(torch.tensor([[[3.0, -5.0], [0.0, 1.0]]]), planted)
    left, right = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
    assert pointing(found, left)
    assert not pointing(found, right)
    # at the map's own size: 3 of the 4 of what is positive lies in the left half
    assert energy_inside(found, left, (2, 2)) == pytest.approx(0.75)
    assert energy_inside(found, right, (2, 2)) == pytest.approx(0.25)
    assert energy_inside(at(-torch.ones(1, 2, 2), planted), left, (2, 2)) is None


def test_a_box_counts_where_the_network_s_view_really_is(planted) -> None:
    import dataclasses

    found = at(torch.tensor([[[3.0, 1.0]]]), planted)
    cropped = dataclasses.replace(found, frame=(0.5, 0.0, 1.0, 1.0))
    assert pointing(cropped, (0.5, 0.0, 0.75, 1.0))
    assert energy_inside(cropped, (0.0, 0.0, 0.75, 1.0), (1, 2)) == pytest.approx(0.75)


@pytest.mark.parametrize(
    "bad", [None, "0011", [0, 0, 1], [0, 0, float("nan"), 1], [0.5, 0, 0.5, 1]]
)
def test_a_box_that_is_none_is_refused(bad) -> None:
    with pytest.raises(OptionError, match="box"):
        checked_box(bad)


def test_a_box_is_put_in_order_and_kept_on_the_photo() -> None:
    assert checked_box([0.9, 2, -1, 0.25]) == (0.0, 0.25, 0.9, 1.0)


def test_rank_correlation_is_spearman_s_with_ties() -> None:
    from scipy.stats import spearmanr  # takes a second, which the other lane need not spend

    a = torch.tensor([1.0, 2, 2, 3, 0, 0, 5])
    b = torch.tensor([0.0, 4, 1, 3, 0, 1, 1])
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert rank_correlation(a, torch.ones(7)) == 0


def test_a_method_of_tomorrow_is_compared_today(resnet18, photo) -> None:
    facts = {"family": "cam", "cost": "one pass", "caption": "New.", "paper": "2030"}

    @register("tomorrow", title="Tomorrow’s", **facts)
    def tomorrow(asked):
        values = torch.rand(1, 2, 2, generator=torch.Generator().manual_seed(0))
        yield asked.answer("tomorrow", values, resnet18.logits(asked.view.tensor), 0.0)

    try:
        assert "tomorrow" in applicable()
        found = Comparison(question(resnet18, photo), ["gradcam", "tomorrow"], steps=4)
        assert list(found.draw()) == ["gradcam", "tomorrow"]
        assert set(found.measure()) == {"gradcam", "tomorrow"}
        assert set(found.sorted("insertion")) == {"gradcam", "tomorrow"}
        assert found.agreement()[1][1][1] == pytest.approx(1)
    finally:
        del METHODS["tomorrow"]


@pytest.mark.slow
def test_sorting_puts_the_best_first_and_the_unmeasured_last(resnet18, vgg16, photo) -> None:
    found = Comparison(question(vgg16, photo), ["cam", "gradcam", "guided"], steps=4)
    assert "cam" in found.absent  # not defined for this network
    for work in (found.draw(), found.measure()):
        list(work)
    by = found.sorted("deletion")
    areas = [found.scores[name].deletion.area for name in by[:2]]
    assert areas == sorted(areas)
    assert by[-1] == "cam"
    assert found.figures("gradcam")["pointing"] is None


@pytest.mark.slow
def test_forgetting_happens_to_a_copy_and_is_seeded(resnet18, photo) -> None:
    asked = question(resnet18, photo, 2)
    before = {k: v.clone() for k, v in resnet18.module.state_dict().items()}
    originals = [list(ask(asked, name))[-1] for name in ("cam", "gradcam", "guided")]
    first = list(sanity.check(asked, originals))
    again = list(sanity.check(asked, originals))
    other = list(sanity.check(asked, originals, seed=1))
    assert first[0].title == "The head"
    assert len(first) == first[0].count
    assert all(torch.equal(v, before[k]) for k, v in resnet18.module.state_dict().items())
    assert [s.similarity for s in first] == [s.similarity for s in again]
    assert first[-1].similarity != other[-1].similarity
    # CAM reads the head's weights themselves: it must see the copy's, not the original's
    assert first[0].similarity["cam"].signed < 0.9
    assert first[0].maps["cam"].logits.tolist() != originals[0].logits.tolist()
    *_, now = METHODS["gradcam"].run(asked)
    assert torch.equal(now.values, originals[1].values)


@pytest.mark.slow
def test_guided_backprop_hardly_notices_a_random_head(lite0, photo) -> None:
    asked = question(lite0, photo, framing="crop")
    originals = [list(ask(asked, name))[-1] for name in ("gradcam", "guided")]
    stages = sanity.check(asked, originals)
    head = next(stages)
    stages.close()
    assert head.similarity["guided"].signed > 0.9
    assert head.similarity["gradcam"].signed < 0.6


def test_every_part_of_the_network_is_forgotten(lite0, photo) -> None:
    asked = question(lite0, photo)
    twin = lite0.twin()
    parts = sanity.stages(twin, asked)
    found = [id(module) for _, modules in parts for module in modules]
    holders = [m for m in twin.module.modules() if any(True for _ in m.parameters(False))]
    assert sorted(found) == sorted(map(id, holders))
    generator = torch.Generator().manual_seed(0)
    before = {k: v.clone() for k, v in twin.module.state_dict().items()}
    for module in holders:
        sanity.randomise(module, generator)
    changed = [
        k for k, v in twin.module.state_dict().items() if v.ndim and not torch.equal(v, before[k])
    ]
    assert len(changed) == sum(v.ndim > 0 for v in before.values())


def measured(network, photo, gains: dict[str, tuple[float, float]]) -> Comparison:
    """A comparison whose gains are given, as measured first and again; random orders gain 0."""

    def scores(gain: float) -> f.Scores:
        return f.Scores(f.Curve((0.0, 1.0), (0.0, 0.0)), f.Curve((0.0, 1.0), (gain, gain)))

    found = Comparison(question(network, photo, 6), list(gains), steps=4)
    list(found.draw())
    nothing = (scores(0.0), scores(0.0))
    for method, (first, again) in gains.items():
        found.scores[method], found.again[method] = scores(first), scores(again)
        pixels = found.maps[method].per_pixel
        found.orders[pixels] = found.orders_again[pixels] = nothing
    return found


def test_differences_within_the_noise_are_ties_and_nobody_wins_before_all_is_measured(
    resnet18, photo
) -> None:
    steady = {"gradcam": (0.40, 0.40), "gradcam++": (0.30, 0.31), "layercam": (0.0, 0.01)}
    found = measured(resnet18, photo, steady)
    clear = verdict(found)
    assert clear.best == ("gradcam",)
    assert clear.weak == ("layercam",)
    # by hand: changes 0, -0.01, -0.01, 0, 0, whose spread is 0.005477 with 4 degrees of freedom
    assert clear.noise == pytest.approx(2.78 * 0.0054772, rel=1e-3)
    believe, doubt, sure = lines(clear, found.baseline)
    assert believe.startswith("Believe Grad-CAM first")
    assert doubt.startswith("Doubt LayerCAM")
    assert "up to 0.02 count as ties" in sure

    shaky = {"gradcam": (0.40, 0.30), "gradcam++": (0.35, 0.42), "layercam": (0.0, 0.01)}
    tie = verdict(measured(resnet18, photo, shaky))
    assert set(tie.best) == {"gradcam", "gradcam++"}
    assert lines(tie, "blur")[0].startswith("A tie at the top: Grad-CAM and Grad-CAM++")

    none = verdict(measured(resnet18, photo, {"gradcam": (0.01, -0.01), "guided": (-0.1, 0.1)}))
    assert lines(none, "blur")[0].startswith("Believe none of them here")

    # in front, but not to be told from what is no better than a random order
    near = verdict(measured(resnet18, photo, {"gradcam": (0.06, 0.05), "layercam": (0.04, 0.09)}))
    assert near.noise > 0.04
    assert near.best == ()
    close = {"gradcam": (0.05, 0.05), "gradcam++": (0.02, 0.05), "layercam": (0.0, 0.0)}
    close = lines(verdict(measured(resnet18, photo, close)), "blur")  # and better than that
    assert close[0].startswith("Believe none for sure: Grad-CAM gains most (+0.05)")
    assert close[1].startswith("Doubt Grad-CAM++ and LayerCAM")

    for missing in (found.scores, found.again, found.orders_again):
        unfinished = dict(missing)
        missing.popitem()
        assert verdict(found) is None
        missing.update(unfinished)
    found.methods = [*found.methods, "guided"]  # asked for, but not there yet
    assert verdict(found) is None


def test_methods_that_give_one_map_are_one_in_the_verdict(resnet18, photo) -> None:
    names = ["cam", "gradcam", "hirescam", "layercam"]
    found = measured(resnet18, photo, dict.fromkeys(names, (0.2, 0.2)))
    assert found.twins() == {"gradcam": ["cam", "hirescam"], "layercam": []}
    assert set(verdict(found).order) == {"gradcam", "layercam"}


def test_what_is_known_is_recalled_and_nothing_is_computed_for_it(
    resnet18, photo, monkeypatch
) -> None:
    first = Comparison(question(resnet18, photo, 8), ["gradcam", "guided"], steps=4)
    for work in (first.draw(), first.measure(), first.repeat()):
        list(work)
    monkeypatch.setattr(f, "_measure", lambda *_: pytest.fail("computed again"))
    other = Comparison(question(resnet18, photo, 8), ["gradcam", "guided", "layercam"], steps=4)
    other.recall()
    assert other.maps.keys() == other.scores.keys() == other.again.keys() == {"gradcam", "guided"}
    assert other.figures("guided") == first.figures("guided")
