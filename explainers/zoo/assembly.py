"""A network that is built after its recipe, with the weights that belong to it."""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import ModelError, reason, sized
from ..network.recipe import Recipe
from .multilabel import BUILDERS


class _Unfilled(TorchFunctionMode):
    """Weights on "meta" are not filled with random numbers, of which they keep none: torch's way to
    do so there brings its compiler along, two seconds of a core."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        weight = kwargs["tensor"] if "tensor" in kwargs else next(iter(args), None)
        of = getattr(func, "__module__", None)
        fills = of == nn.init.__name__ or func in (Tensor.normal_, Tensor.uniform_)
        if fills and isinstance(weight, Tensor) and weight.is_meta:
            return weight
        return func(*args, **kwargs)


def blank(recipe: Recipe, *, device: str = "meta") -> nn.Module:
    """An architecture with no weights of its own: on "meta" it takes no memory and no time.

    Raises ModelError where timm does not take the recipe's arguments.
    """
    arch, classes = recipe.arch, len(recipe.labels)
    with _Unfilled(), torch.device(device):
        if arch in BUILDERS:
            return BUILDERS[arch](classes).eval()
        try:
            made = timm.create_model(arch, pretrained=False, num_classes=classes, **recipe.args)
        except ModelError:
            raise
        except Exception as error:  # whatever an architecture makes of arguments unknown to it
            raise ModelError(
                f"timm can’t build {arch} as its config.json says ({reason(error, 120)}): choose "
                "another one."
            ) from error
        return made.eval()


def assemble(
    recipe: Recipe,
    tensors: dict[str, Tensor],
    name: str,
    *,
    in_order: bool = False,
    resized: bool = True,
    remedy: str = "choose another network",
) -> nn.Module:
    """Build a recipe's network and give it `tensors`; with `in_order` other names than its own
    don't matter. What timm itself knows to bring to its form, such as the names that an
    architecture's authors use, may come so; with `resized`, also what it has to resample or cut.

    Raises ModelError that says which names or shapes differ, and the remedy.
    """
    module = blank(recipe)
    wanted = module.state_dict()
    if in_order and len(tensors) == len(wanted) and tensors.keys() != wanted.keys():
        tensors = dict(zip(wanted, tensors.values(), strict=True))
    counters = [n for n in wanted if n.endswith("num_batches_tracked")]
    # Some exports leave these out, and eval mode never reads them.
    tensors = {n: torch.zeros((), dtype=torch.int64) for n in counters} | _tied(module, tensors)
    if recipe.arch not in BUILDERS and _shapes(tensors) != _shapes(wanted):
        tensors = _as_timm_reads_them(recipe, tensors, resized) or tensors
    _compare(wanted, tensors, name, remedy)
    tensors = {n: tensor.to(wanted[n].dtype) for n, tensor in tensors.items()}
    module.load_state_dict(tensors, strict=True, assign=True)
    if any(tensor.is_meta for tensor in module.buffers()):  # a constant that no file holds
        module = blank(recipe, device="cpu")
        module.load_state_dict(tensors, strict=True)
    return module


def _tied(module: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same with what several parts of the module share under each of its names: safetensors
    keeps it under one."""
    names = defaultdict(list)
    for name, value in module.named_parameters(remove_duplicate=False):
        names[value].append(name)
    made = dict(tensors)
    for several in names.values():
        kept = next((tensors[name] for name in several if name in tensors), None)
        made |= {name: kept for name in several if kept is not None and name not in tensors}
    return made


def _as_timm_reads_them(
    recipe: Recipe, tensors: dict[str, Tensor], resized: bool
) -> dict[str, Tensor] | None:
    """The same as timm has them after it loaded them, or None where it can't."""
    classes = len(recipe.labels)
    told = {**recipe.args.get("pretrained_cfg", {}), "num_classes": classes, "state_dict": tensors}
    args = {**recipe.args, "pretrained_cfg": told}
    try:
        made = timm.create_model(recipe.arch, pretrained=True, num_classes=classes, **args)
    except Exception:  # whatever an architecture's own reading makes of other names
        return None
    found = made.state_dict()
    sizes = (Counter(each.numel() for each in some.values()) for some in (found, tensors))
    return found if resized or operator.le(*sizes) else None


def _shapes(tensors: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _compare(wanted: dict[str, Tensor], found: dict[str, Tensor], name: str, remedy: str) -> None:
    differences = [f"{n} is missing" for n in wanted if n not in found]
    differences += [f"{n} is not part of it" for n in found if n not in wanted]
    differences += [
        f"{n} is {sized(found[n].shape)} where {sized(wanted[n].shape)} is needed"
        for n in wanted
        if n in found and found[n].shape != wanted[n].shape
    ]
    if differences:
        more = f", and {len(differences) - 3} more differences" if len(differences) > 3 else ""
        raise ModelError(
            f"The weights of {name} do not fit its architecture ({'; '.join(differences[:3])}"
            f"{more}): {remedy}."
        )
    for n, tensor in found.items():
        if wanted[n].is_floating_point() and not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ModelError(
                f"The weights of {name} are no plain numbers ({n} is {kind}), as where whole ones "
                "stand for others that a scale tells: save them as floats."
            )
