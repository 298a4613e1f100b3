"""The networks on offer, where their weights come from, and those in memory."""

from .brought import bring, load
from .catalogue import BUNDLED, WEIGHTS
from .loaded import Status, Zoo, shared

__all__ = ["BUNDLED", "WEIGHTS", "Status", "Zoo", "bring", "load", "shared"]
