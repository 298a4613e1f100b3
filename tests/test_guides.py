"""README and guides do what they say: every block of them runs, and every address is one."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models._registry import _model_entrypoints
from torch import nn

from explainers import Network, load
from explainers.__main__ import main as reports
from explainers.settings import Settings, from_environment
from explainers.zoo import Zoo, bring, brought
from tabs import command
from tabs import page as page_module
from tabs.order import TABS
from tabs.subject import examples
from tests import nets
from tests.fake_hub import FakeHub

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.S)
INSTALLS = ("pip ", "python3 -m venv ")  # what test_package tries
SERVED = "from gradio_client"  # what test_endpoints does to a page
LABELS = ["benign", "malignant"]


@pytest.fixture
def desk(hub: FakeHub, settings: Settings, tmp_path: Path, monkeypatch) -> list[list[Network]]:
    """A folder as the guides take it for granted; returns the networks of each page opened."""
    zoo = Zoo(settings)
    monkeypatch.setattr(brought, "shared", lambda: zoo)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    cat = (ROOT / "assets/examples/cat.jpg").read_bytes()
    for name in ("photo.png", "photos/cat.jpg"):  # what it is, its bytes say
        (tmp_path / name).write_bytes(cat)
    small = nets.module("test_resnet", num_classes=2)
    about, how = {"label_names": LABELS}, {"input_size": (3, 64, 64)}
    timm.models.save_for_hf(small, "my_folder", about, safe_serialization=True, data_config=how)
    hub.put(
        "someone/their-network", **{f.name: f.read_bytes() for f in Path("my_folder").iterdir()}
    )
    narrow = partial(timm.models.resnet18, channels=(8, 8, 8, 8))  # its width is not the point
    monkeypatch.setitem(_model_entrypoints, "resnet18", narrow)
    weights = nets.module("resnet18", num_classes=2, slim=False).state_dict()
    save_file(weights, "model.safetensors")
    torch.save({"state_dict": {f"model.{n}": v for n, v in weights.items()}}, "epoch=3.ckpt")
    Path("labels.txt").write_text("\n".join(LABELS))
    opened: list[list[Network]] = []

    def launch(networks=(), **_options) -> None:
        opened.append(bring([*networks, *from_environment().networks]))

    monkeypatch.setattr(page_module, "launch", launch)
    return opened


def shell(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of a shell, in this process."""
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        monkeypatch.setenv(*words.pop(0).split("=", 1))
    commands: dict[tuple[str, ...], Callable[[list[str]], int]] = {
        ("seeing-why",): command.main,
        ("python", "app.py"): command.main,
        ("python", "-m", "explainers"): reports,
    }
    begins = next(each for each in commands if tuple(words[: len(each)]) == each)
    assert commands[begins](words[len(begins) :]) == 0, line


LONG = {name: [pytest.mark.slow] for name in ("README", "researcher", "operator", "teacher")}


@pytest.mark.parametrize(
    "guide", [pytest.param(path, id=path.stem, marks=LONG.get(path.stem, ())) for path in DOCS]
)
def test_every_block_of_a_guide_runs(guide: Path, desk, monkeypatch: pytest.MonkeyPatch):
    blocks = BLOCK.findall(guide.read_text("utf-8"))
    for code in (code for each in DOCS for _, code in BLOCK.findall(each.read_text("utf-8"))):
        if named := re.match(r"# (\w+\.py)\n", code):
            Path(named[1]).write_text(code, "utf-8")
    module = nets.module("test_resnet", num_classes=2)
    scope: dict[str, object] = {
        "my_module": module,
        "my_embedding": nets.module("test_resnet", num_classes=0),
        "my_segmentation": nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1)),
        "my_mask": np.eye(300, 451) > 0,
        "train": lambda _module: None,
        "photo": "photo.png",
    }
    Path("assets").symlink_to(ROOT / "assets")
    for kind, code in blocks:
        if kind == "python" and not code.startswith(SERVED):
            exec(compile(code, guide.name, "exec", dont_inherit=True), scope)
        elif kind == "sh":
            for line in filter(None, code.splitlines()):
                with monkeypatch.context() as patch:
                    if not line.startswith(INSTALLS):
                        shell(line, patch)
    if guide.stem == "operator":
        titles = [[each.title for each in networks] for networks in desk]
        two = ["my_folder", Path.cwd().name]
        assert titles == [[], two, two, [], [], ["their-network"]]  # one machine, own, clusters
    if guide.stem == "researcher":
        assert Path("map.png").read_bytes().startswith(b"\x89PNG")
        assert len(list(Path("reports").glob("*.zip"))) == 2
    assert os.getcwd() != str(ROOT)


@pytest.mark.slow
def test_every_address_of_a_guide_shows_what_it_says():
    seen = 0
    for guide in DOCS:
        for query in re.findall(r"`/\?(\S+)`", guide.read_text("utf-8")):
            asked = {
                name: values[0] for name, values in parse_qs(query, strict_parsing=True).items()
            }
            assert asked.keys() <= {"model", "example", "target", "against", "tab"}
            assert asked.get("example", next(iter(examples()))) in examples()
            assert asked.get("tab", "maps") in {tab.key for tab in TABS}
            network = load(asked.get("model", "lite0"))
            for target in filter(None, asked.get("target", "").split(",")):
                network.resolve(target)
            seen += 1
    assert seen > 5


def test_every_file_that_a_guide_names_exists():
    for guide in DOCS:
        for name in re.findall(r"\]\((?!http)([^)#]+)", guide.read_text("utf-8")):
            assert (guide.parent / name).exists(), name
