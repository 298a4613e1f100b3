"""The atlas: a drawing of every unit of a layer, ready on a sheet; see `training/atlas.py`."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..explanation import Question
from ..places import ASSETS
from ..recent import Recent
from .activations import contributions

FOLDER = ASSETS / "atlas"


@dataclass(frozen=True)
class Sheet:
    """One layer's drawings, unit by unit in rows. columns: tiles a row; side: pixels of a tile."""

    network: str
    layer: str
    units: int
    columns: int
    side: int

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.network}-{self.layer}.webp"

    @property
    def rows(self) -> int:
        return -(-self.units // self.columns)


_sheets: Recent[Sheet, Image.Image] = Recent()


@cache
def sheets() -> tuple[Sheet, ...]:
    """All that are finished, input to output."""
    listed = json.loads((FOLDER / "index.json").read_text("utf-8"))
    names = ("network", "layer", "units", "columns", "side")
    return tuple(Sheet(**{name: each[name] for name in names}) for each in listed)


def of_network(key: str) -> list[Sheet]:
    """The sheets of the network of that key."""
    return [each for each in sheets() if each.network == key]


def tile(network_key: str, layer: str, unit: int) -> Image.Image | None:
    """The drawing of a unit; None where its layer has no sheet, or no such unit."""
    for each in of_network(network_key):
        if each.layer == layer and 0 <= unit < each.units:
            whole = _sheets.found(each, partial(_opened, each.file))
            row, column = divmod(unit, each.columns)
            left, top = column * each.side, row * each.side
            return whole.crop((left, top, left + each.side, top + each.side))
    return None


def pixels(network_key: str, layer: str, unit: int) -> np.ndarray | None:
    """The same as (side, side, 3) uint8."""
    found = tile(network_key, layer, unit)
    return None if found is None else np.asarray(found)


def _opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes())).convert("RGB")


def needed(questions: Sequence[Question]) -> list[int]:
    """The asked layer's units, those first that speak most for the first target: by activation x
    gradient of its logit, summed over places, the mean over the questions' photos."""
    shares = torch.stack([contributions(each) for each in questions]).mean(0)
    return shares.argsort(descending=True, stable=True).tolist()
