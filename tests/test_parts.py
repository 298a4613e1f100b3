"""What all tabs are made of: pulled work, settings that are checked, the visitor's question."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gradio.utils import get_upload_folder
from PIL import Image

from explainers import ExplainError, Network, cores
from explainers.recent import Memory
from explainers.settings import Settings as Chosen
from explainers.zoo import Zoo
from tabs.maps import TAB as MAPS
from tabs.muting import TAB as MUTING
from tabs.parts import fields, html, lanes, work
from tabs.parts.tab import Server, Tab
from tabs.parts.work import MOST, Jobs, Show
from tabs.subject import Subject

CAT = {"photo": {"example": "cat.jpg"}, "visit": "me"}


@pytest.fixture(scope="module")
def subject(lite0: Network) -> Subject:
    zoo = Zoo(Chosen(startup=()))
    zoo.get()
    return Subject(zoo)


def drained(server: Server, answer: dict) -> dict:
    """An answer and all that follows it, put together."""
    answer = json.loads(json.dumps(answer))  # nothing but JSON
    while ticket := answer.pop("more", None):
        later = json.loads(json.dumps(server.more(ticket)))
        maps = {**answer["data"].get("maps", {}), **later["data"].get("maps", {})}
        answer = {
            "places": {**answer["places"], **later["places"]},
            "data": {**answer["data"], **later["data"]} | ({"maps": maps} if maps else {}),
            "more": later.get("more"),
        }
    return answer


# ---- pulled work ----


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


# ---- settings ----

FIELDS = (
    fields.Choice(key="one", label="One", choices=(("A", "a"), ("B", "b")), default="a"),
    fields.Many(key="many", label="Many", choices=(("A", "a"), ("B", "b")), default=["b"]),
    fields.Number(key="whole", label="Whole", low=1, high=9, default=3),
    fields.Number(key="part", label="Part", low=0, high=1, step=0.1, default=0.5),
    fields.Switch(key="on", label="On"),
    fields.Text(key="text", label="Text <b>", help="What & why."),
)


def test_settings_come_from_browsers_and_from_links(lite0: Network) -> None:
    given = {"one": "b", "many": ["a"], "whole": 9, "part": 0.25, "on": True, "text": " x "}
    link = {"one": "b", "many": "a", "whole": "9", "part": "0.25", "on": "true", "text": "x"}
    expected = {"one": "b", "many": ["a"], "whole": 9, "part": 0.25, "on": True, "text": "x"}
    for each in (given, link):
        assert fields.read(FIELDS, each, lite0) == (expected, [])
    firsts = {"one": "a", "many": ["b"], "whole": 3, "part": 0.5, "on": False, "text": ""}
    assert fields.read(FIELDS, "nonsense", lite0) == (firsts, [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"one": "c"}, {"one": ["a"]}, {"many": ["c"]}, {"many": 3}, {"whole": 0}, {"whole": 2.5},
        {"whole": "nan"}, {"whole": True}, {"part": 1e300}, {"part": None, "on": 3}, {"on": "yes"},
        {"text": "x" * 1000}, {"text": 3},
    ],
)  # fmt: skip
def test_a_setting_that_can_t_be_gets_a_sentence_that_names_it(lite0: Network, wrong: dict) -> None:
    values, problems = fields.read(FIELDS, wrong, lite0)
    assert len(problems) == 1
    label = next(each.label for each in FIELDS if each.key in wrong and wrong[each.key] is not None)
    assert label in str(problems[0])
    assert values == fields.read(FIELDS, {}, lite0)[0]


def test_forms_escape_what_they_show(lite0: Network) -> None:
    form = fields.form(FIELDS, fields.read(FIELDS, {"text": '"><script>'}, lite0)[0], lite0)
    assert "<script>" not in form
    assert "Text &lt;b&gt;" in form
    assert "What &amp; why." in form


@pytest.mark.parametrize(
    ("chance", "words"),
    [(0, "<0.1 %"), (0.0004, "<0.1 %"), (0.5, "50.0 %"), (0.99999, ">99.9 %"), (1, "100.0 %")],
)
def test_percentages_are_never_rounded_to_an_untrue_0_or_100(chance: float, words: str) -> None:
    assert html.percent(chance) == words.replace(" ", "\N{NO-BREAK SPACE}")


# ---- the question ----


def test_a_question_is_checked_and_class_0_is_a_class(subject: Subject) -> None:
    asked = subject.asked(CAT | {"targets": [0], "against": 281})
    assert (asked.targets, asked.against) == ((0,), 281)
    assert asked.name() == "tench, and not tabby"
    assert subject.asked(CAT | {"targets": ["tabby"], "against": 0}).against == 0
    guessed = subject.asked(CAT)
    assert guessed.network.labels[guessed.targets[0]] in ("tabby", "tiger cat", "Egyptian cat")
    for wrong, says in (
        ({"targets": [1000]}, "0 to 999"),
        ({"targets": ["no such beast"]}, "knows no class"),
        ({"targets": [{}]}, "no such class"),
        ({"targets": [5], "against": 5}, "itself"),
        ({"targets": list(range(9))}, "At most 7"),
        ({"photo": {"example": "../../etc/passwd"}}, "no such example"),
        ({"photo": {"own": "nobody's"}}, "has left our memory"),
        ({"network": "no such network"}, "choose one of"),
    ):
        with pytest.raises(ExplainError, match=says):
            subject.asked(CAT | wrong)


def test_an_upload_is_taken_and_deleted_and_no_other_file_can_be_named(
    subject: Subject, tmp_path: Path
) -> None:
    folder = Path(get_upload_folder()) / "test"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "photo.png"
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(path)
    taken = subject.take({"path": str(path)})
    assert not path.exists()
    assert subject.asked({"photo": taken}).seen.width == 60
    other = tmp_path / "secret.png"
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(other)
    for wrong in (None, "x", {"path": str(other)}, {"path": f"{folder}/../../../etc/passwd"},
                  {"path": 3}, {"path": "\0"}, {"path": str(folder)}):  # fmt: skip
        with pytest.raises(ExplainError, match="did not arrive"):
            subject.take(wrong)
    assert other.exists()


def test_the_rail_s_part_comes_first_and_only_when_it_is_not_known(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "shared", cores.Cores(2))
    monkeypatch.setattr(lanes, "PATIENCE", 0.05)
    server = Server(MUTING, subject, Jobs())
    first = server.ask(CAT)
    assert len(first["data"]["seen"]["chips"]) == 5
    assert "looked" not in first["places"]  # chips do not wait for what takes longer
    with server.jobs.lanes.slow.turn("another's slow work"):
        assert "brush" in server.more(first["more"])["data"]  # nor what follows for that
    server = Server(MAPS, subject, Jobs())
    first = server.ask(CAT)
    assert len(first["data"]["seen"]["chips"]) == 5
    assert "gradcam:0" in first["data"]["maps"]  # which is there as soon as they are
    alone = CAT | {"settings": {"methods": ["gradcam"]}}
    assert "more" not in server.ask(alone)  # a question for one map is one call
    again = server.ask(CAT | {"knows": True, "form": "lite0"})
    assert "seen" not in again["data"]
    assert "gradcam:0" in again["data"]["maps"]
    alone = server.see(CAT)  # for a tab that is not drawn anew
    assert alone["data"] == {"seen": first["data"]["seen"]}
    assert "more" not in alone
    assert server.see(CAT | {"targets": ["no such class"]})["problem"].endswith(".")


def test_a_network_on_its_way_is_waited_for(subject: Subject) -> None:
    server = Server(MAPS, subject, Jobs())
    answer = server.ask(CAT | {"network": "vgg16"})
    assert "wait" in answer or "VGG-16" in answer["problem"]
    assert "places" not in answer


def test_a_tab_whose_drawing_fails_says_one_sentence(subject: Subject) -> None:
    def broken(_asked: object, _settings: object) -> Iterator[Show]:
        yield Show({"say": "a"})
        raise RuntimeError("/secret/path")

    tab = Tab(key="broken", title="Broken", asks="?", draw=broken, markup="")
    server = Server(tab, subject, Jobs())
    answer = server.ask(CAT | {"knows": True, "form": "lite0"})
    while "more" in answer:
        answer = server.more(answer["more"])
    assert answer["problem"].startswith("Something went wrong")
    assert "secret" not in json.dumps(answer)


# ---- maps ----


def test_maps_share_a_tile_where_they_are_one_and_say_why(subject: Subject) -> None:
    server = Server(MAPS, subject, Jobs())
    answer = drained(server, server.ask(CAT))
    assert "the two are one map" in answer["data"]["same"]
    found = answer["data"]["maps"]
    assert set(found) == {"cam:0", "gradcam:0", "guided:0", "guided_gradcam:0"}
    rows, columns = found["gradcam:0"]["size"]
    assert len(found["gradcam:0"]["cells"]) >= rows * columns * 4
    assert found["guided:0"]["png"].startswith("data:image/png")
    assert "strongest at the" in found["gradcam:0"]["alt"]
    inner = drained(server, server.ask(CAT | {"settings": {"layer": "blocks.3"}}))
    assert inner["data"]["same"] == ""


def test_a_contrast_keeps_both_signs_and_several_classes_have_rows(subject: Subject) -> None:
    server = Server(MAPS, subject, Jobs())
    settings = {"methods": ["gradcam"]}
    both = drained(server, server.ask(CAT | {"targets": [281], "against": 0, "settings": settings}))
    assert both["data"]["layout"]["both"]
    assert "tench" in both["places"]["say"]
    rows = drained(server, server.ask(CAT | {"targets": [0, 281], "settings": settings}))
    assert [each["name"] for each in rows["data"]["layout"]["rows"]] == ["tench", "tabby"]
    assert set(rows["data"]["maps"]) == {"gradcam:0", "gradcam:1"}


def test_what_the_maps_act_on_is_checked(subject: Subject) -> None:
    server = Server(MAPS, subject, Jobs())
    asked = CAT | {"knows": True, "form": "lite0"}
    assert server.act(asked | {"act": "png", "data": {"opacity": 0.4}})["file"]["name"].endswith(
        "png"
    )
    assert (
        "goes from 0 to 1" in server.act(asked | {"act": "png", "data": {"opacity": 7}})["problem"]
    )
    assert "problem" in server.act(asked | {"act": "no such act"})
    nothing = server.act(asked | {"act": "npz", "settings": {"methods": []}})
    assert "tick a method first" in nothing["problem"]
