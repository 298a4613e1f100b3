"""Muting windows of a photo: which pixels does a class need?"""

from .result import Change, Muting, Position, Score, to_pixels
from .sweep import COARSE, Key, check, mute, recent, windows

__all__ = [
    "COARSE",
    "Change",
    "Key",
    "Muting",
    "Position",
    "Score",
    "check",
    "mute",
    "recent",
    "to_pixels",
    "windows",
]
