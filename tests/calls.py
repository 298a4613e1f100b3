"""Questions drawn at random, sensible or not, and what must be true of every answer.

For the test that asks a few hundred and for `benchmarks/random_calls.py`, which asks thousands.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from explainers import METHODS, ExplainError, Explanation, Network, explain, notes
from explainers.options import OneOf, Option
from tests import nets

#: Options that decide how much work a call is: as many as this at most.
FEW = {"masks": 40, "samples": 3, "steps": 4, "batch": 4, "grid": 9}
RUBBISH: list[Any] = [
    None, True, -1, 0, 10**30, 1.5, math.nan, math.inf, "", "class", "grey", "ﬀ", b"x", [], {},
    (1, 2), {1}, object(), np.float32(0.5), np.array([1, 2]), torch.tensor(3), lambda: 0, 2j,
]  # fmt: skip
PLACES = ("method", "target", "layer", "against", "framing", "option", "name", "photo")


class Plain(nn.Module):
    """Convolutions with a rule between them, and a head; nothing is an average."""

    def __init__(self, between: Callable[[], nn.Module], stride: int, pad: int, cells: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 5, stride, pad), between())
        self.second = nn.Sequential(nn.Conv2d(6, 8, 3, 2, pad), between())
        self.pool, self.head = nn.AdaptiveMaxPool2d(cells), nn.Linear(8 * cells**2, 20)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(self.second(self.first(x))).flatten(1))


def _plain(*about: Any, **facts: Any) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nets.wrap(Plain(*about), classes=20, key=f"plain {about[0].__name__}", **facts)


def _built(arch: str, size: int = 64, **facts: Any) -> Network:
    built = nets.module(arch, num_classes=20)
    return nets.wrap(built, classes=20, size=size, key=arch, alone=True, **facts)


def _fixed() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        parts = [nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU6(True), nn.Conv2d(4, 6, 3, 2, 1), nn.ReLU6(True)]
        built = nn.Sequential(*parts, nn.Flatten(), nn.Linear(6 * 8 * 8, 20))
        return nets.wrap(built, classes=20, size=32, key="fixed", alone=True)


#: Small networks of different kinds.
NETWORKS: dict[str, Callable[[], Network]] = {
    "resnet": lambda: _built("resnet18"),
    "resnet, many labels": lambda: _built("resnet18", head="sigmoid"),
    "lite": lambda: _built("tf_efficientnet_lite0", 32),
    "mobile": lambda: _built("mobilenetv3_small_050"),
    "plain": lambda: _plain(nn.ReLU, 2, 1, 2),
    "no padding": lambda: _plain(nn.LeakyReLU, 1, 0, 1, size=16),
    "smooth": lambda: _plain(nn.SiLU, 4, 2, 3, size=48),
    "two labels": lambda: nets.seeded("resnet10t", size=32, classes=2),
    "fixed size": _fixed,
}
network = cache(lambda name: NETWORKS[name]())


@dataclass(frozen=True)
class Call:
    """One question. photo: an array, or a tensor that is to be a view."""

    network: str
    photo: Any
    method: Any = "gradcam"
    target: Any = None
    layer: Any = None
    against: Any = None
    framing: Any = "whole"
    options: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        photo = f"{type(self.photo).__name__}{list(getattr(self.photo, 'shape', []))}"
        about = {k: v for k, v in vars(self).items() if k not in ("photo", "network")}
        return f"{self.network}, {photo}, {about}"


def draw(chance: random.Random) -> Call:
    """A question; about a third of them have something in them that can't be."""
    name = chance.choice(list(NETWORKS))
    asked, method = network(name), chance.choice(list(METHODS))
    classes = range(len(asked.labels))
    wanted = chance.sample(classes, chance.choice([1, 1, 1, 2, 2, min(5, len(classes))]))
    found: dict[str, Any] = {
        "network": name,
        "photo": _photo(chance, asked),
        "method": method,
        "target": chance.choice([None, wanted[0], wanted, [asked.labels[c] for c in wanted]]),
        "layer": chance.choice([None, *asked.layers]),
        "against": chance.choice([None, None, chance.choice(classes)]),
        "framing": chance.choice(["whole", "crop"]),
        "options": {},
    }
    for option in METHODS[method].options.values():
        if option.name in FEW or chance.random() < 0.5:
            found["options"][option.name] = _value(chance, option)
    if chance.random() < 0.35:
        _spoil(chance, found)
    return Call(**found)


def _photo(chance: random.Random, asked: Network) -> Any:
    """Arrays of all kinds, some of them too small, and inputs made ready for the network."""
    height, width = (chance.choice([8, 9, 20, 33, 64, 100]) for _ in range(2))
    noise = np.random.default_rng(chance.randrange(2**32))
    if chance.random() < 0.3:
        sides = (chance.choice([asked.size, 32, 40, 64]) for _ in range(2))
        return nets.noise(1, 3, *sides, seed=chance.randrange(1000)) * chance.choice([0, 1, 30])
    if chance.random() < 0.1:
        return np.full((height, width, 3), chance.choice([0, 128, 255]), np.uint8)
    channels = chance.choice([(), (3,), (3,), (4,)])
    pixels = noise.random((height, width, *channels))
    return (pixels * 255).astype(np.uint8) if chance.random() < 0.7 else pixels


def _value(chance: random.Random, option: Option) -> Any:
    """A value that the option takes."""
    if option.empty and chance.random() < 0.3:
        return None
    if isinstance(option.limit, OneOf):
        return chance.choice(list(option.limit.words))
    if option.kind is bool:
        return chance.random() < 0.5
    if option.limit is None:  # a stranger's option that says no limits
        return option.default
    low, high = option.limit.low, min(option.limit.high, FEW.get(option.name, 64))
    if option.kind is int:
        return chance.randint(int(low), int(high))
    return chance.uniform(low, high) if high > low else low


def _spoil(chance: random.Random, found: dict[str, Any]) -> None:
    """Put something in one place that does not belong there."""
    place, thing = chance.choice(PLACES), chance.choice(RUBBISH)
    if place == "option":
        names = [name for name in found["options"] if name not in ("masks", "samples", "steps")]
        if names:
            found["options"][chance.choice(names)] = thing
    elif place == "name":
        found["options"][chance.choice(["colour", "window ", "x" * 300, "self", "rows"])] = thing
    elif place == "target":
        found["target"] = chance.choice([thing, [thing], [0, 0], list(range(9)), ["class 1", 99]])
    elif place == "photo":
        shapes = [
            (1, 1, 3),
            (0, 4, 3),
            (7, 7, 3),
            (9, 9, 2),
            (3, 9, 9),
            (5,),
            (8, 4000),
            (2, 2, 2, 2),
        ]
        found["photo"] = chance.choice(
            [
                thing,
                np.zeros(chance.choice(shapes), chance.choice(["u1", "u2", "i4", "f4", "?", "O"])),
            ]
        )
    else:
        found[place] = thing


def answer(call: Call) -> Explanation | ExplainError:
    """What the call comes to; whatever else it raises is a defect, as is a wrong answer."""
    asked = network(call.network)
    try:
        photo = call.photo
        if isinstance(photo, torch.Tensor) and photo.ndim == 4:
            photo = asked.view(photo)
        about = {"layer": call.layer, "against": call.against, "framing": call.framing}
        found = explain(asked, photo, call.target, call.method, **about, **call.options)
    except ExplainError as error:
        _check_sentence(str(error))
        return error
    _check_map(found, asked)
    return found


def _check_sentence(said: str) -> None:
    checks = {
        "it ends": said.endswith("."),
        "in one line": "\n" not in said,
        "it is short": len(said) < 400,
        "no path": not re.search(r"/\w+/|[A-Z]:\\\\", said),
        "no class of Python's": not re.search(r"\w+Error|<\w+ object|dtype", said),
    }
    assert all(checks.values()), f"{[words for words, fine in checks.items() if not fine]}: {said}"


def _check_map(found: Explanation, asked: Network) -> None:
    values, count = found.values, len(found.targets)
    told = [dict(found.options), dict(found.facts), [note.number for note in found.notes]]
    checks = {
        "finite": bool(values.isfinite().all()),
        "float32": values.dtype == torch.float32,
        "a row for each target": values.shape[0] == count >= 1,
        "planes": values.ndim == 3 or (values.ndim == 4 and values.shape[1] == 3),
        "targets": all(0 <= target < len(asked.labels) for target in found.targets),
        "done": found.done == 1,
        "options": set(found.options) == set(METHODS[found.method].options),
        "json": bool(json.dumps(told, allow_nan=False)),
        "words": all(notes.describe(found, row).endswith(".") for row in range(count)),
        "peak": all(0 <= side <= 1 for row in range(count) for side in found.peak(row)),
    }
    assert all(checks.values()), [words for words, fine in checks.items() if not fine]
