"""A frozen network that many visitors share, and recorded passes through it.

Nothing may change a `Network` after it is built. Its taps are forward hooks, installed once; they
do nothing unless the current context records, so two threads never see each other's activations.
"""

from __future__ import annotations

import copy
import hashlib
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..errors import ExplainError, OptionError
from ..recent import Recent
from ..sizes import Owner
from .carried import Carried, new_serial
from .classes import Answers
from .dense import quicken
from .discovery import Discovery, Layer, discover
from .door import check_alone, check_module, check_weights, settle, takes_any_size
from .inputs import Inputs
from .layout import FLAT
from .outputs import whole
from .recipe import CropMode, Head, Recipe, check_said
from .recording import Enough, Look, Passing, Recording, Tap, serials, under_way
from .scored import Function, Scored, name_of
from .strides import read_right
from .swaps import copied
from .views import Size, View, noise
from .weights import FollowedWeights, OwnWeights

PIXELS = 2**17  # of the inputs that go through together: two photos; more are no faster on CPUs


def _let_go(hooks: Sequence[RemovableHandle]) -> None:
    """Leave a module without the taps of a network that is no more."""
    for hook in hooks:
        hook.remove()


_passes: Recent[tuple[str, str], Recording] = Recent()


class Network(Carried, Owner, Inputs, Answers):
    """A prepared convolutional classifier. Build it once, share it, never change it.

    `module` stays as it is, and is explained, by a copy, with the weights that it has when that is
    asked for. taken: it is nobody else's, and is itself put into eval mode and channels_last memory
    where it can (1.4 to 1.7 times as fast for batches on CPUs), frozen, and tapped at `layers`.

    head: "softmax" (one label), "sigmoid" (many) or "none" (outputs that are no classes, such as a
    regression's). alone: it is known to answer each photo as if it were alone, as a recipe's
    architecture does; else that is tried. size: pixels of the side of its inputs, or (height,
    width), as `shape` has it.
    mean, std: a number for each channel. last: the layer explained by default (found, unless said).
    cam_weights: (classes, C) of the linear layer when the logits are exactly that layer on the
    pooled activation of `last`, else None: what CAM (Zhou et al. 2016) needs. thresholds: for each
    class of a sigmoid head, the probability from which on the network counts it as present. maps:
    `layers` and what is rectified inside stages that end without a rectifier. places: every module
    that hands over a map, by name. flat: fully connected layers, which have no geometry.
    nonlinearities: names of the activation functions met. overwrites: values that a gradient needs
    are changed in place by what follows. any_size: inputs may be larger than `size`. memory: the
    format that the module answers right in, which is found by trying how it answers; said for an
    architecture that was tried before. transform: somebody's own way from photo to input,
    which `framing` is then by default. functions: what stands in the place of classes, if
    anything. remarks: what every explanation should say, key -> sentence. takes: channels of what
    it was trained on, 1 where the module itself makes greys of three colours. read: what makes
    logits of its output where a hook does. unread: why there are none, if so. attends: places
    look at others by what they hold; attention: how, where every token looks at every other, block
    after block. program: what makes the pass that maps share quicker, for a module that nobody else
    touches. Raises ModelError for a module that can't be explained as it is.
    """

    functions: tuple[Any, ...] = ()
    read: Function | None = None
    unread: str = ""
    program: Callable[[Network, Tensor], Recording] | None = None

    def __init__(
        self,
        module: nn.Module,
        *,
        key: str,
        title: str,
        labels: Sequence[str],
        mean: Sequence[float],
        std: Sequence[float],
        size: int | tuple[int, int] = 224,
        interpolation: str = "bicubic",
        crop_pct: float = 0.875,
        crop_mode: CropMode = "center",
        head: Head = "softmax",
        thresholds: Sequence[float] | None = None,
        layers: Mapping[str, str] | None = None,
        last: str | None = None,
        licence: str = "",
        device: str | torch.device = "cpu",
        alone: bool = False,
        taken: bool = False,
        memory: torch.memory_format | None = None,
    ) -> None:
        check_module(module, title)
        check_said(title, labels, mean, std, interpolation, crop_pct, crop_mode, thresholds)
        self.shape: Size = (size, size) if isinstance(size, int) else tuple(size)
        self.device = torch.device(device)
        self.serial, self.key, self.title = new_serial(), key, title
        self.licence, self.head, self.labels = licence, head, tuple(labels)
        self.thresholds = (0.5,) * len(self.labels) if thresholds is None else tuple(thresholds)
        self.size, self.crop_pct, self.interpolation = min(self.shape), crop_pct, interpolation
        self.takes = len(mean)
        self._titles, self._last = layers, last
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
        self.mean = torch.tensor(mean, dtype=torch.float32, device="cpu").reshape(-1, 1, 1)
        self.std = torch.tensor(std, dtype=torch.float32, device="cpu").reshape(-1, 1, 1)
        self._weights = OwnWeights(module) if taken else FollowedWeights(module, title)
        probe = noise((1, len(mean), *self.shape)).to(device)
        self._freeze(self._weights.module, probe, alone, memory)
        self._tap(discover(self.module, probe, layers, last))
        recorded = partial(self.record, layers=(self.last,), gradients=False)
        self.any_size = takes_any_size(lambda x: recorded(x).logits, probe)

    def _freeze(
        self, module: nn.Module, probe: Tensor, alone: bool, memory: torch.memory_format | None
    ) -> None:
        """Bring the module into the state that it stays in; raises ModelError."""
        # Without inference mode, or the parameters could not be kept.
        with torch.inference_mode(False), torch.no_grad(), self._weights.apart:
            module.eval()  # which may return nothing
            self.module = module.requires_grad_(False).to(self.device)
            check_weights(module, self.title)
            photos = 1 if alone else 2
            if memory is None:
                memory = settle(self.module, probe, self.title, self.labels, self.head, photos)
            else:
                module.to(memory_format=memory)
            self.memory = memory
            self.remarks = dict(self._weights.remarks)
            if not alone:
                self.remarks |= check_alone(module, probe, self.memory, self.title, self.at_once())
        quicken(self.module)

    def _tap(self, found: Discovery) -> None:
        """Keep what was found of the module, and a hook at each of its layers."""
        self.layers: dict[str, Layer] = found.layers
        self.maps: dict[str, Layer] = found.maps
        self.places: dict[str, Layer] = found.places
        self.flat: dict[str, Layer] = found.flat
        self.last, self.nonlinearities = found.last, found.nonlinearities
        self.head_weights, self.overwrites = found.head_weights, found.overwrites
        self.attends, self.attention, self.cuts = found.attends, found.attention, found.cuts
        names = (*self.places, *self.flat)
        self._tapped = {n: (found.layouts.get(n, FLAT), found.calls[n]) for n in names}
        self._install()

    def _install(self) -> None:
        """Hook each layer, and have the taps leave the module with this network."""
        self._taps = {
            name: self.module.get_submodule(name).register_forward_hook(
                Tap(self.serial, name, *how),
                prepend=True,  # hooks of the module's own may keep what forward goes on with
            )
            for name, how in self._tapped.items()
        }
        self._keep_taps()

    @classmethod
    def from_recipe(
        cls,
        module: nn.Module,
        recipe: Recipe,
        *,
        key: str,
        title: str,
        layers: Mapping[str, str] | None = None,
        last: str | None = None,
        device: str | torch.device = "cpu",
        memory: torch.memory_format | None = None,
    ) -> Network:
        """The network of a module that was built after `recipe`."""
        built = ("arch", "args")  # of which nobody needs to be told any more
        return cls(
            module,
            key=key,
            title=title,
            layers=layers,
            last=last,
            device=device,
            alone=True,
            taken=True,
            memory=memory,
            **{name: fact for name, fact in vars(recipe).items() if name not in built},
        )

    def twin(self) -> Network:
        """A network with the same parameters, all its own: what is done to it is not done to this.

        The hooks that others put on the module come along, the taps of this network do not, nor
        does a module that it follows.
        """
        theirs = {id(each): None for each in (self._weights, self._source)}
        theirs.pop(id(self.module), None)  # where it is nobody else's
        made = copy.deepcopy(self, theirs)
        made._weights, made.program = OwnWeights(made.module), None
        return made

    def scored(self, functions: Sequence[Any], read: Sequence[Function], head: Head) -> Network:
        """The same network with functions of its output in the place of its classes.

        It shares the module and its taps. functions: as they were asked for, and `read` as they are
        computed; head: what makes probabilities of their values, "none" for nothing.
        """
        made = Network.__new__(Network)
        made.__dict__.update(copy.copy(self).__dict__)
        made.module, made._aspect = Scored(self.module, read), f"/{next(serials)}"
        made.functions, made.labels = tuple(functions), tuple(name_of(each) for each in read)
        made.head, made.head_weights, made.unread, made.program = head, None, "", None
        made.thresholds = (0.5,) * len(made.labels)
        made.recipe = replace(
            self.recipe, labels=made.labels, head=head, thresholds=made.thresholds
        )
        return made

    @torch.no_grad()
    def output(self, x: Tensor) -> Any:
        """What the module hands over for x (1, C, H, W), before logits are read off it."""
        with torch.inference_mode(False), whole():
            return self.module(x.to(self.device, memory_format=self.memory, copy=True))

    def _keep_taps(self) -> None:
        """The taps leave the module with this network."""
        self._release = weakref.finalize(self, _let_go, tuple(self._taps.values()))

    def record(
        self,
        x: Tensor,
        layers: Sequence[str] = (),
        *,
        inputs: bool = False,
        gradients: bool = True,
        muted: Mapping[str, int] | None = None,
        until: str | None = None,
        look: Look | None = None,
    ) -> Recording:
        """Run x (N, C, H, W) forward and keep the activations of `layers`.

        With `inputs`, gradients reach back to x; else to the earliest of `layers` only, which is
        why Grad-CAM costs about one forward pass. Without `gradients` nothing is kept for them.
        muted: layer -> a channel of it that what follows sees as zeros; its activation is recorded
        as it was. until: stop behind this layer, which is recorded too. look: is shown each
        (name, activation) as soon as it is there, where all of them together would be too much;
        without the rest of these. Raises OptionError for an unknown layer.
        """
        also = (*(muted or ()), *([until] if until else []))
        layers = tuple(dict.fromkeys((*layers, *also)))
        for name in layers:
            if name not in self.places and name not in self.flat:
                known = ", ".join(self.layers)
                raise OptionError(f"{self.title} has no layer “{name}”: choose one of {known}.")
        x = x.to(self.device, memory_format=self.memory)
        if inputs:
            x = x.detach().clone(memory_format=self.memory).requires_grad_()
        recording = Recording(x if inputs else None, muted, until, look)
        with (
            torch.inference_mode(False),
            torch.set_grad_enabled(gradients),
            under_way(Passing(self.serial, recording, frozenset(layers), tuple(x.shape[2:]))),
            copied() if gradients and self.overwrites else nullcontext(),
            suppress(Enough),
        ):
            recording.logits = self._passed(x)
        for name in layers if until is None else (until,):
            if name not in recording.activations:
                raise OptionError(
                    f"{self.title} does not come to its layer “{name}” with this photo: choose "
                    "another layer."
                )
        if gradients:
            read_right(recording.logits if until is None else recording.activations[until])
        return recording

    def _passed(self, x: Tensor) -> Tensor:
        """The module's logits (N, classes); raises OptionError for a size that it can't take."""
        self._weights.follow()
        try:
            with torch.autocast(self.device.type, enabled=False):  # which the caller may be in
                logits = self.module(x.clone()).float()  # a network may overwrite its input
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            own = tuple(x.shape[2:]) == self.shape
            check_weights(self.module, self.title)  # which its owner may have made halves
            if own or isinstance(error, torch.OutOfMemoryError | ExplainError):
                raise
            raise OptionError(self.too_different(x)) from error
        if len(logits) != len(x):  # a view(-1, …) makes several answers of one large input
            raise OptionError(self.too_different(x))
        return logits

    def too_different(self, x: Tensor) -> str:
        """What to say of an input of a size that the network can't take in."""
        return (
            f"{self.title} can’t take in {x.shape[3]} by {x.shape[2]} pixels: use the framing "
            f"“crop”, which shows it {self.shape[1]} by {self.shape[0]}."
        )

    def recorded(self, view: View, layer: str) -> Recording:
        """The recorded pass of `view` with `layer`, shared by all that ask for it."""
        find = partial(self.record, view.tensor, (layer,))
        if self.program is not None and layer == self.last:
            find = partial(self.program, self, view.tensor)
        return _passes.found((view.key, layer), find, of=self)

    def answer(self, view: View) -> Tensor:
        """The logits (classes,) of a view, float32, from the pass that also serves the maps."""
        return self.recorded(view, self.last).logits[0].detach()

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) -> logits (N, classes), float32, with nothing kept for gradients."""
        x = x.to(self.device, memory_format=self.memory)
        return torch.cat([self._passed(part) for part in x.split(self.at_once(x.shape[2:]))])

    def at_once(self, shape: Sequence[int] | None = None) -> int:
        """How many inputs of (height, width) to send through together, 1 or more."""
        height, width = shape or self.shape
        return max(1, PIXELS * (1 if self.device.type == "cpu" else 16) // (height * width))

    def digest(self) -> str:
        """SHA-256 of the weights as they are now, as 64 hexadecimal digits."""
        found = hashlib.sha256()
        for name, value in self.module.state_dict().items():
            found.update(name.encode())
            found.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy())
        return found.hexdigest()

    @property
    def cam_weights(self) -> Tensor | None:
        """(classes, C) of the head as it is now; see above."""
        return self.head_weights and self.head_weights.of(self.module)

    @property
    def bytes(self) -> int:
        """Memory of the parameters and buffers."""
        tensors = [*self.module.parameters(), *self.module.buffers()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
