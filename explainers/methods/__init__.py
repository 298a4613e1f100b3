"""The methods, a file for each family; importing them registers them."""

from . import backprop, cam, occlusion, patches, rise

__all__ = ["backprop", "cam", "occlusion", "patches", "rise"]
