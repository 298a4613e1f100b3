"""The multi-label network for training: BatchNorm folded away, and back again for shipping."""

from __future__ import annotations

import torch
from torch import Tensor

from explainers import load
from explainers.models.folding import fold
from explainers.models.multilabel import SpatialLite

TRUNK = "lite2"  # of the catalogue's networks, the one whose trunk is fine-tuned
EPSILON = 1e-3  # that BatchNorm adds to the variance in this trunk


def new_network() -> SpatialLite:
    """ImageNet's trunk, folded, under an untrained head."""
    network = SpatialLite()
    state = load(TRUNK).module.state_dict()
    network.trunk.load_state_dict(
        {name: value for name, value in state.items() if not name.startswith("classifier.")}
    )
    fold(network.trunk)
    return network.eval().to(memory_format=torch.channels_last)


def plain_state(network: SpatialLite) -> dict[str, Tensor]:
    """The weights under `SpatialLite`'s own names: each folded BatchNorm becomes one that only adds
    the bias, so that whoever builds the network from timm can load them."""
    full, mine = SpatialLite().state_dict(), network.state_dict()
    norms = {name.rsplit(".", 1)[0] for name in full if name.endswith("running_var")}
    order = dict.fromkeys(name.rsplit(".", 1)[0] for name in full)
    biases = [name for name in mine if name.startswith("trunk.") and name.endswith(".bias")]
    out = {name: mine[name] for name in full if name in mine}
    for norm, bias in zip([n for n in order if n in norms], biases, strict=True):
        out[f"{norm}.weight"] = torch.ones_like(mine[bias])
        out[f"{norm}.bias"] = mine[bias]
        out[f"{norm}.running_mean"] = torch.zeros_like(mine[bias])
        out[f"{norm}.running_var"] = torch.full_like(mine[bias], 1 - EPSILON)
    return {name: value.contiguous() for name, value in out.items()}
