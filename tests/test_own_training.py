"""A network of one's own stays its owner's: training goes on, and what is shown follows it."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
from torch import nn

from explainers import ModelError, OptionError, ask, explain, read, wrap
from explainers.api import question
from tests import nets
from tests.test_own import HOW, PHOTO, Mine


def state(module: nn.Module) -> list[object]:
    return [
        {name: value.clone() for name, value in module.state_dict().items()},
        [part.training for part in module.modules()],
        [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()],
        [(p.requires_grad, p.grad, p.stride()) for p in module.parameters()],
    ]


def test_the_module_is_left_as_it_was_and_training_goes_on():
    module = Mine().train()
    calls = []
    module.body.register_forward_hook(lambda *_: calls.append(1))
    before = state(module)
    network = wrap(module, ["a", "b", "c"], **HOW)
    found = explain(network, PHOTO, "b", "guided")
    after = state(module)
    assert str(before) == str(after)
    assert not calls
    x = network.prepare(read(PHOTO)).tensor
    assert torch.allclose(found.logits, copy.deepcopy(module).eval()(x)[0], atol=1e-5)
    nn.functional.cross_entropy(
        module(torch.randn(4, 3, 32, 32)), torch.tensor([0, 1, 2, 0])
    ).backward()
    assert module.head.weight.grad.abs().sum() > 0


def test_refresh_takes_over_the_weights_as_they_are_now():
    module = Mine()
    network = wrap(module, **HOW)
    old = explain(network, PHOTO, 1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.5)
    assert torch.equal(explain(network, PHOTO, 1).values, old.values)
    assert network.refresh() is network
    new, fresh = explain(network, PHOTO, 1), explain(wrap(module, **HOW), PHOTO, 1)
    assert not torch.allclose(new.values, old.values)
    assert torch.equal(new.values, fresh.values)
    assert torch.equal(new.logits, fresh.logits)


def test_a_network_leaves_its_module_as_it_was_and_shows_it_as_it_is_now():
    """pytorch-grad-cam #488: explained amid training, between a forward pass and its backward."""
    module, calls = Mine().train(), []
    module.body.register_forward_hook(lambda *_: calls.append(1))
    before = state(module)
    network = nets.wrap(module, classes=3, size=32)
    old = explain(network, PHOTO, 1)
    assert str(before) == str(state(module))
    assert not calls
    control, x = copy.deepcopy(module), torch.randn(4, 3, 32, 32)
    losses = [
        nn.functional.cross_entropy(each(x), torch.tensor([0, 1, 2, 0]))
        for each in (module, control)
    ]
    assert not torch.equal(explain(network, PHOTO, 1).values, old.values)  # BatchNorm has learned
    for loss in losses:
        loss.backward()
    assert torch.equal(module.head.weight.grad, control.head.weight.grad)
    old = explain(network, PHOTO, 1)
    with torch.no_grad():
        module.head.weight.mul_(2)
    new = explain(network, PHOTO, 1)
    assert torch.allclose(new.values, 2 * old.values, atol=1e-6)
    module.head.weight.data.mul_(2)  # pytorch #7386: which torch does not count
    assert torch.allclose(explain(network, PHOTO, 1).values, 4 * old.values, atol=1e-6)
    module.head.weight.data.div_(2)
    assert torch.allclose(new.logits, network.logits(network.prepare(read(PHOTO)).tensor)[0])
    module.body.append(nn.GELU())
    with pytest.raises(OptionError, match="make a new network"):
        explain(network, PHOTO, 1)
    del module.body[-1]
    module.head = nn.Linear(module.head.in_features, 5)
    with pytest.raises(OptionError, match="make a new network"):
        explain(network, PHOTO, 1)


def test_a_network_of_halves_is_computed_in_float32_and_says_so():
    module = Mine().half()
    network = nets.wrap(nn.DataParallel(module), classes=3, size=32)
    assert network.last == "body"  # as it is called inside of its wrapper
    found = explain(network, PHOTO, 1)
    assert "float16" in {note.key: note.sentence for note in found.notes}["float32"]
    assert {value.dtype for value in module.parameters()} == {torch.float16}
    x = network.prepare(read(PHOTO)).tensor
    assert torch.allclose(found.logits, copy.deepcopy(module).float().eval()(x)[0], atol=1e-5)


def normed() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip


def test_statistics_that_are_learned_anew_are_those_that_are_shown():
    module = normed()
    network = wrap(module, copy=False, **HOW)
    explain(network, PHOTO, 1)
    module[1].running_mean += 1  # as torch.optim.swa_utils.update_bn does
    x = network.prepare(read(PHOTO)).tensor
    assert torch.allclose(explain(network, PHOTO, 1).logits, module(x)[0], atol=1e-5)
    module[-1] = nn.Linear(6, 3)
    assert torch.allclose(explain(network, PHOTO, 1).logits, module(x)[0], atol=1e-5)
    module.half()
    with pytest.raises(ModelError, match="are float16: hand over module"):
        explain(network, PHOTO, 1)


def test_a_module_that_went_back_to_training_learns_nothing_of_what_it_is_shown():
    module = normed()
    network = wrap(module, copy=False, **HOW)
    module.train()
    before = module[1].running_mean.clone()
    with pytest.raises(OptionError, match=r"is in training mode, .* call eval\(\) on it"):
        explain(network, PHOTO, 1)
    assert torch.equal(module[1].running_mean, before)
    assert explain(wrap(module, **HOW), PHOTO, 1).values.std() > 0


def test_a_module_that_is_refused_is_handed_back_as_it_was():
    module = normed()
    module[0].weight.requires_grad_(False)
    with pytest.raises(ModelError, match="3 outputs and 1 label"):
        wrap(module, ["a"], copy=False, **HOW)
    assert all(part.training for part in module.modules())
    assert [each.requires_grad for each in module.parameters()] == [False] + [True] * 5
    with torch.inference_mode():
        module = normed()
    with pytest.raises(ModelError, match="made under inference_mode, so no gradient"):
        wrap(module, copy=False, **HOW)
    assert explain(wrap(module, **HOW), PHOTO, 1).values.std() > 0


@pytest.mark.parametrize(("method", "options"), [
    ("gradcam", {}), ("smoothgrad", {"samples": 4}), ("integrated", {"steps": 8}),
    ("occlusion", {"window": 16, "stride": 16}), ("rise", {"masks": 8}), ("patches", {}),
])  # fmt: skip
def test_float32_is_computed_on_the_processor_whatever_others_have_as_their_default(
    method, options
):
    module = normed()
    expected = explain(wrap(module, **HOW), PHOTO, 1, method, **options)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")  # as others have "cuda"
    try:
        found = explain(wrap(module, **HOW), PHOTO, 1, method, **options)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert torch.allclose(found.values, expected.values, atol=1e-6)


def test_without_a_copy_the_module_itself_is_explained_and_hooked_once():
    module = Mine()
    network = wrap(module, copy=False, **HOW)
    assert network.module is module
    hooks = sum(len(part._forward_hooks) for part in module.modules())
    with torch.no_grad():
        module.head.weight.mul_(-1)
    network.refresh()
    assert sum(len(part._forward_hooks) for part in module.modules()) == hooks
    x = network.prepare(read(PHOTO)).tensor
    assert torch.allclose(explain(network, PHOTO, 1).logits, module(x)[0], atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_module_that_learns_ranges_for_quantization_is_explained_with_those_that_it_has():
    module = Mine().train()
    module.qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
    torch.ao.quantization.prepare_qat(module, inplace=True)
    module(nets.noise(4, 3, 32, 32))
    network = wrap(module, **HOW)
    x = network.prepare(read(PHOTO)).tensor
    before = network.logits(x)
    network.logits(9 * nets.noise(2, 3, 32, 32))
    assert torch.equal(network.logits(x), before)
    twin = copy.deepcopy(module).eval().apply(torch.ao.quantization.disable_observer)
    assert torch.allclose(before, twin(x), atol=1e-5)
    assert "prepared for quantization" in network.remarks["observers"]
    with pytest.raises(ModelError, match="differently each time"):
        wrap(module, **HOW, copy=False)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("norm", [
    nn.utils.weight_norm, nn.utils.parametrizations.weight_norm,
    nn.utils.parametrizations.spectral_norm,
], ids=["weight_norm, old", "weight_norm", "spectral_norm"])  # fmt: skip
def test_weights_that_are_computed_from_others_are_copied_amid_training(norm):
    module = Mine()
    norm(module.body[0])
    module(torch.randn(2, 3, 32, 32)).sum().backward()
    network = wrap(module, **HOW)
    logits = module.eval()(network.prepare(read(PHOTO)).tensor)[0]
    assert torch.allclose(explain(network, PHOTO, 0).logits, logits, atol=1e-5)


def test_a_network_that_is_gone_leaves_no_tap_on_the_module():
    module = Mine()
    before = state(module.eval().requires_grad_(False))
    network = wrap(module, copy=False, **HOW)
    half = question(network, PHOTO, lambda y: y[0, 0])
    del network
    assert list(ask(half, "gradcam"))[-1].values.std() > 0  # what was asked of it is still answered
    del half
    gc.collect()
    after = state(module)
    assert str(before[1:3]) == str(after[1:3])


def test_explaining_amid_training_shows_every_step():
    module, photos = Mine(), torch.rand(8, 3, 32, 32)
    classes = torch.arange(8) % 3
    network, optimiser = wrap(module, **HOW), torch.optim.SGD(module.parameters(), 0.5)
    seen = []
    for _ in range(3):
        optimiser.zero_grad()
        nn.functional.cross_entropy(module.train()(photos), classes).backward()
        optimiser.step()
        found = explain(network.refresh(), PHOTO, 1)
        with torch.no_grad():
            x = network.prepare(read(PHOTO)).tensor
            assert torch.allclose(found.logits, copy.deepcopy(module).eval()(x)[0], atol=1e-5)
        assert all(part.training for part in module.modules())
        assert all(weight.grad is not None for weight in module.parameters())
        seen.append(found.values)
    assert not torch.allclose(seen[0], seen[2])
