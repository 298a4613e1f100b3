"""What a file of weights holds: tensors by name, found inside of whatever a training loop saved.

Only safetensors and plain tensors are read; nothing is ever unpickled freely.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Collection, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..errors import ModelError

SCALE = ".scale"  # behind the name of weights that are kept in 8 bits: the size of their steps
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")

POINTER = b"version https://git-lfs"

#: Where training loops keep a network's tensors: averaged weights first, as timm does.
INSIDE = (
    "state_dict_ema", "model_ema", "ema_state_dict", "model_ema_state_dict", "ema_model", "ema",
    "state_dict", "model", "model_state_dict", "module", "net",
    "network", "weights",
)  # fmt: skip
#: Plain records that training loops save beside the tensors, and that run nothing.
_RECORDS = [argparse.Namespace, pathlib.PosixPath]


def read(path: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file or checkpoint, by name, in its order. Raises ModelError."""
    return tensors(saved(path, name), name)


def saved(path: Path, name: str) -> dict[str, Any]:
    """All that a safetensors file or checkpoint holds, by name. Raises ModelError."""
    try:
        if path.suffix == ".safetensors":
            return whole(load_file(path))
        with torch.serialization.safe_globals(_RECORDS):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no checkpoint may raise anything
        if isinstance(error, UnpicklingError) and "Unsupported global" in str(error):
            raise ModelError(
                f"The weights file of {name} holds more than tensors, which could run code, and is "
                "not opened: save model.state_dict() alone, or a safetensors file."
            ) from error
        if "TorchScript" in str(error):
            raise ModelError(
                f"The weights file of {name} is TorchScript: save the state_dict() of the "
                "nn.Module that it was made from."
            ) from error
        remedy = "fetch it with “git lfs pull”" if _is_pointer(path) else "choose another"
        raise ModelError(f"The weights file of {name} can’t be read: {remedy}.") from error
    if not isinstance(found, dict):
        raise ModelError(f"The weights file of {name} holds something else: choose another.")
    return found


def _is_pointer(path: Path) -> bool:
    """Is it what Git LFS leaves in the place of a file that was not fetched?"""
    try:
        with path.open("rb") as file:
            return file.read(len(POINTER)) == POINTER
    except OSError:
        return False


def tensors(found: Mapping[str, Any], name: str, prefix: str | None = None) -> dict[str, Tensor]:
    """A network's tensors among what was saved: all of it, or the one state dict inside; of several
    the one that training loops keep it in, else all, with what holds them before their names.

    prefix: what is asked for, which may be one of several.
    """
    if _plain(found):
        return dict(found)
    inside = {str(key): value for key, value in found.items() if _plain(value)}
    if not inside:
        raise ModelError(
            f"The weights file of {name} holds something else than one network’s tensors: save "
            "model.state_dict() alone."
        )
    usual = next((key for key in INSIDE if key in inside), None)
    asked = prefix and prefix.partition(".")[0] in inside
    if len(inside) > 1 and (asked or usual is None):
        return {f"{key}.{name}": v for key, each in inside.items() for name, v in each.items()}
    return dict(inside[usual] if usual else next(iter(inside.values())))


def _plain(value: Any) -> bool:
    """Is it a state dict, and not empty?"""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(each, Tensor) for each in value.values())
    )


def unprefixed(
    found: Mapping[str, Tensor], wanted: Collection[str], name: str, prefix: str | None = None
) -> dict[str, Tensor]:
    """The tensors under the names `wanted`, whatever stands before these: "model." of Lightning,
    "module." of DataParallel, "_orig_mod." of torch.compile. What lies outside of it, such as a
    loss's own weights, is left out.

    prefix: what stands before them, where a checkpoint holds several networks, such as an average
    beside the trained one. Raises ModelError where several fit as well.
    """
    if prefix is None:
        ends = [f".{each}" for each in (*list(wanted)[:1], *list(wanted)[-1:])]
        before = {"", *(key[: 1 - len(e)] for key in found for e in ends if key.endswith(e))}
        fit = {each: sum(f"{each}{name}" in found for name in wanted) for each in sorted(before)}
        best = [each for each, count in fit.items() if count == max(fit.values())]
        if len(best) > 1 and "" not in best:
            raise ModelError(
                f"The weights file of {name} holds several networks, under "
                f"{' and '.join(f'“{each}”' for each in best[:4])}: say which, as prefix=…."
            )
        prefix = best[0]
    elif any(key.startswith(f"{prefix}.") for key in found):
        prefix += "."
    return {key.removeprefix(prefix): v for key, v in found.items() if key.startswith(prefix)}


def whole(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that are kept in 8 bits, with a scale for each output channel beside them, made whole
    again; all others as they are."""
    eight = [n for n, v in tensors.items() if v.dtype == torch.int8 and n + SCALE in tensors]
    made = {n: tensors[n] * tensors[n + SCALE].float()[:, None, None, None] for n in eight}
    scales = {n + SCALE for n in eight}
    return {n: made.get(n, v) for n, v in tensors.items() if n not in scales}
