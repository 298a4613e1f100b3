"""A frozen network that many visitors share, and recorded passes through it."""

from .discovery import Layer
from .frozen import Frame, Framing, Network, View
from .recipe import Head, Recipe
from .recording import Enough, Recording

__all__ = ["Enough", "Frame", "Framing", "Head", "Layer", "Network", "Recipe", "Recording", "View"]
