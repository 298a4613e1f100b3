"""The methods, a file for each family; importing them registers them."""

from . import attention, backprop, cam, occlusion, patches, rise

__all__ = ["attention", "backprop", "cam", "occlusion", "patches", "rise"]
