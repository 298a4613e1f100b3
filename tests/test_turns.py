"""Many at once: whose turn it is, on how many cores, and what is worked out only once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest
import torch

from explainers import METHODS, Network, Question, ask, cores
from explainers.api import question
from explainers.recent import Recent
from explainers.together import together
from tabs import endpoints
from tabs.here import Here
from tabs.parts import lanes
from tabs.parts.lanes import Busy, Lane
from tabs.parts.work import Jobs, Show
from tabs.server.options import Options
from tabs.server.running import Running
from tests import nets
from tests.scripted import Page

# ---- cores ----


def test_one_alone_has_half_of_the_cores_and_many_share_them() -> None:
    eight = cores.Cores(8)
    assert [eight.each(working) for working in (1, 2, 3, 4, 8, 50)] == [4, 4, 2, 2, 1, 1]
    assert cores.Cores(1).each(1) == 1
    assert cores.Cores(8, threads=3).each(50) == 3  # the setting has its way
    gpu = cores.Cores(8, gpu=True)
    assert (gpu.quick, gpu.slow) == (1, 1)


def test_a_turn_sets_the_threads_of_its_own_thread_alone() -> None:
    four, inside, over = cores.Cores(4), threading.Event(), threading.Event()
    mine, others = torch.get_num_threads(), []

    def other() -> None:
        for _ in range(3):  # the more there are at work, the fewer threads each has
            stack.append(four.turn())
            others.append(stack[-1].__enter__())
        others.append(torch.get_num_threads())
        inside.set()
        over.wait(20)

    stack: list = []
    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(20)
    assert torch.get_num_threads() == mine
    over.set()
    thread.join(20)
    assert others == [2, 2, 1, 1]


@pytest.mark.parametrize("gpu", [False, True])
def test_however_many_ask_few_threads_compute(gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory falls into pieces among many; on a GPU libraries prepare themselves for each thread,
    and photos are read elsewhere."""
    home = cores.Cores(2, threads=3, gpu=gpu)
    monkeypatch.setattr(cores, "shared", home)
    told, found = ContextVar("told", default=""), []

    def steps() -> Iterator[Show]:
        for done in (0.5, 1.0):
            found.append((done, threading.get_ident(), told.get(), torch.get_num_threads()))
            yield Show(done=done)

    def visit(name: str) -> None:
        told.set(name)
        _, ticket = jobs.start((name, "tab"), steps())
        while ticket:
            _, ticket = jobs.more(ticket)

    jobs, names = Jobs(), ["one", "other", "third", "fourth"]
    for name in names:
        thread = threading.Thread(target=visit, args=(name,))
        thread.start()
        thread.join(20)
    quick, slow = ({ident for done, ident, *_ in found if done == share} for share in (0.5, 1.0))
    assert len(quick) <= home.quick
    assert len(slow) == 1
    assert not quick & slow
    assert [name for _, _, name, _ in found] == [name for name in names for _ in range(2)]
    assert {threads for *_, threads in found} == {3}
    here = threading.get_ident()
    readers = {cores.take_in(threading.get_ident) for _ in range(9)}
    assert (readers == {here}) is gpu
    assert len(quick | (readers - {here})) <= home.quick
    if not gpu:  # who reads already goes on by himself: nobody waits for a thread that waits
        begun = [home.readers.submit(cores.take_in, threading.get_ident) for _ in range(9)]
        assert len(quick | readers | {each.result(20) for each in begun}) <= home.quick


def test_a_container_s_share_counts(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(cores, "QUOTA", quota)
    whole = cores.count()
    for said, expected in (("50000 100000", 1), ("max 100000", whole), ("", whole)):
        quota.write_text(said)
        assert cores.count() == expected


# ---- giving way ----


def _answers(home: cores.Cores, slow: bool, found: list[torch.Tensor]) -> threading.Thread:
    """A pass and then its gradients go to `found`, from a turn on a thread of its own."""
    network = nets.seeded("resnet18")
    view = network.view(nets.noise(1, 3, 64, 64, seed=70))

    def work() -> None:
        with home.turn(lambda: slow):
            recording = network.record(view.tensor, ("layer4",), inputs=True)
            found.append(recording.logits.detach())
            found.append(recording.gradients([3]))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_slow_work_stands_still_between_layers_while_quick_work_needs_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cores, "STILL", 600.0)
    two, still, real = cores.Cores(2), threading.Event(), cores.Cores.stand
    quick, slow, there = [], [], []

    def stand(turn: cores.Turn) -> None:
        there.append(len(slow))
        still.set()
        real(two, turn)

    monkeypatch.setattr(two, "stand", stand)
    with two.turn():  # quick
        thread = _answers(two, True, slow)
        assert still.wait(20)
        _answers(two, False, quick).join(20)
        assert len(quick) == 2  # beside it, at once
        assert there == [0]
    thread.join(20)
    assert all(torch.equal(one, other) for one, other in zip(quick, slow, strict=True))
    assert there.count(1) > 10  # on the way back, too


def test_a_lull_is_when_nobody_is_at_quick_work() -> None:
    two = cores.Cores(2)
    with ThreadPoolExecutor() as pool:
        with two.turn():
            assert not two.lull(0)
            waits = pool.submit(two.lull, 20)
        assert waits.result(20)
    with two.turn(slow=lambda: True):
        assert two.lull(0)


def test_slow_work_comes_to_its_end_and_has_cores_of_its_own_where_there_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for home, seconds in ((cores.Cores(8), 600.0), (cores.Cores(2), 0.05)):
        monkeypatch.setattr(cores, "STILL", seconds)
        found: list[torch.Tensor] = []
        with home.turn():  # quick work without an end
            _answers(home, True, found).join(20)
        assert len(found) == 2


def test_nobody_stands_still_for_one_who_waits_for_just_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cores, "STILL", 600.0)
    two, store, begun, asked = cores.Cores(2), Recent(), threading.Event(), threading.Event()
    found = []

    def find() -> str:
        begun.set()
        assert asked.wait(20)
        cores.give_way()
        return "the map"

    def look(slow: bool) -> None:
        with two.turn(lambda: slow):
            if not slow:
                asked.set()
            found.append(store.found("key", find))

    threads = [threading.Thread(target=look, args=(slow,), daemon=True) for slow in (True, False)]
    threads[0].start()
    assert begun.wait(20)
    threads[1].start()
    for thread in threads:
        thread.join(20)
    assert found == ["the map", "the map"]


# ---- lanes ----


def test_who_waits_keeps_his_place_and_a_place_left_is_given_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    lane = Lane(1)

    def place(who: str) -> int:
        with lane.turn(who, 0) as ahead:
            return ahead

    with lane.turn("works", 0):
        assert [place(who) for who in "abc"] == [1, 2, 3]
        now[0] += 3
        assert [place(who) for who in "cb"] == [3, 2]  # whoever asks more often is not sooner
        now[0] += 3  # by now a has left
        assert [place(who) for who in "bc"] == [1, 2]
    assert place("c") == 2  # free, but it is b's turn
    assert place("b") == 0
    assert place("c") == 0
    with lane.turn("works", 0):
        assert [place(who) for who in "de"] == [1, 2]
    now[0] += lanes.AWAY * 1.1
    assert place("e") == 0  # nobody waits for one who does not come back
    assert place("d") == 0


def test_too_many_are_told_when_to_come_again_and_those_who_wait_are_not_sent_away() -> None:
    lane = Lane(1, most=2)
    with lane.turn("works", 0):
        for who in "ab":
            with lane.turn(who, 0):
                pass
        with pytest.raises(Busy, match="try again in 1 s") as busy, lane.turn("c", 0):
            pass
        assert busy.value.seconds == 1
        with lane.turn("b", 0) as ahead:
            assert ahead == 2


# ---- the same at a time ----


def test_the_same_work_is_done_once_and_ends_when_all_have_left() -> None:
    begun, closed = [], []

    def steps() -> Iterator[int]:
        begun.append(True)
        try:
            yield from range(1000)
        finally:
            closed.append(True)

    one, other = together("key", steps), together("key", steps)
    assert [next(one), next(one), next(other), next(one)] == [0, 1, 1, 2]
    one.close()
    del one
    assert next(other) == 2  # goes on for who is still here
    assert list(other)[-1] == 999
    assert begun == closed == [True]
    left = together("key", steps)
    next(left)
    left.close()
    del left
    assert len(closed) == 2


def test_what_fails_fails_for_one_and_the_others_begin_anew() -> None:
    tried = []

    def fails() -> Iterator[int]:
        tried.append(True)
        yield 1
        if len(tried) == 1:
            raise ValueError("no")

    one, other = (together("bad", fails) for _ in range(2))
    assert [next(one), next(other)] == [1, 1]
    with pytest.raises(ValueError, match="no"):
        next(one)
    assert list(other) == [1]
    assert len(tried) == 2


def test_visitors_who_look_at_the_same_photo_share_its_maps(monkeypatch) -> None:
    network = nets.seeded("resnet18")
    asked = question(network, network.view(nets.noise(1, 3, 64, 64, seed=70)), 3)
    passes, real = [], network.module.forward

    def counted(x: torch.Tensor) -> torch.Tensor:
        passes.append(len(x))
        return real(x)

    monkeypatch.setattr(network.module, "forward", counted)
    with ThreadPoolExecutor(6) as pool:
        rise = list(pool.map(lambda _: list(ask(asked, "rise", masks=64))[-1], range(6)))
    assert all(each.done == 1 and torch.equal(each.values, rise[0].values) for each in rise)
    assert sum(passes) <= 64 + 2


# ---- programs ----


@pytest.mark.slow
def test_a_programs_slow_work_holds_up_no_visitor_and_ends_with_its_client(
    resnet18: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, over = threading.Event(), threading.Event()

    def endless(_asked: Question) -> Iterator[SimpleNamespace]:
        try:
            while True:
                begun.set()
                yield SimpleNamespace(done=0.5)
        finally:
            over.set()

    monkeypatch.setitem(METHODS, "rise", replace(METHODS["rise"], run=endless))
    engine = Here(SimpleNamespace(get=lambda _key: resnet18), [])
    with gr.Blocks(analytics_enabled=False) as page:
        endpoints.build(engine)
    gate = {"middleware": Running(engine, Options()).middleware}
    page.launch(prevent_thread_lock=True, quiet=True, app_kwargs=gate)
    try:
        program = Page(page.local_url.rstrip("/"))
        for queued in (True, False):
            with program.talking(program.map("", "rise", "", "", queued=queued)):
                assert begun.wait(20)
                shown, ticket = engine.jobs.start(("me", "tab"), _steps())
                while ticket:  # beside it
                    shown, ticket = engine.jobs.more(ticket)
                assert shown.places == {"step": "4 of 4"}
                assert not over.is_set()
            assert over.wait(20)
            begun.clear(), over.clear()
    finally:
        page.close(verbose=False)


def _steps() -> Iterator[Show]:
    yield from (Show({"step": f"{step} of 4"}, done=step / 4) for step in range(4))
    return Show({"step": "4 of 4"})
