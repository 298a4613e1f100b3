"""A run of training that can be stopped and taken up again."""

from __future__ import annotations

import copy
import math
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from training.progress import progress

KEEP_EVERY = 180.0  # seconds between checkpoints


@dataclass(frozen=True)
class Recipe:
    """What every run needs to know."""

    steps: int
    batch: int
    rate: float
    decay: float
    average: float  # of the weights over the steps
    warm: int = 50  # steps until the rate is reached
    steepest: float = 50.0  # norm of the gradients
    seed: int = 0


Kind = TypeVar("Kind", bound=Recipe)


def options(parser: ArgumentParser, kind: type[Recipe]) -> None:
    """An option for each field of a kind of recipe; see `chosen`."""
    for each in fields(kind):
        parser.add_argument(f"--{each.name}", type=type(each.default), default=each.default)


def chosen(kind: type[Kind], args: Namespace) -> Kind:
    """The recipe that the options say."""
    return kind(**{each.name: getattr(args, each.name) for each in fields(kind)})


class Run:
    """A network in training, the running average of its weights, and where they are kept."""

    def __init__(
        self, network: nn.Module, groups: list[dict[str, Any]], recipe: Recipe, out: Path
    ) -> None:
        """groups: of parameters, as for an optimiser, each with a "rate"."""
        self.recipe, self.out, self.network = recipe, out, network
        self.average = copy.deepcopy(network)
        self.optimiser = torch.optim.AdamW(groups, weight_decay=recipe.decay)
        self.step = 0

    def resume(self) -> bool:
        """From the last checkpoint, at the rates of this recipe; False if there is none."""
        if not (self.out / "state.pt").exists():
            return False
        state = torch.load(self.out / "state.pt", weights_only=True)
        rates = [group["rate"] for group in self.optimiser.param_groups]
        for name in ("network", "average", "optimiser"):
            getattr(self, name).load_state_dict(state[name])
        for group, rate in zip(self.optimiser.param_groups, rates, strict=True):
            group["rate"] = rate
        self.step = state["step"]
        return True

    def save(self) -> None:
        """Keep all that it takes to go on; an interruption leaves what was there before."""
        self.out.mkdir(parents=True, exist_ok=True)
        state = {"step": self.step}
        for name in ("network", "average", "optimiser"):
            state[name] = getattr(self, name).state_dict()
        torch.save(state, self.out / "state.new")
        (self.out / "state.new").replace(self.out / "state.pt")

    def descend(self, loss: Tensor) -> None:
        """A step against the gradient: slow at first, slower and slower to the end."""
        warm = min((self.step + 1) / max(self.recipe.warm, 1), 1.0)
        fade = (1 + math.cos(math.pi * self.step / self.recipe.steps)) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * warm * fade
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.steepest)
        self.optimiser.step()
        self.step += 1
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            slow, fast = (list(each.parameters()) for each in (self.average, self.network))
            torch._foreach_lerp_(slow, fast, 1 - keep)

    def go(
        self,
        batches: Iterator[tuple[Tensor, ...]],
        one: Callable[..., tuple[float | Tensor, ...]],
        names: str,
    ) -> None:
        """To the recipe's end; one: takes a step with a batch and hands over the losses called
        `names`."""
        first, start, log = self.step, time.perf_counter(), []
        saved = start
        while self.step < self.recipe.steps:
            log.append(one(*next(batches)))
            if self.step % 10 == 0:
                log = [tuple(map(float, each)) for each in log[-100:]]
                losses = " ".join(f"{loss:.3f}" for loss in np.mean(log, 0))
                note = f"step {self.step}, {names} {losses}"
                progress("train", (self.step - first) / (self.recipe.steps - first), start, note)
            if time.perf_counter() - saved > KEEP_EVERY:
                self.save()
                saved = time.perf_counter()
        self.save()
