"""A network of one's own: any classifier of photos that is a `nn.Module`, explained as it is.

network = wrap(module, labels=["benign", "malignant"], mean=(0.5,) * 3, std=(0.25,) * 3)
explain(network, "photo.png", "malignant")
"""

from __future__ import annotations

import copy as copying
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .errors import ModelError
from .imagenet import imagenet_labels
from .network import Network
from .network.door import first_answer
from .network.recipe import CropMode
from .recent import forget

Numbers = float | Sequence[float]

HOW = ("mean", "std", "interpolation", "crop_pct", "crop_mode")

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's greys


class Own(Network):
    """A `Network` round somebody's module, which may go on being trained."""

    _source: nn.Module
    _said: dict[str, Any]
    _handles: list[Any]

    def refresh(self) -> Own:
        """Take over the module's weights as they are now, and forget all that came of the old ones.

        Returns itself. No other thread may be explaining with it meanwhile.
        """
        forget(self, self.module)
        if self.module is self._source:  # copy=False: nothing of ours may stay twice
            for name, tap in self._taps.items():
                del self.module.get_submodule(name)._forward_hooks[tap]
            for handle in self._handles:
                handle.remove()
        self.__dict__ = wrap(self._source, **self._said).__dict__
        return self


def wrap(
    module: nn.Module,
    labels: Sequence[str] | None = None,
    *,
    mean: Numbers | None = None,
    std: Numbers | None = None,
    size: int | None = None,
    channels: Literal[1, 3] | None = None,
    head: Literal["auto", "softmax", "sigmoid"] = "auto",
    output: Callable[[Any], Tensor] | None = None,
    layers: Mapping[str, str] | None = None,
    title: str = "",
    interpolation: str | None = None,
    crop_pct: float | None = None,
    crop_mode: CropMode | None = None,
    thresholds: Sequence[float] | None = None,
    copy: bool = True,
) -> Own:
    """A `Network` of a module that hands over logits (N, classes) for inputs (N, C, H, W).

    labels: a name for each output ("class 0", … by default). mean, std: per channel of pixels in
    0..1, and size: pixels of the side it was trained with; of timm's models they are known.
    channels: 1 for a network of greys (default: as many as there are means). head: "sigmoid" for
    one logit or several labels at once; "auto" takes it for one logit alone. output: picks the
    logits out of what the module hands over, as `lambda out: out["logits"]`. layers: name of a
    module -> title, for the layers to choose from. DataParallel and torch.compile's wrappers are
    taken off, and half and double weights are computed in float32.

    By default a copy is explained, so that training goes on untouched; `Network.refresh` takes over
    new weights. With copy=False the module itself is taken: put into eval mode, frozen, its memory
    reordered and hooked. Raises ModelError with one sentence for what can't be explained.
    """
    said = {
        "labels": labels, "mean": mean, "std": std, "size": size, "channels": channels,
        "head": head, "output": output, "layers": layers, "title": title, "copy": copy,
        "interpolation": interpolation, "crop_pct": crop_pct, "crop_mode": crop_mode,
        "thresholds": thresholds,
    }  # fmt: skip
    if not isinstance(module, nn.Module):
        raise ModelError("What is wrapped is a torch.nn.Module: build it first.")
    inner = _bare(module)
    title = title or type(inner).__name__
    known = _known(inner)
    mean = known.get("mean") if mean is None else mean
    std = known.get("std") if std is None else std
    size = known.get("size") if size is None else size
    if mean is None or std is None or size is None:
        raise ModelError(
            f"How photos are prepared for {title} is not known: wrap it with wrap(module, mean=…, "
            "std=…, size=…), as it was trained."
        )
    means, deviations = _listed(mean), _listed(std)
    channels = len(means) if channels is None else channels
    if channels not in (1, 3):
        raise ModelError(f"{title} takes {channels} channels, and photos have 1 or 3.")
    own = _copied(inner, title) if copy else inner
    handles = []
    if channels == 1:
        means, deviations = means[:1] * 3, deviations[:1] * 3
        handles.append(own.register_forward_pre_hook(_grey))
    means, deviations = (each * 3 if len(each) == 1 else each for each in (means, deviations))
    if output is not None:
        handles.append(own.register_forward_hook(_picked(output, title)))
    try:
        outputs = _outputs(own, size, title)
        network = Own(
            own,
            key=slug(title),
            title=title,
            labels=_labels(labels, outputs, known),
            mean=means,
            std=deviations,
            size=size,
            head=("sigmoid" if outputs == 1 else "softmax") if head == "auto" else head,
            layers=layers,
            thresholds=thresholds,
            interpolation=interpolation or known.get("interpolation", "bicubic"),
            crop_pct=crop_pct or known.get("crop_pct", 0.875),
            crop_mode=crop_mode or known.get("crop_mode", "center"),
            device=next(own.parameters()).device,
        )
    except BaseException:
        for handle in handles:
            handle.remove()
        raise
    network._source, network._said, network._handles = inner, said, handles
    return network


def slug(title: str) -> str:
    """A title as a network's key, which stands in addresses."""
    return re.sub(r"[^\w.+=-]+", "-", title)


def _bare(module: nn.Module) -> nn.Module:
    """Without the wrappers of torch.compile, DataParallel and DistributedDataParallel."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif isinstance(getattr(module, "_orig_mod", None), nn.Module):
            module = module._orig_mod
        else:
            return module


def _known(module: nn.Module) -> dict[str, Any]:
    """What a model of timm's says of its photos."""
    cfg = getattr(module, "pretrained_cfg", None)
    if not isinstance(cfg, Mapping) or not cfg.get("input_size"):
        return {}
    told = {name: cfg[name] for name in HOW if name in cfg}
    told["imagenet"] = cfg.get("num_classes") == 1000
    return told | {"size": cfg["input_size"][-1]}


def _listed(value: Numbers) -> list[float]:
    return [float(value)] if isinstance(value, int | float) else [float(each) for each in value]


@torch.inference_mode(False)
@torch.no_grad()
def _copied(module: nn.Module, title: str) -> nn.Module:
    """A copy in float32 whose parts call back to nobody."""
    try:
        made = copying.deepcopy(module)
    except Exception as error:
        raise ModelError(
            f"{title} can't be copied: give copy=False, and a module that is yours to freeze."
        ) from error
    for part in made.modules():
        part._forward_hooks.clear()
        part._backward_hooks.clear()
        part._backward_pre_hooks.clear()
        for key, hook in list(part._forward_pre_hooks.items()):
            if not (type(hook).__module__ or "").startswith("torch"):  # weight_norm's stay
                del part._forward_pre_hooks[key]
    return made.float()


def _outputs(module: nn.Module, size: int, title: str) -> int:
    """How many logits it hands over for one photo; leaves the module's mode as it is."""
    parameters = list(module.parameters())
    if not parameters:
        raise ModelError(f"{title} has no weights, so there is nothing to explain.")
    training = {part: part.training for part in module.modules()}
    probe = torch.zeros(1, 3, size, size, device=parameters[0].device)
    try:
        answer, _ = first_answer(module.eval(), probe, title)
    finally:
        for part, mode in training.items():
            part.training = mode
    return answer.shape[1]


def _labels(given: Sequence[str] | None, outputs: int, known: Mapping[str, Any]) -> Sequence[str]:
    if given is not None:
        return given
    if known.get("imagenet") and outputs == 1000:
        return imagenet_labels()
    return [f"class {index}" for index in range(outputs)]


def _grey(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A photo's luminance for a network of greys; its gradient goes back to the three colours."""
    x, *rest = inputs
    weights = x.new_tensor(LUMINANCE).reshape(1, 3, 1, 1)
    return ((x * weights).sum(1, keepdim=True), *rest)


def _picked(output: Callable[[Any], Tensor], title: str):
    def hook(_module: nn.Module, _inputs: object, found: Any) -> Tensor:
        try:
            return output(found)
        except Exception as error:
            raise ModelError(
                f"The output function of {title} fails on a {type(found).__name__}: give one that "
                "picks the logits out of it."
            ) from error

    return hook
