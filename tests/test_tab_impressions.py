"""The Impressions tab without a browser: what is drawn, how long it takes, what is kept."""

from __future__ import annotations

import base64
import io
import re
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from explainers import ExplainError, impressions
from explainers.impressions import PRESETS
from explainers.impressions.goals import Classes, Unit
from tabs.impressions import TAB, sheet, verifier
from tabs.impressions.settings import SUGGESTED, Wanted, targets_of, wanted, written
from tabs.parts import fields
from tabs.parts.curve import curve
from tests import nets
from tests.desk import Desk, refused

SMALL = {"size": "48", "start": "32", "steps": "12"}


@pytest.fixture
def desk(resnet18) -> Desk:
    return Desk(TAB, resnet18, targets=[3])


def begin(desk: Desk, **settings: Any) -> dict[str, Any]:
    """A drawing from its beginning to its end."""
    return desk.whole(desk.act("draw", **{"class": "class 3", **SMALL, **settings}))


def token(places: dict[str, str]) -> str:
    return re.search('data-drawing="(.*?)"', places["sheet"])[1]


def test_the_class_of_the_page_is_where_it_starts_and_stays_its_own(desk: Desk) -> None:
    first = desk.ask()
    assert first["settings"]["class"] == "class 3"
    assert not first["state"]
    assert desk.ask(**{"class": "class 0"})["settings"]["class"] == "class 0"  # zero is a class
    assert not desk.whole(desk.ask(**{"class": "0"}))["state"]  # nothing of the page is changed


def test_something_is_there_before_anything_is_drawn(desk: Desk, resnet18) -> None:
    first = desk.ask()  # of classes that nobody drew: one begins by itself
    assert "Begin with one of these" in first["places"]["wall"]
    assert first["settings"]["go"] == "1"
    known = SimpleNamespace(labels=[*sheet.BEFORE, "pencil"], key="other", title="Other")
    wall = sheet.wall(known)
    assert wall.count("<img") == 20
    assert "Other draws its own" in wall
    one = re.search('data-class="volcano".*?base64,(.*?)"', wall)[1]
    assert Image.open(io.BytesIO(base64.b64decode(one))).size == (200, 200)


def test_where_much_was_drawn_before_nothing_begins_unasked(resnet18) -> None:
    network = nets.wrap(resnet18.module, classes=20, key="known", labels=list(sheet.BEFORE))
    desk = Desk(TAB, network)
    shown = desk.whole(desk.ask(**SMALL))
    assert shown["places"]["wall"].count("<img") == 20
    assert shown["settings"] == {"class": "", "go": ""}  # the page's own, also of another photo
    assert shown["data"]["suggested"] == "goldfish"
    assert "on this machine" in shown["data"]["takes"]["words"]


def test_a_class_that_this_network_does_not_know_is_said_and_no_other_drawn(desk: Desk) -> None:
    answer = desk.whole(desk.ask(**{"class": "<b>goldfish", "go": "1"}))
    assert "Try: click a class" in answer["places"]["say"]  # there are no pictures
    assert "knows no class" in answer["places"]["say"]
    assert "<b>" not in answer["places"]["say"]
    assert answer["settings"] == {"class": "class 3", "go": ""}
    assert "takes" in answer["data"]  # of what may be drawn instead


def test_how_long_it_takes_is_measured_here(desk: Desk) -> None:
    settings = {"class": "class 3", **SMALL}
    takes = desk.whole(desk.act("estimate", **settings))["data"]["takes"]
    assert re.fullmatch(r"about \d+ (s|min) on this machine", takes["words"])
    assert set(takes["presets"]) == set(PRESETS)
    longer = desk.whole(desk.act("estimate", **settings | {"steps": "3000"}))
    assert longer["data"]["takes"]["words"] != takes["words"]
    assert "steps" in refused(desk.act("estimate", **{"class": "class 3", "steps": "0"}))


@pytest.mark.slow
def test_a_drawing_grows_and_ends_checked_and_can_be_taken_away(desk: Desk) -> None:
    slices = [desk.act("draw", **{"class": "class 3", "seed": "4", "how": "both", **SMALL})]
    while (found := desk.more()) is not None:
        slices.append(found)
    growing = [each["work"] for each in slices if "work" in each]
    assert "Step" in growing[0]["words"] or "Measuring" in growing[0]["words"]
    shares = [each["done"] for each in growing]
    assert shares == sorted(shares)
    assert shares[-1] < 1
    places = {name: html for each in slices for name, html in each["places"].items()}
    assert places["sheet"].count("<figure") == 2
    assert "Drawn 12 steps, seed 4" in places["foot"]
    last = slices[-1]["data"]
    assert last["finished"]
    assert "A second network" in last["panels"][0]["more"]
    assert "class 3" in places["say"]
    assert last["panels"][1]["mask"]
    assert not last["panels"][0]["mask"]
    stem = "impression-class-3-saliency-driven-seed-4"
    for kind in ("png", "webp"):
        given = {"drawing": token(places), "panel": 1, "kind": kind}
        file = desk.act("take", given)["file"]
        assert file["name"] == f"{stem}.{kind}"
        picture = Image.open(io.BytesIO(base64.b64decode(file["data"])))
        assert picture.size == (48, 48)
    assert picture.n_frames > 8


def test_what_was_drawn_is_not_drawn_again(desk: Desk, monkeypatch) -> None:
    first = begin(desk)
    monkeypatch.setattr(impressions, "draw", None)
    again = begin(desk)
    assert token(again["places"]) == token(first["places"])
    assert again["data"]["panels"][0]["picture"] == first["data"]["panels"][0]["picture"]


def test_what_was_stopped_is_looked_at_as_it_is(desk: Desk) -> None:
    answer = desk.act("draw", **{"class": "class 3", **SMALL, "steps": "3000"})
    while "sheet" not in answer["places"]:
        answer = desk.more()
    drawing = token(answer["places"])
    desk.more()
    looked = desk.whole(desk.act("look", {"drawing": drawing}))
    assert re.search(r"Stopped after \d+ steps", looked["places"]["foot"])
    assert not looked["data"]["finished"]
    assert "imp-check" in looked["data"]["panels"][0]["more"]


@pytest.mark.parametrize(
    ("act", "data"),
    [
        ("take", {"drawing": "nothing", "panel": 0}),
        ("film", {"drawing": ["x"], "panel": 0}),
        ("look", None),
    ],
)
def test_a_drawing_that_is_gone_is_said_so(desk: Desk, act: str, data: Any) -> None:
    assert "draw it again" in refused(desk.act(act, data))


@pytest.mark.parametrize("panel", [1, -1, "0", True, None, 0.0])
def test_a_picture_that_is_not_there_is_refused(desk: Desk, panel: Any) -> None:
    drawing = token(begin(desk)["places"])
    assert "no such picture" in refused(desk.act("take", {"drawing": drawing, "panel": panel}))


def asked(network: Any, **given: Any) -> Wanted:
    values, problems = fields.read(TAB.settings, given, network)
    for problem in problems:
        raise problem
    return wanted(network, values)


def test_what_is_asked_is_checked(resnet18) -> None:
    goals = lambda **given: asked(resnet18, **given).goals  # noqa: E731
    assert goals(**{"class": "3,class 4"}) == (Classes((3,)), Classes((4,)))
    assert goals(**{"class": "3,4", "what": "fused", "mix": "25"}) == (
        Classes((3, 4), (0.25, 0.75)),
    )
    unit = {"what": "unit", "layer": "layer2", "channel": "1"}
    assert goals(**unit) == (Unit("layer2", 1),)
    assert goals(**unit | {"layer": "conv1", "channel": "0"}) == (Unit("conv1", 0),)
    assert asked(resnet18, **{"class": "0", "preset": "best"}).knobs == PRESETS["best"]
    assert asked(resnet18, **{"class": "0", "preset": "best", "steps": "9"}).knobs.steps == 9
    for wrong in (
        {"class": ""},
        {"class": "99"},
        {"class": "0,1,2,3,4,5,6,7,8"},
        {"class": "3", "what": "fused"},
        {"class": "3,4", "what": "fused", "mix": "nan"},
        unit | {"layer": "nowhere"},
        unit | {"channel": "99999"},
        {"class": "3", "preset": "worst"},
        {"class": "3", "steps": "1e9"},
        {"class": "3", "seed": "-1"},
    ):
        with pytest.raises(ExplainError):
            asked(resnet18, **wrong)


def test_classes_are_named_in_links_so_that_the_same_ones_come_back() -> None:
    labels = ["cat", "crane", "crane", "owl, barn", "7", "SUGGESTED"]
    network = nets.wrap(nets.module("resnet18", num_classes=6), classes=6)
    network.labels = labels
    for target in range(6):
        assert targets_of(network, written(network, [target])) == (target,)
    assert targets_of(network, written(network, [5, 0, 3])) == (5, 0, 3)
    assert written(network, [0]) == "cat"


def test_well_known_classes_are_on_the_wall_of_those_drawn_before() -> None:
    assert set(SUGGESTED) <= set(sheet.BEFORE)


def test_the_verifier_is_another_network_of_the_same_classes(resnet18) -> None:
    def status(key, state="ready", bundled=False):
        return SimpleNamespace(key=key, state=state, entry=SimpleNamespace(bundled=bundled))

    twin = nets.seeded("resnet18", seed=1)
    twin.key = "twin"
    other = nets.seeded("resnet18", classes=5)
    other.key = "other"
    networks = {"resnet18": resnet18, "twin": twin, "other": other}
    zoo = SimpleNamespace(
        status=lambda: [status("resnet18"), status("late", "loading"), status("other"),
                        status("twin", bundled=True)],
        get=networks.__getitem__,
    )  # fmt: skip
    assert verifier(zoo, resnet18) is twin
    assert verifier(zoo, other) is None


def test_a_curve_that_goes_below_zero_is_shown_as_it_is() -> None:
    drawn = curve([0, 1, 2], [-4.0, 0.0, 4.0], label="x", below="steps", most_x=2, most_y=4,
                  least_y=-4)  # fmt: skip
    points = re.search('points="(.*?)"', drawn)[1].split()
    heights = [float(each.split(",")[1]) for each in points]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2])
    assert heights[0] > heights[2]
    assert ">-4.0<" in drawn


@pytest.mark.slow
def test_on_a_photo_it_says_what_stayed_and_without_one_what_to_do(desk: Desk, resnet18) -> None:
    unit = {"what": "unit", "layer": "layer2", "channel": "3", "from": "photo", **SMALL}
    assert refused(desk.act("draw", **unit)) == "Drop a photo or choose an example first."
    desk = Desk(TAB, resnet18, photo={"example": "bridge.jpg"})
    shown = desk.whole(desk.act("draw", **unit, far="30"))
    sheet_html, (panel,) = shown["places"]["sheet"], shown["data"]["panels"]
    assert sheet_html.count("<img") == 2  # the photo, and what became of it
    assert "from your photo (on the left)" in sheet_html
    assert 0.9 < float(re.search(r"Coarse structure.*?<dd>([\d.]+)", panel["more"], re.S)[1]) <= 1
    other = Desk(TAB, resnet18, photo={"example": "cat.jpg"})
    again = other.whole(other.act("draw", **unit, far="30"))
    assert again["data"]["panels"][0]["picture"] != panel["picture"]
