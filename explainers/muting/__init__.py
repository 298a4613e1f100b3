"""Muting windows of a photo: which pixels does a class need?"""

from .result import Change, Muting, Position, Score, to_pixels
from .sweep import COARSE, Key, check, mute, mute_in_steps, recent, windows

__all__ = [
    "COARSE",
    "Change",
    "Key",
    "Muting",
    "Position",
    "Score",
    "check",
    "mute",
    "mute_in_steps",
    "recent",
    "to_pixels",
    "windows",
]
