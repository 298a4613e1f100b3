"""Pictures as pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def read(path: Path) -> np.ndarray:
    """RGB pixels (H, W, 3) uint8."""
    return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
