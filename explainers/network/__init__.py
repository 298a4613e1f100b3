"""A frozen network that many visitors share, and recorded passes through it."""

from .discovery import Layer
from .frame import Frame
from .frozen import Network
from .recipe import Head, Recipe
from .recording import Enough, Recording
from .scored import Function
from .views import Framing, View

__all__ = [
    "Enough",
    "Frame",
    "Framing",
    "Function",
    "Head",
    "Layer",
    "Network",
    "Recipe",
    "Recording",
    "View",
]
