"""The multi-label network for training: BatchNorm folded away, and back again for shipping, with
its larger weights in 8 bits."""

from __future__ import annotations

import torch
from torch import Tensor

from explainers import load
from explainers.network.folding import fold
from explainers.zoo.checkpoint import SCALE
from explainers.zoo.multilabel import LiteWithDetector, SpatialLite
from explainers.zoo.nano import Nano

TRUNK = "lite2"  # of the catalogue's networks, the one whose trunk is fine-tuned
EPSILON = 1e-3  # that BatchNorm adds to the variance in this trunk
LARGE = 2**16  # weights of a convolution; so many are kept in 8 bits each


def new_network() -> SpatialLite:
    """ImageNet's trunk, folded, under an untrained head."""
    network = SpatialLite()
    state = load(TRUNK).module.state_dict()
    network.trunk.load_state_dict(
        {name: value for name, value in state.items() if not name.startswith("classifier.")}
    )
    fold(network.trunk)
    return network.eval().to(memory_format=torch.channels_last)


@torch.no_grad()
def joined(network: SpatialLite, detector: Nano, gain: float) -> LiteWithDetector:
    """A network with a detector beside its trunk: to each class's logits the head adds `gain` times
    what the detector says of that class."""
    both = LiteWithDetector().eval()
    both.trunk, both.detector = network.trunk, detector
    said = torch.eye(len(network.head.cells.weight))[:, :, None, None] * gain
    both.head.cells.weight.copy_(torch.cat([network.head.cells.weight, said], 1))
    both.head.cells.bias.copy_(network.head.cells.bias)
    return both.to(memory_format=torch.channels_last)


def plain_state(network: SpatialLite) -> dict[str, Tensor]:
    """The weights under their own names: each folded BatchNorm becomes one that only adds
    the bias, so that whoever builds the network from timm can load them."""
    full, mine = type(network)().state_dict(), network.state_dict()
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


def narrowed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as they are shipped: half precision, and the weights of large convolutions in 8
    bits, with the size of their steps for each output channel (`checkpoint.whole` undoes it)."""
    out = {}
    for name, value in tensors.items():
        if value.ndim == 4 and value.numel() >= LARGE:
            out[name + SCALE] = step = (value.flatten(1).abs().amax(1) / 127).half()
            steps = step.float().clamp(min=1e-9)[:, None, None, None]  # a dead channel has none
            out[name] = (value / steps).round().clamp(-127, 127).to(torch.int8).contiguous()
        else:
            out[name] = value.half() if value.is_floating_point() else value
    return out
