"""Grad-CAM of a plain classifier of whole tissue tiles: what A-MIL is compared with.

After Patil, Tamboli et al. 2019 and the survey's Fig. 6. The classifier is linear on the
average-pooled last layer of EfficientNet-Lite0, so the gradient's mean over a map is that map's
weight over its area, and no backward pass is needed.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import ModelError, OptionError
from ..explanation import Explanation
from ..network import Network
from ..network.frame import ALL
from .attention import BACKBONE, WEIGHTS


@cache
def load_tiles(path: Path = WEIGHTS / "tiles.safetensors") -> tuple[Tensor, Tensor]:
    """(1280,) weights and (1,) bias of the shipped classifier; raises ModelError."""
    try:
        kept = load_file(path)
        return kept["weight"].reshape(-1), kept["bias"]
    except (OSError, KeyError, SafetensorError) as error:
        raise ModelError(
            "The classifier of tissue tiles is missing or damaged: install the program again."
        ) from error


@torch.no_grad()
def tile_cam(network: Network, pixels: np.ndarray) -> Explanation:
    """Why a whole picture (H, W, 3) uint8 reads as malignant: raw signed values (1, h, w).

    It is read at its own scale, as the tiles of 224 px were, whatever its size. Raises OptionError
    for a network other than EfficientNet-Lite0.
    """
    if getattr(network.module, "default_cfg", {}).get("architecture") != BACKBONE:
        raise OptionError("The classifier of tissue tiles reads EfficientNet-Lite0: choose it.")
    start = time.perf_counter()
    weight, bias = load_tiles()
    x = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float() / 255
    x = network.normalised(x).to(network.device, memory_format=torch.channels_last)
    maps = network.module.forward_features(x)[0].cpu()
    values = torch.einsum("c,chw->hw", weight, maps) / maps[0].numel()
    logits = (values.sum() + bias).reshape(1)
    return Explanation(
        method="gradcam",
        values=values[None],
        targets=(0,),
        logits=logits,
        probabilities=logits.sigmoid(),
        frame=ALL,
        seconds=time.perf_counter() - start,
        labels=("malignant",),
        title="Grad-CAM of whole tiles",
    )
