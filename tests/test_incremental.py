"""The incremental engine: the same scores as full passes, wherever the windows lie."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from explainers import wrap
from explainers.muting import windows
from explainers.muting.incremental import Incremental
from explainers.muting.tape import record
from explainers.recent import memory
from tests import nets


def full_pass(module, x, rows, cols, fill):
    """Logits (rows, cols, classes), each window muted by hand in a pass of its own batch."""
    muted = []
    for top, bottom in rows:
        for left, right in cols:
            photo = x.clone()
            photo[:, :, top:bottom, left:right] = fill[:, :, top:bottom, left:right]
            muted.append(photo)
    with torch.no_grad():
        logits = torch.cat([module(torch.cat(muted[i : i + 8])) for i in range(0, len(muted), 8)])
    return logits.view(len(rows), len(cols), -1)


def incremental(engine, rows, cols, fill):
    found = torch.full((len(rows), len(cols), len(engine.logits)), float("nan"))
    for batch, logits in filter(None, engine.scores(rows, cols, fill)):
        found[torch.as_tensor(batch.rows)[:, None], torch.as_tensor(batch.cols)] = logits
    return found


def check(module, size, window, stride, *, sparse=False, seed=3, layout=torch.preserve_format):
    """Its scores are those of full passes, in that memory format or its own."""
    x, fill = nets.noise(1, 3, *size, seed=seed), nets.noise(1, 3, *size, seed=seed + 1)
    rows, cols = (windows(n, window, stride) for n in size)
    if sparse:  # corners, and one place within
        rows, cols = ([w[0], w[len(w) // 2], w[-1]] for w in (rows, cols))
    expected = full_pass(module, x, rows, cols, fill)
    engine = Incremental(module.to(memory_format=layout), x)
    nets.assert_close(incremental(engine, rows, cols, fill), expected, 1e-4)
    return engine


def enlarges(module: nn.Module) -> bool:
    """Does it make coarse maps larger, to add them to finer ones?"""
    with Met() as met, torch.no_grad():
        module(torch.zeros(1, 3, 64, 64))
    return F.interpolate in met.functions


class Met(TorchFunctionMode):
    """Notes the functions that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.functions: set[object] = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.functions.add(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.slow
@nets.each_network
def test_scores_equal_full_passes_on_odd_oblong_photos_with_clipped_windows(entry):
    module = nets.module(entry.arch, num_classes=10)
    engine = check(module, (97, 131), 20, 19, sparse=True, layout=torch.channels_last)
    if enlarges(module):
        assert int(re.search(r"(\d+)% of the work", engine.note)[1]) < 40
        return
    assert engine.note is None
    spatial = [i for i, size in enumerate(engine.sizes) if size != (1, 1) and engine.steps[i]]
    trunk = [i for i in spatial if engine.steps[i].name == "convolution"]
    followed = [i for i in trunk if i < engine.first_whole]
    assert len(followed) >= max(0.9 * len(trunk) - 1, 4)  # all but a head's own convolution


@pytest.mark.slow
def test_rectangles_are_what_saves_the_work():
    engine = check(nets.module("resnet18", num_classes=10), (160, 128), 16, 16, sparse=True)
    rows, cols = windows(160, 16, 16), windows(128, 16, 16)
    full, exact = engine.work(rows, cols)
    assert exact < full / 2
    lots = engine.planner.lots(engine.spans(0, rows), engine.spans(1, cols))
    assert all(batch.cut > 3 for lot in lots for batch in lot)
    assert len({batch.cut for lot in lots for batch in lot}) > 1  # they meet on their way


class Odd(nn.Module):
    """Every geometry that a catalogue network may have, in little."""

    def __init__(self, pool: nn.Module):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, (5, 3), stride=(2, 1), padding=(1, 2), dilation=(1, 2))
        self.norm, self.act = nn.BatchNorm2d(8), nn.LeakyReLU(0.1, inplace=True)
        self.pool = pool
        self.left = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4)
        self.right = nn.Conv2d(8, 8, 1)
        self.down = nn.Conv2d(16, 8, 3, stride=3)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.pool(self.act(self.norm(self.stem(x))))
        y = torch.cat([self.left(x).relu_(), self.right(x)], 1) * 2.0
        y = self.down(y + 1.0)
        return self.head((y + y.sigmoid()).mean((2, 3)))


POOLS = {
    "max": nn.MaxPool2d(3, 2, 1),
    "max, ceiling": nn.MaxPool2d(2, 2, ceil_mode=True),
    "max, dilated": nn.MaxPool2d(3, 1, 1, dilation=2),
    "average": nn.AvgPool2d(3, 2, 1),
    "average, ceiling": nn.AvgPool2d(2, 2, ceil_mode=True),
    "average without padding": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
}


@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
@pytest.mark.parametrize("window", [1, 7])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_strides_dilation_groups_and_pooling_keep_their_geometry(pool, window, layout):
    torch.manual_seed(5)
    check(nets.randomise(Odd(pool)).eval(), (41, 58), window, 7, layout=layout)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["efficientnet_b0", "legacy_seresnet18"])
def test_squeeze_and_excitation_falls_back_and_says_so(arch):
    engine = check(nets.module(arch, num_classes=10), (64, 80), 24, 20)
    assert "squeeze-and-excitation" in engine.note


class Rolled(nn.Module):
    """Does what the tape can't see: its arithmetic leaves torch."""

    def forward(self, x):
        return torch.from_numpy(x.detach().numpy().mean((2, 3)).copy())


class Partly(nn.Module):
    """Leaves torch for a part of its answer, which stays on the tape as it was."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.body(x).mean((2, 3)) + torch.from_numpy(x.numpy().mean((2, 3)).max(1))[:, None]


@pytest.mark.parametrize("make", [Rolled, Partly])
def test_a_network_that_cannot_be_followed_still_gets_its_scores(make):
    engine = check(make(), (40, 40), 16, 12)
    assert "full pass" in engine.note


class Overwriting(nn.Module):
    """Works in place on what other names stand for. bound: where some of its channels end, in
    which the probes of the tape lie and muted photos don't."""

    def __init__(self, on: str, bound: float = 0.0) -> None:
        super().__init__()
        self.on, self.bound = on, bound
        self.body, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.on == "input":
            x[:, 0].mul_(0.3).add_(0.5)
        x = self.body(x)
        if self.on == "part":
            x[:, 1:].clamp_(-self.bound, self.bound)
        elif self.on == "branch" and float(x.detach().abs().max()) > self.bound:
            x = 2 * x
        return self.head(x.square().mean((2, 3)))


@pytest.mark.parametrize("on", ["input", "part", "branch"])
def test_what_is_overwritten_or_chosen_by_its_values_has_exact_scores(on):
    torch.manual_seed(2)
    module, x = Overwriting(on), torch.full((1, 3, 24, 24), 0.2)
    with torch.no_grad():
        seen = torch.cat([x, torch.cat([torch.zeros_like(x[..., :12, :]), x[..., 12:, :]], 2)])
        module.bound = float(module.body(seen).abs().max()) * 1.01
    rows, cols, fill = windows(24, 8, 8), windows(24, 8, 8), torch.full_like(x, -1.0)
    expected, kept = full_pass(module, x, rows, cols, fill), x.clone()
    engine = Incremental(module, x)
    nets.assert_close(incremental(engine, rows, cols, fill), expected, 1e-4)
    assert torch.equal(x, kept)


def _tokens(m: Any, x: Tensor) -> Tensor:
    return m.stem(x).flatten(2).transpose(1, 2)


def _gated(m: Any, x: Tensor) -> Tensor:
    value, gate = m.stem(x).chunk(2, 1)
    return m.head((value * gate.sigmoid()).mean((2, 3)))


#: What holds of a batch of one in numbers, sequences and several results of one function.
FORMS: dict[str, tuple[Callable[[Any, Tensor], Tensor], dict[str, nn.Module]]] = {
    "recurrent": (
        lambda m, x: m.head(m.part(_tokens(m, x))[0][:, -1]),
        {"part": nn.LSTM(6, 4, batch_first=True), "head": nn.Linear(4, 3)},
    ),
    "attention": (
        lambda m, x: m.head(m.part((t := _tokens(m, x)).mean(1, True), t, t)[0][:, 0]),
        {"part": nn.MultiheadAttention(6, 2, batch_first=True), "head": nn.Linear(6, 3)},
    ),
    "squeezed": (lambda m, x: m.head(m.stem(x).mean((2, 3))).squeeze(1), {"head": nn.Linear(6, 1)}),
    "groups": (
        lambda m, x: m.head(m.part(m.stem(x)).mean((2, 3))),
        {"part": nn.GroupNorm(2, 6), "head": nn.Linear(6, 3)},
    ),
    "each map's own norm": (
        lambda m, x: m.head(F.relu(F.instance_norm(m.stem(x))).mean((2, 3))),
        {"head": nn.Linear(6, 3)},
    ),
    "gated": (_gated, {"head": nn.Linear(3, 3)}),
    "several results": (
        lambda m, x: m.head(torch.cat(torch.var_mean(m.stem(x), (2, 3)), 1)),
        {"head": nn.Linear(12, 3)},
    ),
    "one by one": (
        lambda m, x: torch.stack([m.head(m.stem(one[None]).mean((2, 3)))[0] for one in x]),
        {"head": nn.Linear(6, 3)},
    ),
    "merged rows": (
        lambda m, x: m.head(_tokens(m, x).reshape(-1, 6).view(len(x), -1, 6).mean(1)),
        {"head": nn.Linear(6, 3)},
    ),
}


class Form(nn.Module):
    def __init__(self, run: Callable[[Any, Tensor], Tensor], parts: dict[str, nn.Module]) -> None:
        super().__init__()
        self.run, self.stem = run, nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU())
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMS)
def test_what_is_seen_of_one_photo_holds_for_several_or_is_not_followed(name):
    torch.manual_seed(9)
    network = wrap(Form(*FORMS[name]), mean=[0.5] * 3, std=[0.25] * 3, size=32, head="none")
    check(network.module, (32, 48), 8, 8)


def test_the_network_is_left_as_it_was():
    module = nets.module("resnet18", num_classes=10)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    flags = [(p.requires_grad, p.grad) for p in module.parameters()]
    check(module, (64, 64), 32, 32)
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert [(p.requires_grad, p.grad) for p in module.parameters()] == flags
    assert not any(m.training or m._forward_hooks for m in module.modules())


class Forgetful(nn.Sequential):
    """Lets go of each map as soon as the next one is there, and says whether it has left."""

    def forward(self, x):
        self.left = []
        for layer in self:
            before, x = weakref.ref(x), layer(x)
            self.left.append(before() is None)
        return x


def test_recording_keeps_no_map_of_the_network():
    module = Forgetful(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    record(module, nets.noise(1, 3, 8, 8))
    assert module.left == [False, True, True]  # the input is the caller's


def test_prepared_weights_count_and_are_shared_by_all_shapes():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        wide = nn.Conv2d(256, 256, 3, padding=1)
        parts = [nn.Conv2d(3, 256, 3, 4, 1), nn.ReLU(), wide, nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        module = nn.Sequential(*parts).eval().requires_grad_(False)
    transformed = 36 * wide.weight[:, :, 0, 0].numel() * 4
    before = memory.bytes
    Incremental(module, nets.noise(1, 3, 32, 32))
    one = memory.bytes - before
    Incremental(module, nets.noise(1, 3, 32, 48))
    assert transformed < one < 2 * transformed
    assert memory.bytes - before < 1.1 * one


def test_maps_round_which_nothing_is_read_are_let_go_of_and_made_again():
    module, x = nets.narrow_vgg16().module, nets.noise(1, 3, 64, 96)
    engine = Incremental(module, x)
    values = [engine.x]
    for step in engine.steps[1:]:
        values.append(step.whole([values[v] for v in step.inputs]))
    every = sum(each.nbytes for each in values)
    assert sum(each.nbytes for each in engine.maps._maps if each is not None) < 2 / 3 * every
    rows, cols = windows(64, 15, 15), windows(96, 15, 15)  # between the pools' places
    incremental(engine, rows, cols, torch.zeros_like(x))
    assert all(torch.equal(engine.maps[v], each) for v, each in enumerate(values))
