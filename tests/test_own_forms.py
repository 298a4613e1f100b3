"""Modules of one's own in the forms that people write: one ReLU for all layers, a trunk that is
looked through twice, numbers that are dealt out or drawn, and what is refused with its reason."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from explainers import METHODS, ModelError, OptionError, explain, read, wrap
from explainers.network import frozen, watching
from tests import nets
from tests.nets import assert_close

HOW = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "size": 32}
PHOTO = np.random.default_rng(5).integers(0, 255, (32, 32, 3), np.uint8)


class Form(nn.Module):
    """A forward pass and the parts that it is made of."""

    def __init__(self, run: Callable[[Any, Tensor], Any], **parts: Any) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, 2, 1)


def trunk() -> nn.Sequential:
    return nn.Sequential(conv(3, 6), nn.BatchNorm2d(6), nn.ReLU(), conv(6, 6), nn.ReLU())


def plain(**parts: Any) -> Form:
    parts = {"trunk": trunk(), "head": nn.Linear(6, 3)} | parts
    return Form(lambda m, x: m.head(m.trunk(x).mean((2, 3))), **parts)


def one_for_all(act: nn.Module) -> Form:
    def run(m: Any, x: Tensor) -> Tensor:
        x = m.act(m.second(m.act(m.first(x))))
        return m.head(m.act(m.wide(x.mean((2, 3)))))

    return Form(
        run, first=conv(3, 5), second=conv(5, 6), act=act, wide=nn.Linear(6, 8),
        head=nn.Linear(8, 3),
    )  # fmt: skip


def two_sizes(m: Any, x: Tensor) -> Tensor:
    return m.head(sum(m.trunk(each).mean((2, 3)) for each in (x, F.avg_pool2d(x, 2))))


#: A module, its layer, the call of it that hands over the map, and the map's side.
CALLED: dict[str, tuple[Callable[[], nn.Module], str, int, int]] = {
    "one ReLU for maps and vectors": (lambda: one_for_all(nn.ReLU()), "act", 1, 8),
    "in place": (lambda: one_for_all(nn.ReLU(inplace=True)), "act", 1, 8),
    "a trunk for two sizes": (
        lambda: Form(two_sizes, trunk=trunk(), head=nn.Linear(6, 3)), "trunk", 1, 4,
    ),
    "a block that recurs": (
        lambda: Form(
            lambda m, x: m.head(m.act(m.again(m.act(m.again(m.first(x))))).mean((2, 3))),
            first=conv(3, 6), again=nn.Conv2d(6, 6, 3, 1, 1), act=nn.ReLU(), head=nn.Linear(6, 3),
        ), "act", 1, 16,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLED)
def test_a_module_that_is_called_several_times_is_a_layer_at_the_call_of_its_map(name):
    make, layer, call, side = CALLED[name]
    torch.manual_seed(1)
    module = make().eval()
    network = wrap(module, **HOW)
    assert network.last == layer
    x = network.prepare(read(PHOTO)).tensor
    held: list[Tensor] = []

    def hold(_module: nn.Module, _inputs: object, out: Tensor) -> Tensor:
        held.append(out)
        return out.clone()

    with torch.enable_grad():
        hook = module.get_submodule(layer).register_forward_hook(hold)
        logits = module(x.clone())
        hook.remove()
    (gradient,) = torch.autograd.grad(logits[0, 1], held[call])
    theirs = (held[call] * gradient.mean((2, 3), keepdim=True)).sum(1)
    found = explain(network, PHOTO, 1)
    assert found.values.shape == (1, side, side)
    assert_close(found.values, theirs, 1e-5)
    assert torch.allclose(found.logits, logits[0], atol=1e-5)
    few = {"masks": 8, "samples": 2, "steps": 2, "window": 16, "patch": 16}
    for method in METHODS.values():
        options = {key: value for key, value in few.items() if key in method.options}
        if method.suits(network) and method.key != "cam":
            assert explain(network, PHOTO, 1, method.key, **options).values.isfinite().all()


def test_a_layer_that_a_photo_does_not_come_to_is_told():
    parts = {"dark": trunk(), "light": trunk(), "head": nn.Linear(6, 3)}

    def run(m: Any, x: Tensor) -> Tensor:
        return m.head((m.light if x.mean() > -0.5 else m.dark)(x).mean((2, 3)))

    network = wrap(Form(run, **parts), **HOW)
    assert explain(network, PHOTO, 1).layer == "light"
    with pytest.raises(OptionError, match="does not come to its layer “light” with this photo"):
        explain(network, np.zeros_like(PHOTO), 1)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradcam", "gradient", "gradient_rollout"])
def test_blocks_that_training_computes_twice_are_explained_amid_it(method):
    arch, size = ("test_vit", 64) if method == "gradient_rollout" else ("test_resnet", 32)
    facts = {"img_size": size} if arch == "test_vit" else {}
    module = nets.module(arch, num_classes=3, **facts)
    expected = explain(wrap(module, **HOW | {"size": size}), PHOTO, 1, method)
    module.set_grad_checkpointing()
    found = explain(wrap(module.train(), **HOW | {"size": size}), PHOTO, 1, method)
    assert_close(found.values, expected.values, 1e-5)
    assert getattr(module, "grad_checkpointing", True)  # training goes on as it was


def test_what_the_caller_computes_in_is_not_what_is_explained_in():
    torch.manual_seed(2)
    module = plain()
    expected = explain(wrap(module, **HOW), PHOTO, 1, "gradient")
    with torch.autocast("cpu", torch.bfloat16):
        found = explain(wrap(module, **HOW), PHOTO, 1, "gradient")
    assert_close(found.values, expected.values, 1e-4)
    apart = {"window": 8, "stride": 8}
    for method, options in {"gradcam": {}, "occlusion": apart, "smoothgrad": {}}.items():
        expected = explain(wrap(module, **HOW), PHOTO, 1, method, **options)
        with torch.autocast("cpu", torch.bfloat16):
            found = explain(wrap(module, **HOW), PHOTO, 1, method, **options)
        assert_close(found.values, expected.values, 1e-5)
    inner = Form(torch.autocast("cpu", torch.bfloat16)(module.run), **dict(module.named_children()))
    assert explain(wrap(inner, **HOW), PHOTO, 1).logits.dtype == torch.float32


def test_names_come_by_number_however_a_data_set_has_them():
    for labels in ({"cat": 0, "dog": 2, "cow": 1}, {"0": "cat", "1": "cow", "2": "dog"}):
        assert wrap(plain(), labels, **HOW).labels == ("cat", "cow", "dog")
    network = wrap(plain(), (name for name in ("a", "b", "c")), **HOW)
    assert network.refresh().labels == ("a", "b", "c")


def test_a_model_of_transformers_names_its_classes_itself():
    module = plain()
    module.config = SimpleNamespace(id2label={0: "cat", 1: "cow", 2: "dog"})
    assert wrap(module, **HOW).labels == ("cat", "cow", "dog")
    module.config.id2label[3] = "eel"  # of another head
    assert wrap(module, **HOW).labels == ("class 0", "class 1", "class 2")
    for problem, head in (("multi_label_classification", "sigmoid"), ("regression", "none")):
        module.config.problem_type = problem
        assert wrap(module, **HOW).head == head
        assert wrap(module, head="softmax", **HOW).head == "softmax"


def remembered(**said: Any) -> nn.Module:
    """Its head reads what a hook of its own kept."""
    module = Form(lambda m, x: (m.trunk(x), m.head(m.kept.mean((2, 3))))[1], trunk=trunk(),
                  head=nn.Linear(6, 3))  # fmt: skip
    module.trunk.register_forward_hook(lambda _m, _x, out: setattr(module, "kept", out))
    return module


def test_what_a_hook_of_the_modules_own_keeps_is_explained_without_a_copy():
    with pytest.raises(ModelError, match="its own hooks were left off its copy, so give copy=F"):
        wrap(remembered(), **HOW)
    module = remembered()
    network = wrap(module, copy=False, **HOW)
    x = network.prepare(read(PHOTO)).tensor
    maps = network.record(x, ("trunk",)).activations["trunk"].detach().requires_grad_()
    (gradient,) = torch.autograd.grad(module.head(maps.mean((2, 3)))[0, 1], maps)
    theirs = (maps * gradient.mean((2, 3), keepdim=True)).sum(1).detach()
    assert_close(explain(network, PHOTO, 1).values, theirs, 1e-5)


def says_nothing_back(module: nn.Module) -> nn.Module:
    kind = type(module)
    module.__class__ = type("Quiet", (kind,), {"train": lambda m, on=True: kind.train(m, on) and 0})
    return module


def called(name: str, value: Any) -> nn.Module:
    module = plain()
    setattr(module, name, value)
    return module


@pytest.mark.parametrize("make", [
    lambda: says_nothing_back(plain()),
    lambda: called("last_map", torch.zeros(3)),
    lambda: called("last_map", "body"),
    lambda: called("feature_info", ["trunk"]),
    lambda: called("feature_info", {"trunk": 1}),
], ids=["train() that returns nothing", "a tensor", "no layer", "names", "a dict"])  # fmt: skip
def test_names_that_others_use_for_something_else_do_no_harm(make):
    assert explain(wrap(make(), **HOW), PHOTO, 1).layer == "trunk"


def test_logits_that_sum_to_a_hundred_by_chance_are_no_probabilities():
    module = plain().eval()
    with torch.no_grad():
        module.head.bias += (100 - module(frozen.noise((1, 3, 32, 32))).sum()) / 3
    assert explain(wrap(module, **HOW), PHOTO, 1).logits.sum() != pytest.approx(100, abs=1e-3)


def test_attention_that_torch_computes_otherwise_while_calls_are_noted_is_steady():
    def run(m: Any, x: Tensor) -> Tensor:
        noted = torch._C._len_torch_function_stack() > 0  # as nn.MultiheadAttention asks
        return m.head(m.trunk(x).mean((2, 3))) * (1 + 1e-5 * noted)

    assert wrap(Form(run, trunk=trunk(), head=nn.Linear(6, 3)), **HOW).last == "trunk"


@pytest.mark.parametrize("gate", [
    torch.tensor([1 + 1j, 2, 3j, 1, 1, 1]), torch.arange(6), torch.arange(6) > 2,
], ids=["complex", "whole", "true or false"])  # fmt: skip
def test_weights_need_not_be_floats(gate):
    weights = nn.Parameter(gate, requires_grad=False)
    module = Form(
        lambda m, x: m.head((m.trunk(x).mean((2, 3)) * m.gate).abs()),
        trunk=trunk(), head=nn.Linear(6, 3), gate=weights,
    )  # fmt: skip
    network = wrap(module, **HOW)
    x = network.prepare(read(PHOTO)).tensor
    assert torch.allclose(explain(network, PHOTO, 1).logits, module.eval()(x)[0], atol=1e-5)


def test_features_without_a_head_are_no_classes():
    network = wrap(nets.module("test_resnet", num_classes=0), **HOW)
    assert (network.head, network.labels[0]) == ("none", "output 0")
    assert wrap(nets.module("test_resnet", num_classes=0), head="softmax", **HOW).head == "softmax"


def volumes(channels: int) -> Form:
    return Form(
        lambda m, x: m.head(m.flat(m.deep(x).mean(2)).mean((2, 3))),
        deep=nn.Conv3d(channels, 4, 3), flat=conv(4, 4), head=nn.Linear(4, 3),
    )  # fmt: skip


def views(of: Callable[[Tensor], Tensor]) -> Form:
    def run(m: Any, x: Tensor) -> Tensor:
        return m.head(m.trunk(of(x)).mean((2, 3))).reshape(-1, len(x), 3).mean(0)

    return Form(run, trunk=nn.Conv2d(3, 8, 4, 4), head=nn.Linear(8, 3))


def listed() -> Form:
    def run(m: Any, x: Tensor) -> Tensor:
        return m.head(m.layers[0](x).mean((2, 3)))

    return Form(run, layers=[conv(3, 6)], head=nn.Linear(6, 3))


def quantized() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(plain(), {nn.Linear}, dtype=torch.qint8)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("make", "said", "words"), [
    (lambda: volumes(3), {}, "it takes volumes (3-D convolutions), and maps are of pictures"),
    (lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.Flatten()), {}, "it takes series (1-D"),
    (lambda: plain(norm=nn.LazyBatchNorm2d(affine=False)), {}, "lazy layers that saw no input"),
    (quantized, {}, "is quantized (head), and whole numbers have no gradient"),
    (lambda: plain(trunk=torch.jit.script(trunk())), {}, "holds TorchScript (trunk)"),
    (lambda: plain(trunk=nn.Sequential(conv(5, 6))), {}, "say how many channels it takes, by chan"),
    (lambda: Form(lambda m, x: m.f(x["image"]), f=conv(3, 3)), {}, "whose forward(x) takes pictur"),
    (lambda: Form(lambda m, x: m.f(x.double()), f=conv(3, 3)), {}, "computed in float32 here"),
    (lambda: Form(lambda m, x: plain()(x + torch.randn_like(x)), f=conv(3, 3)), {}, "each time"),
    (lambda: Form(lambda m, x: m.f(x / x.amax()).mean((2, 3)), f=conv(3, 3)), {}, "another one is"),
    (lambda: Form(lambda m, x: F.hardsigmoid(m.f(x).mean((2, 3))), f=conv(3, 3)), {}, "a sigmoid"),
    (lambda: views(lambda x: torch.cat([x, x.flip(3)])), {}, "makes several inputs of one photo"),
    (lambda: views(lambda x: x.rot90(1, (2, 3))), {}, "leaves its rows and columns in their order"),
    (lambda: Form(lambda m, x: m.f(x).sum().item(), f=conv(3, 3)), {}, "with a float, from"),
    (lambda: Form(lambda m, x: m.f(x).detach().numpy(), f=conv(3, 3)), {}, "with a ndarray, from"),
    (lambda: Form(lambda m, x: None, f=conv(3, 3)), {}, "hand over its logits as a tensor"),
    (lambda: Form(lambda m, x: sum(m.f(each).mean((2, 3)) for each in x.chunk(2, 3)),
                  f=conv(3, 3)), {}, "as where it is turned or cut into parts"),
    (listed, {}, "by layers that are no part of it, as in a plain list"),
    (lambda: Form(lambda m, x: m.f.forward(x).mean((2, 3)), f=conv(3, 3)), {}, "by forward() of"),
    (plain, {"labels": {"a", "b", "c"}}, "The labels of Form are a list"),
    (plain, {"labels": 3}, "The labels of Form are a list"),
    (plain, {"labels": {"cat": 1, "dog": 2, "cow": 3}}, "not numbered from 0"),
    (plain, {"mean": "imagenet"}, "Mean and std of Form are numbers"),
    (plain, {"mean": float("nan")}, "Mean and std of Form are numbers"),
    (plain, {"size": 32.0}, "a number of pixels, or (height, width)"),
    (plain, {"channels": 0}, "a whole number, such as 1, 3 or 4"),
    (plain, {"crop_pct": 0}, "the input’s share of the photo, such as 0.875"),
    (plain, {"crop_pct": 87.5}, "no per cent: give a number above 0"),
    (plain, {"crop_mode": "round"}, "is one of center, squash, border"),
    (plain, {"layers": {"body": "The body"}}, "No module “body” hands over a map here"),
    (plain, {"layer": 3}, "layer is no part of Form"),
    (plain, {"output": "logits"}, "say output=lambda out: out['logits'], or the like"),
    (lambda: views(torch.vmap(lambda x: x.mul(2))), {}, "computes inside torch.vmap or another"),
])  # fmt: skip
def test_what_is_refused_says_the_true_reason(make, said, words):
    with pytest.raises(ModelError) as caught:
        wrap(make(), **{**HOW, **said})
    assert words in str(caught.value)
    assert str(caught.value).endswith(".")


def test_weights_of_five_axes_beside_those_of_pictures_are_explained():
    module = Form(  # as hyperspectral pictures are looked at
        lambda m, x: m.head(m.flat(m.deep(x[:, None]).flatten(1, 2)).mean((2, 3))),
        deep=nn.Conv3d(1, 2, 3, padding=1), flat=conv(6, 4), head=nn.Linear(4, 3),
    )  # fmt: skip
    network = wrap(module, **HOW)
    x = network.prepare(read(PHOTO)).tensor
    assert network.last == "flat"
    assert torch.allclose(explain(network, PHOTO, 1).logits, module(x)[0], atol=1e-5)


def test_what_one_photo_alone_can_t_lie_in_is_not_tried_on_two_only():
    """Its sum is written over one of its terms, of which channels_last makes two views."""

    def run(m: Any, x: Tensor) -> Tensor:
        kept = m.first(x)
        x = kept.flatten(2).unflatten(2, kept.shape[2:])
        x += kept
        return m.head(m.second(x).mean((2, 3)))

    module = Form(run, first=nn.Conv2d(3, 8, 3), second=conv(8, 4), head=nn.Linear(4, 3))
    network = wrap(module, **HOW)
    x = network.prepare(read(PHOTO)).tensor
    assert torch.allclose(explain(network, PHOTO, 1).logits, module(x)[0], atol=1e-5)


class Untrained(torch.autograd.Function):
    """A recurrent layer on a GPU (captum #564)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, _gradient: Tensor) -> Tensor:
        raise RuntimeError("cudnn RNN backward can only be called in training mode")


def test_a_recurrent_layer_that_cudnn_has_no_gradient_of_is_told():
    run = Form(lambda m, x: m.head(Untrained.apply(m.trunk(x).mean((2, 3)))), trunk=trunk(),
               head=nn.Linear(6, 3))  # fmt: skip
    with pytest.raises(OptionError, match=r"set torch\.backends\.cudnn\.enabled = False"):
        explain(wrap(run, **HOW), PHOTO, 1)


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoint_of_ones_own_is_told_where_it_can_t_be_followed(reentrant):
    module = Form(
        lambda m, x: m.head(checkpoint(m.trunk, x, use_reentrant=reentrant).mean((2, 3))),
        trunk=trunk(), head=nn.Linear(6, 3),
    )  # fmt: skip
    network = wrap(module, **HOW)
    with pytest.raises(OptionError, match="checkpoint"):
        explain(network, PHOTO, 1, "gradient")
    assert explain(network, PHOTO, 1, "occlusion", window=16).values.std() > 0


@pytest.mark.parametrize("inplace", [False, True])
def test_what_is_too_large_to_be_kept_is_found_all_the_same(
    inplace: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that ends in a sum, rectified maps inside it, and a CAM of the last one."""
    stages = [
        nn.Sequential(conv(wide, 6), nn.BatchNorm2d(6), nn.ReLU(inplace), nn.Conv2d(6, 6, 1))
        for wide in (3, 6)
    ]
    module = plain(trunk=nn.Sequential(*stages)).eval()

    def found() -> tuple[object, ...]:
        network = wrap(module, labels=["a", "b", "c"], **HOW)
        of = network.last, network.layers, network.maps, network.places, network.flat
        return *of, network.overwrites, network.cam_weights

    kept = found()
    assert any(name.endswith(".2") for name in kept[2])  # inside a stage
    monkeypatch.setattr(watching, "LARGE", 0)
    *others, weights = found()
    assert others == list(kept[:-1])
    assert torch.equal(weights, kept[-1])
