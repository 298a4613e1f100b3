"""What a network is told at the door."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explainers import ModelError, OptionError, TargetError, explain, wrap
from explainers.network import door, watching
from explainers.network import ends as ends_
from tests import nets
from tests.nets import assert_close

LABELS = ["a", "b", "c"]


class Tiny(nn.Module):
    """Two convolutions, a global average and a linear layer; `end` is what it answers with."""

    def __init__(self, end: Callable[[Tensor], Any] = lambda y: y, classes: int = 3) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.a, self.b = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 6, 3, 2, 1)
            self.head = nn.Linear(6, classes)
        self.end, self.act = end, nn.ReLU()

    def forward(self, x: Tensor) -> Any:
        return self.end(self.head(self.act(self.b(F.relu(self.a(4 * x)))).mean((2, 3))))


def spoilt(name: str, value: float) -> nn.Module:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), *head(4))
    module.state_dict()[name].flatten()[0] = value
    return module


class Placed(nn.Module):
    """A logit for each class and place; `end` makes the answer of all places."""

    def __init__(self, end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.a, self.b = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 3, 3, 2, 1)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.b(F.relu(self.a(4 * x))))


def noisy_or(z: Tensor) -> Tensor:
    return 1 - (1 - z.sigmoid()).prod(3).prod(2)


def kinds(z: Tensor) -> Tensor:
    first = z[:, :1].amax((2, 3))
    return torch.cat([first.sigmoid(), first.sigmoid() * z[:, 1:, 0, 0].softmax(1)], 1)


def confident(z: Tensor) -> Tensor:
    """The classes' probabilities times one confidence, which is a sigmoid by hand."""
    return z.amax((2, 3)).softmax(1) * (1 / (1 + (-z[:, :1, 0, 0]).exp()))


def gated(gate: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The classes' probabilities times a gate of the first one's logit."""
    return lambda z: z.amax((2, 3)).softmax(1) * gate(z[:, :1, 0, 0])


def head(channels: int) -> tuple[nn.Module, ...]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3)


REFUSED = {
    "too few labels": (Tiny, {"labels": LABELS[:2]}, "3 outputs and 2 labels: give one label"),
    "too many labels": (lambda: Tiny(classes=1), {"head": "sigmoid"}, "1 output and 3 labels"),
    "labels in one text": (Tiny, {"labels": "abc"}, "a list with a name each"),
    "nn.Softmax": (lambda: Tiny(nn.Softmax(-1)), {}, "a softmax already"),
    "torch.softmax": (lambda: Tiny(lambda y: torch.softmax(y, 1) + 0), {}, "a softmax already"),
    "log_softmax": (lambda: Tiny(lambda y: y.log_softmax(1)), {}, "a log-softmax already"),
    "sigmoid": (lambda: Tiny(torch.sigmoid), {"head": "sigmoid"}, "a sigmoid already"),
    "sigmoid, one": (
        lambda: Tiny(nn.Sigmoid(), 1),
        {"labels": ["a"], "head": "sigmoid"},
        "a sigmoid already",
    ),
    "softmax, one of two": (
        lambda: Tiny(lambda y: F.softmax(y[:, :2], 1)[:, [1]]),
        {"labels": ["a"], "head": "sigmoid"},
        "a softmax already",
    ),
    "softmax by hand": (lambda: Tiny(lambda y: y.exp() / y.exp().sum()), {}, "a softmax already"),
    "in percent": (lambda: Tiny(lambda y: 100 * y.softmax(1)), {}, "a softmax already"),
    "softmax by hand, one of two": (
        lambda: Tiny(lambda y: (y[:, :2].exp() / y[:, :2].exp().sum(1, True))[:, [1]]),
        {"labels": ["a"], "head": "sigmoid"},
        "a softmax already",
    ),
    "sigmoid by hand": (lambda: Tiny(lambda y: 1 / (1 + torch.exp(-y))), {}, "a sigmoid already"),
    "in place": (lambda: Tiny(lambda y: y.neg_().exp_().add_(1).pow_(-1)), {}, "a sigmoid already"),
    "log-sigmoid by hand": (
        lambda: Tiny(lambda y: -(1 + (-y).exp()).log()),
        {},
        "a sigmoid alread",
    ),
    "expit": (
        lambda: Tiny(torch.special.expit, 1),
        {"labels": ["a"], "head": "sigmoid"},
        "a sigmoid already",
    ),
    "noisy-or": (lambda: Placed(noisy_or), {"head": "sigmoid"}, "numbers from 0 to 1, whatever"),
    "noisy-or by logarithms": (
        lambda: Placed(lambda z: -torch.expm1(F.logsigmoid(-z).sum((2, 3)))),
        {},
        "numbers from 0 to 1, whatever",
    ),
    "noisy-or by hand": (
        lambda: Placed(lambda z: 1 - (1 - 1 / (1 + (-z).exp())).prod(3).prod(2)),
        {},
        "numbers from 0 to 1, whatever",
    ),
    "the surest place": (lambda: Placed(lambda z: z.sigmoid().amax((2, 3))), {}, "sigmoid already"),
    "a mean of the surest": (
        lambda: Placed(lambda z: z.sigmoid().flatten(2).topk(5).values.mean(2)),
        {},
        "numbers from 0 to 1, whatever",
    ),
    "a softmax at each place": (
        lambda: Placed(lambda z: 0.9 * z.softmax(1).mean((2, 3)) + 0.1 * z.softmax(1).amax((2, 3))),
        {},
        "numbers from 0 to 1, whatever",
    ),
    "in percent, each": (lambda: Placed(lambda z: 100 * z.amax((2, 3)).sigmoid()), {}, "sigmoid"),
    "by tanh": (lambda: Placed(lambda z: (1 + z.amax((2, 3)).tanh()) / 2), {}, "a sigmoid already"),
    "a class and its kinds": (lambda: Placed(kinds), {}, "numbers from 0 to 1, whatever"),
    "behind a clamped gate": (lambda: Placed(gated(lambda z: z.clamp(0, 1))), {}, "from 0 to 1"),
    "behind a bell": (lambda: Placed(gated(lambda z: torch.exp(-(z**2)))), {}, "from 0 to 1"),
    "behind a gate, in percent": (
        lambda: Placed(gated(lambda z: 100 / (1 + z.abs()))),
        {},
        "from 0 to 100, whatever it sees, as means and products of probabilities are",
    ),
    "a mean of softmaxes": (lambda: Placed(lambda z: z.softmax(1).mean((2, 3))), {}, "means and"),
    "the logarithm of one": (
        lambda: Placed(lambda z: z.softmax(1).mean((2, 3)).log()),
        {},
        "logarithms of numbers from 0 to 1, whatever it sees",
    ),
    "by an error function": (lambda: Tiny(lambda y: (1 + torch.erf(y)) / 2), {}, "from 0 to 1"),
    "a class and how sure that is": (
        lambda: Placed(confident),
        {},
        "numbers from 0 to 1, whatever",
    ),
    "by ReLU6": (
        lambda: Placed(lambda z: F.relu6(z.amax((2, 3)) + 3) / 6),
        {},
        "a sigmoid already",
    ),
    "rounded": (
        lambda: Placed(lambda z: z.amax((2, 3)).sigmoid().round(decimals=3)),
        {"head": "sigmoid"},
        "rounds its answer, which leaves no gradient",
    ),
    "complex": (lambda: Placed(lambda z: z.amax((2, 3)) * 1j), {}, "answers with complex numbers"),
    "sparse": (lambda: Placed(lambda z: z.amax((2, 3)).to_sparse()), {}, "with a sparse tensor"),
    "two probabilities": (
        lambda: Placed(lambda z: z[..., 0, 0].sigmoid() * z[..., 1, 1].sigmoid()),
        {},
        "sigmoid",
    ),
    "NaN": (lambda: spoilt("0.weight", torch.nan), {}, "NaN or infinite values (in 0.weight)"),
    "infinite": (lambda: spoilt("5.bias", torch.inf), {}, "infinite"),
    "statistics": (lambda: spoilt("1.running_var", torch.inf), {}, "in 1.running_var"),
    "NaN answer": (lambda: Tiny(lambda y: y / 0 * 0), {}, "answers with NaN"),
    "half": (lambda: Tiny().half(), {"taken": True}, "are float16: hand over module.float()"),
    "double": (lambda: Tiny().double(), {"taken": True}, "are float64"),
    "tuple": (lambda: Tiny(lambda y: (y, y)), {}, "answers with a tuple where one tensor"),
    "dict": (lambda: Tiny(lambda y: {"logits": y}), {}, "a dict of logits where one tensor"),
    "squeezed": (lambda: Tiny(lambda y: y[:, 0]), {}, "one photo with 1 where 1 × classes"),
    "a map": (lambda: Tiny(lambda y: y[..., None, None]), {}, "with 1 × 3 × 1 × 1 where"),
    "a place": (lambda: Tiny(lambda y: y.argmax(1, True)), {}, "answers with whole numbers"),
    "no outputs": (lambda: Tiny(lambda y: y[:, :0]), {}, "has no outputs"),
    "no weights": (lambda: Tiny().to("meta"), {}, "holds no weights yet"),
    "no module": (lambda: print, {}, "is no torch.nn.Module"),
    "one logit": (lambda: Tiny(classes=1), {"labels": ["a"]}, "one output, which a softmax would"),
    "another size": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Flatten(), nn.Linear(100, 3)),
        {},
        "fails on an input of 3 × 32 × 32",
    ),
    "volumes": (lambda: nn.Sequential(nn.Conv3d(3, 4, 3), nn.Flatten()), {}, "fails on an input"),
    "grey": (Tiny, {"mean": (0.5,), "std": (0.5,)}, "three numbers each"),
    "std of 0": (Tiny, {"std": (0.5, 0.5, 0)}, "must be positive"),
    "interpolation": (Tiny, {"interpolation": "round"}, "one of bilinear, bicubic"),
    "thresholds": (Tiny, {"head": "sigmoid", "thresholds": (0.5,)}, "1 thresholds and 3 labels"),
    "at random": (
        lambda: Tiny(lambda y: y + torch.randn(y.shape)),
        {},
        "differently each time, as with a dropout",
    ),
    "a BatchNorm of the batch": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU(), *head(4)
        ),
        {},
        "answers a photo otherwise when another one is beside it",
    ),
    "one answer for all": (
        lambda: Tiny(lambda y: y.mean(0, True)),
        {},
        "when another one is besid",
    ),
    "out=": (
        lambda: Tiny(lambda y: torch.mul(y, 2, out=torch.empty(y.shape))),
        {},
        "(mul(): functions with out=... arguments don't support automatic differentiation",
    ),
    "TorchScript": (
        lambda: torch.jit.trace(Tiny(), torch.zeros(1, 3, 32, 32)),
        {},
        "is TorchScript",
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_explained_is_told_at_the_door(name):
    make, facts, words = REFUSED[name]
    with pytest.raises(ModelError) as caught:
        nets.wrap(make(), classes=3, size=32, alone=False, **facts)
    message = str(caught.value)
    assert words in message
    assert message.endswith(".")
    assert "\n" not in message


def test_numbers_drawn_on_the_processor_are_seen_of_a_network_that_lies_elsewhere(monkeypatch):
    elsewhere = SimpleNamespace(is_cuda=True, device=torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda _device: torch.zeros(1).byte())
    before = door._random_state(elsewhere)
    assert door._random_state(elsewhere) == before
    torch.rand(1)
    assert door._random_state(elsewhere) != before


def test_what_is_looked_at_of_a_large_network_at_the_door_is_bounded(monkeypatch):
    monkeypatch.setattr(ends_, "HELD", 2**16)
    with ends_.Ends(lambda: None) as ends:
        for _ in range(20):
            torch.zeros(2**12).sigmoid().add(1)
        small = torch.ones(1, 3).neg()
        answer = 1 / (1 + small.exp())
    for kept in (ends.found, ends.latest):
        assert sum(value.nbytes for *_, value in kept.kept) == kept.bytes <= 2**16
    assert ends.of(answer) == "sigmoid"


@pytest.mark.parametrize(
    "end",
    [
        lambda z: -1e-5 * (z.sigmoid() * z.exp()).mean((2, 3)),
        lambda z: 1e-3 * z.mean((2, 3)) + 0.5,
        lambda z: -((z.mean((2, 3)) - 0.1) ** 2),
        lambda z: F.relu(z.amax((2, 3))) * z[:, :1, 0, 0].sigmoid() / 10,
    ],
)
def test_logits_that_happen_to_lie_between_0_and_1_are_no_probabilities(end):
    assert nets.wrap(Placed(end), classes=3, size=32, head="sigmoid").head == "sigmoid"


def test_logits_without_a_gradient_are_told_and_explained_by_values():
    network = nets.wrap(Tiny(Tensor.detach), classes=3, size=32)
    for method in ("gradcam", "guided", "gradient", "gradcam++"):
        with pytest.raises(OptionError, match="logits of this network have no gradient"):
            nets.maps(network, nets.noise(1, 3, 32, 32), method, 1)
    assert nets.maps(network, nets.noise(1, 3, 32, 32), "occlusion", 1).abs().max() > 0


class Heads(Tiny):
    """The class logits come first, and a head of maps for another loss behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Sequential(nn.Conv2d(8, 4, 3, 1, 1), nn.ReLU())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.a(4 * x)
        return self.end(self.head(self.act(self.b(F.relu(maps))).mean((2, 3)))), self.other(maps)


def test_the_last_layer_is_one_that_the_logits_are_made_of(monkeypatch):
    x, plain = nets.noise(1, 3, 32, 32), nets.wrap(Tiny(), classes=3, size=32)
    for most in (watching.LARGE, 0):  # too large to be kept
        monkeypatch.setattr(watching, "LARGE", most)
        network = wrap(Heads(), output=lambda y: y[0], mean=0.5, std=0.25, size=32)
        assert network.last == plain.last
        assert network.cam_weights is not None
        assert_close(nets.maps(network, x, "gradcam", 1), nets.maps(plain, x, "gradcam", 1), 1e-6)
    with pytest.raises(OptionError, match="no gradient at this layer, as where it serves another"):
        nets.maps(network, x, "gradcam", 1, layer="other")


class Twice(Tiny):
    """Its logits are of the first view: the second one, for a loss of its own, counts nothing."""

    def __init__(self, second: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.second = second

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.second(super().forward(x.flip(3)))


@pytest.mark.parametrize("second", [lambda y: 0 * y.detach(), lambda y: 0 * y], ids=["cut", "0"])
def test_of_several_calls_of_a_layer_that_which_the_logits_are_made_of_counts(second):
    x = nets.noise(1, 3, 32, 32)
    network = nets.wrap(Twice(second), classes=3, size=32)
    found = nets.maps(network, x, "gradcam", 1)
    assert_close(found, nets.maps(nets.wrap(Tiny(), classes=3, size=32), x, "gradcam", 1), 1e-6)
    assert network.cam_weights is not None


def test_logits_of_an_earlier_call_of_a_large_layer_are_told(monkeypatch):
    monkeypatch.setattr(watching, "LARGE", 0)
    network = nets.wrap(Twice(lambda y: 0 * y.detach()), classes=3, size=32)
    with pytest.raises(OptionError, match="passed several times, and what it hands out last does"):
        nets.maps(network, nets.noise(1, 3, 32, 32), "gradcam", 1)
    assert nets.maps(network, nets.noise(1, 3, 32, 32), "gradient", 1).abs().max() > 0


def test_one_logit_is_a_sigmoids():
    network = nets.wrap(Tiny(classes=1), classes=1, size=32, head="sigmoid")
    found = explain(network, np.full((32, 32, 3), 200, np.uint8))
    assert float(found.probabilities[0]) == pytest.approx(float(found.logits.sigmoid()[0]))
    assert network.cam_weights is not None


def test_a_name_of_several_classes_is_no_answer():
    network = nets.wrap(Tiny(), classes=3, size=32, labels=["crane", "Crane", "crane"])
    assert network.resolve("Crane") == 1
    assert network.resolve(torch.tensor(2)) == network.resolve(np.int64(2)) == 2
    with pytest.raises(TargetError, match=r"several classes called “crane”: .* 0, 2"):
        network.resolve("crane")
    accented = ("Kr\u00e4he", "Kra\u0308he")  # one letter, or one and a sign: the same word
    for label, name in (accented, accented[::-1]):
        network = nets.wrap(Tiny(), classes=3, size=32, labels=["crane", label, "Rabe"])
        assert network.resolve(name) == network.resolve(name.upper()) == 1


@pytest.mark.parametrize(("low", "scale"), [(-9.0, 1.0), (0.2, 0.1)], ids=["below 0", "0 to 1"])
def test_logits_that_look_like_probabilities_are_soon_known(low: float, scale: float):
    """Each look at whether they stay so is one more pass of the network, seconds of a large one."""
    passes: list[int] = []

    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            passes.append(1)
            return low + scale * self.maps(x).flatten(2).logsumexp(2)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        counted = Counted()
    answer, ends = door.tried(counted, nets.noise(1, 3, 8, 8, seed=1), "Counted")
    assert ends.of(answer) == ""
    assert len(passes) <= 3
