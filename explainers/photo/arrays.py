"""Arrays and tensors, from whichever library, as arrays of NumPy's own."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from ..errors import PhotoError


def is_array(source: Any) -> bool:
    """An array or a tensor; a Pillow image is none, nor are NumPy's own texts."""
    return hasattr(source, "__array__") and not isinstance(source, Image.Image | str | bytes)


def as_array(source: Any, notes: list[str]) -> np.ndarray:
    """In this machine's memory and byte order; of a tensor without its gradients, of a batch of one
    its one. Masked values are 0, of which a note tells. Raises PhotoError."""
    if isinstance(source, np.ma.MaskedArray):
        if masked := int(np.ma.count_masked(source)):
            notes.append(f"{masked} of its {source.size} values are masked, and taken for 0.")
        source = source.filled(0)
    try:
        if hasattr(source, "detach"):
            source = source.detach().cpu().resolve_neg()
            source = source.float() if source.is_floating_point() else source  # bfloat16
        array = np.asarray(source)
        array = array[0] if array.ndim == 4 and len(array) == 1 else array
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    except Exception as error:
        raise PhotoError(
            "The array can’t be read; give a NumPy array, or a dense tensor that holds values."
        ) from error
