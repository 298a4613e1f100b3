"""The networks on offer, where their weights come from, and those in memory."""

from .catalogue import BUNDLED, WEIGHTS
from .loaded import Status, Zoo, load, shared

__all__ = ["BUNDLED", "WEIGHTS", "Status", "Zoo", "load", "shared"]
