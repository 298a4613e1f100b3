"""Muting windows and regions, and RISE."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from captum.attr import Occlusion
from torch import nn

from explainers import OptionError, Question
from explainers.methods.occlusion import occlusion
from explainers.methods.rise import Running, random_masks, rise
from explainers.muting import incremental, mute, mute_in_steps, sweep, windows
from explainers.muting.brush import score_mask, smallest_flip
from explainers.muting.maps import drop_map
from tests import nets


def last(generator):
    *_, result = generator
    return result


@pytest.fixture(scope="module")
def network():
    return nets.seeded("resnet18", classes=6)


@pytest.fixture(scope="module")
def view(network):
    return network.view(nets.noise(1, 3, 64, 80, seed=11))


class Summed(nn.Module):
    """Logits (sum of the first colour, minus it): what a 5 x 5 case is done by hand with."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 1, 1, bias=False), nn.Linear(25, 2, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1))
            self.head.weight.copy_(torch.tensor([[1.0], [-1.0]]).expand(2, 25))

    def forward(self, x):
        return self.head(self.conv(x).flatten(1))


def test_a_five_by_five_case_by_hand():
    network = nets.wrap(Summed(), classes=2, size=5, mean=(0,) * 3, std=(1,) * 3)
    x = torch.zeros(1, 3, 5, 5)
    x[0, 0] = torch.arange(25.0).view(5, 5)
    muting = last(mute(network, network.view(x), window=3, stride=2, baseline="black"))
    assert muting.rows == ((0, 3), (2, 5))
    sums = torch.tensor([[54.0, 72.0], [144.0, 162.0]])  # of the pixels within each window
    torch.testing.assert_close(muting.position_scores(0, "logit"), 300 - sums)
    drop = muting.drop(0)
    assert drop[0].tolist() == [54, 54, 63, 72, 72]  # the middle is in two windows
    assert drop[2].tolist() == [99, 99, 108, 117, 117]  # and here in four
    assert drop[4].tolist() == [144, 144, 153, 162, 162]
    torch.testing.assert_close(muting.drop(1), -drop)
    found = drop_map(muting, Question(network, muting.view, (0,), network.last, against=1))
    torch.testing.assert_close(found.values[0], 2 * drop)
    assert found.seconds == pytest.approx(muting.seconds, abs=1)  # of the sweep, not of the machine
    assert muting.most_likely().tolist() == [[0, 0], [0, 0]]


@pytest.mark.slow
@pytest.mark.parametrize("score", ["logit", "probability"])
@pytest.mark.parametrize(("window", "stride"), [(32, 20), (24, 13)])
def test_the_map_is_captums_for_every_class(network, view, window, stride, score):
    module = nets.plain(network)
    scored = module if score == "logit" else nn.Sequential(module, nn.Softmax(-1))
    muting = last(mute(network, view, window=window, stride=stride, baseline="blur"))
    reference = Occlusion(scored)
    for target in range(6):
        theirs = reference.attribute(
            view.tensor,
            sliding_window_shapes=(3, window, window),
            strides=(3, stride, stride),
            baselines=muting.fill,
            target=target,
            perturbations_per_eval=32,
        )
        nets.assert_close(muting.drop(target, score), theirs[0, 0], 1e-4)


def test_whoever_waits_can_turn_away_between_layers(resnet18, photo, monkeypatch):
    monkeypatch.setattr(incremental, "OFTEN", 0.0)
    view, found = resnet18.prepare(photo), []
    for each in mute_in_steps(resnet18, view, window=16):
        assert torch.is_grad_enabled()  # no mode is held meanwhile
        found.append(each)
    results = [each for each in found if each is not None]
    assert found.count(None) > 10 * len(results) > 0
    assert found[-1] is results[-1]
    assert results[-1].done == 1


@pytest.mark.slow
def test_the_seed_matters_to_noise_alone(network, view, monkeypatch):
    """What was found with one seed is found again with another, for all baselines but noise."""
    question, tried = Question(network, view, (1,), network.last), []
    real = sweep.baseline_image
    monkeypatch.setattr(sweep, "baseline_image", lambda *how: tried.append(how) or real(*how))
    for baseline, runs in (("black", 1), ("noise", 2)):
        tried.clear()
        maps = [last(occlusion(question, baseline=baseline, seed=seed)) for seed in (0, 1)]
        assert len(tried) == runs
        assert torch.equal(*(each.values for each in maps)) == (runs == 1)
        assert [each.options["seed"] for each in maps] == [0, 1]


@pytest.mark.slow
def test_finer_passes_keep_what_is_known_and_end_as_if_computed_at_once(network, view):
    results = list(mute(network, view, window=32, stride=8))
    assert [r.done for r in results] == sorted(r.done for r in results)
    assert results[-1].done == 1
    assert results[-1].known.all()
    shares = [round(float(r.known.float().mean()), 2) for r in results]
    assert shares[0] < 0.3  # a coarse picture comes first
    for early, late in itertools.pairwise(results):
        assert torch.equal(early.logits[early.known], late.logits[early.known])
        assert (late.known | ~early.known).all()
    first = results[0]
    assert not first.filled(first.position_scores(0)).isnan().any()
    x, fill = view.tensor, first.fill
    at_once = torch.stack(
        [torch.where(first.mask([(r, c)]), fill, x)[0] for r in range(5) for c in range(7)]
    )
    nets.assert_close(results[-1].logits.flatten(0, 1), network.logits(at_once), 1e-4)


def test_every_position_is_computed_once():
    cases = ((7, 5, 32, 8), (1, 9, 16, 4), (4, 4, 8, 8), (17, 12, 32, 32))
    for rows, cols, window, stride in cases:
        places = [
            (r, c)
            for some in sweep._passes(rows, cols, window, stride)
            for r in some[0]
            for c in some[1]
        ]
        assert sorted(places) == sorted(itertools.product(range(rows), range(cols)))


def test_of_many_windows_those_come_first_that_are_spread_over_the_photo():
    rows, cols = next(sweep._passes(17, 12, 32, 32))
    assert len(rows) * len(cols) < 17 * 12 / 3
    assert (rows[0], rows[-1], cols[0], cols[-1]) == (0, 16, 0, 11)
    assert max(np.diff(rows).max(), np.diff(cols).max()) == 2


def test_the_likeliest_class_and_the_top_list_tell_of_each_position(network, view):
    muting = last(mute(network, view, window=32, stride=16, baseline="noise", seed=4))
    again = last(mute(network, view, window=32, stride=16, baseline="noise", seed=4))
    assert torch.equal(muting.logits, again.logits)
    position = muting.at(y=63, x=0)
    assert position == (len(muting.rows) - 1, 0)
    logits = network.logits(torch.where(muting.mask([position]), muting.fill, view.tensor))
    assert int(logits.argmax()) == int(muting.most_likely()[position])
    top = muting.top(position, 3)
    assert [c for c, *_ in top][:3] == muting.before.softmax(-1).topk(3).indices.tolist()
    target, before, after = top[0]
    assert before == pytest.approx(float(muting.before.softmax(-1)[target]))
    assert after == pytest.approx(float(muting.position_scores(target)[position]))


def test_closing_stops_and_nothing_is_left_on_the_network(network, view):
    hooks = [len(m._forward_hooks) for m in network.module.modules()]
    before = network.logits(view.tensor)
    running = mute(network, view, window=16, stride=4)
    assert next(running).done < 1
    running.close()
    assert list(running) == []
    assert torch.equal(network.logits(view.tensor), before)
    assert [len(m._forward_hooks) for m in network.module.modules()] == hooks
    assert not any(p.requires_grad or p.grad is not None for p in network.module.parameters())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 65}, "larger than the photo"),
        ({"stride": 0}, "1 or more"),
        ({"window": 16, "stride": 17}, "gaps"),
        ({"window": 2, "stride": 1, "baseline": "plaid"}, "grey, mean, blur, black, noise"),
    ],
)
def test_what_is_not_possible_is_said_in_a_sentence(network, view, options, words):
    with pytest.raises(OptionError, match=words) as caught:
        list(mute(network, view, **options))
    assert str(caught.value).endswith(".")


def test_a_tiny_photo_is_refused_in_a_sentence_when_the_window_does_not_fit(network):
    with pytest.raises(OptionError, match="20 by 20 px"):
        list(mute(network, network.view(torch.zeros(1, 3, 20, 20))))


@pytest.mark.parametrize("scale", [1, 4])
def test_the_brush_mutes_what_is_painted_and_keep_the_rest(network, view, scale):
    mask = torch.zeros(64, 80, dtype=torch.bool)
    mask[8:40, 16:48] = True
    painted = np.kron(mask.numpy(), np.ones((scale, scale), bool))
    grey = ((0.5 - network.mean) / network.std)[None]
    for keep in (False, True):
        change = score_mask(network, view, painted, keep=keep)
        muted = torch.where(mask ^ keep, grey, view.tensor)
        torch.testing.assert_close(change.after, network.logits(muted)[0].softmax(-1))
        torch.testing.assert_close(change.before, network.logits(view.tensor)[0].softmax(-1))
    with pytest.raises(OptionError, match="Nothing is painted"):
        score_mask(network, view, np.zeros((64, 80)))


def test_the_smallest_flip_flips_and_no_window_of_it_can_be_spared():
    network = nets.wrap(Summed(), classes=2, size=5, mean=(0,) * 3, std=(1,) * 3)
    x = torch.zeros(1, 3, 5, 5)
    x[0, 0] = -0.02
    x[0, 0, 1, 1], x[0, 0, 3, 3] = 1.2, 1.0  # both must go, and each is in four windows
    muting = last(mute(network, network.view(x), window=2, stride=1, baseline="black"))
    steps = list(smallest_flip(muting, 0))
    assert max(len(step.positions) for step in steps) == 5
    flip = steps[-1]
    assert flip.flipped
    assert flip.done == 1
    assert len(flip.positions) == 2
    assert flip.mask[1, 1]
    assert flip.mask[3, 3]
    assert flip.percent == pytest.approx(100 * 8 / 25)
    assert int(flip.change.after.argmax()) == 1
    with pytest.raises(OptionError, match="does not decide"):
        next(smallest_flip(muting, 1))


def test_rise_masks_show_their_share_and_follow_their_seed():
    masks = random_masks(2000, (30, 22), 7, 0.3, torch.Generator().manual_seed(1))
    assert masks.shape == (2000, 1, 30, 22)
    assert masks.min() >= 0
    assert masks.max() <= 1 + 1e-6
    assert float((masks.mean(0) - 0.3).abs().max()) < 0.05  # at every pixel, the border included
    spread = masks.var(0)[0, 6:24, 5:17]  # shifted masks favour no place
    assert float(spread.max() / spread.min()) < 1.4
    again = random_masks(2000, (30, 22), 7, 0.3, torch.Generator().manual_seed(1))
    assert torch.equal(masks, again)


def test_rise_averages_by_hand():
    running = Running(1, (1, 2), keep=0.5)
    masks = torch.tensor([[[[1.0, 0.0]]], [[[1.0, 1.0]]], [[[0.0, 1.0]]]])
    running.add(torch.tensor([[0.9], [0.6]]), masks[:2])
    running.add(torch.tensor([[0.3]]), masks[2:])
    torch.testing.assert_close(running.mean[0, 0].tolist(), [1.0, 0.6])  # (.9+.6)/1.5, (.6+.3)/1.5
    values = np.array([[0.9, 0.6, 0.0], [0.0, 0.6, 0.3]])
    error = values.std(1, ddof=1) / np.sqrt(3) / 0.5
    torch.testing.assert_close(running.error[0, 0].numpy(), error)


def test_rise_finds_the_pixels_that_decide_and_stops_when_settled(network):
    x = torch.zeros(1, 3, 32, 32)
    part = nn.Sequential(nn.Conv2d(3, 2, 8, stride=8, bias=False), nn.Flatten(), nn.Linear(32, 2))
    with torch.no_grad():
        for p in part.parameters():
            p.zero_()
        part[0].weight[0, 0] = 0.2
        part[2].bias[0] = -6.0
        part[2].weight[0, 5] = 1.0  # class 0 looks at the cell (8..16, 8..16) of the first colour
    decider = nets.wrap(part, classes=2, size=32, mean=(0,) * 3, std=(1,) * 3)
    x[0, 0, 8:16, 8:16] = 1.0
    results = list(explained(decider, x, masks=3000, grid=4, baseline="black", tolerance=0.1))
    done = results[-1]
    assert done.done == 1
    assert done.facts["used"] < 3000
    row, col = divmod(int(done.values[0].argmax()), 32)
    assert 7 <= row <= 16
    assert 7 <= col <= 16
    assert results[0].done < 1
    twice = list(explained(decider, x, masks=3000, grid=4, baseline="black", tolerance=0.1))[-1]
    assert torch.equal(done.values, twice.values)
    few = list(explained(decider, x, masks=16, grid=4, baseline="black"))[-1]
    (told,) = (note for note in few.notes if note.key == "unsettled")
    assert round(told.number, 4) == few.facts["standard_error"]
    assert "unsettled" not in [note.key for note in done.notes]


def explained(network, x, **options):
    return rise(Question(network, network.view(x), (0,), network.last), **options)


def test_windows_are_captums():
    assert windows(224, 32, 16)[-1] == (192, 224)
    assert windows(131, 32, 16)[-1] == (112, 131)
    assert windows(131, 32, 32)[-1] == (128, 131)


def test_a_class_is_given_up_where_its_own_threshold_is_not_a_half():
    module = Summed()
    network = nets.wrap(module, classes=2, size=5, mean=(0,) * 3, std=(1,) * 3, head="sigmoid")
    x = torch.zeros(1, 3, 5, 5)
    x[0, 0, 1, 1] = 1.0
    view = network.view(x)
    seen = float(network.probabilities(network.logits(x))[0, 0])
    muting = last(mute(network, view, window=2, stride=1, baseline="black"))
    for bound, decided in ((seen - 0.01, True), (seen + 0.01, False)):
        network.thresholds = (bound, 0.5)
        if decided:
            assert list(smallest_flip(muting, 0))[-1].flipped
        else:
            with pytest.raises(OptionError, match="does not decide"):
                next(smallest_flip(muting, 0))


def test_what_is_drawn_while_it_runs_has_no_gaps(network, view):
    early = next(mute(network, view, window=16, stride=4))
    drawn = early.guessed()
    assert not early.known.all()
    assert drawn.known.all()
    assert not drawn.logits.isnan().any()
    assert torch.equal(drawn.logits[early.known], early.logits[early.known])
    assert bool(drawn.covered.all())


@pytest.mark.slow
def test_rise_never_says_that_less_is_done_than_before(network, view):
    question = Question(network, view, (0, 3), network.last)
    shares = [each.done for each in rise(question, masks=400, tolerance=0.12, seed=5)]
    assert shares == sorted(shares)
    assert shares[-1] == 1
