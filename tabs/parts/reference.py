"""The reference photos, where a tab needs what a network answers to them."""

from __future__ import annotations

from collections.abc import Generator

from explainers import Network
from explainers.units.strongest import Answers, Strongest

from .pace import Pace
from .tab import Show


def asked_about(
    strongest: Strongest, network: Network, share: float = 1.0
) -> Generator[Show, None, Answers]:
    """The network's answers to them, asked now if nobody did before. share: how much of the
    tab's whole work that is, 0 to 1."""
    pace = Pace()
    for found in strongest.asking(network):
        if isinstance(found, Answers):
            return found
        words = f"{network.title} is asked about the reference photos: {pace.words(found.done)}"
        yield Show(done=share * found.done, words=words)
    raise AssertionError
