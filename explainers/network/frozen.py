"""A frozen network that many visitors share, and recorded passes through it.

Nothing may change a `Network` after it is built. Its taps are forward hooks, installed once; they
do nothing unless the current context records, so two threads never see each other's activations.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..errors import ExplainError, OptionError
from ..recent import Recent
from ..sizes import Owner
from .classes import find_class
from .dense import quicken
from .discovery import Layer, discover
from .door import check_said, check_weights, settle, takes_any_size
from .recipe import CropMode, Head, Recipe
from .recording import Enough, Recording, serials
from .swaps import copied

if TYPE_CHECKING:
    from ..photo import Photo

Framing = Literal["whole", "crop"]
Frame = tuple[float, float, float, float]

LONGEST = 4  # a photo longer than 4:1 is squeezed to 4:1, which bounds time and memory
PIXELS = 2**18  # of the inputs that go through together: four photos; more take longer on CPUs
GRID = 32  # sides are multiples of the usual total stride, so that map cells tile the photo exactly


def at_once(x: Tensor, pixels: int = PIXELS) -> int:
    """How many inputs of the size of x (N, 3, H, W) to send through together, 1 or more."""
    pixels *= 8 if x.is_cuda else 1
    return max(1, pixels // (x.shape[2] * x.shape[3]))


@dataclass(frozen=True)
class View:
    """A photo as one network sees it.

    tensor: (1, 3, H, W) float32, normalised for the network.
    frame: (left, top, right, bottom) of what the tensor covers, as fractions of the photo.
    key: identifies photo, framing and network; equal keys have equal tensors.
    framing: how the photo was cut, or None for an input that was handed over ready-made.
    """

    tensor: Tensor
    frame: Frame
    key: str
    framing: Framing | None = None


_recording: ContextVar[tuple[int, Recording, frozenset[str]] | None] = ContextVar(
    "recording", default=None
)
_passes: Recent[tuple[str, str], Recording] = Recent()


class Network(Owner):
    """A prepared convolutional classifier. Build it once, share it, never change it.

    Takes ownership of `module`: eval mode, no parameter requires gradients, channels_last memory
    where it can (1.4 to 1.7 times as fast for batches on CPUs), taps installed at `layers`.

    head: "softmax" (one label) or "sigmoid" (many). cam_weights: (classes, C) of the linear layer
    when the logits are exactly that layer on the pooled activation of `last`, else None: what CAM
    (Zhou et al. 2016) needs. thresholds: for each class of a sigmoid head, the probability from
    which on the network counts it as present. maps: `layers` and what is
    rectified inside stages that end without a rectifier. flat: fully connected layers, which have
    no geometry. nonlinearities: names of the activation functions met. overwrites: values that
    a gradient needs are changed in place by what follows. any_size: inputs may be larger than
    `size`. memory: the format that the module answers right in. Raises ModelError for a module that
    can't be explained as it is.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        key: str,
        title: str,
        labels: Sequence[str],
        mean: Sequence[float],
        std: Sequence[float],
        size: int = 224,
        interpolation: str = "bicubic",
        crop_pct: float = 0.875,
        crop_mode: CropMode = "center",
        head: Head = "softmax",
        thresholds: Sequence[float] | None = None,
        layers: Mapping[str, str] | None = None,
        licence: str = "",
        device: str | torch.device = "cpu",
    ) -> None:
        check_said(title, labels, mean, std, interpolation, thresholds)
        probe = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
        probe = probe.to(device)
        with torch.inference_mode(False), torch.no_grad():  # or the parameters could not be kept
            self.module = module.eval().requires_grad_(False).to(device)
            check_weights(module, title)
            self.memory = settle(self.module, probe, title, tuple(labels), head)
            self.any_size = takes_any_size(self.module, probe)
        quicken(self.module)
        self.serial = next(serials)
        self.key, self.title, self.licence, self.head = key, title, licence, head
        self.labels = tuple(labels)
        self.thresholds = (0.5,) * len(self.labels) if thresholds is None else tuple(thresholds)
        self.size, self.crop_pct, self.interpolation = size, crop_pct, interpolation
        self.device, self._titles = torch.device(device), layers
        self.recipe = Recipe(
            labels=self.labels,
            size=size,
            mean=tuple(mean),
            std=tuple(std),
            interpolation=interpolation,
            crop_pct=crop_pct,
            crop_mode=crop_mode,
            licence=licence,
            head=head,
            thresholds=self.thresholds,
        )
        self.mean = torch.tensor(mean, dtype=torch.float32).reshape(3, 1, 1)
        self.std = torch.tensor(std, dtype=torch.float32).reshape(3, 1, 1)
        found = discover(self.module, probe, layers)
        self.layers: dict[str, Layer] = found.layers
        self.maps: dict[str, Layer] = found.maps
        self.flat: dict[str, Layer] = found.flat
        self.last, self.nonlinearities = found.last, found.nonlinearities
        self.cam_weights, self.overwrites = found.cam_weights, found.overwrites
        self._taps = {
            name: self.module.get_submodule(name)
            .register_forward_hook(self._tap(name, name in found.channels_last))
            .id
            for name in (*self.maps, *self.flat)
        }

    @classmethod
    def from_recipe(
        cls,
        module: nn.Module,
        recipe: Recipe,
        *,
        key: str,
        title: str,
        layers: Mapping[str, str] | None = None,
        device: str | torch.device = "cpu",
    ) -> Network:
        """The network of a module that was built after `recipe`."""
        facts = {each.name: getattr(recipe, each.name) for each in fields(recipe)}
        del facts["arch"], facts["args"]  # the module is built
        return cls(module, key=key, title=title, layers=layers, device=device, **facts)

    def twin(self) -> Network:
        """A network with the same parameters, all its own: what is done to it is not done to this.

        The hooks that others put on the module come along, the taps of this network do not.
        """
        module = copy.deepcopy(self.module)
        for name, tap in self._taps.items():
            del module.get_submodule(name)._forward_hooks[tap]
        return Network.from_recipe(
            module,
            self.recipe,
            key=self.key,
            title=self.title,
            layers=self._titles,
            device=self.device,
        )

    def _tap(self, name: str, channels_last: bool):
        serial = self.serial  # not self: a network in a circle would outlive those who used it

        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor | None:
            current = _recording.get()
            if current is None or current[0] != serial or name not in current[2]:
                return None
            recording = current[1]
            output = output.movedim(3, 1) if channels_last else output
            first = not recording.activations and recording.inputs is None
            kept = output.detach().requires_grad_(torch.is_grad_enabled()) if first else output
            recording.activations[name] = kept
            if name == recording.until:
                raise Enough
            onward = kept.clone()  # what follows may work in place
            if name in recording.muted:
                onward[:, recording.muted[name]] = 0
            return onward.movedim(1, 3) if channels_last else onward

        return hook

    @contextmanager
    def _recorded(self, recording: Recording, layers: Sequence[str]) -> Iterator[None]:
        token = _recording.set((self.serial, recording, frozenset(layers)))
        try:
            yield
        finally:
            _recording.reset(token)

    def record(
        self,
        x: Tensor,
        layers: Sequence[str] = (),
        *,
        inputs: bool = False,
        gradients: bool = True,
        muted: Mapping[str, int] | None = None,
        until: str | None = None,
    ) -> Recording:
        """Run x (N, 3, H, W) forward and keep the activations of `layers`.

        With `inputs`, gradients reach back to x; else to the earliest of `layers` only, which is
        why Grad-CAM costs about one forward pass. Without `gradients` nothing is kept for them.
        muted: layer -> a channel of it that what follows sees as zeros; its activation is recorded
        as it was. until: stop behind this layer, which is recorded too. Raises OptionError for an
        unknown layer.
        """
        also = (*(muted or ()), *([until] if until else []))
        layers = tuple(dict.fromkeys((*layers, *also)))
        for name in layers:
            if name not in self.maps and name not in self.flat:
                known = ", ".join(self.layers)
                raise OptionError(f"{self.title} has no layer “{name}”: choose one of {known}.")
        x = x.to(self.device, memory_format=self.memory)
        if inputs:
            x = x.detach().clone(memory_format=self.memory).requires_grad_()
        recording = Recording(x if inputs else None, muted, until)
        with (
            torch.inference_mode(False),
            torch.set_grad_enabled(gradients),
            self._recorded(recording, layers),
            copied() if gradients and self.overwrites else nullcontext(),
            suppress(Enough),
        ):
            recording.logits = self._passed(x)
        return recording

    def _passed(self, x: Tensor) -> Tensor:
        """The module's logits (N, classes); raises OptionError for a size that it can't take."""
        try:
            logits = self.module(x.clone())  # which a network may overwrite
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            own = tuple(x.shape[2:]) == (self.size, self.size)
            if own or isinstance(error, torch.OutOfMemoryError | ExplainError):
                raise
            raise OptionError(self.too_different(x)) from error
        if len(logits) != len(x):  # a view(-1, …) makes several answers of one large input
            raise OptionError(self.too_different(x))
        return logits

    def too_different(self, x: Tensor) -> str:
        """What to say of an input of a size that the network can't take in."""
        return (
            f"{self.title} can't take in {x.shape[3]} by {x.shape[2]} pixels: use the framing "
            f"“crop”, which shows it {self.size} by {self.size}."
        )

    def recorded(self, view: View, layer: str) -> Recording:
        """The recorded pass of `view` with `layer`, shared by all that ask for it."""
        return _passes.found((view.key, layer), lambda: self.record(view.tensor, (layer,)), of=self)

    def answer(self, view: View) -> Tensor:
        """The logits (classes,) of a view, from the shared pass that also serves the maps."""
        return self.recorded(view, self.last).logits[0].detach()

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """x (N, 3, H, W) -> logits (N, classes), with nothing kept for gradients."""
        x = x.to(self.device, memory_format=self.memory)
        return torch.cat([self._passed(part) for part in x.split(at_once(x))])

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over the classes, or a sigmoid each for a multi-label network."""
        return logits.softmax(-1) if self.head == "softmax" else logits.sigmoid()

    def present(self, logits: Tensor) -> list[int]:
        """The classes in logits (classes,) that a multi-label network sees, surest first.

        Surest: farthest above its own threshold. Always empty for a softmax head.
        """
        if self.head == "softmax":
            return []
        chances = self.probabilities(logits.detach().cpu())
        above = chances.logit() - torch.tensor(self.thresholds).logit()
        return [int(index) for index in above.argsort(descending=True) if above[index] >= 0]

    @staticmethod
    def ranked(logits: Tensor, count: int) -> list[int]:
        """The `count` likeliest classes in logits (classes,), likeliest first."""
        return [int(index) for index in logits.topk(min(count, len(logits))).indices]

    def resolve(self, target: int | str) -> int:
        """The index of a class given by index or name; raises TargetError with near names."""
        return find_class(target, self.labels, self.title)

    def prepare(self, photo: Photo, framing: Framing = "whole") -> View:
        """The photo as this network's input.

        "whole" fits the shorter side to the network's size and keeps all of the photo (up to 4:1),
        squeezed to a square for a network that takes no other input;
        "crop" is the network's own evaluation transform: the centre square, of the photo or (crop
        mode "squash") of the photo squeezed to a square.
        """
        if not isinstance(framing, str) or framing not in ("whole", "crop"):
            raise OptionError("The framing is either “whole” or “crop”.")
        image = Image.fromarray(photo.pixels)
        box, side = image.size, self.size
        if framing == "whole":
            scale = side / min(box)
            fit = [min(round(s * scale / GRID) * GRID, LONGEST * side) for s in box]
            width, height = (side if s == min(box) else f for s, f in zip(box, fit, strict=True))
            if not self.any_size:
                width = height = side
            frame = (0.0, 0.0, 1.0, 1.0)
        else:
            short = int(side / self.crop_pct)
            mode = self.recipe.crop_mode
            if mode == "border":
                raise OptionError(
                    f"{self.title} was evaluated with a border round the photo, which belongs to "
                    "no place on it: use the framing “whole”."
                )
            width, height = (
                short if s == min(box) or mode == "squash" else int(short * s / min(box))
                for s in box
            )
            left, top = round((width - side) / 2), round((height - side) / 2)
            frame = (left / width, top / height, (left + side) / width, (top + side) / height)
        image = image.resize((width, height), Image.Resampling[self.interpolation.upper()])
        if framing == "crop":
            image = image.crop((left, top, left + side, top + side))
        pixels = torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1)
        tensor = ((pixels - self.mean) / self.std).unsqueeze(0)
        return View(tensor, frame, f"{self.serial}:{self._age}:{framing}:{photo.digest}", framing)

    def view(self, tensor: Tensor) -> View:
        """A ready-made input (1, 3, H, W), normalised for this network, as a view of itself."""
        if tensor.ndim != 4 or tensor.shape[:2] != (1, 3):
            raise OptionError("A view is made of one input of shape (1, 3, height, width).")
        digest = hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
        key = f"{self.serial}:{self._age}:tensor:{tuple(tensor.shape)}:{digest}"
        return View(tensor.detach().float(), (0.0, 0.0, 1.0, 1.0), key)

    def made(self, view: View) -> bool:
        """Is this view one of this network's own?"""
        return view.key.startswith(f"{self.serial}:")

    @property
    def _age(self) -> int:
        """How often a weight was written to, as by an optimiser: older answers are others' then."""
        return sum(weight._version for weight in self.module.parameters())

    def digest(self) -> str:
        """SHA-256 of the weights as they are now, as 64 hexadecimal digits."""
        found = hashlib.sha256()
        for name, value in self.module.state_dict().items():
            found.update(name.encode())
            found.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy())
        return found.hexdigest()

    @property
    def bytes(self) -> int:
        """Memory of the parameters and buffers."""
        tensors = [*self.module.parameters(), *self.module.buffers()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
