"""Work that is pulled a slice at a time: who goes on, who waits, who gives way, who has left."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from explainers import ExplainError, cores
from explainers.recent import Memory
from tabs.parts import lanes, work
from tabs.parts.work import MOST, Jobs, Show


def counting(stopped: list[str], upto: int = 10**9) -> Iterator[Show | None]:
    try:
        for number in range(upto):
            yield Show({"place": str(number)}, done=0.5, words=f"{number}")
        return Show({"place": "end"})
    finally:
        stopped.append("stopped")


def test_work_goes_on_only_while_it_is_pulled_and_a_new_question_ends_the_old_one() -> None:
    jobs, stopped = Jobs(), []
    first, ticket = jobs.start(("me", "tab"), counting(stopped))
    assert first.places == {"place": "0"}
    later, ticket = jobs.more(ticket)
    assert int(later.places["place"]) == 1
    assert not stopped
    jobs.start(("you", "tab"), counting([]))
    assert not stopped  # another visitor
    jobs.start(("me", "tab"), counting([]))
    assert stopped
    with pytest.raises(ExplainError, match="start it again"):
        jobs.more(ticket)


def test_the_last_word_may_be_returned_and_everything_arrives_in_order() -> None:
    jobs = Jobs()
    shown, ticket = jobs.start(("me", "tab"), counting([], 3))
    seen = [shown.places["place"]]
    while ticket:
        shown, ticket = jobs.more(ticket)
        seen.append(shown.places["place"])
    assert seen[0] == "0"
    assert seen[-1] == "end"


def test_slow_work_of_many_does_not_stand_before_what_is_quick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "PATIENCE", 0.05)
    monkeypatch.setattr(cores, "shared", cores.Cores(2))
    jobs, hold, done = Jobs(), threading.Event(), []

    def stuck() -> Iterator[Show]:
        yield Show(done=0.1, words="slow")
        hold.wait(20)
        yield Show(done=0.2, words="slow")

    tickets = [jobs.start((f"slow {i}", "tab"), stuck())[1] for i in range(4)]
    threads = [threading.Thread(target=lambda t=t: done.append(jobs.more(t))) for t in tickets]
    for thread in threads:
        thread.start()
    shown, _ = jobs.start(("quick", "tab"), iter([Show({"place": "here"})]))
    assert shown.places == {"place": "here"}  # it did not wait
    while len(done) < 3:  # one works, the others are told, and come again
        threads[0].join(0.01)
    assert all("Waiting for its turn" in show.words for show, _ in done)
    hold.set()
    for thread in threads:
        thread.join(20)
    assert len(done) == 4


def test_what_is_at_work_gives_way_when_its_visitor_asks_for_something_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(work, "SLICE", 60.0)
    jobs, begun, go, found = Jobs(), threading.Event(), threading.Event(), []

    def slow() -> Iterator[Show]:
        yield from (Show(done=0.1), Show(done=0.2))  # shown at once, each
        for step in range(9):
            begun.set()
            go.wait(20)
            yield Show({"place": str(step)}, done=0.5)

    _, ticket = jobs.start(("me", "old tab"), slow())
    jobs.more(ticket)
    thread = threading.Thread(target=lambda: found.append(jobs.more(ticket)))
    thread.start()
    assert begun.wait(20)
    jobs.start(("me", "new tab"), iter([Show()]))
    go.set()
    thread.join(20)
    assert found[0][0].places == {"place": "0"}
    assert jobs.more(ticket)[0].places == {"place": "8"}  # come back to: nothing holds it up


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("new tab", "its turn"),
        ("new tab", "what it is at"),
        ("new tab", "itself"),
        ("old tab", "its turn"),
    ],
)
def test_what_was_left_stands_still_until_somebody_wants_it(
    asked: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The visitor's browser draws what he went to, often on the same cores."""
    monkeypatch.setattr(work, "SLICE", 60.0)
    monkeypatch.setattr(cores, "STILL", 40.0)
    monkeypatch.setattr(cores, "shared", cores.Cores(2))
    jobs, begun, go, lock = Jobs(), threading.Event(), threading.Event(), threading.Lock()

    def slow() -> Iterator[Show]:
        yield from (Show(done=0.1), Show(done=0.2))
        with lock:
            begun.set()
            go.wait(20)
            cores.give_way()
        yield Show({"place": "there"}, done=0.5)

    def need() -> None:
        with cores.shared.turn(), cores.held(lock):
            pass

    def pulls(ticket: str) -> threading.Thread:
        thread = threading.Thread(target=jobs.more, args=(ticket,), daemon=True)
        thread.start()
        return thread

    _, ticket = jobs.start(("me", "old tab"), slow())
    jobs.more(ticket)
    left = pulls(ticket)
    assert begun.wait(20)
    _, other = jobs.start(("you", "old tab"), iter([Show(done=0.1), Show(done=0.2)]))
    jobs.start(("me", asked), iter([Show()]))
    go.set()
    left.join(0.3)
    assert left.is_alive()
    if wanted == "what it is at":
        threading.Thread(target=need, daemon=True).start()
    else:
        pulls(ticket if wanted == "itself" else other)
    left.join(20)
    assert not left.is_alive()


def test_what_nobody_pulls_is_let_go_when_there_is_too_much_of_it() -> None:
    jobs, stopped = Jobs(), []
    for number in range(MOST + 5):
        jobs.start((str(number), "tab"), counting(stopped))
    assert len(stopped) == 5


def test_what_was_left_with_much_memory_goes_first_and_what_is_waited_for_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(work.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(work, "MOST_BYTES", 25_000)
    jobs, stopped = Jobs(), []

    def heavy(name: str) -> Iterator[Show]:
        kept = bytes(10_000)
        try:
            while True:
                yield Show(done=0.5)
        finally:
            stopped.append(name)
            del kept

    tickets = {name: jobs.start((name, "draw"), heavy(name))[1] for name in "abcd"}
    now[0] += work.AWAY + 1
    jobs.more(tickets["a"])  # the oldest, but looked at
    jobs.start(("e", "draw"), heavy("e"))
    jobs.tidy()  # as it is called now and then: who starts something waits for no weighing
    assert stopped == ["b"]
    jobs.more(tickets["c"])
    now[0] += work.AWAY + 1
    jobs.tidy()
    assert stopped == ["b", "a", "d"]
    monkeypatch.setattr(work, "MOST_BYTES", 5_000)
    jobs.start(("c", "draw act"), heavy("c, again"))  # in the tab that he is in
    jobs.start(("c", "other"), heavy("c, elsewhere"))  # in another: he has left that one
    jobs.tidy()
    assert set(stopped[3:]) == {"c", "e", "c, again"}


def test_work_that_is_waited_for_stays_however_long_its_slice_or_its_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(work.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(work, "MOST_BYTES", -1)
    monkeypatch.setattr(lanes, "PATIENCE", 0.0)
    monkeypatch.setattr(cores, "shared", cores.Cores(2))  # one slow one at a time
    jobs, begun, hold, found = Jobs(), threading.Event(), threading.Event(), []

    def long() -> Iterator[Show]:
        yield Show(done=0.1)
        begun.set()
        hold.wait(20)
        yield Show(done=0.2)

    works, waits, away = (jobs.start((name, "draw"), long())[1] for name in "abc")
    (thread := threading.Thread(target=lambda: found.append(jobs.more(works)))).start()
    assert begun.wait(20)
    assert "1 ahead" in jobs.more(waits)[0].words
    now[0] += work.AWAY + 1  # slow machine: its step goes on, the other one's browser is late
    jobs.tidy()
    assert jobs.count == 2
    assert "1 ahead" in jobs.more(waits)[0].words
    with pytest.raises(ExplainError, match="start it again"):
        jobs.more(away)
    now[0] += work.IDLE + 1
    jobs.tidy()  # nobody stands at that place any more
    assert jobs.count == 1
    hold.set()
    thread.join(20)
    assert found[0][1] == works


def test_work_that_finds_no_room_waits_for_it_without_a_turn_until_others_end_or_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, kept = [0.0], Memory(100_000)
    monkeypatch.setattr(work.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(work, "memory", kept)
    monkeypatch.setattr(work, "PATIENCE", 0.0)
    monkeypatch.setattr(cores, "shared", cores.Cores(2))  # one slow one at a time
    jobs = Jobs()

    def sweep(name: str) -> Iterator[Show | None]:
        yield Show({"photo": name}, done=0.0)
        claim = yield from kept.take(60_000)
        for step in range(3):
            now[0] += work.SLICE + 0.1
            yield Show({"map": f"{name} {step}"}, done=step / 3)
        del claim
        return Show({"map": f"{name}, whole"})

    def ended(ticket: str | None) -> Show:
        while ticket:
            shown, ticket = jobs.more(ticket)
        return shown

    first, second, third = (jobs.start((name, "draw"), sweep(name))[1] for name in "abc")
    jobs.more(first)
    said = [jobs.more(each)[0] for each in (second, third, second, third)]
    assert [each.words for each in said[2:]] == [work.FULL.format(ahead) for ahead in (1, 2)]
    assert all(each.done == 0 for each in said)
    assert ended(first).places == {"map": "a, whole"}
    assert jobs.more(second)[0].places == {"map": "b 0"}
    fourth = jobs.start(("d", "draw"), sweep("d"))[1]
    jobs.more(fourth)
    now[0] += lanes.LEFT + 1
    assert jobs.more(fourth)[0].words == work.FULL.format(2)
    jobs.tidy()  # b, who holds the room, and c, who waits for it, have left
    assert jobs.count == 1
    assert ended(fourth).places == {"map": "d, whole"}
    assert (kept.room.held, kept.room.waiting) == (0, 0)


def test_shows_add_up() -> None:
    both = Show({"a": "1"}, {"maps": {"x": 1}, "n": 1}).then(Show({"b": "2"}, {"maps": {"y": 2}}))
    assert both.places == {"a": "1", "b": "2"}
    assert both.data == {"maps": {"x": 1, "y": 2}, "n": 1}
