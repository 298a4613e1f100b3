"""Maps of a single channel that others are weighted with, as CBAM's attention to places is one."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from .calls import Calls
from .swaps import copied
from .views import noise


def weighted_with(
    module: nn.Module, probe: Tensor, gate: str, names: Collection[str]
) -> str | None:
    """The last of the layers of these names that the logits depend on otherwise than by the one
    called `gate`; None where they depend on none so, as where that is the trunk itself."""
    hook = module.get_submodule(gate).register_forward_hook(lambda _m, _x, out: out.detach())
    try:
        with torch.enable_grad(), copied(), Calls(module) as calls:
            logits = module(probe.clone().requires_grad_().clone())
            found = {n: out for n, _, out in calls.outputs if n in names and out.requires_grad}
            if not found or not logits.requires_grad:
                return None
            direction = noise(logits.shape, 2).to(logits.device)
            gradients = torch.autograd.grad(
                (logits * direction).sum(), list(found.values()), allow_unused=True
            )
    except RuntimeError:  # told by the maps that are made of it
        return None
    finally:
        hook.remove()
    felt = [n for n, g in zip(found, gradients, strict=True) if g is not None and g.any()]
    return felt[-1] if felt else None
