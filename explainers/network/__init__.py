"""A frozen network that many visitors share, and recorded passes through it."""

from .discovery import Layer
from .frozen import Frame, Framing, Network, View, at_once
from .recipe import Head, Recipe
from .recording import Enough, Recording

__all__ = [
    "Enough",
    "Frame",
    "Framing",
    "Head",
    "Layer",
    "Network",
    "Recipe",
    "Recording",
    "View",
    "at_once",
]
