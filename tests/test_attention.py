"""Attention rollout: equal to what is written out by hand, and found for those that can have it."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from timm.models.vision_transformer import ParallelThingsBlock
from torch import Tensor, nn

from explainers import OptionError, explain, wrap
from explainers.network.unfolding import Unfolded
from tabs.maps import TAB as MAPS
from tests import nets
from tests.desk import Desk
from tests.nets import maps

KNOWN = {"mean": [0.5] * 3, "std": [0.25] * 3, "size": 64}
PHOTO = {"example": "cat.jpg"}


def timms(**facts) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(
        "vit_tiny_patch16_224", num_classes=4, img_size=64, depth=3, **facts
    ).eval()


def torchvisions() -> nn.Module:
    torch.manual_seed(0)
    module = torchvision.models.VisionTransformer(64, 16, 3, 4, 32, 64, num_classes=4).eval()
    nn.init.normal_(module.heads.head.weight)
    return module


def weights_of_timms(module: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The logits and each block's attention, written out."""
    x = module.norm_pre(module._pos_embed(module.patch_embed(x)))
    kept = []
    for block in module.blocks:
        n, tokens, width = x.shape
        heads = block.attn.num_heads
        q, k, v = (
            block.attn.qkv(block.norm1(x)).reshape(n, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
        )
        scores = torch.einsum("nhid,nhjd->nhij", q, k) / (width / heads) ** 0.5
        kept.append((scores.exp() / scores.exp().sum(-1, keepdim=True)).requires_grad_())
        x = x + block.attn.proj((kept[-1] @ v).transpose(1, 2).reshape(n, tokens, width))
        x = x + block.mlp(block.norm2(x))
    return module.forward_head(module.norm(x)), kept


def weights_of_torchvisions(module: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    x = module._process_input(x)
    x = torch.cat([module.class_token, x], 1) + module.encoder.pos_embedding
    kept = []
    for layer in module.encoder.layers:
        n, tokens, width = x.shape
        attention = layer.self_attention
        projected = nn.functional.linear(
            layer.ln_1(x), attention.in_proj_weight, attention.in_proj_bias
        )
        q, k, v = projected.reshape(n, tokens, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(2, 3) / (width / attention.num_heads) ** 0.5
        kept.append(scores.softmax(-1).requires_grad_())
        x = x + attention.out_proj((kept[-1] @ v).transpose(1, 2).reshape(n, tokens, width))
        x = x + layer.mlp(layer.ln_2(x))
    return module.heads(module.encoder.ln(x)[:, 0]), kept


MADE = {
    "class token": (timms, weights_of_timms, [0], 1),
    "average": (
        lambda: timms(global_pool="avg", class_token=False), weights_of_timms, range(16), 0,
    ),
    "registers": (lambda: timms(reg_tokens=3), weights_of_timms, [0], 4),
    "torchvision": (torchvisions, weights_of_torchvisions, [0], 1),
}  # fmt: skip


class Written(nn.Module):
    """Two blocks of attention whose weights are computed in one of several forms."""

    def __init__(self, form: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.form, self.stem, self.head = form, nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 4)
        self.norms = nn.ModuleList(nn.LayerNorm(16) for _ in range(2))
        self.blocks = nn.ModuleList(nn.Linear(16, 48) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        first = self.form == "tokens first"
        x = self.stem(x).flatten(2).permute((2, 0, 1) if first else (0, 2, 1))
        for norm, block in zip(self.norms, self.blocks, strict=True):
            y = 4 * block(norm(x))
            y = y.transpose(0, 1) if first else y
            q, k, v = y.unflatten(2, (3, 4, 4)).permute(2, 0, 3, 1, 4)
            y = self.attended(q, k, v).transpose(1, 2).flatten(2)
            x = x + (y.transpose(0, 1) if first else y)
        return self.head(norm(x).mean(0 if first else 1))

    def attended(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if "log" in self.form:
            self.log = (q[:, :, :1] @ k.transpose(2, 3)).softmax(3).mean(1)
            logged = (q @ k.transpose(2, 3)).softmax(3)
            out = nn.functional.scaled_dot_product_attention(q, k, v, scale=1.0)
            self.log = (q @ k.transpose(2, 3)).softmax(3) if "after" in self.form else logged
            return out
        if self.form == "keys in rows":
            return (k @ q.transpose(2, 3)).softmax(dim=-2).transpose(2, 3) @ v
        if self.form == "heads in the batch":
            q, k, v = (each.flatten(0, 1) for each in (q, k, v))
            return torch.bmm(torch.bmm(q, k.transpose(1, 2)).softmax(2), v).unflatten(0, (-1, 4))
        return torch.softmax(q @ k.transpose(2, 3), 3) @ v


@pytest.mark.slow
@pytest.mark.parametrize(
    "form", ["keys in rows", "heads in the batch", "tokens first", "log before it", "log after it"]
)
@pytest.mark.parametrize("method", ["rollout", "gradient_rollout"])
def test_rollouts_do_not_hang_on_how_the_weights_are_written(method, form):
    x = nets.noise(1, 3, 64, 64, seed=81)
    found = [
        explain(network, network.view(x), 1, method).values
        for network in (wrap(Written(each), **KNOWN) for each in ("usual", form))
    ]
    nets.assert_close(found[1], found[0], 1e-4)
    assert found[0].amax() > 1.05 * found[0].amin()


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_both_rollouts_equal_what_is_written_out(name):
    make, by_hand, read, before = MADE[name]
    network = wrap(make(), **KNOWN)
    assert list(network.attention.read) == list(read)
    module = make().double()
    network.module.double()
    x = nets.noise(1, 3, 64, 64, seed=80).double()
    logits, weights = by_hand(module, x)
    tokens = weights[0].shape[-1]
    flat = torch.eye(tokens, dtype=torch.float64)
    rising = {(2, None): flat, (2, 0): flat}
    for each in weights:
        flat = (each[0].mean(0) / 2 + torch.eye(tokens) / 2) @ flat
    for (target, against), start in rising.items():
        score = logits[0, target] - (0 if against is None else logits[0, against])
        rolled = start
        for each, g in zip(
            weights, torch.autograd.grad(score, weights, retain_graph=True), strict=True
        ):
            rolled = rolled + (g * each).relu()[0].mean(0) @ rolled
        theirs = (rolled - start)[list(read), before:].mean(0).reshape(4, 4)
        ours = maps(network, x, "gradient_rollout", target, against=against)[0]
        torch.testing.assert_close(ours.double(), theirs.detach(), rtol=1e-6, atol=0)
    theirs = flat[list(read), before:].mean(0).reshape(4, 4)
    ours = maps(network, x, "rollout", 2)[0]
    torch.testing.assert_close(ours.double(), theirs.detach(), rtol=1e-6, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("make", [timms, torchvisions])
def test_unfolding_changes_neither_the_answer_nor_the_network(make, fused):
    module = make()
    for part in module.modules():
        if hasattr(part, "fused_attn"):
            part.fused_attn = fused
    network = wrap(module, **KNOWN)
    x = nets.noise(2, 3, 64, 64, seed=81)
    plain = network.logits(x)
    before = {name: id(part) for name, part in network.module.named_modules()}
    with Unfolded() as seen:
        again = network.record(x).logits
    assert len(seen.weights) == 3
    assert torch.allclose(seen.weights[0].sum(-1), torch.ones(()), atol=1e-5)
    assert torch.allclose(plain, again, atol=1e-5)
    assert torch.equal(plain, network.logits(x))
    assert {name: id(part) for name, part in network.module.named_modules()} == before
    assert not any(w.requires_grad or w.grad is not None for w in network.module.parameters())


class Look(nn.Module):
    """The class token looks at what is bright, and takes that over."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = (nn.Parameter(torch.zeros(n, 4)) for n in (12, 4))
        with torch.no_grad():
            self.qkv[0, 1] = self.qkv[4, 0] = self.qkv[8, 0] = 2
            self.out.copy_(torch.eye(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (x @ self.qkv.T).unflatten(2, (3, 1, 4)).permute(2, 0, 3, 1, 4)
        return x + nn.functional.scaled_dot_product_attention(q, k, v)[:, 0] @ self.out.T


class Pointing(nn.Module):
    """Class 1 is for light where it looks, class 0 against."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 8, 8, bias=False)
        self.first, self.second, self.head = Look(), Look(), nn.Linear(4, 2, bias=False)
        self.token = nn.Parameter(torch.tensor([[[0.0, 4.0, 0.0, 0.0]]]))
        with torch.no_grad():
            self.stem.weight.zero_()
            self.stem.weight[0] = 1 / 192
            self.head.weight.copy_(torch.tensor([[-1.0, 0, 0, 0], [1.0, 0, 0, 0]]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), 1, 4), x], 1)
        return self.head(self.second(self.first(x))[:, 0])


def test_rollouts_find_what_the_class_token_looks_at():
    network = wrap(Pointing(), mean=[0.0] * 3, std=[1.0] * 3, size=64)
    for row, column in ((1, 6), (5, 2)):
        x = torch.zeros(1, 3, 64, 64)
        x[:, :, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = 1
        for method, target in (("rollout", 0), ("gradient_rollout", 1)):
            found = maps(network, x, method, target)[0]
            assert divmod(int(found.argmax()), 8) == (row, column), method
        for_it, against_it = maps(network, x, "gradient_rollout", 1, 0)
        assert float(for_it[row, column]) > 10 * float(against_it[row, column])


@pytest.mark.slow
@pytest.mark.parametrize(("make", "words"), [
    (lambda: nets.module("resnet18", num_classes=4), "and It has none; Grad-CAM is defined"),
    (lambda: timm.create_model("swin_tiny_patch4_window7_224", num_classes=4, img_size=64,
                               window_size=2, depths=(1, 1, 1, 1)), "It looks in windows"),
    (lambda: timms(block_fn=ParallelThingsBlock), "or several times side by side somewhere"),
], ids=["ResNet", "Swin", "side by side"])  # fmt: skip
def test_others_say_why_they_have_none(make, words):
    network = wrap(make(), title="It", **KNOWN)
    for method in ("rollout", "gradient_rollout"):
        with pytest.raises(OptionError, match=words):
            explain(network, bytes_of_noise(), 1, method=method)
    offered = MAPS.fields[0].offered(network)
    assert not {"rollout", "gradient_rollout"} & {key for _, key in offered}


def bytes_of_noise() -> Tensor:
    return (nets.noise(64, 64, 3, seed=82).sigmoid() * 255).byte().numpy()


def test_guided_backprop_says_that_gelu_has_none():
    with pytest.raises(OptionError, match="rule for ReLUs, and It uses gelu"):
        explain(wrap(timms(), title="It", **KNOWN), bytes_of_noise(), 1, method="guided")


def test_the_page_opens_with_what_a_transformer_can_have():
    network = wrap(timms(), **KNOWN)
    desk = Desk(MAPS, network, photo={"example": "cat-and-espresso.jpg"})
    shown = desk.whole(desk.ask())
    cells = {each["method"]: each["absent"] for each in shown["data"]["layout"]["cells"]}
    assert cells == {"gradcam": "", "rollout": "", "gradient_rollout": ""}
    asked = desk.whole(desk.ask(methods="guided,cam"))["data"]["layout"]["cells"]
    assert all(each["absent"].endswith(".") for each in asked)
