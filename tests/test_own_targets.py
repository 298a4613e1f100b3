"""Functions of a network's output as targets: what they explain, beside values found by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explainers import METHODS, OptionError, TargetError, again, explain, read, targets, wrap
from explainers.api import question
from explainers.scores import sanity
from tests.nets import assert_close

HOW = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "size": 32}
PHOTO = np.random.default_rng(7).integers(0, 255, (32, 64, 3), np.uint8)
FEW = {"masks": 40, "samples": 2, "steps": 3, "window": 16}


@dataclass
class Found:
    scores: Tensor
    name: str = "found"


class Places(nn.Module):
    """A logit for each place of each of 3 classes; `end` makes an answer of them."""

    def __init__(self, end=lambda y: y) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(8)
            self.body = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU())
            self.head = nn.Conv2d(6, 3, 1)
        self.end = end

    def forward(self, x: Tensor):
        return self.end(self.head(self.body(x)))


def classify(y: Tensor) -> Tensor:
    return y.mean((2, 3))


def by_hand(module: Places, x: Tensor, function) -> tuple[Tensor, Tensor]:
    """Grad-CAM at `body` and the gradient at the input of the function of the module's answer."""
    x = x.clone().requires_grad_()
    a = module.body(x)
    value = function(module.end(module.head(a)))
    g, pixels = torch.autograd.grad(value, (a, x))
    return torch.einsum("c,chw->hw", g[0].mean((1, 2)), a[0]), pixels[0]


FUNCTIONS = {
    "a difference": (targets.difference("a", 2), lambda y: y[0, 0] - y[0, 2]),
    "what speaks against": (targets.no("b"), lambda y: -y[0, 1]),
    "a number up": (targets.up(1), lambda y: y[0, 1]),
    "a number down": (targets.down(1), lambda y: -y[0, 1]),
    "one's own": (lambda y: y.exp().sum().log(), lambda y: y.exp().sum().log()),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_the_logits_is_explained_as_autograd_has_it(name):
    asked, hand = FUNCTIONS[name]
    network = wrap(Places(classify), ["a", "b", "c"], **HOW)
    x = network.prepare(read(PHOTO)).tensor
    values, pixels = by_hand(Places(classify), x, hand)
    found = explain(network, PHOTO, asked, layer="body")
    assert_close(found.values[0], values, 1e-5)
    assert_close(explain(network, PHOTO, asked, "gradient").values[0], pixels, 1e-5)
    value = float(hand(Places(classify)(x)).detach())
    assert float(found.logits[0]) == pytest.approx(value, abs=1e-5)
    assert float(found.probabilities[0]) == pytest.approx(value, abs=1e-5)  # no class's
    forgets = next(sanity.check(question(network, read(PHOTO), asked, layer="body"), [found]))
    assert forgets.similarity["gradcam"].signed < 1  # a copy can be asked the same


def test_classes_functions_and_a_contrast_stand_in_one_answer():
    network = wrap(Places(classify), ["a", "b", "c"], **HOW)
    plain = explain(network, PHOTO, [0, 1, 2]).values
    both = explain(network, PHOTO, ["b", targets.difference("a", "c")], against="c")
    assert both.labels == ("b", "a less c", "c")
    assert_close(both.values[0], plain[1] - plain[2], 1e-5)
    assert_close(both.values[1], plain[0] - 2 * plain[2], 1e-5)
    assert torch.equal(again(both, network, PHOTO).values, both.values)
    assert explain(network, PHOTO, 1).labels == ("a", "b", "c")  # the network is as it was
    with pytest.raises(OptionError, match="does not differ from itself"):
        explain(network, PHOTO, targets.difference("a", 0))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_a_function_or_says_why_not(method):
    network = wrap(Places(classify), **HOW)
    options = {name: few for name, few in FEW.items() if name in METHODS[method].options}
    try:
        found = explain(network, PHOTO, lambda y: 2 * y[0, 1] - y[0, 0], method, **options)
    except OptionError:
        assert method == "cam" or METHODS[method].why_not is not None
        return
    one, other = (explain(network, PHOTO, each, method, **options).values for each in (1, 0))
    if method in ("gradcam", "hirescam", "gradient", "smoothgrad", "integrated", "occlusion"):
        assert_close(found.values, 2 * one - other, 1e-4)  # they are linear in the score
    assert not torch.allclose(found.values, one)


#: Answers of other kinds, and a function of each that is the mean logit of class 1.
ANSWERS = {
    "a dictionary": (lambda y: {"logits": y, "name": "x"}, lambda out: out["logits"][0, 1].mean()),
    "a tuple": (lambda y: (y.mean(1), [y]), lambda out: out[1][0][0, 1].mean()),
    "a dataclass": (lambda y: Found(y), lambda out: out.scores[0, 1].mean()),
    "a list for each photo": (
        lambda y: [{"boxes": each[1].flatten()} for each in y],
        lambda out: out[0]["boxes"].mean(),
    ),
    "as many things in it as there are photos": (
        lambda y: {"found": [{"boxes": each[1].mean().expand(len(y))} for each in y]},
        lambda out: out["found"][0]["boxes"].mean(),
    ),
    "numbers of Python's": (lambda y: y[:, 1].mean().item(), lambda out: out),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ANSWERS)
def test_muting_and_rise_take_any_output_and_any_number(name):
    end, function = ANSWERS[name]
    network = wrap(Places(end), head="none", **HOW)
    plain = wrap(Places(), **HOW)
    for method, few in (("occlusion", {"window": 8, "stride": 8}), ("rise", {"masks": 48})):
        value = explain(network, PHOTO, lambda out: float(function(out)), method, **few)
        tensor = explain(plain, PHOTO, lambda y: y[0, 1].mean(), method, **few)
        assert_close(value.values, tensor.values, 1e-4)
    with pytest.raises(TargetError, match="give a function as the target"):
        explain(network, PHOTO, 1)
    with pytest.raises(OptionError, match=r"has no gradient here: .* muting windows or RISE"):
        explain(network, PHOTO, lambda out: float(function(out)))


def test_a_class_of_a_segmentation_is_its_mean_over_a_mask():
    module = Places()
    network = wrap(module, ["sky", "sea", "sand"], **HOW)
    x = network.prepare(read(PHOTO)).tensor
    mask = np.zeros((32, 64), bool)
    mask[8:20, 40:64] = True  # on the map of 16 x 32: rows 4 to 10, columns 20 to 32
    part = explain(network, PHOTO, targets.inside("sea", mask), layer="body")
    values, _ = by_hand(module, x, lambda y: y[0, 1, 4:10, 20:32].mean())
    assert_close(part.values[0], values, 1e-5)
    muted = explain(network, PHOTO, targets.inside("sea", mask), "occlusion", window=8, stride=8)
    heat = muted.values[0].abs()
    assert float(heat[8:24, 40:].min()) > 0
    assert float(heat[24:].max()) < 1e-6 > float(heat[:, :32].max())  # no window there is read
    whole = explain(network, PHOTO, "sea", layer="body")
    values, _ = by_hand(module, x, lambda y: y[0, 1].mean())
    assert_close(whole.values[0], values, 1e-5)
    assert torch.allclose(whole.logits, module(x).mean((2, 3))[0], atol=1e-6)
    crop = explain(network, PHOTO, targets.inside("sea", mask), layer="body", framing="crop")
    assert crop.frame != part.frame
    for wrong in (mask[0], mask * 2.0, "mask"):
        with pytest.raises(OptionError, match="A mask is an array of height × width"):
            explain(network, PHOTO, targets.inside("sea", wrong))
    half = targets.inside("sea", mask[::2, ::2])  # the same mask, in half as many pixels
    assert_close(explain(network, PHOTO, half, layer="body").values, part.values, 1e-5)
    with pytest.raises(OptionError, match="The mask is 32 × 32 and the photo 64 × 32"):
        explain(network, PHOTO, targets.inside("sea", mask[:, 32:]))
    with pytest.raises(TargetError, match="no logits for each place"):
        explain(wrap(Places(classify), **HOW), PHOTO, targets.inside(1, mask))


def test_the_similarity_to_another_photo_is_the_cosine_of_the_outputs():
    module, other = Places(classify), PHOTO[::-1].copy()
    network = wrap(module, head="none", **HOW)
    there = module(network.prepare(read(other)).tensor).detach()
    x = network.prepare(read(PHOTO)).tensor
    values, _ = by_hand(module, x, lambda y: F.cosine_similarity(y, there)[0])
    found = explain(network, PHOTO, targets.similar_to(other), layer="body")
    assert_close(found.values[0], values, 1e-4)
    same = explain(network, PHOTO, targets.similar_to(PHOTO))
    assert float(same.logits[0]) == pytest.approx(1, abs=1e-6)
    bands = np.dstack([PHOTO, PHOTO[..., :1]])
    module = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Conv2d(6, 3, 3))
    four = wrap(module, mean=0.5, std=0.25, size=32)
    assert float(explain(four, bands, targets.similar_to(bands)).logits[0]) == pytest.approx(1)


def test_one_logit_is_explained_in_both_directions():
    def one(y: Tensor) -> Tensor:
        return y.mean((1, 2, 3))

    network = wrap(Places(one), ["malignant"], **HOW)
    yes, not_ = (explain(network, PHOTO, name) for name in ("malignant", "not malignant"))
    assert_close(not_.values, -yes.values, 1e-6)
    assert float(not_.probabilities[0]) == pytest.approx(1 - float(yes.probabilities[0]))
    assert not_.labels == ("not malignant",)
    two = wrap(Places(one), ["benign", "malignant"], **HOW)
    both = explain(two, PHOTO, ["benign", "malignant"])
    assert_close(both.values[:1], not_.values, 1e-6)
    assert_close(both.values[1:], yes.values, 1e-6)
    assert float(both.probabilities.sum()) == pytest.approx(1)
    rise = [explain(two, PHOTO, name, "rise", masks=32).values for name in ("benign", "malignant")]
    shown = explain(network, PHOTO, "not malignant", "rise", masks=32).values
    assert_close(rise[0], shown, 1e-5)


def test_a_class_whose_own_name_begins_with_not_is_that_class():
    network = wrap(Places(), ["cat", "not cat", "A Cat"], head="sigmoid", **HOW)
    for name, index in (("not cat", 1), ("Not Cat", 1), (" not cat ", 1)):
        assert question(network, PHOTO, name).targets == (index,)
    against = explain(network, PHOTO, "not a cat")
    assert_close(against.values, -explain(network, PHOTO, 2).values, 1e-6)


@pytest.mark.parametrize(("function", "words"), [
    (lambda y: y, "hands over 3 numbers where one is needed"),
    (lambda y: y[0, 0] * 1j, "hands over complex numbers where one is needed: take their size"),
    (lambda y: y["logits"], "fails on the network’s output, a Tensor of 1 × 3"),
    (lambda: 0, "fails on the network’s output"),
    (targets.up(5), "no such number"),
    (targets.up("age"), "no such number: give its place in a tensor, a whole number"),
])  # fmt: skip
def test_a_function_that_gives_no_number_is_told(function, words):
    with pytest.raises((OptionError, TargetError)) as caught:
        explain(wrap(Places(classify), **HOW), PHOTO, function)
    assert words in str(caught.value)


@pytest.mark.parametrize("against", [None, lambda y: 0.0])
def test_a_score_that_no_mask_moves_makes_no_map(against):
    """The masks' own density would look like one."""
    network = wrap(Places(classify), **HOW)
    found = explain(network, PHOTO, lambda y: 3.0, "rise", masks=400, against=against)
    assert torch.equal(found.values, torch.full_like(found.values, 3.0))
    assert (found.facts["used"], found.facts["standard_error"]) == (192, 0.0)
    assert against or [note.key for note in found.notes] == ["blank"]
