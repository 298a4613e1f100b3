"""A frozen network that many visitors share, and recorded passes through it."""

from .discovery import Layer
from .frozen import Enough, Frame, Framing, Network, Recording, View

__all__ = ["Enough", "Frame", "Framing", "Layer", "Network", "Recording", "View"]
