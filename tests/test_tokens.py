"""Transformers: their tokens are laid over the photo rightly, or a sentence says why not."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from explainers import METHODS, ModelError, explain, wrap
from tests import nets
from tests.nets import assert_close, maps

SIDE, CELLS, WIDTH = 32, 4, 16
KNOWN = {"mean": [0.5] * 3, "std": [0.25] * 3}


class Tokens(nn.Module):
    """A small vision transformer.

    kept: where the class token stands ("first", "last", "none": the average of all is read).
    batch_first: False has the tokens first. order: of the places, where they are not row by row.
    """

    def __init__(
        self, kept: str = "first", batch_first: bool = True, order: Tensor | None = None
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            self.stem = nn.Conv2d(3, WIDTH, SIDE // CELLS, SIDE // CELLS)
            self.place = nn.Parameter(torch.randn(1, CELLS**2, WIDTH))
            self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
            self.blocks = nn.ModuleList(
                nn.TransformerEncoderLayer(
                    WIDTH, 2, 32, batch_first=batch_first, dropout=0, norm_first=True,
                    activation="gelu",
                )
                for _ in range(3)
            )  # fmt: skip
            self.head = nn.Linear(WIDTH, 3)
        self.kept, self.batch_first, self.order = kept, batch_first, order

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2) + self.place
        x = x if self.order is None else x[:, self.order]
        token = self.token.expand(len(x), 1, WIDTH)
        parts = {"first": [token, x], "last": [x, token], "none": [x]}[self.kept]
        x = torch.cat(parts, 1)
        x = x if self.batch_first else x.transpose(0, 1)
        for block in self.blocks:
            x = block(x)
        x = x if self.batch_first else x.transpose(0, 1)
        return self.head({"first": x[:, 0], "last": x[:, -1], "none": x.mean(1)}[self.kept])


def by_hand(module: Tokens, x: Tensor, layer: str) -> Tensor:
    """Grad-CAM (h, w) of class 1, from where this network is known to keep its places."""
    held: list[Tensor] = []
    hook = module.get_submodule(layer).register_forward_hook(lambda _m, _i, out: held.append(out))
    (gradient,) = torch.autograd.grad(module(x.clone().requires_grad_())[0, 1], held)
    hook.remove()
    a, g = (each if module.batch_first else each.transpose(0, 1) for each in (held[0], gradient))
    first = int(module.kept == "first")
    a, g = (each[0, first : first + CELLS**2] for each in (a, g))
    return (a * g.mean(0)).sum(1).detach().reshape(CELLS, CELLS)


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["first", "last", "none"])
@pytest.mark.parametrize("batch_first", [True, False])
def test_tokens_are_places_whichever_stand_for_none(kept, batch_first):
    module = Tokens(kept, batch_first).eval()
    network = wrap(module, size=SIDE, **KNOWN)
    x = nets.noise(1, 3, SIDE, SIDE, seed=70)
    expected = "blocks.2" if kept == "none" else "blocks.2.norm1"  # behind it, no place counts
    assert network.last == expected
    theirs = by_hand(module, x, network.last)
    assert_close(maps(network, x, "gradcam", 1)[0], theirs, 1e-5)
    assert torch.allclose(network.record(x, (network.last,)).logits, module(x), atol=1e-6)


class Prompted(Tokens):
    """Learned tokens before the places, of which an input of 2 : 1 has 4 x 8."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.place = nn.Parameter(nets.noise(1, 2 * CELLS**2, WIDTH, seed=5))
        self.token = nn.Parameter(nets.noise(1, tokens, WIDTH, seed=6))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2) + self.place
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, 0])


@pytest.mark.parametrize("tokens", [1, 25])
def test_places_of_an_oblong_input_are_found_behind_as_many_prompts_as_there_are(tokens):
    module = Prompted(tokens).eval()
    network = wrap(module, size=(SIDE, 2 * SIDE), **KNOWN)
    x = nets.noise(1, 3, SIDE, 2 * SIDE, seed=72)
    held: list[Tensor] = []
    module.blocks[2].norm1.register_forward_hook(lambda _m, _i, out: held.append(out))
    (gradient,) = torch.autograd.grad(module(x.clone().requires_grad_())[0, 1], held)
    a, g = held[0][0, tokens:], gradient[0, tokens:]
    theirs = (a * g.mean(0)).sum(1).detach().reshape(CELLS, 2 * CELLS)
    assert network.last == "blocks.2.norm1"
    assert_close(maps(network, x, "gradcam", 1)[0], theirs, 1e-5)


class Resizing(Tokens):
    """Brings all inputs to one size itself, as CrossViT does."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, (SIDE, SIDE)))


def test_a_network_of_tokens_that_brings_inputs_to_its_size_sees_the_photo_so():
    found = explain(wrap(Resizing(), size=SIDE, **KNOWN), np.full((40, 90, 3), 99, np.uint8), 1)
    assert found.values.shape == (1, CELLS, CELLS)
    assert found.frame == (0, 0, 1, 1)


def test_a_channel_that_is_muted_keeps_its_class_token():
    module = Tokens().eval()
    network = wrap(module, size=SIDE, **KNOWN)
    x = nets.noise(1, 3, SIDE, SIDE, seed=71)
    muted = network.record(x, muted={network.last: 2}, gradients=False).logits

    def mute(_module: nn.Module, _inputs: object, out: Tensor) -> Tensor:
        out = out.clone()
        out[:, 1:, 2] = 0
        return out

    module.get_submodule(network.last).register_forward_hook(mute)
    assert_close(muted, module(x), 1e-5)


def test_tokens_in_an_order_of_their_own_are_no_map():
    order = torch.randperm(CELLS**2, generator=torch.Generator().manual_seed(1))
    with pytest.raises(ModelError, match=r"tokens in an order that can’t be told.*\.$"):
        wrap(Tokens(order=order), size=SIDE, **KNOWN)


class Stirred(Tokens):
    """A convolution amid its blocks sees the places in an order that is no photo's."""

    def __init__(self) -> None:
        super().__init__(order=torch.randperm(CELLS**2, generator=torch.Generator().manual_seed(1)))
        self.stir = nn.Conv2d(WIDTH, WIDTH, 1)
        self.blocks[0].register_forward_pre_hook(lambda _block, given: self.stirred(*given))

    def stirred(self, x: Tensor) -> Tensor:
        maps = self.stir(x[:, 1:].transpose(1, 2).unflatten(2, (CELLS, CELLS)))
        return torch.cat([x[:, :1], x[:, 1:] + maps.flatten(2).transpose(1, 2)], 1)


def test_a_map_of_no_places_makes_no_order_of_tokens_good_enough():
    with pytest.raises(ModelError, match="tokens in an order that can’t be told"):
        wrap(Stirred().eval(), size=SIDE, copy=False, **KNOWN)


def test_a_head_that_is_not_trained_yet_has_a_layer_all_the_same():
    module = Tokens()
    nn.init.zeros_(module.head.weight)
    network = wrap(module, size=SIDE, **KNOWN)
    assert network.last == "blocks.2.norm1"
    assert not network.module.head.weight.any()
    assert METHODS["cam"].defined(network) is False


def test_a_part_that_stands_at_two_names_is_left_as_it_was():
    module = Tokens()
    module.again = module.blocks
    nn.init.zeros_(module.blocks[0].norm1.bias)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    wrap(module.eval(), size=SIDE, copy=False, **KNOWN)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize(("make", "layer", "cells"), [
    (lambda: timm.create_model("test_vit", num_classes=4, img_size=64), "blocks.5.norm1", 4),
    (lambda: timm.create_model("deit_tiny_distilled_patch16_224", num_classes=4, img_size=64,
                               depth=2), "blocks.1.norm1", 4),
    (lambda: timm.create_model("swin_tiny_patch4_window7_224", num_classes=4, img_size=64,
                               window_size=2, depths=(1, 1, 1, 1)), "norm", 2),
    (lambda: torchvision.models.VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=4),
     "encoder.layers.encoder_layer_1.ln_1", 4),
], ids=["vit", "deit", "swin", "torchvision vit"])  # fmt: skip
def test_the_last_layer_of_known_transformers(make, layer, cells):
    torch.manual_seed(0)
    network = wrap(make(), size=64, **KNOWN)
    found = network.layers[network.last]
    assert (network.last, found.height, found.width) == (layer, cells, cells)
    assert f"the last {'map' if layer == 'norm' else 'tokens'} ·" in found.title  # no convolution's


class Embedded(Tokens):
    """Its places are embedded by a convolution of a constant, which no photo changes."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(2, WIDTH, 1)
        self.register_buffer("grid", torch.rand(1, 2, CELLS, CELLS))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0 * self.embed(self.grid).mean())


def test_a_map_that_no_photo_changes_is_no_layer():
    assert wrap(Embedded().eval(), size=SIDE, **KNOWN).last == "blocks.2.norm1"
