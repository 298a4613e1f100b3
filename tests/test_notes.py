"""Maps that say when not to trust them."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from explainers import METHODS, Explanation, ask, explain, notes, read, steady
from explainers.api import question
from explainers.registry import offered
from explainers.scores.boxes import pointing
from tests import nets


def made(values: Tensor, *, chance: float = 0.5, zero: bool = True, **more) -> Explanation:
    """One map (h, w) or (3, h, w) of class 0 of 2."""
    chances = torch.tensor([chance, 1 - chance])
    facts = {"layer": "last", "labels": ("cat", "dog"), "title": "Grad-CAM", **more}
    return Explanation(
        method="gradcam",
        values=values[None].float(),
        targets=(0,),
        logits=chances.log(),
        probabilities=chances,
        frame=(0.0, 0.0, 1.0, 1.0),
        zero=zero,
        **facts,
    )


@pytest.fixture(scope="module")
def two():
    return nets.wrap(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                                   nn.Flatten(), nn.Linear(4, 2)), classes=2, size=32)  # fmt: skip


def blob(size: int = 7, y: int = 3, x: int = 3) -> Tensor:
    values = torch.zeros(size, size)
    values[y - 1 : y + 2, x - 1 : x + 2] = 1
    values[y, x] = 3
    return values


def frame(size: int = 7) -> Tensor:
    values = torch.ones(size, size)
    values[1:-1, 1:-1] = 0.02
    values[0, 0] = 4
    return values


NAN, INF = float("nan"), float("inf")
CASES = {
    "a map that is as it should be": (made(blob()), []),
    "nothing": (made(torch.zeros(7, 7)), ["blank"]),
    "nothing at all in colours": (made(torch.zeros(3, 32, 32)), ["blank"]),
    "all scores equal": (made(torch.full((32, 32), 0.25), zero=False, layer=None), ["blank"]),
    "rounding of scores": (made(torch.full((9, 9), 1e-8), layer=None), ["blank"]),
    "against": (made(-blob()), ["only against"]),
    "sure": (made(blob(), chance=0.9999), ["saturated"]),
    "improbable": (made(blob(), chance=0.0001), ["not seen"]),
    "at the border": (made(frame()), ["border"]),
    "even": (made(torch.full((7, 7), 2.0)), ["flat"]),
    "not a number": (made(torch.full((7, 7), NAN)), ["NaN"]),
    "endless": (made(torch.where(blob() > 2, INF, blob())), ["NaN"]),
    "a sound map of scores that overflow": (made(blob(), chance=NAN), ["NaN"]),
    "immense": (made(blob() * 1e38), []),
    "immense in colours": (made(blob(32).expand(3, 32, 32) * 1e38), []),
    "a contrast": (made(blob() - blob(7, 1, 5), against=1), []),
}


@pytest.mark.parametrize("case", CASES)
def test_a_note_is_raised_where_it_should_be_and_nowhere_else(two, case) -> None:
    explanation, keys = CASES[case]
    found = notes.of(explanation, two)
    assert [note.key for note in found] == keys
    for note in found:
        assert note.sentence.endswith(".")
        assert note.sentence.count(". ") == 0  # one sentence
        assert note.number == note.number


def test_the_words_for_a_map_never_name_a_place_where_there_is_nothing(two) -> None:
    def words(explanation: Explanation) -> str:
        return notes.describe(dataclasses.replace(explanation, notes=notes.of(explanation, two)))

    assert words(made(blob(7, 1, 5))) == "Grad-CAM for cat: strongest at the top right."
    assert words(made(torch.zeros(7, 7))).startswith("Grad-CAM for cat: blank. The map is blank")
    for case in ("against", "not a number", "nothing at all in colours"):
        assert "strongest" not in words(CASES[case][0]), case
    assert "cat, and not dog" in words(CASES["a contrast"][0])
    everywhere = (0.0, 0.0, 1.0, 1.0)
    assert pointing(made(blob()), everywhere) is True
    assert (
        pointing(made(-blob()), everywhere) is pointing(made(torch.zeros(7, 7)), everywhere) is None
    )
    broken = torch.zeros(7, 7)
    broken[0, 0], broken[6, 3] = NAN, 1
    assert made(broken).peak() == pytest.approx((0.5, 13 / 14))


@pytest.mark.slow
def test_every_method_s_map_carries_its_notes_when_it_is_done() -> None:
    built = nets.module("resnet18", num_classes=20)
    with torch.no_grad():
        built.fc.weight[3] = 0  # the class hears nothing
        built.fc.bias[3] = -30
    network = nets.wrap(built, classes=20)
    view = network.view(nets.noise(1, 3, 64, 64, seed=41))
    for method in (each.key for each in offered(network)):
        few = {"masks": 32, "samples": 2, "steps": 2}
        options = {k: v for k, v in few.items() if k in METHODS[method].options}
        found = explain(network, view, [5, 3], method, **options)
        keys = [note.key for note in found.notes if note.row == 1]
        assert "not seen" in keys, method
        # the chance of a class depends on the other logits as well, and some maps on no class
        if found.zero and METHODS[method].class_dependent:
            assert "blank" in keys, method
            assert "blank" in notes.describe(found, 1)
        assert not any(note.key == "blank" for note in found.notes if note.row == 0)


def test_what_holds_for_every_map_of_a_question_is_told_from_what_holds_for_one(two) -> None:
    network, x = copy.copy(two), nets.noise(1, 3, 32, 32, seed=3)
    told = (*notes.SOME, "rounding", "observers", "float32", "hooks", "head", "something new")
    network.remarks = dict.fromkeys(told, "Take care.")
    found: list[dict[str, bool]] = []
    for method, layer in (("gradcam", "0"), ("gradcam", None), ("occlusion", None)):
        *_, last = ask(question(network, network.view(x), 0, layer=layer), method)
        found.append({note.key: note.of_pass for note in last.notes if note.key in told})
    everywhere = set.intersection(*map(set, found))
    assert everywhere == set(told) - set(notes.SOME)
    assert all(whole == (key in everywhere) for each in found for key, whole in each.items())


def test_a_map_that_grows_has_no_notes_before_it_is_done(resnet18) -> None:
    asked = question(resnet18, resnet18.view(nets.noise(1, 3, 64, 64, seed=42)), 3)
    growing = list(ask(asked, "rise", masks=64, tolerance=0.0))
    assert [each.notes for each in growing[:-1]] == [()] * (len(growing) - 1)


def test_a_sigmoid_s_class_is_seen_from_its_own_threshold_on() -> None:
    built = nets.module("resnet18", num_classes=20)
    network = nets.wrap(built, classes=20, head="sigmoid", thresholds=[0.9] * 10 + [0.0] * 10)
    found = explain(network, network.view(nets.noise(1, 3, 64, 64, seed=43)), [2, 12])
    keys = {(note.key, note.row) for note in found.notes}
    assert ("not seen", 0) in keys
    assert ("not seen", 1) not in keys


def test_a_map_that_moves_with_the_crop_is_noted_and_one_that_stays_is_not() -> None:
    rows, columns = np.mgrid[:64, :64]
    blob = np.exp(-((rows - 24) ** 2 + (columns - 36) ** 2) / 120)
    photo = read((np.stack([blob] * 3, -1) * 255).astype(np.uint8))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        seeing = nn.Sequential(nn.Conv2d(3, 1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(196, 2))
    with torch.no_grad():
        seeing[0].weight.fill_(0.1)
        seeing[0].bias.fill_(4)
        head = torch.ones(2, 14, 14)
        head[:, :, ::2] = -1
        head = head.flatten(1)
        for weight, moves in (
            (torch.ones_like(head), False),
            (head, True),
        ):  # to each place its own
            seeing[3].weight.copy_(weight)
            network = nets.wrap(copy.deepcopy(seeing), classes=2, size=28)
            found = explain(network, photo, 0, "hirescam", framing="crop")
            noted = [n for n in steady(found, network, photo).notes if n.key == "unstable"]
            assert bool(noted) is moves
            assert all(note.sentence.endswith(".") for note in noted)
            blank = dataclasses.replace(found, values=found.values * 0)
            assert steady(blank, network, photo).notes == blank.notes
            assert torch.equal(steady(found, network, photo).values, found.values)


def test_a_class_that_is_seen_is_not_said_to_have_only_evidence_against_it() -> None:
    """Where each class is a yes or no of its own, its bias may speak for it; no map shows that."""
    network = nets.wrap(nets.module("resnet18", num_classes=2), classes=2, head="sigmoid")
    for chance, keys in ((0.8, []), (0.3, ["not seen", "only against"])):
        found = notes.of(made(-blob(), chance=chance), network)
        assert [note.key for note in found] == keys
