"""The weights of every attention of one pass, which fused functions keep to themselves.

A torch function mode computes attention in its plain form for the pass of one thread: no module is
touched, and the network's answer stays what it was, up to rounding.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .door import same
from .layout import Layout
from .tokens import awake
from .views import noise


@dataclass(frozen=True)
class Attention:
    """That of a network in which every token looks at every other, block after block.

    blocks: which of the pass's attentions they are; one computed a second time, for a log, is none.
    heads, tokens: how many. layout: which of them are places, on the axis behind the photos. read:
    the tokens that the logits are read off behind the last block: the class token, or all.
    """

    blocks: tuple[int, ...]
    heads: int
    tokens: int
    layout: Layout
    read: tuple[int, ...]


class Unfolded(TorchFunctionMode):
    """While it is entered, keeps the weights (N, heads, queries, keys) of every attention, or of
    those `blocks` alone.

    With gradients switched on, the first ones are a leaf, so that the backward pass ends there.
    """

    def __init__(self, blocks: Sequence[int] | None = None) -> None:
        super().__init__()
        self.weights: list[Tensor] = []
        self._blocks, self._seen = blocks, count()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        named = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._attended(*args, **named)
        if func is F.multi_head_attention_forward:
            return self._several(func, *args, **named)
        out = func(*args, **named)
        if getattr(func, "__name__", "") != "softmax" or not isinstance(out, Tensor):
            return out
        over = named.get("dim", args[1] if len(args) > 1 else None)
        over = over if isinstance(over, int) else 1  # as torch has it for heads, unsaid
        if out.ndim == 3 and out.shape[1] == out.shape[2]:  # the heads of one photo as a batch
            return self._kept_of(out[None], over if over < 0 else over + 1)[0]
        return self._kept_of(out, over) if out.ndim == 4 else out

    def _kept_of(self, weights: Tensor, over: int) -> Tensor:
        """Weights of which those over that axis sum to one, which may be the keys in rows."""
        if over % 4 == 2:
            return self._kept(weights.transpose(2, 3)).transpose(2, 3)
        return self._kept(weights)

    def _kept(self, weights: Tensor) -> Tensor:
        if self._blocks is not None and next(self._seen) not in self._blocks:
            return weights
        if torch.is_grad_enabled() and not weights.requires_grad:
            weights = weights.detach().requires_grad_()
        self.weights.append(weights)
        return weights

    def _attended(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """`F.scaled_dot_product_attention` as its documentation writes it, without dropout."""
        if enable_gqa:
            times = query.shape[-3] // key.shape[-3]
            key, value = (each.repeat_interleave(times, -3) for each in (key, value))
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        scores = query @ key.transpose(-2, -1) * scale
        if is_causal:
            below = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
            scores = scores.masked_fill(~below, -torch.inf)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        return self._kept(scores.softmax(-1)) @ value

    def _several(self, func: Any, *args: Any, **named: Any) -> tuple[Tensor, Tensor | None]:
        """`F.multi_head_attention_forward`, in which no inner call is seen: its projections, and
        the attention between them. Masks, extra keys and the like are left to itself."""
        bound = _MULTI_HEAD.bind(*args, **named)
        bound.apply_defaults()
        told = bound.arguments
        inputs = [told[name] for name in ("query", "key", "value")]
        if any(told[name] is not None and told[name] is not False for name in _UNUSUAL) or any(
            each.ndim != 3 for each in inputs
        ):
            return func(*args, **named)
        bias = told["in_proj_bias"]
        biases = (None,) * 3 if bias is None else bias.chunk(3)
        parts = [
            F.linear(each, w, b).unflatten(2, (told["num_heads"], -1)).permute(1, 2, 0, 3)
            for each, w, b in zip(inputs, told["in_proj_weight"].chunk(3), biases, strict=True)
        ]
        out = self._attended(*parts).permute(2, 0, 1, 3).flatten(2)
        out = F.linear(out, told["out_proj_weight"], told["out_proj_bias"])
        if not told["need_weights"]:
            return out, None
        weights = self.weights[-1]
        return out, weights.mean(1) if told["average_attn_weights"] else weights


_MULTI_HEAD = inspect.signature(F.multi_head_attention_forward)
_UNUSUAL = (
    "bias_k bias_v add_zero_attn training key_padding_mask attn_mask use_separate_proj_weight "
    "static_k static_v is_causal"
).split()


def attention(
    module: nn.Module, probe: Tensor, answer: Tensor, layout: Layout, places: int
) -> Attention | None:
    """How the network attends, or None where no single row of weights spans all its tokens, block
    after block: with windows, with tokens that are pooled on the way, over channels, several times
    side by side.

    answer: the module's for `probe`. layout, places: of its last tokens.
    """
    with torch.enable_grad(), Unfolded() as seen:
        logits = module(probe.clone())
    if not seen.weights or not same(logits.detach(), answer):
        return None
    with torch.enable_grad(), Unfolded() as seen:
        logits = awake(module, probe.clone())
    toward = noise(logits.shape, 3).to(logits.device)
    gradients = torch.autograd.grad(
        (logits * toward).sum(), seen.weights, retain_graph=True, allow_unused=True
    )
    blocks = [index for index, gradient in enumerate(gradients) if gradient is not None]
    tokens = places + layout.before + layout.behind
    last = gradients[blocks[-1]] if blocks else None
    if last is None or any(
        len(seen.weights[index]) != 1 or seen.weights[index].shape[2:] != (tokens, tokens)
        for index in blocks
    ):
        return None
    pairs = ((seen.weights[a], seen.weights[b]) for a, b in pairwise(blocks))
    if not all(_behind(*pair) for pair in pairs):
        return None
    read = last[0].abs().sum((0, 2)).nonzero()[:, 0].tolist()
    behind = Layout("tokens", layout.before, layout.behind)  # also where the tokens come first
    return Attention(tuple(blocks), last.shape[1], tokens, behind, tuple(read))


def _behind(first: Tensor, second: Tensor) -> bool:
    """Are these weights made of what the first ones attended to, and not beside them?"""
    (gradient,) = torch.autograd.grad(second.sum(), first, retain_graph=True, allow_unused=True)
    return gradient is not None
