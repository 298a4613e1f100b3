"""What was measured of the first layers that come with this repository, so that nobody waits.

`training/gabors.py` writes the file; a layer is found by its very kernels, and any other is
measured when asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from ..places import ASSETS

FILE = ASSETS / "filters" / "measured.npz"

Arrays = dict[str, np.ndarray]


def read(name: str) -> Arrays | None:
    """What is known of the layer whose kernels have that digest, by its parts, or None."""
    found = {part: each for (layer, part), each in _all().items() if layer == name}
    return found or None


def write(layers: Mapping[str, Arrays], file: Path = FILE) -> None:
    """Parts of each layer, by the digest of its kernels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    flat = [(f"{layer}/{part}", each) for layer in layers for part, each in layers[layer].items()]
    np.savez_compressed(file, **dict(flat))


@cache
def _all() -> dict[tuple[str, str], np.ndarray]:
    if not FILE.is_file():
        return {}
    with np.load(FILE, allow_pickle=False) as file:
        return {tuple(name.split("/")): file[name] for name in file.files}
