"""A module in float64, where rounding is too small to count."""

from __future__ import annotations

import copy

import torch
from torch import nn


def has_float64(device: str | torch.device) -> bool:
    """Has that device such numbers? Apple's has none."""
    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):
        return False
    return True


def doubled(module: nn.Module) -> tuple[nn.Module, torch.device]:
    """A copy in float64, and where it lies: on the processor where its device has none."""
    made, device = copy.deepcopy(module), next(module.parameters()).device
    if not has_float64(device):
        made, device = made.cpu(), torch.device("cpu")
    return made.double(), device
