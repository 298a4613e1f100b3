"""A network of one's own: wrapped, explained while it trains, and left as it was."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from explainers import ModelError, OptionError, explain, read, targets, wrap
from tests import nets
from tests.nets import assert_close

HOW = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "size": 32}
PHOTO = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)


class Mine(nn.Module):
    """A classifier as people write them; `channels` of input, `answer` round its logits."""

    def __init__(self, channels: int = 3, classes: int = 3, answer=lambda y: y) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(6)
            self.body = nn.Sequential(
                nn.Conv2d(channels, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(),
                nn.Conv2d(8, 6, 3, 2, 1), nn.ReLU(),
            )  # fmt: skip
            self.head = nn.Linear(6, classes)
        self.answer = answer

    def forward(self, x: Tensor):
        return self.answer(self.head(self.body(x).mean((2, 3))))


def test_a_network_of_greys_sees_the_photos_luminance():
    module = Mine(1).eval()
    network = wrap(module, mean=0.13, std=0.31, size=32)
    photo = read(PHOTO)
    view = network.prepare(photo)
    grey = (view.tensor * torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)).sum(1, True)
    found = explain(network, photo, 2, "gradient")
    grey.requires_grad_()
    logits = module(grey)
    assert torch.allclose(found.logits, logits[0], atol=1e-5)
    assert_close(found.values.sum(1), torch.autograd.grad(logits[0, 2], grey)[0][0], 1e-5)


@dataclass
class Answer:
    logits: Tensor


@pytest.mark.parametrize(("answer", "output"), [
    (lambda y: (y, y + 1), lambda out: out[0]),
    (lambda y: {"logits": y}, lambda out: out["logits"]),
    (Answer, lambda out: out.logits),
    (lambda y: y[:, 0], lambda out: out[:, None]),
], ids=["tuple", "dict", "dataclass", "squeezed"])  # fmt: skip
def test_the_logits_are_picked_out_of_any_answer(answer, output):
    network = wrap(Mine(answer=answer), output=output, **HOW)
    plain = Mine().eval()(network.prepare(read(PHOTO)).tensor)[0]
    found = explain(network, PHOTO, 0)
    assert torch.allclose(found.logits, plain[: len(found.logits)], atol=1e-5)
    assert network.head == ("sigmoid" if len(found.logits) == 1 else "softmax")


@pytest.mark.parametrize("as_they_come", [
    nn.DataParallel, pytest.param(torch.compile, marks=pytest.mark.slow), nn.Module.half,
    nn.Module.bfloat16, nn.Module.double, lambda m: m.to(memory_format=torch.channels_last),
], ids=["parallel", "compiled", "half", "bfloat16", "double", "channels last"])  # fmt: skip
def test_modules_are_taken_as_they_come(as_they_come):
    network = wrap(as_they_come(Mine()), **HOW)
    logits = Mine().eval()(network.prepare(read(PHOTO)).tensor)[0]
    assert torch.allclose(explain(network, PHOTO, 0).logits, logits, atol=2e-2)
    assert network.last == "body"


def test_what_is_said_may_come_from_numpy_and_by_number():
    names = {2: "c", 0: "a", 1: "b"}
    network = wrap(Mine(), names, mean=np.full(3, 0.5), std=np.float32(0.25), size=np.int64(32))
    assert (network.labels, network.shape) == (("a", "b", "c"), (32, 32))
    assert explain(wrap(Mine(), [7, 8, 9], **HOW), PHOTO, "8").targets == (1,)


@pytest.mark.slow
def test_what_is_known_of_a_module_need_not_be_said():
    module = nets.module("test_resnet", num_classes=5)
    found = explain(module, PHOTO, 3)
    assert found.labels == ("class 0", "class 1", "class 2", "class 3", "class 4")
    network = wrap(module)
    assert (network.size, network.crop_pct) == (160, 0.95)
    assert torch.equal(explain(network, PHOTO, 3).values, found.values)
    with pytest.raises(ModelError, match=r"photos are prepared for Mine is not known: .* mean=…"):
        explain(Mine(), PHOTO)


class Several(Mine):
    def forward(self, x: Tensor, age: Tensor):
        return super().forward(x) * age


class ByName(Mine):
    def forward(self, *, pixels: Tensor):
        return super().forward(pixels)


class Counting(Mine):
    def forward(self, x: Tensor):
        self.count = getattr(self, "count", 0) + 1
        return super().forward(x) * (1 + 1e-4 * self.count)


def first_of_all(module: Mine) -> nn.Module:
    """Answers for all photos at once."""
    module.forward = lambda x: Mine.forward(module, x).mean(0, keepdim=True)
    return module


def normed(**about: bool) -> Mine:
    module = Mine()
    module.body[1] = nn.BatchNorm2d(8, **about)
    return module


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("make", "said", "words"), [
    (lambda: Mine(4), {"channels": 4}, "takes 4 channels, with 3 means"),
    (lambda: Mine(4), {}, "fails on an input of 3"),
    (Mine, {"output": lambda out: out.logits}, "output function of Mine fails on a Tensor"),
    (Mine, {"output": lambda out: None}, "output function of Mine finds None in a Tensor"),
    (lambda: Mine(answer=lambda y: (y.unbind(1)[0].neg_(), y)[1]), {}, "computed with gradients"),
    (lambda: Mine(answer=lambda y: y[:, None, None].expand(1, 5, 5, 3)), {}, "its classes last (1"),
    (Mine, {"labels": ["a"]}, "3 outputs and 1 label"),
    (Mine, {"labels": {0: ["n01", "a"], 1: ["n02", "b"], 2: ["n03", "c"]}}, "number 0 is a list"),
    (Mine, {"layers": ["body.0"]}, "are given as {name of a module: title}"),
    (Mine, {"size": 10**6}, "is at most 4096 pixels a side"),
    (Mine, {"thresholds": 0.5}, "thresholds of Mine are probabilities"),
    (Mine, {"thresholds": [0.5, 2, "x"]}, "thresholds of Mine are probabilities"),
    (Mine, {"head": "softmix"}, "auto, softmax, sigmoid or none"),
    (Mine, {"layer": "bodies"}, "No module “bodies” hands over a map here: choose body.0"),
    (Mine, {"layer": nn.ReLU()}, "layer is no part of Mine"),
    (Mine, {"size": (32, 32, 3)}, "a number of pixels, or (height, width)"),
    (lambda: Mine(answer=lambda y: {"a": y}), {}, "a dict of a where one tensor of logits is need"),
    (lambda: Mine(answer=lambda y: y[None]), {}, "1 × 1 × 3 where 1 × classes is needed"),
    (lambda: Mine(answer=lambda y: y.log_softmax(1)), {}, "ends in a log-softmax already"),
    (lambda: Mine(answer=lambda y: y.softmax(1).squeeze(0)), {}, "ends in a softmax already"),
    (lambda: Mine(answer=lambda y: y.sigmoid()[:, 1]), {}, "ends in a sigmoid already"),
    (lambda: Mine(classes=1, answer=torch.sigmoid), {"labels": ["a", "b"]}, "ends in a sigmoid"),
    (lambda: Mine(answer=lambda y: (1 - y.sigmoid())[..., None, None]), {}, "numbers from 0 to 1"),
    (lambda: Mine(answer=Tensor.to_sparse), {}, "answers with a sparse tensor"),
    (lambda: Mine().half(), {"copy": False}, "hand over module.float(), or let wrap() make a copy"),
    (lambda: Mine().to("meta"), {}, "lie on meta: bring all to one real device"),
    (Mine, {"mean": [123.0, 116.0, 103.0]}, "divide mean and std by 255"),
    (Mine, {"labels": {1: "a", 2: "b", 3: "c"}}, "not numbered from 0"),
    (ByName, {}, "takes its picture by name alone (pixels=…)"),
    (Several, {}, "takes several inputs (x, age): wrap a module that takes the picture alone"),
    (lambda: normed(track_running_stats=False), {}, "otherwise when another one is beside it"),
    (lambda: first_of_all(Mine()), {"copy": False}, "otherwise when another one is beside it"),
    (lambda: Mine(answer=lambda y: y * (1 + (len(y) > 2))), {}, "when another one is beside it"),
    (lambda: Mine(answer=lambda y: y.cumsum(0)), {}, "when another one is beside it"),
    (lambda: Mine(answer=lambda y: {"a": y * len(y)}), {"head": "none"}, "another one is beside"),
    (lambda: Counting(), {}, "differently each time, as with a dropout or an observer"),
    (lambda: nn.Sequential(nn.Conv3d(3, 4, 3), nn.Flatten()), {}, "takes volumes"),
    (lambda: nn.Sequential(nn.LazyConv2d(4, 3)), {}, "pass one batch through it first"),
    (lambda: nn.Sequential(nn.ReLU()), {}, "no weights"),
    (lambda: torch.jit.trace(Mine(), torch.zeros(1, 3, 32, 32)), {}, "is TorchScript, whose layer"),
    (lambda: exported(), {}, "an exported program, whose layers"),
    (lambda: exported().module(), {}, "an exported program, whose layers"),
    (lambda: wrap(Mine(), **HOW), {}, "Mine is wrapped already: hand it to explain() as it is"),
    (lambda: "resnet18", {}, "torch.nn.Module"),
    (lambda: Mine, {}, "torch.nn.Module: build it first"),
])  # fmt: skip
def test_what_cannot_be_wrapped_is_told(make, said, words):
    with pytest.raises(ModelError) as caught:
        wrap(make(), **{**HOW, **said})
    assert words in str(caught.value)
    assert str(caught.value).endswith(".")


def test_labels_are_names_on_one_line_whatever_they_are_handed_over_as():
    for labels in (
        [b"a b", "", 2],
        np.array(["a b", " ", "2"]),
        ["a\nb", "class 1", torch.tensor(2)],
    ):
        assert wrap(Mine(), labels, title=None, **HOW).labels == ("a b", "class 1", "2")


def exported() -> torch.export.ExportedProgram:
    return torch.export.export(Mine().eval(), (torch.zeros(1, 3, 32, 32),))


#: What people's modules end in, the classes' names, and the head and logits that are found.
ENDS = {
    "one logit": (1, lambda y: y, None, "sigmoid", lambda y: y),
    "squeezed": (1, lambda y: y[:, 0], None, "sigmoid", lambda y: y),
    "squeezed, one photo": (3, lambda y: y.squeeze(), None, "softmax", lambda y: y),
    "two names": (1, lambda y: y, ["no", "yes"], "sigmoid", lambda y: torch.cat([-y, y])),
    "nn.Softmax": (3, nn.Softmax(1), None, "softmax", lambda y: y),
    "nn.LogSoftmax": (3, nn.LogSoftmax(1), None, "softmax", lambda y: y),
    "nn.Sigmoid": (3, nn.Sigmoid(), None, "sigmoid", lambda y: y),
    "places": (3, lambda y: y[..., None, None].repeat(1, 1, 2, 3), None, "softmax", lambda y: y),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDS)
def test_the_head_is_found_however_the_module_ends(name):
    classes, end, labels, head, read_off = ENDS[name]
    module = Mine(classes=classes, answer=end)
    network = wrap(module, labels, **HOW)
    found = explain(network, PHOTO, 0)
    plain = Mine(classes=classes).eval()(network.prepare(read(PHOTO)).tensor)[0].detach()
    assert network.head == head
    assert torch.allclose(found.logits, read_off(plain), atol=1e-5)
    rise = explain(network, PHOTO, 0, "rise", masks=20)  # batches, too
    assert rise.values.std() > 0
    said = [note.sentence for note in found.notes if note.key == "head"]
    assert len(said) == isinstance(end, nn.Module)
    for sentence in said:
        assert f"ends in a {name.removeprefix('nn.').replace('LogS', 'log-s').lower()}," in sentence
    assert module.answer is end


def test_a_regression_is_explained_by_its_number():
    module = Mine(classes=2)
    network = wrap(module, ["age", "weight"], head="none", **HOW)
    found = explain(network, PHOTO, "weight")
    assert torch.equal(found.probabilities, found.logits)
    assert not [note for note in found.notes if note.key in ("saturated", "not seen")]
    assert_close(explain(network, PHOTO, targets.down(1)).values, -found.values, 1e-6)


def test_a_network_that_rounding_moves_is_explained_with_a_word_on_it():
    def chaotic(y: Tensor) -> Tensor:
        moved = 0.1 if len(y) > 1 and y.dtype == torch.float32 else 0
        return y + moved * torch.arange(3)

    notes = explain(wrap(Mine(answer=chaotic), **HOW), PHOTO, 0).notes
    (said,) = (note.sentence for note in notes if note.key == "rounding")
    assert re.search(r"^Rounding alone moves the scores of Mine by \d+\.\d% of their range", said)


class Stirred(nn.Module):
    """Hands its places on in another order."""

    def forward(self, x: Tensor) -> Tensor:
        places = x.flatten(2)
        order = torch.randperm(places.shape[2], generator=torch.Generator().manual_seed(2))
        return places[..., order].unflatten(2, x.shape[2:])


def test_a_last_layer_that_does_not_keep_places_is_told_where_it_is_looked_at():
    module = Mine()
    module.body.append(Stirred())
    network = wrap(module, **HOW)

    def told(**about: str) -> list[str]:
        notes = explain(network, PHOTO, 0, **about).notes
        return [note.sentence for note in notes if note.key == "mixed"]

    (said,) = told()
    assert said.startswith("The last layer of Mine hardly keeps places:")
    assert said.endswith("choose an earlier layer.")
    assert not told(layer="body.4")
    assert not told(method="gradient")
    assert not wrap(Mine(), **HOW).remarks


def test_a_module_that_mirrors_photos_itself_is_told_of():
    class Mirrors(Mine):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.flip(3))

    assert wrap(Mirrors(), **HOW).remarks["trimmed"].startswith("Mirrors mirrors photos itself")

    class Unplaced(Mine):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.flip(3).tanh())

    said = wrap(Unplaced(), **HOW).remarks["mixed"]
    assert said.endswith(
        "whether the module mirrors, turns or cuts photos itself, and leave that out."
    )


def test_what_was_changed_in_the_copy_is_said():
    module = Mine().half()
    module.body.register_forward_hook(lambda *_: None)
    said = {note.key: note for note in explain(wrap(module, **HOW), PHOTO, 0).notes}
    assert "float16, and computed in float32" in said["float32"].sentence
    assert "1 hook of Mine was left off" in said["hooks"].sentence
    plain = explain(wrap(Mine(), **HOW), PHOTO, 0).notes
    assert not {"float32", "hooks", "head"} & {note.key for note in plain}


# --- layers


def test_any_module_that_hands_over_a_map_is_a_layer():
    module = Mine()
    network = wrap(module, **HOW)
    x = network.prepare(read(PHOTO)).tensor
    plain = Mine().eval()
    for name in ("body.0", "body.1", "body.2", "body.3", "body"):
        held: list[Tensor] = []
        part = plain.get_submodule(name)
        hook = part.register_forward_hook(lambda _m, _i, out, held=held: held.append(out))
        logits = plain(x)
        hook.remove()
        g = torch.autograd.grad(logits[0, 1], held[0])[0]
        theirs = torch.einsum("c,chw->hw", g[0].mean((1, 2)), held[0][0])
        assert_close(explain(network, PHOTO, 1, layer=name).values[0], theirs, 1e-5)
    several = explain(network, PHOTO, 1, layer=["body.0", "body.[12]"])
    assert [each.layer for each in several] == ["body.0", "body.1", "body.2"]
    assert explain(network, PHOTO, 1, layer=module.body[2]).layer == "body.2"
    assert explain(wrap(module, layer="body.[0-2]", **HOW), PHOTO, 1).layer == "body.2"
    assert explain(wrap(module, layer=module.body[0], **HOW), PHOTO, 1).layer == "body.0"
    assert explain(wrap(module, **HOW), PHOTO, 1).layer == "body"
    for wrong in ("head", "tail*", nn.ReLU(), [], 3):
        with pytest.raises(OptionError):
            explain(network, PHOTO, 1, layer=wrong)
