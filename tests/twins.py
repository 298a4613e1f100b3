"""Many maps at once, each beside its twin that was made alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from explainers import METHODS, Network, cores
from tests import nets

QUICK = tuple(key for key, each in METHODS.items() if not each.slow)


@dataclass(frozen=True)
class Wish:
    """One map: which network, photo, method and class."""

    network: int
    photo: int
    method: str
    target: int


def wishes(networks: Sequence[Network], photos: int, count: int, seed: int = 0) -> list[Wish]:
    """Maps drawn at random, each of which its network can give."""
    draw, defined = random.Random(seed), {}
    for index, network in enumerate(networks):
        defined[index] = [key for key in QUICK if nets.why_not(network, key) is None]
    found = []
    for _ in range(count):
        index = draw.randrange(len(networks))
        target = draw.randrange(len(networks[index].labels))
        method = draw.choice(defined[index])
        found.append(Wish(index, draw.randrange(photos), method, target))
    return found


def unequal(
    networks: Sequence[Network],
    photos: Sequence[torch.Tensor],
    wanted: Sequence[Wish],
    threads: int,
    watched: Callable[[Sequence[Wish], str], Iterable[Wish]] = lambda wishes, _what: wishes,
) -> list[Wish]:
    """The maps that come out otherwise, in any bit, when so many are made at a time. watched: hands
    the wishes on, and says how far that is, as `training.progress.each`."""

    def made(wish: Wish) -> torch.Tensor:
        with cores.Cores(1).turn():
            x = photos[wish.photo].clone()  # nothing of it is remembered: see nets.maps
            return nets.maps(networks[wish.network], x, wish.method, wish.target)

    alone = {wish: made(wish) for wish in watched(list(dict.fromkeys(wanted)), "alone")}
    with ThreadPoolExecutor(threads) as pool:
        pairs = zip(watched(wanted, "together"), pool.map(made, wanted), strict=True)
        return [wish for wish, values in pairs if not torch.equal(values, alone[wish])]
