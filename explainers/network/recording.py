"""What one forward pass leaves behind: logits, activations, and the gradients between them."""

from __future__ import annotations

import itertools
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .. import cores
from ..errors import OptionError
from ..recent import Recent
from .layout import Layout

serials = itertools.count()  # recordings, and aspects of a network, are told apart by them
_gradients: Recent[tuple[int, int | None, str | None, int], Tensor] = Recent()


_CUT = (
    "The logits of this network have no gradient, as behind detach() or no_grad(), a checkpoint "
    "with use_reentrant=True or what leaves torch: take that out, or ask by muting windows or "
    "RISE, which need the values only."
)

_ASIDE = (
    "The logits of this network have no gradient at this layer, as where it serves another head, "
    "or lies inside no_grad(), before detach(), a checkpoint with use_reentrant=True or what "
    "leaves torch: take that out, choose another layer, or ask by muting windows or RISE, which "
    "need the values only."
)


_ELSEWHERE = (
    "This layer is passed several times, and what it hands out last does not count for the logits, "
    "as where a second answer is made of another view: wrap a module whose forward makes these "
    "logits alone."
)

_CHECKPOINT = (
    "This network computes parts of itself again on the way back (torch.utils.checkpoint), which "
    "can’t be followed: switch that off for its evaluation."
)

_RECURRENT = (
    "A recurrent layer has no gradient on this device while it is not trained, which cuDNN keeps "
    "for training: set torch.backends.cudnn.enabled = False, or bring the module to the CPU."
)

_UNKNOWN = (
    "A function of this network has no derivative in torch ({}): replace it, or ask by muting "
    "windows or RISE, which need the values only."
)

Look = Callable[[str, Tensor], None]


class Recording:
    """One forward pass: its logits, the activations asked for, and gradients between them.

    logits: (N, classes). activations: name -> (N, C, h, w). Gradients reach back to the earliest
    recorded layer (or to the input, when `inputs` is not None) and no further. until: the layer
    after which the pass stopped; there are no logits then. look: is shown each (name, activation)
    as soon as it is there, of which nothing is kept then. fixed: the targets that are functions
    without a gradient.
    """

    def __init__(
        self,
        inputs: Tensor | None,
        muted: Mapping[str, int] | None = None,
        until: str | None = None,
        look: Look | None = None,
    ) -> None:
        self.inputs = inputs
        self.muted = muted or {}
        self.until = until
        self.look = look
        self.activations: dict[str, Tensor] = {}
        self.logits: Tensor = torch.empty(0, device="cpu")
        self.fixed: set[int] = set()
        self.repeated: set[str] = set()  # layers that were called before, too
        self.serial = next(serials)
        self._lock = threading.Lock()

    def gradients(
        self,
        targets: Sequence[int],
        against: int | None = None,
        layer: str | None = None,
        *,
        once: bool = False,
    ) -> Tensor:
        """Gradients of each target's logit (minus the logit of `against`, if given).

        With respect to the activation of `layer`, or to the input if it is None; summed over the
        batch's logits. Returns (K, N, C, h, w). once: nothing else is asked of this pass, which
        gives back its memory on the way. Raises OptionError for a target that is a function
        whose value has none.
        """
        self.check(targets, against)
        rest = against, layer, self.serial
        with cores.held(self._lock):
            kept = {target: _gradients.get((target, *rest)) for target in targets}
            missing = [target for target, gradient in kept.items() if gradient is None]
            if missing:
                found = self._backward(missing, against, layer, once)
                kept |= zip(missing, found, strict=True)
            for target in missing if layer is not None else ():  # a layer serves several methods
                _gradients.keep((target, *rest), kept[target], self)
        return torch.stack([kept[target] for target in targets])

    def check(self, targets: Sequence[int], against: int | None) -> None:
        """Raises OptionError for a target that is a function whose value has no gradient."""
        if self.fixed.intersection([*targets, *([] if against is None else [against])]):
            raise OptionError(
                "The value of this target function has no gradient here: choose another layer if "
                "this one does not count for it, hand over a tensor that was computed from the "
                "output by torch alone, or ask by muting windows or RISE, which need the value "
                "only."
            )

    @torch.inference_mode(False)
    def _backward(
        self, targets: list[int], against: int | None, layer: str | None, once: bool
    ) -> Tensor:
        if not self.logits.requires_grad:
            told = _CUT if layer is None else _ASIDE
            raise OptionError(_ELSEWHERE if layer in self.repeated else told)
        wrt = self.inputs if layer is None else self.activations[layer]
        direction = self.logits.new_zeros(len(targets), *self.logits.shape)
        for row, target in enumerate(targets):
            direction[row, :, target] += 1
            if against is not None:
                direction[row, :, against] -= 1
        # A batched backward reads fully connected weights once for all classes; towards the input
        # it would hold every class's maps at once and is slower than one class at a time.
        batched = layer is not None and len(targets) > 1
        try:
            with torch.autocast(self.logits.device.type, enabled=False):
                ways = [direction] if batched else list(direction)
                found = []
                for number, each in enumerate(ways, 1):
                    keep = not once or number < len(ways)
                    # Handed a direction, torch imports a symbolic algebra to compare two shapes.
                    score = self.logits if batched else (self.logits * each).sum()
                    (gradient,) = torch.autograd.grad(
                        score,
                        wrt,
                        each if batched else None,
                        retain_graph=keep,
                        is_grads_batched=batched,
                    )
                    found.append(gradient)
        except RuntimeError as error:
            if lacking := re.search(r"derivative for \S*?(\w+) is not impl", str(error)):
                raise OptionError(_UNKNOWN.format(lacking[1])) from error
            if "cudnn RNN" in str(error):
                raise OptionError(_RECURRENT) from error
            if "heckpoint" not in str(error):
                raise
            raise OptionError(_CHECKPOINT) from error
        return found[0] if batched else torch.stack(found)


@dataclass(frozen=True)
class Passing:
    """A pass under way: which network's, what it leaves behind, at which layers, the height and
    width of its input, and how often each of the layers was called. given: what goes on from its
    layer in place of what comes there."""

    serial: str
    recording: Recording
    layers: frozenset[str]
    size: tuple[int, int]
    given: Tensor | None = None
    calls: Counter[str] = field(default_factory=Counter)


passing: ContextVar[Passing | None] = ContextVar("passing", default=None)


@contextmanager
def under_way(current: Passing) -> Iterator[None]:
    """Meanwhile, in this context, a call of the network's module is that pass."""
    token = passing.set(current)
    try:
        yield
    finally:
        passing.reset(token)


class Enough(Exception):
    """Ends a forward pass behind the last layer that is needed."""


@dataclass(frozen=True)
class Tap:
    """A forward hook that records a layer in passes of the network with that serial: it would keep
    the network itself alive.

    call: the one whose output is the layer's, of a module that is called several times.
    """

    serial: str
    name: str
    layout: Layout
    call: int

    def __call__(self, _module: nn.Module, _inputs: object, output: Tensor) -> Tensor | None:
        cores.give_way_at(output)
        current, name = passing.get(), self.name
        if current is None or current.serial != self.serial or name not in current.layers:
            return None
        current.calls[name] += isinstance(output, Tensor)
        if current.calls[name] != self.call:
            return None
        recording, size = current.recording, current.size
        first = not recording.activations and recording.inputs is None
        kept = self.layout.maps(output.detach() if first else output, size)
        kept = kept.requires_grad_(torch.is_grad_enabled()) if first else kept
        kept = kept if current.given is None else current.given
        if self.call > 1:
            recording.repeated.add(name)
        if recording.look is not None:
            recording.look(name, kept)
            recording.activations[name] = kept.new_empty(0)  # it came
            return None
        recording.activations[name] = kept
        if name == recording.until:
            raise Enough
        onward = kept.clone()  # what follows may work in place
        if name in recording.muted:
            onward[:, recording.muted[name]] = 0
        return self.layout.restored(onward, output)
