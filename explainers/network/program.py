"""The pass that all maps of the last layer share, as a program of torch's own interpreter.

Python calls a network module by module and holds the interpreter meanwhile: two requests at once
hinder each other, and a pass takes half as long again. A program is one call, in which other
threads go on. It is the same operations in the same order, and that is tried: where one bit
differs, the network goes on as it is.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import cores
from .recording import Enough, Passing, Recording, under_way
from .strides import read_right
from .swaps import copied

if TYPE_CHECKING:
    from .frozen import Network

SELDOM = 2  # passes before a network gets its program: a script that makes one map needs none
SIZES = 64  # of inputs for which it is tried


class Program:
    """Of one network, up to its last layer and on from there. Made when it has been asked twice,
    and tried at each new size of its inputs; what can't be followed keeps none."""

    def __init__(self) -> None:
        self._asked = 0
        self._right: dict[torch.Size, bool] = {}  # is it the same, at inputs of that shape?
        self._parts: tuple[Callable[..., Tensor], Callable[..., Tensor]] | None = None
        self._none = False
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Program], tuple[()]]:
        return Program, ()  # a copy's network makes its own

    def __call__(self, network: Network, x: Tensor) -> Recording:
        """What `network.record(x, (network.last,))` gives."""
        right = self._right.get(x.shape)
        if right:
            cores.give_way()
            return self._run(network, x)
        plain = network.record(x, (network.last,))
        self._asked += 1
        untried = right is None and self._asked > SELDOM and len(self._right) < SIZES
        if untried and not self._none and self._lock.acquire(blocking=False):
            try:
                self._right[x.shape] = self._same(network, x, plain)
            except Exception:  # a module may do anything
                self._none = True
            finally:
                self._lock.release()
        return plain

    def _same(self, network: Network, x: Tensor, plain: Recording) -> bool:
        if self._parts is None:
            self._parts = _traced(network, x)
        ours, last = self._run(network, x), network.last
        return all(
            torch.equal(*pair) and pair[0].stride() == pair[1].stride()
            for pair in (
                (ours.logits, plain.logits),
                (ours.activations[last], plain.activations[last]),
                (_gradient(ours, last), _gradient(plain, last)),
            )
        )

    @torch.inference_mode(False)
    def _run(self, network: Network, x: Tensor) -> Recording:
        up_to, onward = self._parts
        x, recording = _input(network, x), Recording(None)
        with (
            torch.autocast(network.device.type, enabled=False),
            torch.jit.optimized_execution(False),  # as it was written, from the first call on
        ):
            with torch.no_grad():
                kept = up_to(x).detach()
            with torch.enable_grad():
                kept = recording.activations[network.last] = kept.requires_grad_()
                recording.logits = onward(x, kept)
        read_right(recording.logits)
        return recording


def _input(network: Network, x: Tensor) -> Tensor:
    return x.to(network.device, memory_format=network.memory)


def _gradient(recording: Recording, layer: str) -> Tensor:
    return torch.autograd.grad(
        recording.logits[:, 0].sum(), recording.activations[layer], retain_graph=True
    )[0]


_tracing = threading.Lock()


def _traced(network: Network, x: Tensor) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """The way up to the last layer, and from its activation on; raises where a number that Python
    read off a tensor decides what is computed, since another photo may have another."""
    x, last, size = _input(network, x), network.last, tuple(x.shape[2:])

    def up_to(x: Tensor) -> Tensor:
        recording = Recording(None, until=last)
        until = Passing(network.serial, recording, frozenset([last]), size)
        with under_way(until), suppress(Enough):
            network.module(x.clone())
        return recording.activations[last]

    def onward(x: Tensor, kept: Tensor) -> Tensor:
        given = Passing(network.serial, Recording(None), frozenset([last]), size, kept)
        with under_way(given), copied() if network.overwrites else nullcontext():
            return network.module(x.clone()).float()

    with (
        _tracing,
        warnings.catch_warnings(),
        torch.inference_mode(False),
        torch.autocast(network.device.type, enabled=False),
    ):
        warnings.simplefilter("ignore", FutureWarning)  # that compilers will take its place
        warnings.simplefilter("error", torch.jit.TracerWarning)
        with torch.no_grad():
            first = torch.jit.trace(up_to, (x,), check_trace=False)
            kept = first(x).detach()
        with torch.enable_grad():
            kept.requires_grad_()
            return first, torch.jit.trace(onward, (x, kept), check_trace=False)
