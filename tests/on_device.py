"""All that is asked of a network on another device: what `test_device.py` runs, by itself."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import gpu
from explainers import METHODS, Question, View, cores, explain, targets, wrap
from explainers.muting.brush import input_mask
from explainers.network.doubled import has_float64
from explainers.settings import Settings
from explainers.units.receptive import fields
from tests import nets, second_device
from tests.nets import Between, assert_close

torch.set_num_threads(1)  # as in tests/fixtures.py, which is not imported here: it takes seconds

HOW = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
OPTIONS = {
    "rise": {"masks": 16},
    "occlusion": {"window": 16, "stride": 16},
    "smoothgrad": {"samples": 4},
    "integrated": {"steps": 4},
}


@pytest.fixture(autouse=True)
def as_apples(monkeypatch):
    monkeypatch.setattr(second_device.strict, "doubles", False)
    yield
    torch.set_default_dtype(torch.float32)


def both(arch: str, size: int, **facts):
    module = nets.module(arch, num_classes=5, **facts)
    return [wrap(copy.deepcopy(module).to(where), size=size, **HOW) for where in ("cpu", "npu")]


def test_the_device_is_as_strict_as_a_gpu(monkeypatch):
    x, y = torch.ones(2, 3), torch.ones(2, 3, device="npu")
    refused = {
        "two": lambda: x + y,
        "joined": lambda: torch.stack([x.sum(), y.sum()]),
        "written": lambda: x.add_(y),
        "indices": lambda: x[torch.zeros(1, dtype=torch.long, device="npu")],
        "numpy": lambda: np.asarray(y),
        "generator": lambda: torch.rand(2, generator=torch.Generator(), device="npu"),
    }
    for name, run in refused.items():
        with pytest.raises((RuntimeError, TypeError)):
            pytest.fail(f"{name}: {run()}")
    assert torch.equal((y + torch.tensor(1.0))[torch.tensor([0])].cpu(), torch.full((1, 3), 2.0))
    assert not has_float64("npu")
    monkeypatch.setattr(second_device.strict, "doubles", True)
    assert has_float64("npu")


@pytest.mark.parametrize("arch", ["test_resnet", "test_vit"])
def test_every_method_says_on_a_device_what_it_says_on_the_processor(arch):
    facts = {"img_size": 64, "depth": 2} if arch == "test_vit" else {}
    here, there = both(arch, 64, **facts)
    assert (there.device.type, there.remarks) == ("npu", here.remarks)
    assert there.at_once() > here.at_once()
    photo, made = nets.noise(3, 64, 64), []
    for key, method in METHODS.items():
        question = Question(here, here.view(photo[None]), (1,), here.last)
        if method.why_not(question):
            continue
        expected = explain(here, photo, [1, 3], key, prepared=True, **OPTIONS.get(key, {}))
        with torch.autocast("cpu", torch.bfloat16):
            given = photo.to("npu")
            found = explain(there, given, [1, 3], key, prepared=True, **OPTIONS.get(key, {}))
        assert_close(found.values, expected.values, 2e-5)
        assert [note.key for note in found.notes] == [note.key for note in expected.notes]
        made.append(key)
    assert len(made) > 11


def test_what_is_given_on_a_device_is_taken():
    places = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    network = wrap(places.to("npu"), size=32, **HOW)
    mask = torch.zeros(32, 32)
    mask[:8] = 1
    photo = nets.noise(3, 32, 32)
    found, expected = (
        explain(network, photo, targets.inside(0, each), prepared=True).values
        for each in (mask.to("npu"), mask.numpy())
    )
    assert torch.equal(found, expected)
    view = network.view(photo[None].to("npu"))
    assert torch.equal(input_mask(view, mask.to("npu")), mask > 0)


def detached(x):
    return x + 2 * x.detach()


def test_what_is_seen_in_float64_is_seen_without_it():
    network = wrap(Between(detached).to("npu"), mean=0.5, std=0.25, size=16)
    assert "cut" in network.remarks

    class Chaotic(Between):
        def forward(self, x):
            y = super().forward(x)
            moved = 0.1 if len(y) > 1 and y.dtype == torch.float32 else 0
            return y + moved * torch.arange(y.shape[1], device=y.device)

    torch.manual_seed(0)
    network = wrap(Chaotic(torch.relu).to("npu"), mean=0.5, std=0.25, size=16)
    assert "rounding" in network.remarks


def test_the_default_type_of_others_asks_no_device_for_float64():
    pooled = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    pooled.to("npu")
    there = wrap(nets.module("test_resnet", num_classes=5).to("npu"), size=64, **HOW)
    torch.set_default_dtype(torch.float64)
    assert wrap(pooled, size=64, **HOW).cam_weights.dtype == torch.float32
    view = View(nets.noise(1, 3, 64, 64).float(), (0.0, 0.0, 1.0, 1.0), f"{there.serial}: one")
    assert explain(there, view, 1).values.dtype == torch.float32
    assert fields(there, 64, 64)


def test_what_computes_elsewhere_is_one_that_others_wait_for():
    before = torch.get_num_threads()
    cores.share(Settings(device="mps"))
    assert cores.shared.gpu
    cores.share(Settings(device="cpu"))
    assert not cores.shared.gpu
    torch.set_num_threads(before)


def test_the_benchmark_runs(monkeypatch):
    photo = gpu.read(gpu.PHOTO)
    some = {key: METHODS[key] for key in ("gradcam", "rise")}
    monkeypatch.setattr(gpu, "METHODS", some)
    rows = gpu.compare(nets.seeded("test_resnet", size=32), photo, "npu", 1)
    assert gpu.summary(rows)["apart"] == []
