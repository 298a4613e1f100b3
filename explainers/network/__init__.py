"""A frozen network that many visitors share, and recorded passes through it."""

from .discovery import Layer
from .frozen import Enough, Frame, Framing, Network, Recording, View
from .recipe import Head, Recipe

__all__ = ["Enough", "Frame", "Framing", "Head", "Layer", "Network", "Recipe", "Recording", "View"]
