"""Networks that are brought along: from folders, files of weights, the Hub and own code."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from explainers import ExplainError, Network, Photo, explain, load, wrap
from explainers.__main__ import main as reports
from explainers.settings import Settings, from_environment
from explainers.zoo import Zoo, bring, brought
from tabs.bar import Bar
from tabs.order import TABS
from tabs.page import several, start
from tests import nets
from tests.desk import Desk
from tests.fake_hub import FakeHub, commit_of

pytestmark = pytest.mark.slow
NAMES = ["benign", "malignant", "normal"]
HOW = {"input_size": (3, 64, 64), "crop_pct": 0.9, "interpolation": "bilinear"}
THEIRS = "someone/their.net"


def made(**options: Any) -> nn.Module:
    return nets.module("test_resnet", **{"num_classes": 3, **options})


def saved(folder: Path, module: nn.Module, safe: bool = True, **config: Any) -> Path:
    """As timm hands a network to the Hub."""
    about = {"label_names": NAMES, **config}
    timm.models.save_for_hf(module, str(folder), about, safe_serialization=safe, data_config=HOW)
    return folder


@pytest.fixture(autouse=True)
def one_zoo(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    """The zoo of this process, with a Hub in miniature behind it."""
    zoo = Zoo(settings)
    monkeypatch.setattr(brought, "shared", lambda: zoo)
    monkeypatch.setattr(brought, "_from_hub", {})
    return zoo


def as_timm_does(network: Network, folder: Path, photo: Photo) -> None:
    """Its logits and its transform are those of timm's own loading."""
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    facts = timm.data.resolve_data_config({}, model=theirs)
    expected = timm.data.create_transform(**facts)(Image.fromarray(photo.pixels))
    seen = network.prepare(photo, "crop").tensor
    assert float((seen[0] - expected).abs().max()) < 3 / 255 / 0.2
    with torch.no_grad():
        assert torch.allclose(network.logits(seen), theirs(seen), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("safe", [True, False])
def test_a_folder_is_the_network_that_timm_makes_of_it(tmp_path: Path, photo: Photo, safe: bool):
    folder = saved(tmp_path / "mine", made(act_layer="silu"), safe)
    for way in (folder, str(folder), f"local-dir:{folder}", next(folder.glob("*model*"))):
        network = load(way)
        assert (network.title, network.key, network.labels) == ("mine", "mine", tuple(NAMES))
    as_timm_does(network, folder, photo)
    assert explain(network, photo, "malignant").values.isfinite().all()


CHECKPOINTS: dict[str, Callable[[dict], Any]] = {
    "plain": lambda found: found,
    "parallel": lambda found: {f"module.{name}": value for name, value in found.items()},
    "lightning": lambda found: {
        "epoch": 3,
        "state_dict": {f"model.{name}": v for name, v in found.items()} | {"loss.w": torch.ones(2)},
        "optimizer_states": [{"state": {0: {"step": torch.ones(1)}}}],
        "hyper_parameters": {"lr": 0.1, "data": Path("photos")},
    },
    "fastai": lambda found: {"model": found, "opt": {"state": [{"mom": torch.ones(2)}]}},
    "timm": lambda found: {
        "arch": "test_resnet",
        "args": argparse.Namespace(lr=0.1),
        "state_dict": {name: torch.zeros_like(value) for name, value in found.items()},
        "state_dict_ema": found,
    },
    "averaged": lambda found: {
        "state_dict": {name: torch.zeros_like(value) for name, value in found.items()},
        "ema_state_dict": found,
    },
    "half": lambda found: {n: v.half() if v.is_floating_point() else v for n, v in found.items()},
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_a_checkpoint_as_training_loops_save_it(tmp_path: Path, kind: str):
    module = made()
    path = tmp_path / "epoch=3-step=10.ckpt"
    torch.save(CHECKPOINTS[kind](module.state_dict()), path)
    arch = {} if kind == "timm" else {"arch": "test_resnet"}
    network = load(path, labels=NAMES, mean=0.4, size=96, **arch)
    assert (network.labels, network.size) == (tuple(NAMES), 96)
    x = nets.noise(2, 3, 96, 96, seed=5)
    close = 2e-2 if kind == "half" else 1e-5
    with torch.no_grad():
        assert torch.allclose(network.logits(x), module(x), rtol=1e-4, atol=close)
    assert network.mean.flatten().tolist() == pytest.approx([0.4] * 3)


def test_a_network_of_greys_says_so_by_its_weights(tmp_path: Path, photo: Photo):
    module = made(in_chans=1, num_classes=1)
    torch.save(module.state_dict(), tmp_path / "greys.pth")
    network = load(tmp_path / "greys.pth", arch="test_resnet", labels=["ill"], mean=0.2, std=0.3)
    grey = photo.pixels @ np.array([0.299, 0.587, 0.114])
    x = torch.tensor((grey / 255 - 0.2) / 0.3, dtype=torch.float32)[None, None, :160, :160]
    seen = network.prepare(Photo(photo.pixels[:160, :160], "a corner", (160, 160)), "whole").tensor
    with torch.no_grad():
        assert torch.allclose(network.logits(seen), module(x), atol=1e-3)
    assert network.head == "sigmoid"


def file(tmp_path: Path, content: Any, name: str = "x.pth") -> Path:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        torch.save(content, tmp_path / name)
    return tmp_path / name


def scripted(path: Path) -> Path:
    torch.jit.script(nn.Linear(2, 2)).save(path)
    return path


def twice(found: dict) -> dict:
    return {f"{each}.{name}": v for each in ("now", "average") for name, v in found.items()}


REFUSED: list[tuple[Callable[[Path], Any], dict, str]] = [
    (lambda p: file(p, made()), {"arch": "test_resnet"}, "holds more than tensors"),
    (lambda p: file(p, b"no checkpoint"), {"arch": "test_resnet"}, "can’t be read"),
    (lambda p: file(p, {"epoch": 3}), {"arch": "test_resnet"}, "something else"),
    (lambda p: file(p, made().state_dict()), {}, "does not say its architecture"),
    (lambda p: file(p, made().state_dict()), {"arch": "resnet81"}, "try “resnet18”"),
    (
        lambda p: file(p, made().state_dict() | {"bn1.weight": torch.ones(9)}),
        {"arch": "test_resnet"},
        "bn1.weight is 9 where 32 is needed",
    ),
    (lambda p: file(p, made().state_dict()), {"arch": "test_resnet2"}, "knows no architecture"),
    (
        lambda p: file(p, made(in_chans=4).state_dict()),
        {"arch": "test_resnet"},
        "takes 4 channels, and photos have 3: build it yourself, for wrap(…, channels=…)",
    ),
    (
        lambda p: file(p, made().state_dict()),
        {"arch": "test_resnet", "labels": ["a", "b"]},
        "3 outputs and 2 labels",
    ),
    (lambda p: file(p, twice(made().state_dict())), {"arch": "test_resnet"}, "which, as prefix"),
    (
        lambda p: file(p, {"teacher": made().state_dict(), "student": made(seed=1).state_dict()}),
        {"arch": "test_resnet"},
        "several networks, under “student.” and “teacher.”: say which, as prefix",
    ),
    (lambda p: p, {}, "no weights in"),
    (lambda p: file(p, b"", "a.pth").parent / file(p, b"", "b.pth").parent, {}, "several files"),
    (
        lambda p: file(p, made().state_dict(), "model-00001-of-00002.bin").parent,
        {"arch": "test_resnet"},
        "are cut into pieces (model-00001-of-00002.bin, …): save them as one file",
    ),
    (lambda p: scripted(p / "x.pth"), {"arch": "test_resnet"}, "of x is TorchScript: save"),
    (
        lambda p: saved(p / "m", made(), architecture="ResNetForImageClassification"),
        {},
        "no architecture that timm knows: give arch=…",
    ),
    (lambda p: p / "nowhere.pth", {}, "no network, folder or file “nowhere"),
    (lambda p: "lite0", {"labels": ["a"]}, "is on the list"),
    (lambda p: "resnet51", {}, "no network, folder or file “resnet51”"),
    (lambda p: "tests/nets.py:module", {}, "no network, folder or file"),
    (lambda p: saved(p / "m", made(), label_names=NAMES[:2]), {}, "does not name its 3 classes"),
    (
        lambda p: file(p, {n: (9 * v).to(torch.int8) for n, v in made().state_dict().items()}),
        {"arch": "test_resnet"},
        "no plain numbers (conv1.0.weight is int8)",
    ),
    (
        lambda p: file(p, b"version https://git-lfs.github.com/spec/v1\noid sha256:0"),
        {"arch": "test_resnet"},
        "can’t be read: fetch it with “git lfs pull”",
    ),
]


@pytest.mark.parametrize(("place", "told", "sentence"), REFUSED, ids=[s for *_, s in REFUSED])
def test_what_can_t_be_loaded_is_told_in_a_sentence(tmp_path, place, told, sentence):
    with pytest.raises(ExplainError) as caught:
        load(place(tmp_path), **told)
    said = str(caught.value)
    assert sentence in said
    assert str(tmp_path) not in said
    assert said.endswith(".")


def test_one_of_several_networks_in_a_checkpoint_is_named_by_its_prefix(tmp_path: Path):
    first, second = made(seed=1).state_dict(), made(seed=2)
    both = {f"now.{n}": v for n, v in first.items()}
    both |= {f"average.{n}": v for n, v in second.state_dict().items()}
    apart = {"model": first, "average": second.state_dict()}
    x = nets.noise(1, 3, 160, 160)
    for held, prefix in ((both, "average."), (both, "average"), (apart, "average")):
        network = load(file(tmp_path, held), arch="test_resnet", prefix=prefix)
        with torch.no_grad():
            assert torch.allclose(network.logits(x), second(x), atol=1e-5)


@pytest.mark.parametrize("safe", [True, False])
def test_anyone_s_repository_is_loaded_and_kept(
    hub: FakeHub, tmp_path: Path, photo: Photo, safe: bool
):  # fmt: skip
    folder = saved(tmp_path / "mine", made(), safe)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.put(THEIRS, **files)
    network = load(f"hf-hub:{THEIRS}")
    as_timm_does(network, folder, photo)
    assert network.title == "their.net"
    assert load(THEIRS) is network
    assert load(f"{THEIRS}@{commit_of(THEIRS)}") is network
    for page in ("", "/", "/tree/main", "/blob/main/config.json?download=true", "#use"):
        assert load(f"https://huggingface.co/{THEIRS}{page}") is network
    assert load(f"hf.co/{THEIRS}/tree/{commit_of(THEIRS)}") is network
    downloads = list(hub.downloads)
    hub.stop()
    again = load(THEIRS, labels=["a", "b", "c"])  # from the cache, as the Hub does not answer
    assert again.labels == ("a", "b", "c")
    assert hub.downloads == downloads
    assert len(downloads) == 1


SECOND = """
import sys
import torch
from explainers import explain, load
from explainers.units.receptive import fields
network, photo = load({theirs!r}), torch.rand(3, 64, 64)
fields(network, 64, 64)
explain(network, photo, 0, prepared=True)
explain(network, photo, 0, "occlusion", prepared=True, window=32, stride=32)
print(network.labels, sys.modules.keys() & {{"torch._dynamo", "sympy"}})
"""


def test_a_second_process_needs_no_hub_and_no_compiler(
    hub: FakeHub, settings: Settings, tmp_path: Path
):
    folder = saved(tmp_path / "mine", made())
    hub.put(THEIRS, **{path.name: path.read_bytes() for path in folder.iterdir()})
    load(THEIRS)
    ran = subprocess.run(
        [sys.executable, "-c", SECOND.format(theirs=THEIRS)],
        env={**os.environ, "HF_HUB_CACHE": settings.cache_dir, "HF_HUB_OFFLINE": "1"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert ran.stdout == f"{tuple(NAMES)} set()\n", ran.stderr[-2000:]  # a third of a start


def test_one_network_alone_is_handed_to_the_page_as_it_is():
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))
    assert [several(one) for one in ("my_folder", module)] == [("my_folder",), (module,)]
    assert several(["my_folder", module]) == ("my_folder", module)


CODE = """
import timm
from explainers import wrap

def make():
    return wrap(timm.create_model("test_resnet", num_classes=2), ["cat", "dog"], title="Mine")

def three():
    return 3
"""


def test_what_an_operator_names_stands_first_each_under_its_own_name(
    tmp_path: Path,
    settings: Settings,
):
    (tmp_path / "code.py").write_text(CODE)
    for name in ("runs/one", "runs/two", "more/two", "resnet18"):
        saved(tmp_path / name, made())
    given = [f"{tmp_path}/code.py:make", f"{tmp_path}/runs/one", tmp_path / "runs/two"]
    own = bring([*given, tmp_path / "more/two", str(tmp_path / "resnet18")])
    assert [each.title for each in own] == ["Mine", "one", "two", "two 2", "resnet18 2"]
    zoo = Zoo(settings, own=own)
    listed = zoo.status()
    assert [each.key for each in listed[:6]] == [*(each.key for each in own), "lite0"]
    assert (listed[0].state, listed[0].entry.task) == ("ready", "2 classes: cat, dog")
    assert start(zoo)["network"] == "Mine"
    picker = [each["title"] for each in Bar(zoo).networks()["networks"]]  # as the page lists them
    assert picker[:6] == [*(each.title for each in own), "EfficientNet-Lite0"]
    assert zoo.get() is own[0]
    with pytest.raises(ExplainError, match="“other/x” is not"):  # a visitor brings nothing
        zoo.get("other/x")


@pytest.mark.parametrize(("given", "sentence"), [
    (["code.py:three"], "“three” of code.py hands over a int"),
    (["code.py:four"], "code.py has no function “four”"),
    (["none.py:make"], "no file “none.py”"),
    (["code.py"], "code.py is code: name its function as well, code.py:make"),
    (["code.py:make", "code.py:make"], "a network called “Mine” already"),
    (["lite0"], "on the page’s list already"),
])  # fmt: skip
def test_what_an_operator_names_in_vain_is_told(tmp_path, monkeypatch, given, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code.py").write_text(CODE)
    with pytest.raises(ExplainError) as caught:
        bring(given)
    assert sentence in str(caught.value)


def test_what_the_page_can_t_ask_is_told_of_a_network_in_words_for_its_operator():
    four = wrap(made(in_chans=4), NAMES, size=64, channels=4, mean=[0.4] * 4, std=[0.2] * 4)
    with pytest.raises(ExplainError, match="takes 4 channels, and the page has photos: give wrap"):
        bring([four])
    with pytest.raises(ExplainError, match="answers with no classes, which the page asks about"):
        bring([wrap(made(), head="none", size=64, mean=0.4, std=0.2)])


def test_what_is_made_already_and_a_config_are_taken_for_what_they_stand_for(tmp_path: Path):
    (tmp_path / "code.py").write_text(CODE + "\nready = make()\n")
    (network,) = bring([f"{tmp_path}/code.py:ready"])
    assert network.title == "Mine"
    assert load(saved(tmp_path / "runs", made()) / "config.json").title == "runs"


def test_the_setting_lists_them():
    environment = {"SEEING_WHY_NETWORKS": "runs/one, code.py:make"}
    assert from_environment(environment).networks == ("runs/one", "code.py:make")


def five(image: Image.Image) -> torch.Tensor:
    """A photo as five channels."""
    colours = transforms.functional.to_tensor(image.resize((64, 64)))
    return torch.cat([colours, colours[:2].flip(1)])


SLOW = {"compare": [pytest.mark.slow]}  # it measures long


@pytest.mark.usefixtures("few_photos")
@pytest.mark.parametrize(
    "tab", [pytest.param(t, id=t.key, marks=SLOW.get(t.key, ())) for t in TABS]
)
@pytest.mark.parametrize("kind", ["greys", "one logit of five channels"])
def test_every_tab_shows_a_network_of_one_s_own(tab, kind, settings: Settings):
    if kind == "greys":
        own = wrap(made(in_chans=1), NAMES, size=64, title=kind, mean=0.4, std=0.2)
    else:
        own = wrap(made(in_chans=5, num_classes=1), ["malignant"], transform=five, title=kind)
    assert bring([own]) == [own]
    desk = Desk(tab, own, zoo=Zoo(settings, own=[own]), photo={"example": "cat.jpg"})
    assert any(desk.whole(desk.ask())["places"].values())


def test_a_report_by_one_s_own_network_says_how_the_photo_was_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = saved(tmp_path / "mine", made())
    deep = (np.linspace(0, 4000, 96 * 96).reshape(96, 96)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "scan.png")
    given = [str(tmp_path / "scan.png"), "--network", str(folder), "--methods", "gradcam"]
    (tmp_path / "names.json").write_text(json.dumps(dict(enumerate(NAMES))))
    given += ["--target", "malignant", "--labels", str(tmp_path / "names.json")]
    given += ["--out", str(tmp_path / "out")]
    assert reports(given) == 0
    told = json.loads((tmp_path / "out" / "summary.json").read_text())[0]
    assert len(told["photo_notes"]) == 1
    assert f"scan.png: {told['photo_notes'][0]}" in capsys.readouterr().err
    assert reports(given) == 0  # nothing new to do
    assert "0 made, 1 were there already" in capsys.readouterr().err
    saved(folder, made(seed=4))  # the same folder, trained on
    assert reports(given) == 0
    assert "1 made, 0 were there already" in capsys.readouterr().err
