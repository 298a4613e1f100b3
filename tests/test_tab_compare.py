"""The Compare tab as its browser side asks it: verdict, cards, what stands beside, box, checks."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import json
import re
import zipfile
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from explainers import ExplainError, Network
from explainers.methods import rise
from explainers.registry import offered
from explainers.render.report import shown_as
from explainers.scores.verdict import Verdict
from explainers.settings import Settings
from tabs import page
from tabs.compare import TAB, board, sides
from tabs.parts import fields
from tabs.parts.tab import Server
from tabs.parts.work import Jobs
from tabs.subject import Subject
from tests import nets
from tests.desk import slices

TWO = "gradcam,guided"


class Few:
    """A zoo of small networks, one of which is on its way."""

    settings = Settings()

    def __init__(self, *networks: Network) -> None:
        self.networks = {each.key: each for each in networks}
        self.late = SimpleNamespace(
            key="late", title="Late", state="loading", progress=0.3, message="Late is loading."
        )

    def get(self, key: str | None = None) -> Network:
        if key and key not in self.networks:
            raise ExplainError("There is no such network.")
        return self.networks[key or next(iter(self.networks))]

    def status(self) -> list[Any]:
        ready = {"state": "ready", "progress": 1.0, "message": ""}
        known = [
            SimpleNamespace(key=each.key, title=each.title, **ready)
            for each in self.networks.values()
        ]
        return [*known, self.late]

    def request(self, _key: str) -> None:
        """It is on its way already."""


def strangers() -> list[Network]:
    """The first network with its classes in another order, and without class 10."""
    first = nets.seeded("test_resnet")
    turned, lacking = first.twin().module, first.twin().module
    with torch.no_grad():
        for each in turned.fc.parameters():
            each.copy_(each.flip(0))
    names = ["something else" if label == "class 10" else label for label in first.labels]
    return [
        Network.from_recipe(
            module, dataclasses.replace(first.recipe, labels=labels), key=key, title=key
        )
        for key, module, labels in (
            ("turned", turned, first.labels[::-1]),
            ("lacking", lacking, tuple(names)),
        )
    ]


@pytest.fixture(scope="module")
def tab(vgg16: Network) -> Server:
    small = [nets.seeded("test_resnet"), nets.seeded("test_efficientnet"), *strangers()]
    return Server(TAB, Subject(Few(*small, vgg16)), Jobs())


def asking(methods: str = TWO, **settings: Any) -> dict[str, Any]:
    given = {"methods": methods, **settings}
    return {"photo": {"example": "cat.jpg"}, "targets": [10], "visit": "me", "settings": given}


def together(found: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page shows in the end: places, slots and values by name."""
    shown: dict[str, Any] = {"slots": {}, "values": {}, "problem": ""}
    for each in found:
        shown |= each.get("places", {})
        shown["problem"] = each.get("problem") or shown["problem"]
        for kind in ("slots", "values"):
            for key, value in each.get("data", {}).get(kind, {}).items():
                old = shown[kind].get(key)
                shown[kind][key] = {**old, **value} if isinstance(old, dict) else value
    return shown


def plain(markup: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", markup)).strip()


@pytest.mark.slow
def test_no_winner_before_all_is_measured_and_one_tile_for_one_map(tab: Server) -> None:
    found = slices(tab, tab.ask(asking("cam,gradcam,hirescam,layercam,guided")))
    told = [plain(each["places"]["verdict"]) for each in found if "verdict" in each["places"]]
    assert len(told) > 1  # how many depends on how quick the machine is
    assert all(each.startswith("No verdict before every map is measured") for each in told[:-1])
    shown = together(found)
    assert shown["verdict"].count("<li>") == 3
    assert re.search(r"Differences up to \d\.\d\d count as ties: .* measured again", told[-1])
    cards = re.findall(r'data-method="([^"]+)"', shown["grid"])
    assert cards == ["gradcam", "layercam", "guided"]
    assert "= CAM, HiResCAM" in shown["grid"]
    assert "only averages and weighs once" in shown["grid"]
    for card in cards:
        assert "<img" in shown["slots"][f"0:{card}:map"]
        assert shown["slots"][f"0:{card}:card"].startswith("gain ")
        assert "<svg" in shown["slots"][f"0:{card}:curves"]
    # what has just been seen comes whole with the first answer: nothing flashes, nothing is lost
    again = slices(tab, tab.ask(asking("cam,gradcam,hirescam,layercam,guided")))
    first = together(again[:2])
    assert plain(first["verdict"]) == told[-1]
    assert first["slots"] == shown["slots"]
    assert not any("data" in each and "slots" in each["data"] for each in again[3:])


@pytest.mark.slow
def test_a_step_is_a_batch_so_that_what_is_left_stops_soon(tab: Server, monkeypatch) -> None:
    network, sizes = tab.subject.zoo.get(), []
    real = type(network).logits

    def counted(self: Network, x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        return real(self, x)

    monkeypatch.setattr(type(network), "logits", counted)
    asked = tab.subject.asked({**asking(), "targets": [9]})
    settings, _ = fields.read(TAB.settings, asking("gradcam,patches")["settings"], network)
    steps = 0
    for _ in TAB.draw(asked, settings):
        assert sum(sizes) <= 2 * network.at_once() + 2
        sizes.clear()
        steps += 1
    assert steps > 20


@pytest.mark.slow
def test_progress_counts_what_was_not_known_before(tab: Server) -> None:
    """Else the time left is that of work which nobody does."""
    for methods in ("gradcam", "gradcam,layercam,gradcam++"):
        asked = tab.subject.asked({**asking(methods), "targets": [13]})
        settings, _ = fields.read(TAB.settings, asking(methods)["settings"], asked.network)
        shows = [show for show in TAB.draw(asked, settings) if show is not None]
        shares = [show.done for show in shows]
        assert shares == sorted(shares)
        assert shares[0] < 0.1
        assert shares[-1] > 0.9
        told = "".join(show.places.get("verdict", "") for show in shows)
        total = 2 * len(methods.split(","))
        counts = [int(each) for each in re.findall(rf"(\d) of {total} measurements", told)]
        assert counts == sorted(counts)
        assert counts[-1] >= total - 1  # of both rounds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("beside", "title"),
    [
        ("class:7", "class 7 ·"),
        ("class:class 7", "class 7 ·"),
        ("network:test_efficientnet", "test_efficientnet · class 10"),
        ("photo:flower.jpg", "class 10 ·"),
    ],
)
def test_what_is_put_beside_takes_nothing_away(tab: Server, beside: str, title: str) -> None:
    """Another class, network or photo: the scores of the first side are there from the start."""
    if beside.startswith("photo"):
        beside = f"photo:{next(name for name in sides.examples() if name != 'cat.jpg')}"
    together(slices(tab, tab.ask(asking())))
    found = slices(tab, tab.ask(asking(beside=beside)))
    first = next(each for each in found if "grid" in each.get("places", {}))
    assert "gain" in first["data"]["slots"]["0:gradcam:card"]
    heads = re.findall(r"<h3>(.*?)</h3>", first["places"]["grid"])
    assert len(heads) == 2
    assert title in heads[1]
    shown = together(found)
    assert shown["verdict"].count("<ol") == 2
    assert "gain" in shown["slots"]["1:gradcam:card"]
    tab.jobs.stop(found[-1].get("more") or "")


@pytest.mark.slow
def test_two_networks_one_photo(tab: Server) -> None:
    """Both maps on one scale, what changed, and which of the two the deletion curve favours."""
    found = slices(tab, tab.ask(asking(beside="network:test_efficientnet") | {"targets": [12]}))
    first = next(each["places"] for each in found if "grid" in each["places"])
    assert first["pair"].count("<img") == 3  # before anything is measured
    assert "still being measured" in first["support"]
    shown = together(found)
    said = plain(shown["pair"])
    chances = [
        re.search(r"· ([\d.<]+ %)", plain(head))[1]
        for head in re.findall("<h3>.*?</h3>", shown["grid"])
    ]
    assert f"{chances[0]} → {chances[1]}, logit" in said
    assert re.search("is surer of class 12|equally sure of class 12", said)
    assert re.search(r"deletion curve favours (test_\w+|neither)", plain(shown["support"]))
    assert "<svg" in shown["support"]
    scale = re.findall(r"[−+]?([\d.e+-]+)(?: in both maps| of change)", plain(shown["pair-legend"]))
    assert len(set(scale)) == 1  # maps and difference alike


def test_another_map_of_the_pair_is_measured_though_it_is_not_ticked(tab: Server) -> None:
    asked = asking("gradcam", beside="network:test_efficientnet", pair="layercam")
    shown = together(slices(tab, tab.ask(asked)))
    assert "LayerCAM" in shown["pair"]
    assert "favours" in shown["support"]
    assert shown["slots"]["1:layercam:card"].startswith("gain")
    asked = asking("gradcam", beside="network:vgg16", pair="cam", measure=False)
    shown = together(slices(tab, tab.ask({**asked, "targets": [10]})))
    assert "Grad-CAM asks the gradient instead" in shown["pair"]


@pytest.mark.slow
def test_a_network_s_twin_differs_nowhere_and_classes_go_by_name(tab: Server) -> None:
    shown = together(slices(tab, tab.ask(asking("gradcam", beside="network:turned"))))
    assert "Both are equally sure of class 10" in plain(shown["pair"])
    assert "favours neither" in plain(shown["support"])
    opens = html.unescape(re.findall('data-open="(.*?)"', shown["grid"])[1])
    assert json.loads(opens)["state"] == {"network": "turned", "targets": [9], "against": None}
    shown = together(slices(tab, tab.ask(asking("gradcam", beside="network:lacking"))))
    assert shown["beside"].startswith("lacking knows no class “class 10”")
    assert "no difference can be taken" in shown["beside"]
    assert shown["pair"] == shown["support"] == ""
    contrast = {**asking("gradcam", beside="network:lacking"), "targets": [3], "against": 10}
    shown = together(slices(tab, tab.ask(contrast)))
    assert "no class “class 10”" in shown["beside"]
    contrast = {**asking("gradcam", beside="network:turned"), "targets": [3], "against": 10}
    shown = together(slices(tab, tab.ask(contrast)))
    assert "class 3, and not class 10" in plain(shown["pair"])


def test_what_can_t_be_put_beside_says_so_and_the_first_side_stays(tab: Server) -> None:
    for beside, words in (
        ("class:no such thing", "knows no class"),
        ("class:99999", "from 0 to 19"),
        ("class:10", "compared already"),
        ("network:test_resnet", "compared already"),
        ("network:../../etc", "no network “../../etc”"),
        ("photo:../x.jpg", "no such example"),
        ("moon:1", "can’t be put beside"),
    ):
        shown = together(slices(tab, tab.ask(asking(beside=beside))))
        assert words in shown["beside"]
        assert not shown["problem"]
        assert "gain" in shown["slots"]["0:gradcam:card"]
    waits = tab.ask(asking(beside="network:late"))
    assert "Late is on its way" in slices(tab, waits)[-1]["wait"]["words"]


def test_the_box_s_answer_stands_beside_it(tab: Server) -> None:
    together(slices(tab, tab.ask(asking())))
    whole = tab.act({**asking(), "act": "box", "data": {"box": [0, 0, 1, 1]}})
    shown = together(slices(tab, whole))
    assert "2 of 2 maps" in plain(shown["boxed"])
    assert shown["slots"]["0:gradcam:pointing"] == "inside"
    assert shown["values"]["0:gradcam"]["energy_inside"] == pytest.approx(1)
    corner = tab.act({**asking(), "act": "box", "data": {"box": [0, 0, 0.02, 0.02]}})
    assert "0 of 2 maps" in plain(together(slices(tab, corner))["boxed"])
    gone = together(slices(tab, tab.act({**asking(), "act": "box", "data": {"box": None}})))
    assert gone["boxed"] == ""
    assert gone["slots"]["0:gradcam:pointing"] == "–"
    for bad in ([0, 0, 0, 0], "x", [1, 2], [None] * 4, [float("nan")] * 4):
        answer = slices(tab, tab.act({**asking(), "act": "box", "data": {"box": bad}}))[-1]
        assert answer["problem"].startswith(("A box has four", "The box is empty"))
    linked = together(slices(tab, tab.ask(asking(box="0,0,100,100"))))  # from an address
    assert "2 of 2 maps" in plain(linked["boxed"])
    odd = together(slices(tab, tab.ask(asking(box="evil,<b>"))))
    assert odd["boxed"] == ""


@pytest.mark.slow
def test_the_sanity_check_fills_its_table_with_rise_too(tab: Server, monkeypatch) -> None:
    monkeypatch.setattr(rise, "FEWEST", rise.DRAWN)
    monkeypatch.setattr(rise.Running, "unsettled", lambda self: self.total[:, 0, 0] * 0)
    given = {**asking("cam,gradcam,guided,rise"), "targets": [6], "act": "forget"}
    found = slices(tab, tab.act(given))
    shown = together(found)
    assert not shown["problem"]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>', shown["forgotten"])
    assert rows == ["Grad-CAM", "Guided backprop", "RISE"]  # CAM is the same map
    stages = shown["forgotten"].count('data-slot="forget:head:')
    assert stages > 3
    for method in ("gradcam", "guided", "rise"):
        for stage in range(1, stages + 1):
            assert re.search(r"<img.*-?\d\.\d\d", shown["slots"][f"forget:{method}:{stage}"])
    assert shown["slots"]["forget:head:1"] == "The head"
    assert "random" in shown["remembered"] or "learnt" in shown["remembered"]
    quick = [i for i, each in enumerate(found) if f"forget:guided:{stages}" in str(each)]
    slow = [i for i, each in enumerate(found) if "forget:rise:1" in each["data"].get("slots", {})]
    assert quick[-1] <= slow[0]  # nobody waits for RISE to see the others


def test_the_report_is_a_zip_with_the_box(tab: Server) -> None:
    found = slices(tab, tab.act({**asking(), "act": "report", "data": {"box": "0,0,50,50"}}))
    file = found[-1]["file"]
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(file["data"]))) as archive:
        told = json.loads(archive.read("scores.json"))
        page = archive.read("report.html").decode()
        assert {"report.html", "maps.npz", "maps/guided.png"} <= set(archive.namelist())
    assert file["name"].endswith(".zip")
    assert list(told["methods"]) == ["gradcam", "guided"]
    assert len(told["verdict"]["lines"]) == 3
    assert html.escape(told["verdict"]["lines"][2]) in page
    assert told["settings"]["box"] == [0, 0, 0.5, 0.5]


def test_a_click_opens_each_method_s_home_with_settings_that_it_takes(tab: Server) -> None:
    network = tab.subject.zoo.get()
    shown = together(slices(tab, tab.ask(asking(colours="Viridis"))))
    assert '"tab": "maps"' in shown["grid"].replace("&quot;", '"')
    asked = tab.subject.asked(asking())
    settings, _ = fields.read(TAB.settings, asking(colours="Viridis")["settings"], network)
    side = sides.chosen(asked, settings)[0][0]
    tabs = {tab.key: tab for tab in page.TABS}
    for key in (each.key for each in offered(network)):
        opens = sides.opening(side, key, settings)
        if opens["tab"] not in tabs:
            continue
        home = tabs[opens["tab"]]
        assert opens["settings"].keys() <= {each.key for each in home.settings}, key
        _, problems = fields.read(home.settings, opens["settings"], network)
        assert not problems, key
    assert sides.opening(side, "guided", settings)["settings"] == {
        "methods": "guided", "layer": network.last, "colours": "Viridis",
    }  # fmt: skip


def test_nothing_ticked_nothing_measured_and_nonsense_are_told(tab: Server) -> None:
    none = together(slices(tab, tab.ask(asking(""))))
    assert none["say"].startswith("Tick a method")
    quiet = together(slices(tab, tab.ask(asking(measure=False) | {"targets": [11]})))
    assert "Not measured" in quiet["verdict"]
    assert "0:gradcam:curves" not in quiet["slots"]
    tab.ask({**asking(), "form": "test_resnet"})
    wrong = tab.ask({**asking("evil"), "form": "test_resnet"})
    assert "can’t be that" in slices(tab, wrong)[-1]["problem"]


def test_a_map_that_is_not_defined_says_why_in_its_card(tab: Server) -> None:
    asked = {**asking("cam,gradcam", measure=False), "network": "vgg16"}
    shown = together(slices(tab, tab.ask(asked)))
    assert "Grad-CAM asks the gradient instead" in shown["grid"]
    assert "<img" in shown["slots"]["0:gradcam:map"]


def test_slots_name_methods_that_need_escaping_as_they_are(tab: Server) -> None:
    shown = together(slices(tab, tab.ask(asking("gradcam++"))))
    assert 'data-slot="0:gradcam++:map"' in shown["grid"]
    assert "0:gradcam++:map" in shown["slots"]


@pytest.mark.parametrize(
    ("gain", "card", "cell"), [(-0.0001, "+0.00", "+0.000"), (-0.02, "−0.02", "−0.020")]
)
def test_no_gain_is_a_negative_nought_and_a_loss_has_a_minus(gain, card, cell) -> None:
    found = Verdict(("gradcam",), {"gradcam": gain}, noise=0.1, best=(), weak=("gradcam",))
    assert board.marks(0, found)["0:gradcam:card"].startswith(f"gain {card} ")
    assert shown_as("gain", gain) == cell
