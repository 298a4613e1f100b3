"""What every method returns."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import math
import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from .errors import OptionError
from .network import Frame, Framing, Head, Network, View
from .network.frame import part, shown
from .network.scored import name_of

if TYPE_CHECKING:
    from .photo import Photo


#: Notes of one map alone; the last five on what some layers or methods show (`notes.SOME`).
OF_A_MAP = frozenset(
    "blank, only against, border, flat, unstable, cancelled, unsettled, padding, NaN, mixed, "
    "trimmed, bordered, past, cut".split(", ")
)


@dataclass(frozen=True)
class Note:
    """One reason for doubt. key: one of `OF_A_MAP`; or saturated or not seen; photo, of how that
    was read; of a network of one's own float32, observers, hooks, head, rounding or place. number:
    what was measured, in the unit that the sentence names. row: of which target.
    """

    key: str
    number: float
    sentence: str
    row: int = 0

    @property
    def of_pass(self) -> bool:
        """Does it hold for every map of that class in that photo, whatever the method?"""
        return self.key not in OF_A_MAP


@dataclass(frozen=True)
class Lost:
    """What stands for a target function that can't be pickled, such as a lambda."""

    label: str

    def __call__(self, output: Any) -> Any:
        raise OptionError(
            f"The target function {self.label} did not come along when this explanation was "
            "pickled, as none does that is no function of a file: ask with that function itself."
        )


def _carried(function: Any) -> Any:
    try:
        pickle.dumps(function)
    except Exception:  # what is pickled may do anything
        return Lost(name_of(function))
    return function


@dataclass(frozen=True)
class Explanation:
    """Raw, signed maps of one method, one per target.

    values: float32 on the CPU, (K, h, w) at the layer's own resolution or (K, C, H, W) at the
    input's; no ReLU, no scaling, no colour. targets: K class indices; against: the class whose
    logit was subtracted, if any. logits, probabilities: (classes,). frame: the part of the photo
    that the map covers, as fractions, and framing how it was cut (None: a ready-made input). zero:
    False where values have no zero of their own, such as mean scores: only differences count then.
    options: exactly what repeats the map (`explainers.again`); facts: what else came out. notes:
    when not to trust it (`explainers.notes`). network: its key; title: the method's. done: share of
    the work that is in this map; a slow method yields it growing to 1, and has no notes before.
    """

    method: str
    values: Tensor
    targets: tuple[int, ...]
    logits: Tensor
    probabilities: Tensor
    frame: Frame
    against: int | None = None
    layer: str | None = None
    zero: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    seconds: float = 0.0
    done: float = 1.0
    labels: tuple[str, ...] = ()
    photo: Photo | None = None
    framing: Framing | None = None
    network: str = ""
    title: str = ""
    functions: tuple[Any, ...] = ()
    head: Head = "softmax"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"functions": tuple(map(_carried, self.functions))}

    def __deepcopy__(self, memo: dict[int, Any]) -> Explanation:
        return dataclasses.replace(self, **copy.deepcopy(vars(self), memo))

    @property
    def per_pixel(self) -> bool:
        """True for (K, C, H, W): a value for each channel of each input pixel."""
        return self.values.ndim == 4

    def peak(self, row: int = 0) -> tuple[float, float]:
        """Where the map of that target is strongest: (x, y) as fractions of the photo."""
        height, width = self.values.shape[-2:]
        rows, columns = shown(self.frame, height, width)
        values = self.on_photo(row)
        values = values.abs().amax(0) if self.per_pixel else values
        values = values.nan_to_num(-math.inf, math.inf, -math.inf)
        y, x = divmod(int(values.argmax()), values.shape[1])
        x, y = x + columns.start, y + rows.start
        cell = x / width, y / height, (x + 1) / width, (y + 1) / height
        left, top, right, bottom = part(cell, self.frame)
        return (left + right) / 2, (top + bottom) / 2

    def on_photo(self, row: int = 0) -> Tensor:
        """The values of that target but for those that lie wholly in what the photo is padded
        with: (h, w) or (C, H, W)."""
        rows, columns = shown(self.frame, *self.values.shape[-2:])
        return self.values[row][..., rows, columns]

    def _repr_png_(self) -> bytes:
        """Notebooks show the map over its photo."""
        from .render.sheets import panel  # a picture is made only when one is asked for

        return panel(self.photo, [self]) if self.photo else b""

    def save(self, path: str) -> None:
        """Write the picture (.png) or the raw maps (.npz)."""
        data = to_npz([self]) if str(path).endswith(".npz") else self._repr_png_()
        with open(path, "wb") as file:
            file.write(data)


@dataclass(frozen=True)
class Question:
    """What is asked of a method: why does this network, seeing this view, score these targets so?

    layer: the layer that the CAM family explains. against: a class whose logit is subtracted from
    each target's ("why A and not B").
    """

    network: Network
    view: View
    targets: tuple[int, ...]
    layer: str
    against: int | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__["view"] = self.network.taken(self.view)  # a copy is another network

    def answer(
        self, method: str, values: Tensor, logits: Tensor, since: float, **more: Any
    ) -> Explanation:
        """The explanation; logits: (1, classes) of the view; since: `perf_counter()` at start."""
        logits = logits.detach()[0].float().cpu()
        return Explanation(
            method=method,
            values=values.detach().float().cpu(),
            targets=self.targets,
            logits=logits,
            probabilities=self.network.probabilities(logits),
            frame=self.view.frame,
            against=self.against,
            seconds=time.perf_counter() - since,
            labels=self.network.labels,
            framing=self.view.framing,
            network=self.network.key,
            functions=self.network.functions,
            head=self.network.head,
            **more,
        )


def to_npz(explanations: Sequence[Explanation]) -> bytes:
    """The raw maps of several methods: an array for each, and `about`, their settings as JSON."""
    arrays = {explanation.method: explanation.values.numpy() for explanation in explanations}
    about = [
        {
            "method": each.method,
            "targets": list(each.targets),
            "against": each.against,
            "classes": [each.labels[target] for target in each.targets] if each.labels else [],
            "logits": [float(each.logits[target]) for target in each.targets],
            "probabilities": [float(each.probabilities[target]) for target in each.targets],
            "layer": each.layer,
            "network": each.network,
            "framing": each.framing,
            "frame": list(each.frame),
            "options": dict(each.options),
            "facts": dict(each.facts),
            "notes": [asdict(note) for note in each.notes],
        }
        for each in explanations
    ]
    file = io.BytesIO()
    np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)
    return file.getvalue()
