"""The Activations tab without a browser: what its acts answer, and that nothing of it moves."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from gradio.utils import get_upload_folder

from explainers import Photo, notes, read, render
from explainers import units as acts
from explainers.units.strongest import Strongest
from tabs import activations
from tabs.activations import TAB, pins
from tabs.activations.live import Live
from tabs.parts import html
from tabs.parts.tab import Server
from tests.desk import refused, serving, slices
from tests.test_video import clip

CAT = {"photo": {"example": "cat.jpg"}, "visit": "me", "knows": True}


@pytest.fixture(autouse=True)
def few_examples(monkeypatch: pytest.MonkeyPatch, photo: Photo) -> None:
    """Two reference photos are quicker than all."""
    noise = read(np.random.default_rng(3).integers(0, 255, (60, 80, 3), np.uint8))
    two = [SimpleNamespace(title="a cat", photo=photo), SimpleNamespace(title="noise", photo=noise)]
    monkeypatch.setattr(activations, "references", lambda: two)
    monkeypatch.setattr(activations, "STRONGEST", Strongest(lambda: [photo, noise]))


def whole(server: Server, answer: dict[str, Any]) -> dict[str, Any]:
    places, data = {}, {}
    for each in slices(server, answer):
        assert not each.get("problem"), each["problem"]
        places |= each["places"]
        data |= each["data"]
    return {"places": places, "data": data}


def ask(server: Server, question: dict[str, Any] = CAT, **settings: Any) -> dict[str, Any]:
    """All that is drawn."""
    return whole(server, server.ask({**question, "settings": settings}))


def act(server: Server, name: str, data: Any, **settings: Any) -> dict[str, Any]:
    form = server.subject.zoo.get().key  # the browser has this network's widgets
    return server.act({**CAT, "form": form, "settings": settings, "act": name, "data": data})


def order(places: dict[str, str]) -> list[int]:
    return json.loads(unescape(re.search('data-tiles="(.*?)"', places["sheet"])[1]))["order"]


def test_the_mosaic_of_a_layer_and_the_channel_that_is_looked_at(resnet18) -> None:
    server = serving(TAB, resnet18)
    shown = ask(server, layer="layer2")
    question = server.subject.asked(CAT).question("layer2")
    ranked = acts.order(question, "contribution")
    assert order(shown["places"]) == ranked
    assert shown["data"]["sheet"]["channel"] in ranked[:12]
    assert shown["data"]["sheet"]["most"] == 79
    by_index = ask(server, layer="layer2", sort="index")
    assert order(by_index["places"]) == list(range(80))
    chosen = {"layer2:0": 0, "layer2:79": 79}  # what was chosen, or that of a link, stays
    for unit, channel in chosen.items():
        kept = ask(server, layer="layer2", unit=unit)
        assert kept["data"]["sheet"]["channel"] == channel
        assert "no unit" not in kept["places"]["say"]
    for unit in ("layer3:5", "layer2:80", "layer2:-1", "layer2:x", "nonsense", "layer2:²"):
        other = ask(server, layer="layer2", unit=unit)
        assert other["data"]["sheet"]["channel"] == shown["data"]["sheet"]["channel"]
        said = f"no unit “{unit}”" in other["places"]["say"]
        assert said is (unit != "layer3:5")  # which was chosen before the layer was changed


def test_a_class_with_index_nought_sorts_the_channels(resnet18) -> None:
    server = serving(TAB, resnet18)
    orders = []
    for target in (0, 1):
        shown = ask(server, {**CAT, "targets": [target]}, layer="layer4")
        orders.append(order(shown["places"]))
        assert resnet18.labels[target] in shown["places"]["sheet"]
    assert orders[0] != orders[1]


def test_a_channel_closely_its_place_on_the_photo_first(resnet18) -> None:
    server = serving(TAB, resnet18)
    first, *later = slices(server, act(server, "unit", {"channel": 0}, layer="layer3"))
    assert first["places"].keys() == {"glow", "where"}  # at once, before the rest
    assert first["data"]["unit"] == {"layer": "layer3", "channel": 0}
    places = first["places"]
    for each in later:
        places |= each["places"]
    question = server.subject.asked(CAT).question("layer3")
    found = acts.unit(question, 0)
    assert notes.place(*found.place) in places["where"]
    assert "outline core" in places["glow"]
    assert all(word in places["crops"] for word in ("It can see", "It looks at", "input"))
    assert places["classes"].count("<li>") == 5
    assert places["examples"].count("<img") == 2
    assert "mean" in places["examples"]
    for wrong in (-1, 96, 2.5, "3", None, True, [1], {"a": 1}):
        assert "0 to 95" in refused(act(server, "unit", {"channel": wrong}, layer="layer3"))


def test_a_box_finds_the_channels_that_fire_in_it(resnet18) -> None:
    server, box = serving(TAB, resnet18), [0.1, 0.2, 0.6, 0.7]
    found = whole(server, act(server, "find", {"box": box}, layer="layer2"))
    question = server.subject.asked(CAT).question("layer2")
    best = [channel for channel, _ in acts.inside(question, box, 8)]
    shown = [int(each) for each in re.findall('data-channel="(.*?)"', found["places"]["found"])]
    assert shown == best
    assert found["data"]["best"] == best[0]
    for wrong in (None, [], [0, 0, 1], ["a"] * 4, [float("nan")] * 4, [0, 0, 1, 1], [0.5] * 4):
        refused(act(server, "find", {"box": wrong}, layer="layer2"))


def slots(places: str) -> tuple[int, int]:
    """Pinned, free."""
    return places.count('<figure class="pin">'), places.count("pin-free")


def test_pins_fill_places_that_are_there_already(resnet18) -> None:
    server = serving(TAB, resnet18)
    assert slots(ask(server)["places"]["pins"]) == (0, 4)
    kept = "resnet18|layer2:0,layer3:7"
    shown = whole(server, act(server, "pin", {"pins": kept}))["places"]["pins"]
    assert slots(shown) == (2, 2)
    assert "Unit 0 ·" in shown
    assert shown.index("Unit 0 ·") < shown.index("Unit 7 ·")
    again = ask(server, pins=kept)["places"]["pins"]
    assert slots(again) == (2, 2)
    many = "resnet18|" + ",".join(f"layer2:{each}" for each in range(9))
    assert slots(whole(server, act(server, "pin", {"pins": many}))["places"]["pins"]) == (4, 0)


def test_pins_belong_to_their_network_and_nonsense_is_left_out(resnet18, vgg16) -> None:
    text = "vgg16|features.2:1;resnet18|layer2:3,layer2:3,layer2:999,none:1,layer2,layer2:x;;|:"
    assert pins.read(text, resnet18) == [("layer2", 3)]
    first = next(iter(vgg16.flat))
    assert pins.read(f"vgg16|{first}:1", vgg16) == []  # no place to glow at


def test_where_there_is_no_geometry_units_are_bars(vgg16) -> None:
    server, (first, *_, scores) = serving(TAB, vgg16), vgg16.flat
    shown = ask(server, layer=scores)
    assert "has no geometry" in shown["places"]["sheet"]
    assert shown["places"]["sheet"].count("<button") == 20
    assert vgg16.labels[0] in shown["places"]["sheet"]
    assert shown["places"]["glow"] == ""
    assert shown["data"]["sheet"]["flat"]
    closely = whole(server, act(server, "unit", {"channel": 0}, layer=first))
    assert closely["places"]["classes"].count("<li>") == 5
    assert "no places" in refused(act(server, "find", {"box": [0, 0, 0.5, 0.5]}, layer=first))


def test_a_layer_of_another_network_gives_way_to_one_of_this(resnet18) -> None:
    server = serving(TAB, resnet18)
    shown = ask(server, layer="blocks.3", unit="blocks.3:4")
    assert shown["data"]["sheet"]["layer"] == acts.default_layer(resnet18)
    assert f'value="{acts.default_layer(resnet18)}" selected' in shown["places"]["field-layer"]


def test_without_a_photo_it_says_what_to_do(resnet18) -> None:
    server = serving(TAB, resnet18)
    nothing = {"visit": "me", "knows": True, "form": "resnet18"}
    shown = ask(server, nothing)
    assert "camera" in shown["places"]["say"]
    assert "channel" not in shown["data"]["sheet"]
    assert "photo" in refused(server.act({**nothing, "act": "unit", "data": {"channel": 1}}))


# ---- the camera ----


def test_a_stream_ends_after_a_minute_and_can_be_started_again(resnet18) -> None:
    now = [5.0]
    camera = Live(activations.STRONGEST, list(activations.BRIGHTNESS), lambda: now[0])
    subject = serving(TAB, resnet18).subject
    picture = np.random.default_rng(1).integers(0, 255, (24, 32, 3), np.uint8)
    frame = {
        **camera.ticket(subject, {}),
        "image": html.data_url(render.jpeg(picture), "jpeg"),
        "layer": "layer2",
        "pins": "resnet18|layer2:3",
    }
    first = camera.frame(subject, frame)
    assert len(first["pins"]) == 1
    assert first["columns"] * first["rows"] >= first["count"] == 80
    now[0] += 59
    assert "heat" in camera.frame(subject, frame)
    now[0] += 2
    assert "minute is over" in camera.frame(subject, frame)["over"]
    again = frame | camera.ticket(subject, {})
    with camera._turn:  # another visitor's frame is being looked at: this one is not queued
        assert camera.frame(subject, again) == {"late": True}
    assert "heat" in camera.frame(subject, again)


def test_the_live_heat_is_of_what_was_asked_for(resnet18) -> None:
    server = serving(TAB, resnet18)
    picture = np.random.default_rng(2).integers(0, 255, (24, 32, 3), np.uint8)
    image = html.data_url(render.jpeg(picture), "jpeg")

    def frame(**more: Any) -> dict[str, Any]:
        ticket = server.call({"call": "ticket"})
        return server.call({"call": "frame", "layer": "layer2", "image": image, **ticket, **more})

    titles = {
        frame(heat="class", target=0)["title"]: f"Grad-CAM of {resnet18.labels[0]}",
        frame(heat="class", target=7)["title"]: f"Grad-CAM of {resnet18.labels[7]}",
        frame(heat="channel", channel=0)["title"]: "Unit 0 · ",
    }
    assert all(title.startswith(expected) for title, expected in titles.items())
    between = frame(heat="channel", channel=0, layer=None)  # the form is of the network before
    assert "Grad-CAM" in between["title"] or "Unit 0" in between["title"]
    first = frame(heat="first")
    assert first["title"].removeprefix("Grad-CAM of ") in first["classes"].split("</li>")[0]
    wrong = [{"image": "data:,"}, {"layer": "none"}, {"gain": -1}, {"per": "photo"}, {"gamma": []}]
    wrong += [{"heat": "class", "target": 10**6}, {"heat": "channel", "channel": -1}]
    for each in wrong:
        refused(frame(**each))
    refused(server.call({"call": "none"}))
    refused(server.call(None))


# ---- a clip ----


def uploaded(tmp_path: Path, name: str = "in.mp4") -> Path:
    folder = Path(get_upload_folder()) / "clip"
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(clip(tmp_path / name, [20, 90, 200, 240]), folder))


def test_a_clip_becomes_a_video_and_is_deleted(resnet18, tmp_path, monkeypatch) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(kept))
    server, at = serving(TAB, resnet18), uploaded(tmp_path)
    asked = {"file": {"path": str(at)}, "channel": 3}
    first, *later = slices(server, act(server, "clip", asked, layer="layer2"))
    assert first["work"]["done"] < 1
    assert "<img" in first["places"]["clip"]
    data = [first, *later][-1]["data"]
    assert data["frames"] == 4
    with av.open(io.BytesIO(base64.b64decode(data["video"]))) as video:
        assert sum(1 for _ in video.decode(video=0)) == 4
    assert not at.exists()
    # and when the visitor goes away in the midst of it; one who hands in the same again keeps it
    at = uploaded(tmp_path)
    ticket = act(server, "clip", asked, layer="layer2")["more"]
    assert list(kept.glob("seeing-why-*"))
    assert uploaded(tmp_path) == at
    server.stop(ticket)
    assert slices(server, act(server, "clip", asked, layer="layer2"))[-1]["data"]["frames"] == 4
    assert not at.exists()
    assert not list(kept.glob("seeing-why-*"))


@pytest.mark.parametrize("file", [None, {}, {"path": "/etc/passwd"}, {"path": 3}, "clip.mp4"])
def test_only_an_upload_is_read(resnet18, file) -> None:
    assert "did not arrive" in refused(
        act(serving(TAB, resnet18), "clip", {"file": file, "channel": 0})
    )
