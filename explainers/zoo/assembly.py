"""What a file of weights holds, and a network that is built with it.

Only safetensors and plain tensors are read; nothing is ever unpickled freely.
"""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import ModelError
from ..network.recipe import Recipe
from .multilabel import BUILDERS

SCALE = ".scale"  # behind the name of weights that are kept in 8 bits: the size of their steps


def read(path: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a safetensors or .pth file, by name, in its order. Raises ModelError."""
    try:
        if path.suffix == ".safetensors":
            return whole(load_file(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, OSError, EOFError) as error:
        raise ModelError(f"The weights file of {name} can't be read: choose another.") from error
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise ModelError(f"The weights file of {name} holds something else: choose another.")
    return found


def whole(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that are kept in 8 bits, with a scale for each output channel beside them, made whole
    again; all others as they are."""
    eight = [n for n, v in tensors.items() if v.dtype == torch.int8 and n + SCALE in tensors]
    made = {n: tensors[n] * tensors[n + SCALE].float()[:, None, None, None] for n in eight}
    scales = {n + SCALE for n in eight}
    return {n: made.get(n, v) for n, v in tensors.items() if n not in scales}


def blank(recipe: Recipe, *, device: str = "meta") -> nn.Module:
    """An architecture with no weights of its own: on "meta" it takes no memory and no time."""
    arch, classes = recipe.arch, len(recipe.labels)
    with torch.device(device):
        if arch in BUILDERS:
            return BUILDERS[arch](classes).eval()
        made = timm.create_model(arch, pretrained=False, num_classes=classes, **recipe.args)
        return made.eval()


def assemble(
    recipe: Recipe, tensors: dict[str, Tensor], name: str, *, in_order: bool = False
) -> nn.Module:
    """Build a recipe's network and give it `tensors`; with `in_order` other names than its own
    don't matter.

    Raises ModelError that says which names or shapes differ.
    """
    module = blank(recipe)
    wanted = module.state_dict()
    if in_order and len(tensors) == len(wanted) and tensors.keys() != wanted.keys():
        tensors = dict(zip(wanted, tensors.values(), strict=True))
    counters = [n for n in wanted if n.endswith("num_batches_tracked")]
    # Some exports leave these out, and eval mode never reads them.
    tensors = {n: torch.zeros((), dtype=torch.int64) for n in counters} | tensors
    _compare(wanted, tensors, name)
    tensors = {n: tensor.to(wanted[n].dtype) for n, tensor in tensors.items()}
    module.load_state_dict(tensors, strict=True, assign=True)
    if any(tensor.is_meta for tensor in module.buffers()):  # a constant that no file holds
        module = blank(recipe, device="cpu")
        module.load_state_dict(tensors, strict=True)
    return module


def _compare(wanted: dict[str, Tensor], found: dict[str, Tensor], name: str) -> None:
    differences = [f"{n} is missing" for n in wanted if n not in found]
    differences += [f"{n} is not part of it" for n in found if n not in wanted]
    differences += [
        f"{n} is {_shape(found[n])} where {_shape(wanted[n])} is needed"
        for n in wanted
        if n in found and found[n].shape != wanted[n].shape
    ]
    if differences:
        more = f", and {len(differences) - 3} more differences" if len(differences) > 3 else ""
        raise ModelError(
            f"The weights of {name} do not fit its architecture ({'; '.join(differences[:3])}"
            f"{more}): choose another network."
        )


def _shape(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "a single number"
