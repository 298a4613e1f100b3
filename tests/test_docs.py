"""What the README, the Space card, the notebook and the settings promise."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from assets import make_lists
from explainers import load, settings
from explainers.__main__ import _parser
from explainers.settings import Settings
from explainers.zoo.catalogue import CATALOGUE
from tabs.server import options

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def pins(file: str = "requirements.txt") -> dict[str, str]:
    lines = (ROOT / file).read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith(("#", "-")))


def test_the_card_is_a_valid_space_card() -> None:
    card = yaml.safe_load(README.split("---")[1])
    assert card["sdk"] == "gradio"
    assert card["sdk_version"] == pins()["gradio[mcp]"]
    assert (ROOT / card["app_file"]).exists()
    assert card["license"] == "apache-2.0"
    assert len(card["short_description"]) <= 60
    assert (ROOT / card["thumbnail"].split("/main/")[1]).exists()
    assert card["python_version"]
    assert card["tags"]


def test_the_space_is_built_with_the_networks_that_it_starts_with() -> None:
    card = yaml.safe_load(README.split("---")[1])
    sources = {entry.key: entry.source for entry in CATALOGUE}
    started = [sources[key] for key in Settings().startup]
    files = [f"{each.repo} {each.filename} {each.revision}" for each in started]
    assert card["preload_from_hub"] == files
    assert all(re.fullmatch("[0-9a-f]{40}", each.revision) for each in started)


def test_the_lists_are_those_of_the_catalogue_and_the_registry() -> None:
    assert all(entry.remark in README for entry in CATALOGUE if entry.here)
    assert make_lists.filled(README) == README, "run: python assets/make_lists.py"


def test_every_file_that_the_readme_names_exists() -> None:
    for name in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / name).exists(), name


def test_everything_is_pinned_exactly() -> None:
    for name in ("requirements.txt", "requirements-cluster.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text("utf-8").splitlines():
            if line and not line.startswith(("#", "-r")):
                assert re.fullmatch(r"[\w.\-\[\]]+==[\w.]+", line), line


CLUSTER = "tabs/cluster/*.py"
ALONE = [  # what runs without a cluster
    "app.py",
    "explainers/**/*.py",
    "tabs/*.py",
    *(f"tabs/{each.name}/*.py" for each in (ROOT / "tabs").iterdir() if each.name != "cluster"),
]
OURS = {"app", "assets", "benchmarks", "explainers", "tabs", "tests", "training"}


def imported(*folders: str) -> set[str]:
    """What the Python files of these folders import from outside, by its name in code."""
    found: set[str] = set()
    for path in (each for folder in folders for each in sorted(ROOT.glob(folder))):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    return found - OURS - sys.stdlib_module_names


@pytest.fixture(scope="module")
def sources() -> dict[str, set[str]]:
    """By module: the packages it comes from. Every file of the environment is looked at."""
    return {module: set(names) for module, names in packages_distributions().items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "folders"),
    [
        (["requirements.txt"], ALONE),
        (["requirements.txt", "requirements-cluster.txt"], [CLUSTER]),
        (
            ["requirements.txt", "requirements-cluster.txt", "requirements-dev.txt"],
            ["assets/*.py", "benchmarks/*.py", "tests/*.py", "training/*.py"],
        ),
    ],
)
def test_everything_imported_is_pinned(
    files: list[str], folders: list[str], sources: dict[str, set[str]]
) -> None:
    pinned = {re.sub(r"\[.*", "", name) for file in files for name in pins(file)}
    for module in imported(*folders):
        names = {name.replace("_", "-").casefold() for name in sources[module]}
        assert names & {name.replace("_", "-").casefold() for name in pinned}, module


def test_the_three_lines_of_the_readme_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    block = re.search(r"```python\n(from explainers import load, explain\n.*?)```", README, re.S)
    lines = [line for line in block.group(1).splitlines() if line]
    assert len(lines) == 3
    scope: dict[str, object] = {}
    exec("\n".join([*lines[:2], f"shown = {lines[2]}"]), scope)
    assert scope["shown"]._repr_png_().startswith(b"\x89PNG")
    assert scope["network"] is load("lite0")


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    notebook = json.loads((ROOT / "explain.ipynb").read_text("utf-8"))
    scope: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "the notebook is kept without outputs"
            exec("".join(cell["source"]), scope)
    said = capsys.readouterr().out
    assert "espresso" in said
    assert "guided_gradcam" in said


@pytest.mark.slow
def test_the_notebook_brings_to_colab_what_is_not_there() -> None:
    cells = json.loads((ROOT / "explain.ipynb").read_text("utf-8"))["cells"]
    brought = dict(re.findall(r"([\w-]+)==([\d.]+)", "".join(cells[1]["source"])))
    assert brought.items() <= pins().items()
    there = {"torch", "numpy", "cv2", "PIL", "safetensors"}
    names = {name.replace("-", "_") for name in brought}
    assert imported("explainers/**/*.py") - there <= names


def test_every_setting_is_listed_and_every_listed_one_is_read() -> None:
    class Noted(dict[str, str]):
        """An empty environment that remembers what it was asked for."""

        asked: ClassVar[set[str]] = set()

        def get(self, name: str, default: str | None = None) -> str | None:
            self.asked.add(name)
            return default

    for read in (settings.from_environment, options.from_environment):
        read(Noted())
    ours = {name for name in Noted.asked if name.startswith("SEEING_WHY_")}
    assert ours == set(re.findall(r"^\| `(SEEING_WHY_\w+)`", README, re.M))


def test_a_default_that_is_listed_changes_nothing_when_it_is_said() -> None:
    listed = dict(re.findall(r"^\| `(SEEING_WHY_\w+)` \| `([^`|]+)` \|", README, re.M))
    assert len(listed) > 15
    for read in (settings.from_environment, options.from_environment):
        assert read(listed) == read({})


COMMAND = re.compile(r"python3? (?:-m ([\w.]+)|([\w/]+\.py))([^\n`]*)")
DOCUMENTS = [  # pytest's own folder has one, too, from its second run on
    each for part in ("", "[!.]*/", "weights/*/") for each in sorted(ROOT.glob(f"{part}*.md"))
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_script_that_a_document_runs_takes_what_it_says(document: Path) -> None:
    for module, script, rest in COMMAND.findall(document.read_text("utf-8")):
        path = ROOT / (script or module.replace(".", "/"))
        if script == "app.py":
            path = ROOT / "tabs" / "command.py"
        elif module in ("venv", "pytest"):
            continue
        path = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        code = path.read_text("utf-8")
        for option in re.findall(r"--\w+", rest):
            assert f'"{option}"' in code, f"{path.name} {option}"


def test_every_report_that_a_document_asks_for_is_asked_for_in_full() -> None:
    text = "\n".join(each.read_text("utf-8") for each in DOCUMENTS)
    asked = re.findall(r"seeing-why explain ([^\n`]+)", text)
    assert len(asked) > 3
    for each in asked:
        assert _parser("seeing-why explain").parse_args(shlex.split(each)).photos


def test_a_disk_without_room_is_told_before_anything_is_installed(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, does in {
        "df": "echo Filesystem 1024-blocks Used Available; echo disk 90000000 80000000 9400000",
        "ldconfig": "echo libtcmalloc_minimal.so.4",
        "python3": "echo installing",
        **dict.fromkeys(("chromium", "nginx", "systemd-analyze"), "true"),
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{does}\n")
        (tools / name).chmod(0o755)
    (tmp_path / ".ci").mkdir()
    run = shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    path = f"{tools}:{os.environ['PATH']}"
    found = subprocess.run(["bash", run], env={"PATH": path}, capture_output=True, text=True)
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr == "A new environment takes 10 GB, and 9 GB are free: make room.\n"
