"""Muting windows of a photo: which pixels does a class need?"""

from .incremental import Interval
from .result import Change, Muting, Position, Score, to_pixels
from .sweep import COARSE, Key, Sweep, check, grid, mute, mute_in_steps, recent, windows

__all__ = [
    "COARSE",
    "Change",
    "Interval",
    "Key",
    "Muting",
    "Position",
    "Score",
    "Sweep",
    "check",
    "grid",
    "mute",
    "mute_in_steps",
    "recent",
    "to_pixels",
    "windows",
]
