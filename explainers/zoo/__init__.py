"""The networks on offer, where their weights come from, and those in memory."""

from ..places import WEIGHTS
from .brought import bring, load
from .catalogue import BUNDLED
from .loaded import Status, Zoo, shared

__all__ = ["BUNDLED", "WEIGHTS", "Status", "Zoo", "bring", "load", "shared"]
