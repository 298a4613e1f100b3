"""What the modules of a network hand out in one pass, and which of these calls count."""

from __future__ import annotations

import weakref
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from .views import noise

Outputs = list[tuple[str, nn.Module, Tensor]]  # name, module, and what it handed out


class Calls:
    """What the modules of a network handed out in one pass, in order of completion, and the node of
    the gradient that each came from. most: bytes of one of them that are kept, if not all; of a
    larger one its shape and its lowest value are, which stands at all places of it."""

    def __init__(self, module: nn.Module, most: int | None = None) -> None:
        self.outputs: Outputs = []
        self.nodes: list[Any] = []
        self._most = most
        self._small: dict[int, tuple[weakref.ref[Tensor], int, Tensor]] = {}
        self._hooks = [
            child.register_forward_hook(self._note(name))
            for name, child in module.named_modules()
            if name
        ]

    def _note(self, name: str):
        def hook(child: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                self.outputs.append((name, child, self._kept(output)))
                self.nodes.append(output.grad_fn)

        return hook

    def _kept(self, output: Tensor) -> Tensor:
        """The same for the same, also where it was overwritten in between."""
        dense = output.layout is torch.strided and output.is_floating_point()
        if self._most is None or not dense or output.nbytes <= self._most:
            return output
        of, version, small = self._small.get(id(output), (None, 0, output))
        if of is None or of() is not output:
            small = output.detach().amin().expand(output.shape)
        elif version != output._version:
            small[(0,) * small.ndim].copy_(output.detach().amin())
        self._small[id(output)] = weakref.ref(output), output._version, small
        return small

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()


def idle(logits: Tensor, outputs: Outputs) -> set[int]:
    """Places in the list of those calls that the logits do not depend on, though on another call of
    the same module they do: of a trunk that sees a second view, say, for a loss of its own."""
    called = Counter(name for name, _, _ in outputs)
    again = {place: out for place, (name, _, out) in enumerate(outputs)
             if called[name] > 1 and out.layout is torch.strided and any(out.stride())}  # fmt: skip
    live = {place: out for place, out in again.items() if out.requires_grad}
    if not live or not logits.requires_grad:
        return set()
    direction = noise(logits.shape, 2).to(logits.device)
    try:
        gradients = torch.autograd.grad(
            (logits * direction).sum(), list(live.values()), retain_graph=True, allow_unused=True
        )
    except RuntimeError:  # told by the maps that are made of it
        return set()
    felt = {
        place
        for place, gradient in zip(live, gradients, strict=True)
        if gradient is not None and bool(gradient.any())
    }
    counts = {outputs[place][0] for place in felt}
    return {place for place in again if place not in felt and outputs[place][0] in counts}


def why_no_map(outputs: Outputs, convolves: bool) -> str:
    """What to say of a network that hands out no map of the photo. convolves: it computes some."""
    maps = [out.shape for _, _, out in outputs if out.ndim == 4 and min(out.shape[2:]) > 1]
    if any(shape[0] > 1 for shape in maps):
        return (
            "This network makes several inputs of one photo, such as crops or mirror images, and "
            "its maps are of all of them: wrap a module that looks at the photo alone."
        )
    if maps:
        return (
            "The maps of this network do not lie on the photo as it is, as where it is turned or "
            "cut into parts: wrap a module that leaves its rows and columns in their order."
        )
    if convolves:
        return (
            "This network computes its maps by functions, by forward() of its layers, or by layers "
            "that are no part of it, as in a plain list, so they can’t be looked into: call the "
            "layers themselves, and make them attributes or keep them in an nn.ModuleList."
        )
    return "This network has no convolutional feature map, so nothing can be mapped."
