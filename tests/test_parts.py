"""What all tabs are made of: settings that are checked, the visitor's question."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import gradio
import numpy as np
import pytest
from gradio.utils import get_upload_folder
from PIL import Image

from explainers import ExplainError, Network, cores, photo
from explainers.settings import Settings as Chosen
from explainers.zoo import Zoo
from tabs import look
from tabs.maps import TAB as MAPS
from tabs.muting import TAB as MUTING
from tabs.order import TABS
from tabs.parts import fields, html, lanes
from tabs.parts.tab import Server, Tab, markup, whole
from tabs.parts.work import Jobs, Show
from tabs.subject import Subject, coarse
from tabs.unwritten import WRITER, Unwritten
from tests.desk import Desk

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


def test_a_label_is_that_of_its_widget_and_not_of_the_help_inside_it(subject: Subject) -> None:
    page = "".join(markup(tab, subject) for tab in TABS)
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(set(ids)) == len(ids)
    for opening in re.findall('<label class="field [a-z]+"[^>]*>', page):
        of = re.search('for="(.*?)"', opening)[1]
        assert re.search(f'<(?:input|select)[^>]* id="{of}"', page), opening


@pytest.mark.parametrize("tab", TABS, ids=lambda tab: tab.key)
def test_a_detector_has_one_name_on_the_page(subject: Subject, tab: Tab) -> None:
    """A unit; that others call it a channel is said where the word is explained, alone."""
    page = markup(tab, subject)
    told = re.findall('(?:title|alt|aria-label|placeholder)="([^"]*)"', page)
    words = " ".join([*told, re.sub("<[^>]*>", " ", page)]).lower()
    assert "channel" not in words


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


def test_names_are_listed_as_people_say_them() -> None:
    lists = [html.listed("abc"[:count]) for count in (1, 2, 3)]
    assert lists == ["a", "a and b", "a, b and c"]


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
    asked = subject.asked({"photo": taken})
    assert asked.seen.width == 60
    note = subject.seen(asked)["coarse"]
    assert "60 × 40 pixels" in note
    assert "6 times" in note  # 224 / 40
    assert not subject.seen(subject.asked(CAT))["coarse"]
    long = photo.read(np.full((200, 8000, 3), 90, np.uint8))  # by its own size, not what is left
    assert "has 8000 × 200 pixels, is taken in as 1280 × 32, and" in coarse(asked.network, long)
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


def test_classes_that_can_t_be_had_leave_the_photo_its_answer(subject: Subject) -> None:
    best = subject.asked(CAT).targets[0]
    server = Server(MAPS, subject, Jobs())
    for wrong, says, left in (
        ({"targets": ["no such beast"]}, "knows no class", best),
        ({"targets": ["no such beast", "espresso", 1000]}, "knows no class", 967),
        ({"targets": [5], "against": "no such beast"}, "knows no class", 5),
        ({"targets": [5], "against": 5}, "itself", 5),
        ({"targets": list(range(9))}, "At most 7", 0),
    ):
        for answer in (server.ask(CAT | wrong), server.see(CAT | wrong)):
            seen = answer["data"]["seen"]
            assert says in seen["wrong"]
            assert (seen["targets"][0], seen["against"]) == (left, None)
            assert len(seen["chips"]) >= 5
    assert not server.see(CAT)["data"]["seen"]["wrong"]
    named = server.ask(CAT | {"network": "no such network"})["problem"]
    assert "menu" in named
    assert "lite0" not in named  # what a visitor can read, and no keys


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


@pytest.mark.slow
def test_what_glows_made_it_say_a_class_only_where_it_said_that(subject: Subject) -> None:
    def said(tab: Tab, target: int, photo: str = "cat.jpg") -> str:
        asked = subject.asked({"photo": {"example": photo}, "targets": [target]})
        values, _ = fields.read(tab.settings, {}, asked.network)
        return next(iter(tab.draw(asked, values))).places["say"]

    first = subject.asked(CAT).of_first().targets[0]
    assert "made it say <b>bee" in said(MAPS, 309, "honey-bee.jpg")
    assert "speaks for its best guess, <b>" in said(MAPS, first)
    assert "speaks for <b>tench</b>, which it gives " in said(MAPS, 0)
    assert "until the answer is no longer <b>" in said(MUTING, first)
    assert "what helps <b>tench</b>" in said(MUTING, 0)


def test_a_contrast_keeps_both_signs_and_several_classes_have_rows(subject: Subject) -> None:
    server = Server(MAPS, subject, Jobs())
    settings = {"methods": ["gradcam"]}
    both = drained(server, server.ask(CAT | {"targets": [281], "against": 0, "settings": settings}))
    assert both["data"]["layout"]["both"]
    assert "tench" in both["places"]["say"]
    rows = drained(server, server.ask(CAT | {"targets": [0, 281], "settings": settings}))
    assert [each["name"] for each in rows["data"]["layout"]["rows"]] == ["tench", "tabby"]
    assert set(rows["data"]["maps"]) == {"gradcam:0", "gradcam:1"}


def test_all_classes_in_one_picture_come_with_the_first_maps(
    resnet18: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resnet18, "head", "sigmoid")
    desk = Desk(MAPS, resnet18, photo={"example": "cat.jpg"}, targets=[0, 1])
    answer = desk.ask(methods=["gradcam", "gradient"])
    assert "All together" in answer["places"]["together"]
    assert "together" not in desk.whole(desk.more())["places"]  # nothing is pushed down later


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


# ---- the frame ----


def test_gradio_writes_nothing_for_editors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Unwritten in sys.meta_path
    spec = Unwritten.find_spec(WRITER, gradio.__path__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "extract_class_source_code", lambda *_: pytest.fail("it does"))
    module.ComponentMeta("Part", (), {"EVENTS": []})


# ---- how it looks ----


def test_the_page_s_rules_outrank_gradio_s() -> None:
    """Each of a list, whatever it is nested in, but frames and what stands above all."""
    css = """:root, .dark { --a: 1; @media print { --a: 2; } } /* with { a brace */
    a > b:is(.c, d:not(.e, f)), .g::after { color: red; }
    @media (min-width: 1px) { h, i { color: red; } }
    @keyframes run { from { top: 0; } to { top: 1px; } }"""
    over = look.ABOVE
    assert look.ranked(css).splitlines() == [
        f":root,{over}.dark{{--a: 1; @media print {{ --a: 2; }}}}",
        f"{over}a > b:is(.c, d:not(.e, f)),{over}.g::after{{color: red;}}",
        f"@media (min-width: 1px){{{over}h,{over}i{{color: red;}}}}",
        "@keyframes run{from { top: 0; } to { top: 1px; }}",
    ]


def test_what_is_seen_soonest_comes_with_the_page_and_the_rest_when_asked(subject: Subject) -> None:
    first, rest = whole(MAPS, subject, {**CAT, "network": "lite0", "targets": None})
    assert first["more"] == "rest"
    assert first["data"]["seen"]["picture"].startswith("data:image")
    assert set(first["data"]["maps"]) == {"gradcam:0", "cam:0"}
    assert {"guided:0", "guided_gradcam:0"} <= set(rest["data"]["maps"])
    assert "more" not in rest
