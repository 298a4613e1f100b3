"""What is remembered: bounded in bytes over all drawers, counted fairly, gone with its network."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from explainers import METHODS, Network, ask
from explainers.api import question
from explainers.network.folding import folded
from explainers.recent import Memory, Recent, forget, memory
from explainers.room import Claim, Room
from explainers.scores import faithfulness, sanity
from explainers.sizes import size
from explainers.units import feeds, unit
from explainers.units.receptive import fields
from explainers.units.strongest import Strongest
from tests import nets

KB = 1024


@dataclass(frozen=True)
class Record:
    network: Network
    values: Tensor


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Nothing leaves by way of the garbage collector, which may come late."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def started(work: Iterator) -> Iterator:
    next(work)
    return work


def looped() -> Iterator[int]:
    kept = bytes(40_000)
    for _ in range(2):
        yield 1
    del kept


def everything(network: Network) -> dict[str, weakref.ref]:
    parts = {
        "network": network,
        "module": network.module,
        **dict(network.module.named_parameters()),
    }
    return {name: weakref.ref(part) for name, part in parts.items()}


def alive(parts: dict[str, weakref.ref]) -> list[str]:
    return [name for name, part in parts.items() if part() is not None]


def block(kilobytes: int) -> Tensor:
    return torch.zeros(kilobytes * KB, dtype=torch.uint8)


def test_the_least_used_leaves_whichever_drawer_it_is_in():
    memory = Memory(100 * KB)
    maps, passes = Recent(within=memory), Recent(within=memory)
    maps["old"], passes["old"], maps["new"] = block(30), block(30), block(30)
    assert maps["old"] is not None  # looked at, so it is the other one's turn
    passes["new"] = block(30)
    assert "old" in maps
    assert "new" in maps
    assert "new" in passes
    assert "old" not in passes
    assert memory.bytes <= 100 * KB
    maps["huge"] = block(101)  # never fits, and nothing leaves for it
    assert maps.get("huge") is None
    assert len(maps) == 2
    assert len(passes) == 1
    maps["new"] = block(1)
    assert memory.bytes < 65 * KB


def test_results_make_way_for_large_work_as_long_as_it_is_under_way():
    kept = Memory(100_000)
    drawer: Recent[int, bytes] = Recent(within=kept)

    def fill() -> int:
        for number in range(9):
            drawer.keep(number, bytes(10_000))
        return kept.bytes

    def take(size: int) -> Claim:
        try:
            next(kept.take(size))
        except StopIteration as end:  # at once, since there is nobody who could wait
            return end.value
        raise AssertionError

    assert fill() > 90_000
    first = take(30_000)
    assert 60_000 < kept.bytes <= 70_000
    assert drawer.get(8) is not None  # those used last are still there
    second = take(10**9)
    assert 40_000 < fill() <= 50_000
    del first, second
    assert fill() > 90_000


def test_where_the_process_is_full_the_least_used_is_spared_down_to_half_of_the_room():
    kept = Memory(100_000)
    drawer: Recent[int, bytes] = Recent(within=kept)
    for number in range(9):
        drawer.keep(number, bytes(10_000))
    assert drawer.get(0) is not None  # looked at, so it is the next one's turn
    kept.spare(15_000)
    assert [number for number in range(9) if number in drawer] == [0, 3, 4, 5, 6, 7, 8]
    kept.spare(900_000)
    assert 30_000 < kept.bytes <= 50_000
    left = kept.bytes
    kept.spare(10_000)
    assert kept.bytes == left


def test_large_work_waits_for_room_and_what_is_small_passes_it_where_that_holds_it_up_not():
    room = Room(lambda: 100)
    large, waits, small, next_one = (room.claim(size) for size in (60, 60, 30, 20))
    assert [large.granted, waits.granted, small.granted, next_one.granted] == [1, 0, 1, 0]
    assert (waits.wait(0), next_one.wait(0)) == (1, 2)
    del large
    assert waits.wait(0) == 0
    assert (next_one.wait(0), room.held, room.waiting) == (1, 90, 1)
    del small
    assert next_one.wait(0) == 0
    huge, tiny = room.claim(500), room.claim(1)
    assert not tiny.granted  # or huge, which needs all of it, might wait for ever
    found = []
    (thread := threading.Thread(target=lambda: found.append(huge.wait(20)))).start()
    del waits, next_one
    thread.join(20)
    assert found == [0]
    assert tiny.wait(0) == 1


def test_a_drawer_may_bound_its_number():
    tickets = Recent(2, within=Memory(100 * KB))
    for name in "abc":
        tickets[name] = name
    assert "a" not in tickets
    assert "b" in tickets
    assert "c" in tickets


def test_sharing_counts_once_in_a_result_and_between_results():
    whole = block(40)
    assert 40 * KB <= size([whole, whole[:10], {"also": whole.numpy()}]) < 42 * KB
    memory = Memory(200 * KB)
    drawer = Recent(within=memory)
    drawer["whole"], drawer["part"] = whole, whole[5:6]
    assert 40 * KB <= memory.bytes < 42 * KB
    drawer["whole"] = block(1)
    assert 41 * KB <= memory.bytes < 43 * KB, "the part still holds all of it"
    drawer["part"] = 0
    assert memory.bytes < 3 * KB


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(100, 100)[:, :1],
        np.zeros((100, 100), np.float32)[:, :1],
        np.frombuffer(bytes(40_000), np.uint8).reshape(100, 400)[1:],
        torch.zeros(100, 100).to_mkldnn(),
        torch.from_numpy(np.zeros((100, 100), np.float32)).numpy()[:1],
        {"bytes": [(bytes(40_000),)]},
        Record(None, torch.zeros(100, 100)),
        partial(print, end=lambda kept=bytes(40_000): kept),
        (lambda kept: lambda: kept)(bytes(40_000)),
        started(one for one in looped()),
        [float(number) for number in range(1250)],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_kept_alive_is_counted(value):
    assert 40_000 <= size(value) < 44_000


def test_what_is_remembered_elsewhere_counts_there():
    drawer = Recent(within=Memory())
    drawer["key"] = block(40)
    assert size({"drawer": drawer, "work": lambda: drawer.get("key")}) < KB


def test_a_pass_counts_with_its_graph_and_without_the_network_s_weights():
    network = nets.seeded("resnet18")
    weights = sum(p.numel() for p in network.module.parameters()) * 4
    early, late = (
        network.record(torch.zeros(1, 3, 64, 64), (layer,)) for layer in ("layer1", "layer4")
    )
    memory = Memory()
    passes = Recent(within=memory)
    passes.keep("late", late, network)
    small = memory.bytes
    passes.keep("early", early, network)
    assert sum(a.numel() * 4 for a in early.activations.values()) * 3 < memory.bytes < weights / 4
    assert small < memory.bytes / 4


def test_a_network_that_leaves_takes_its_results_along(uncollected):
    ours, theirs = nets.seeded("resnet18"), nets.seeded("resnet18")
    memory = Memory()
    drawer = Recent(within=memory)
    drawer.keep("tensor", block(9), ours)
    drawer["record"] = Record(ours, block(9))
    drawer.keep("other", block(9), theirs)
    assert drawer["record"].network is ours
    memory.forget(ours)
    assert len(drawer) == 1
    assert "other" in drawer

    drawer.keep("pass", theirs.record(torch.zeros(1, 3, 64, 64), ("layer1",)), theirs)
    drawer["record"] = Record(theirs, block(9))
    gone = everything(theirs)
    del theirs
    assert not alive(gone), "what is remembered of a network keeps it alive"
    assert len(drawer) == 0
    assert memory.bytes == 0


def test_what_is_asked_for_by_many_at_a_time_is_found_once():
    drawer, started, go, calls = (
        Recent(within=Memory(100 * KB)),
        threading.Event(),
        threading.Event(),
        [],
    )

    def find() -> str:
        calls.append(1)
        started.set()
        assert go.wait(10)
        return "found"

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(drawer.found, "key", find)
        assert started.wait(10)
        others = [pool.submit(drawer.found, "key", find) for _ in range(3)]
        assert drawer.found("another key", lambda: "at once") == "at once"
        go.set()
        assert {each.result(10) for each in (first, *others)} == {"found"}
    assert len(calls) == 1


def test_a_failed_search_leaves_nothing_behind():
    drawer = Recent(within=Memory(100 * KB))
    with pytest.raises(ZeroDivisionError):
        drawer.found("key", lambda: 1 // 0)
    assert drawer.found("key", lambda: 7) == 7


def test_many_threads_keep_the_count_right():
    memory = Memory(50 * KB)
    drawers = [Recent(within=memory) for _ in range(3)]

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(200):
            drawer, key = drawers[random.integers(3)], int(random.integers(12))
            if random.random() < 0.5:
                drawer[key] = block(int(random.integers(1, 9)))
            else:
                drawer.get(key)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    kept = [
        each for drawer in drawers for key in range(12) if (each := drawer.get(key)) is not None
    ]
    assert kept
    assert sum(len(each) for each in kept) <= memory.bytes <= 50 * KB


@pytest.mark.slow
@pytest.mark.parametrize("evicted", [True, False], ids=["evicted", "of itself"])
def test_whatever_was_asked_of_a_network_it_can_leave(uncollected, photo, evicted):
    """Nothing keeps it: no memory, no hook, no copy."""
    network = nets.seeded("resnet18")
    asked = question(network, photo, 1)
    quick = {"samples": 2, "steps": 2, "masks": 4, "window": 32, "stride": 32}
    fitting = [key for key, method in METHODS.items() if method.why_not(asked) is None]
    options = {k: {o: v for o, v in quick.items() if o in METHODS[k].defaults} for k in fitting}
    maps = [list(ask(asked, key, **options[key]))[-1] for key in fitting]
    for found in maps:
        faithfulness.score(asked, found, steps=2)
    faithfulness.floor(asked, 1, steps=2)
    list(sanity.check(asked, maps[:1]))
    unit(asked, 0)
    feeds(asked, 0)
    fields(network, 64, 64)
    strongest = Strongest(lambda: [photo])
    list(strongest.asking(network))
    assert strongest.known(network)
    folded(network.module, 64)
    assert memory.bytes > 0

    gone = everything(network)
    if evicted:
        forget(network, network.module)
    del network, asked
    assert not alive(gone)
