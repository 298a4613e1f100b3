"""The package: what pip installs is whole, and opens the page and explains a photo by itself."""

from __future__ import annotations

import json
import re
import site
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest
import timm
from gradio_client import Client, handle_file
from playwright.sync_api import Browser, expect

from tests import nets
from tests.browser import serving, settled
from tests.test_docs import pins

ROOT = Path(__file__).parents[1]
CAT = ROOT / "assets" / "examples" / "cat.jpg"
#: A report and the page by the installed command, in one process: its imports take 10 s of a core.
BOTH = """
import runpy, sys
from tabs.command import main
script, photo, network = sys.argv[1:]
given = ["--network", "mine", "--methods", "gradcam", "--out", "out"]
assert main(["explain", photo, *given]) == 0
sys.argv = [script, "--network", network]
runpy.run_path(script, run_name="__main__")
"""


def test_the_package_needs_what_the_page_needs():
    about = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = dict(each.replace(">=", "==").split("==") for each in about["dependencies"])
    assert needed == pins()


def test_the_package_takes_all_data_along_and_finds_it():
    about = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]
    taken = about["build"]["targets"]["wheel"]["force-include"]
    folders = {path.parent for path in (ROOT / "assets").glob("*/*") if path.suffix != ".pyc"}
    assert taken.keys() == {"weights", *(path.relative_to(ROOT).as_posix() for path in folders)}
    assert all(where == f"explainers/data/{folder}" for folder, where in taken.items())
    for path in (each for code in ("explainers", "tabs") for each in (ROOT / code).rglob("*.py")):
        outside = re.search(r"parents\[|parent\.parent|\.\./", path.read_text("utf-8"))
        assert not outside, f"{path.name}: data lies where explainers/places.py says"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of a new environment into which the wheel alone was installed; what it needs
    comes from the environment of this test."""
    folder = tmp_path_factory.mktemp("package")
    python = folder / "env" / "bin" / "python"
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    venv = [sys.executable, "-m", "venv", "--without-pip", str(folder / "env")]
    for command in (venv, [*build, str(ROOT)]):
        subprocess.run(command, check=True, capture_output=True)
    wheel = str(next(folder.glob("seeing_why-*.whl")))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index"]
    subprocess.run([*pip, "--no-deps", wheel], check=True, capture_output=True)
    lib = next((folder / "env" / "lib").glob("python*/site-packages"))
    (lib / "needed.pth").write_text("\n".join(site.getsitepackages()))
    return python.parent


@pytest.mark.slow
def test_it_explains_a_photo_and_opens_the_page(installed: Path, tmp_path: Path, chromium: Browser):
    timm.models.save_for_hf(
        nets.module("test_resnet", num_classes=2, in_chans=1),
        str(tmp_path / "mine"),
        {"label_names": ["benign", "malignant"]},
        data_config={"input_size": (1, 64, 64)},
    )
    given = [str(installed / "seeing-why"), str(CAT), str(tmp_path / "mine")]
    begun = [str(installed / "python"), "-c", BOTH, *given]
    alone = {"SEEING_WHY_STARTUP": "", "LD_PRELOAD": ""}  # the process would begin anew
    with serving(command=begun, cwd=tmp_path, **alone) as page:
        with urllib.request.urlopen(f"{page.url}/config") as answer:
            assert "malignant" in answer.read().decode()  # explained already, by the first network
        visitor = chromium.new_page()
        visitor.goto(page.url)
        settled(visitor)
        visitor.click("[data-networks] summary")  # what the operator named stands first
        expect(visitor.locator("[data-networks] [data-key]").first).to_have_attribute(
            "data-key", "mine"
        )
        expect(visitor.locator("[data-key=mine]")).to_have_attribute("aria-pressed", "true")
        expect(visitor.locator(".rail")).to_contain_text("malignant")
        expect(visitor.locator("[data-hub-id]")).to_have_count(0)  # unless the operator allows it
        visitor.close()
        client = Client(page.url, verbose=False, httpx_kwargs={"timeout": 60})
        listed = client.predict(api_name="/networks")
        assert [each["key"] for each in listed][:2] == ["mine", "lite0"]
        _, about = client.predict(
            handle_file(CAT), "malignant", "gradcam", "mine", "", api_name="/explain"
        )
        assert about["class"] == "malignant"
        listed = client.predict(handle_file(CAT), "", "gradcam", "coco80", "", api_name="/explain")
        assert listed[1]["class"] == "cat"  # by weights that came along
    assert json.loads((tmp_path / "out" / "summary.json").read_text())[0]["state"] == "made"
