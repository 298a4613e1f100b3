"""Attention-based multiple instance learning: a bag of patches, pooled by learned attention.

Ilse, Tomczak and Welling 2018 (section 2.4); Patil, Tamboli et al. 2019 for tissue. The classifier
is linear on the pooled embedding z = sum a_k h_k, so the bag's logit is sum a_k s_k exactly, where
s_k is the same classifier on patch k alone: attention says where the network looked, s_k what it
saw there, and their product what the patch gave to the answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from .. import places
from ..errors import ModelError, OptionError
from ..network import Network
from ..photo import Photo
from .patches import Grid, cut, stitch

WEIGHTS = places.WEIGHTS / "amil-colon"
BACKBONE = "tf_efficientnet_lite0"
FEATURES = 2 * (40 + 80 + 112) + 192  # means and spreads of stages 2 to 4, means of stage 5
INPUT = 112  # pixels a side at which the backbone reads a patch
BATCH = 16

Rule = Literal["percentile", "raw", "author"]


class Attention(nn.Module):
    """One attention logit for each patch: w tanh(V h), or gated, w (tanh(V h) * sigmoid(U h))."""

    def __init__(self, width: int, hidden: int = 128, gated: bool = True) -> None:
        super().__init__()
        self.tanh = nn.Linear(width, hidden)
        self.gate = nn.Linear(width, hidden) if gated else None
        self.weight = nn.Linear(hidden, 1)

    def forward(self, embedded: Tensor) -> Tensor:
        """(..., width) -> (...)."""
        hidden = self.tanh(embedded).tanh()
        if self.gate is not None:
            hidden = hidden * self.gate(embedded).sigmoid()
        return self.weight(hidden).squeeze(-1)


class AttentionMIL(nn.Module):
    """encoder (N, ...) -> (N, width), then attention pooling and a linear classifier of the bag."""

    def __init__(
        self, encoder: nn.Module, width: int, hidden: int = 128, gated: bool = True
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.attention = Attention(width, hidden, gated)
        self.classifier = nn.Linear(width, 1)

    def instances(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Patches (N, ...) -> their attention logits (N,) and instance logits (N,)."""
        embedded = self.encoder(patches)
        return self.attention(embedded), self.classifier(embedded).squeeze(-1)

    def forward(self, bags: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Bags (B, N, ...) -> logits (B,), attention (B, N), instance logits (B, N).

        present: (B, N) bool, false where a bag has fewer than N patches.
        """
        attention, instances = self.instances(bags.flatten(0, 1))
        attention, instances = (t.view(bags.shape[:2]) for t in (attention, instances))
        return *pool(attention, instances, present), instances


def pool(
    attention: Tensor, instances: Tensor, present: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Attention and instance logits (..., N) -> bag logits (...) and weights that sum to one."""
    if present is not None:
        attention = attention.masked_fill(~present, -torch.inf)
    weights = attention.softmax(-1)
    return (weights * instances).sum(-1), weights


class Standardise(nn.Module):
    """Features to mean 0 and spread 1, as the training patches had them."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale


def feature_head(features: int = FEATURES, width: int = 128) -> AttentionMIL:
    """Gated attention over ready-made features (N, `features`) of patches: what is trained for
    tissue (Ilse et al. 2018)."""
    encoder = nn.Sequential(
        Standardise(features),
        nn.Dropout(0.4),
        nn.Linear(features, width),
        nn.ReLU(),
        nn.Dropout(0.4),
    )
    return AttentionMIL(encoder, width)


def load_amil(folder: Path = WEIGHTS) -> AttentionMIL:
    """The shipped head for colon tissue, frozen. Raises ModelError if the files are not it."""
    try:
        config = json.loads((folder / "config.json").read_text())
        head = feature_head(config["features"], config["width"])
        head.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            "The attention head for tissue is missing or damaged: install the program again."
        ) from error
    return head.eval().requires_grad_(False)


def as_batch_of(patches: Sequence[np.ndarray], size: int | tuple[int, int]) -> Tensor:
    """Patches (h, w, 3) uint8 of any size as (N, 3, height, width) float32 in 0..1. size: pixels of
    the side, or (height, width)."""
    height, width = (size, size) if isinstance(size, int) else size
    side = min(height, width)
    resized = [
        cv2.resize(
            np.ascontiguousarray(patch),
            (width, height),
            interpolation=cv2.INTER_CUBIC if min(patch.shape[:2]) < side else cv2.INTER_AREA,
        )
        for patch in patches
    ]
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255


def as_batch(
    patches: Sequence[np.ndarray], size: int | tuple[int, int], network: Network
) -> Tensor:
    """Patches as (N, C, height, width), as the network sees photos."""
    if not network.sees_colours and network.transform is not None:
        photos = (Photo(each, "", (each.shape[1], each.shape[0])) for each in patches)
        return torch.cat([network.transform(each)[0] for each in photos])
    if not network.sees_colours:
        raise OptionError(f"{network.title} does not see red, green and blue, as patches are.")
    return network.normalised(as_batch_of(patches, size))


@torch.no_grad()
def embed(network: Network, patches: Sequence[np.ndarray]) -> Tensor:
    """Patches (h, w, 3) uint8 -> features (N, 656) of EfficientNet-Lite0's middle stages.

    Mean and standard deviation over each channel's map after stages 2, 3 and 4, the mean after
    stage 5: texture, where the last layer (1280 means) knows objects; it told tissue apart better.
    Raises OptionError for another network.
    """
    module = network.module
    if getattr(module, "default_cfg", {}).get("architecture") != BACKBONE:
        raise OptionError("The attention head for tissue reads EfficientNet-Lite0: choose it.")
    x = as_batch(patches, INPUT, network).to(network.device, memory_format=torch.channels_last)
    x = module.bn1(module.conv_stem(x))
    means, spreads = [], []
    for stage, block in enumerate(module.blocks[:6]):
        x = block(x)
        if stage >= 2:
            means.append(x.mean((2, 3)))
        if 2 <= stage <= 4:
            spreads.append(x.std((2, 3)))
    return torch.cat(means + spreads, 1).cpu()


@dataclass(frozen=True)
class Reading:
    """A bag read so far: `attention_logits` and `instance_logits` (n,) of the first n patches.

    done: 0 to 1; seconds: spent so far. note: what to know about this bag, or None. Patches are
    numbered as in `grid.boxes`.
    """

    grid: Grid
    attention_logits: np.ndarray
    instance_logits: np.ndarray
    seconds: float
    note: str | None = None

    @property
    def done(self) -> float:
        return len(self.attention_logits) / len(self.grid)

    @property
    def attention(self) -> np.ndarray:
        """(n,) weights that sum to one: where the network looked, no evidence for a class."""
        exponents = np.exp(self.attention_logits - self.attention_logits.max())
        return exponents / exponents.sum()

    @property
    def scores(self) -> np.ndarray:
        """(n,) each patch's own probability, were it the whole bag."""
        return sigmoid(self.instance_logits)

    @property
    def weighted(self) -> np.ndarray:
        """(n,) attention x instance score: looked at, and found to be of the class."""
        return self.attention * self.scores

    @property
    def logit(self) -> float:
        return float(self.attention @ self.instance_logits)

    @property
    def probability(self) -> float:
        """Of the bag: that it holds the class at all."""
        return float(sigmoid(self.logit))

    def top(self, count: int = 5) -> np.ndarray:
        """(count,) numbers of the patches with the most attention, best first."""
        return np.argsort(-self.attention_logits, kind="stable")[:count]

    def rank(self, patch: int) -> int:
        """Place of a patch by attention, 1 for the most."""
        return int((self.attention_logits > self.attention_logits[patch]).sum()) + 1

    def remove_top(self) -> np.ndarray:
        """(n,) the bag's probability without its 0, 1, ... n - 1 top patches.

        The attention of those that stay is normalised anew.
        """
        order = self.top(len(self.attention_logits))
        weights = self.attention[order]
        rest = np.cumsum((weights * self.instance_logits[order])[::-1])[::-1]
        rest /= np.maximum(np.cumsum(weights[::-1])[::-1], 1e-300)
        return sigmoid(rest)

    def picture(self, values: np.ndarray) -> np.ndarray:
        """Any (n,) of these over the picture: (H, W), NaN where nothing was read yet."""
        return stitch(values, self.grid.boxes, self.grid.size)


def attend(
    head: AttentionMIL,
    network: Network,
    pixels: np.ndarray,
    patch: int = 56,
    overlap: float = 0.0,
) -> Iterator[Reading]:
    """Read a tissue picture (H, W, 3) uint8 patch by patch; yields a growing Reading.

    The head was trained on patches of 56 px. Raises OptionError for more than 2000 patches, for a
    picture under 16 px a side, or for a network other than EfficientNet-Lite0.
    """
    grid = cut(pixels, patch, overlap)
    note = None
    if len(grid) == 1:
        note = "The whole picture is one patch, so it has all the attention: cut it smaller."
    start, attention, instances = time.perf_counter(), [], []
    for first in range(0, len(grid), BATCH):
        with torch.no_grad():
            features = embed(network, grid.patches[first : first + BATCH])
            looked, saw = head.instances(features)
        attention.append(looked.double().numpy())
        instances.append(saw.double().numpy())
        seconds = time.perf_counter() - start
        yield Reading(grid, np.concatenate(attention), np.concatenate(instances), seconds, note)


def brightness(
    values: np.ndarray,
    rule: Rule = "percentile",
    floor: float = 0.25,
    strong: float = 95,
    like: np.ndarray | None = None,
) -> np.ndarray:
    """How brightly to light each patch, 0 to 1, from values (n,) >= 0.

    "percentile": full light at the `strong`-th percentile, so that one patch does not leave the
    rest in the dark; "raw": the values as they are (attention sums to one, so many patches are
    dark); both between `floor` and 1. "author": values over their maximum and no floor, as the
    published A-MIL code of Patil, Tamboli et al. lights its patches. like: the scale is that of
    these values instead of the values' own, so that two pictures can be compared.
    """
    values = np.asarray(values, dtype=np.float64)
    scale = values if like is None else np.asarray(like, dtype=np.float64)
    if rule == "author":
        return np.clip(values / max(scale.max(), 1e-12), 0, 1)
    if rule == "percentile":
        values = values / max(np.percentile(scale, strong), 1e-12)
    elif rule != "raw":
        raise OptionError("The light is “percentile”, “raw” or “author”: choose one of them.")
    return floor + (1 - floor) * np.clip(values, 0, 1)


def sigmoid(x: np.ndarray | float) -> np.ndarray:
    """Probabilities of logits, of whatever shape."""
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))
