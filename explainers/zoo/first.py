"""The first convolution of a network that lies here, read off its file: nothing is built."""

from __future__ import annotations

from functools import cache

import numpy as np
from safetensors import safe_open

from ..errors import ModelError
from ..places import WEIGHTS
from .catalogue import CATALOGUE
from .checkpoint import SCALE, whole
from .sources import Shipped


@cache
def first_kernels(key: str) -> np.ndarray:
    """The kernels (F, 3, h, w) that read the photo, of a network of `weights/` by its key.

    Raises ModelError where its weights don't lie here.
    """
    folder = {
        each.key: each.source.folder for each in CATALOGUE if isinstance(each.source, Shipped)
    }
    if key not in folder:
        raise ModelError(f"The weights of “{key[:40]}” do not lie here: choose another network.")
    with safe_open(WEIGHTS / folder[key] / "model.safetensors", "pt") as file:
        names = set(file.keys())
        shapes = {name: file.get_slice(name).get_shape() for name in names}
        name = next(n for n in sorted(names) if len(shapes[n]) == 4 and shapes[n][1] == 3)
        tensors = {n: file.get_tensor(n) for n in (name, name + SCALE) if n in names}
    return whole(tensors)[name].float().numpy()
