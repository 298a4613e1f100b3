"""A module in float64, where rounding is too small to count."""

from __future__ import annotations

import copy

import torch
from torch import nn


def doubled(module: nn.Module) -> tuple[nn.Module, torch.device]:
    """A copy in float64, and where it lies: on the processor where the device has no float64, as
    Apple's has none."""
    made, device = copy.deepcopy(module), next(module.parameters()).device
    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):
        made, device = made.cpu(), torch.device("cpu")
    return made.double(), device
