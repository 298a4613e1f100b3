"""The report's ZIP and the command line that makes many."""

from __future__ import annotations

import html
import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from explainers import Network, read
from explainers import __main__ as command
from explainers.api import question
from explainers.render import report
from explainers.scores.comparison import Comparison
from tests import nets

ROOT = Path(__file__).resolve().parents[1]


def jpeg(pixels: np.ndarray = data.chelsea()) -> bytes:  # noqa: B008
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", exif=exif)
    return file.getvalue()


def page_of(built: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(built)) as archive:
        return archive.read("report.html").decode()


@pytest.fixture(scope="module")
def files(resnet18) -> dict[str, bytes]:
    """A report's files, of a photo with metadata."""
    photo = read(jpeg())
    found = Comparison(
        question(resnet18, photo, 4, against=7), ["gradcam++", "guided"], steps=4,
        box=(0.25, 0.25, 0.75, 0.75),
    )  # fmt: skip
    for work in (found.draw(), found.measure()):
        list(work)
    assert "No verdict" in page_of(report.build(photo, found))  # all is measured once so far
    list(found.repeat())
    built = report.build(photo, found)
    assert built == report.build(photo, found)
    with zipfile.ZipFile(io.BytesIO(built)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.slow
def test_it_holds_a_page_pictures_maps_and_scores(files) -> None:
    maps = {"maps/gradcamplusplus.png", "maps/guided.png"}
    assert set(files) == {"report.html", "scores.json", "maps.npz", "photo.png", *maps}
    assert all(Image.open(io.BytesIO(files[name])).size == (451, 300) for name in maps)
    numbers = json.loads(files["scores.json"])
    assert numbers["settings"]["target"] == {"index": 4, "name": "class 4"}
    assert numbers["settings"]["against"]["index"] == 7
    assert numbers["settings"]["seed"] == 0
    assert set(numbers["versions"]) == {"python", "torch", "timm", "numpy"}
    told = numbers["verdict"]["lines"]
    assert len(told) == 3
    assert all(html.escape(line) in files["report.html"].decode() for line in told)
    scored = numbers["methods"]["guided"]
    assert scored["pointing"] in (True, False)
    areas = [
        np.trapezoid(scored["curves"][kind], scored["curves"]["fraction"])
        for kind in ("deletion", "insertion")
    ]
    assert areas == pytest.approx([scored["deletion"], scored["insertion"]])
    with np.load(io.BytesIO(files["maps.npz"])) as arrays:
        assert arrays["gradcam++"].shape[0] == 1
        assert arrays["guided"].shape[1] == 3


def test_the_page_needs_nothing_else(files) -> None:
    page = files["report.html"].decode()
    assert not re.search(r"(src|href)=(?!\"data:)", page)
    assert "url(" not in page
    assert page.count("<img") == 3
    assert page.count("<svg") == 2
    for said in ("class 4, and not class 7", "Grad-CAM++", "Spearman", "&quot;seed&quot;: 0"):
        assert said in page


def test_nothing_of_the_photo_s_file_or_of_this_machine_is_in_it(files) -> None:
    for name, content in files.items():
        assert b"SecretCamera" not in content, name
        assert b"Exif" not in content, name
        for path in (ROOT, Path.home(), Path.cwd()):
            assert str(path).encode() not in content or str(path) == "/", name


def test_what_is_not_defined_says_why_and_names_are_escaped(vgg16, monkeypatch) -> None:
    monkeypatch.setattr(vgg16, "labels", ("<script>alert(1)</script>", *vgg16.labels[1:]))
    found = Comparison(question(vgg16, data.chelsea(), 0), ["cam", "gradcam"], steps=4)
    list(found.draw())
    with zipfile.ZipFile(io.BytesIO(report.build(read(data.chelsea()), found))) as archive:
        page = archive.read("report.html").decode()
        numbers = json.loads(archive.read("scores.json"))
    assert "<script" not in page
    assert "cam" in numbers["absent"]
    assert numbers["methods"]["gradcam"]["deletion"] is None  # not measured


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    (folder / "cat.jpg").write_bytes(jpeg())
    (folder / "deep" / "cat.jpg").write_bytes(jpeg(data.chelsea()[:, ::-1]))
    (folder / "broken.jpg").write_bytes(b"not a photo")
    (folder / "notes.txt").write_text("left alone")
    return folder


def run(*arguments: object) -> int:
    return command.main([str(each) for each in arguments])


@pytest.mark.slow
def test_a_folder_of_photos_resumes_and_survives_a_bad_one(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    out = tmp_path / "out"
    asked = [photos, "--methods", "gradcam", "--steps", "2", "--framing", "crop", "--out", out]
    assert run(*asked) == 1
    said = capsys.readouterr().err
    assert "2 made, 0 were there already, 1 failed." in said
    assert "3/3" in said
    assert "broken.jpg: This file holds text" in said
    assert "Traceback" not in said
    assert str(tmp_path) not in said
    made = sorted(out.glob("*.zip"))
    assert len(made) == 2
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    assert [each["state"] for each in summary] == ["failed", "made", "made"]
    assert str(tmp_path) not in json.dumps(summary)
    # again: only what is missing
    stamps = {path: path.stat().st_mtime_ns for path in made}
    made[0].unlink()
    (photos / "broken.jpg").unlink()
    assert run(*asked) == 0
    assert "1 made, 1 were there already, 0 failed." in capsys.readouterr().err
    assert made[1].stat().st_mtime_ns == stamps[made[1]]
    # an interruption leaves no half report that would count as done
    made[0].unlink()
    monkeypatch.setattr(command.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(*asked)
    assert not made[0].exists()
    assert not list(out.glob(".*"))


def test_other_settings_make_other_reports(photos: Path, tmp_path: Path) -> None:
    asked = [photos / "cat.jpg", "--methods", "gradcam", "--no-scores", "--out", tmp_path / "out"]
    assert run(*asked) == 0
    assert run(*asked, "--target", "tabby, tabby cat") == 0
    assert len(list((tmp_path / "out").glob("*.zip"))) == 2


@pytest.mark.slow
def test_maps_are_measured_unless_it_is_asked_not_to_and_how_long_it_takes_is_said(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    passes, whole = [], Network.logits
    monkeypatch.setattr(Network, "logits", lambda of, x: passes.append(len(x)) or whole(of, x))
    monkeypatch.setattr(command, "WITHIN", 0.0)
    asked = [photos / "cat.jpg", "--methods", "gradcam", "--steps", "4", "--out"]
    pages, said, taken = [], [], []
    for name, scores in (("maps", ["--no-scores"]), ("scored", [])):
        assert run(*asked, tmp_path / name, *scores) == 0
        (made,) = (tmp_path / name).glob("*.zip")
        pages.append(page_of(made.read_bytes()))
        said.append(capsys.readouterr().err)
        taken.append(sum(passes))
        passes.clear()
    assert taken[0] <= 2 < 20 < taken[1]
    assert ["Left out: scores" in page for page in pages] == [True, False]
    shares = [int(each) for each in re.findall(r"(\d+)% of it · about \d+ s left", said[1])]
    assert shares == sorted(shares)
    assert shares[0] < 50 < 90 < shares[-1] <= 100


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--methods", "magic"], "The methods are"),
        (["--target", "no such class"], "knows no class"),
        (["--model", "nothing"], "no network"),
        (["--steps", "1"], "from 2 to 200"),
    ],
)
def test_what_can_t_be_started_says_so(photos, tmp_path, capsys, wrong, says) -> None:
    assert run(photos, "--out", tmp_path / "out", *wrong) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_a_folder_without_photos_says_so(tmp_path, capsys) -> None:
    assert run(tmp_path, "--out", tmp_path / "out") == 2
    assert "no photos" in capsys.readouterr().err


@pytest.mark.slow
def test_a_map_that_should_not_be_trusted_says_so_in_the_report_and_on_the_command_line(
    resnet18, tmp_path, monkeypatch, capsys
) -> None:
    built = nets.plain(resnet18)
    with torch.no_grad():
        built.fc.weight[4] = 0
        built.fc.bias[4] = -30
    deaf = nets.wrap(built, classes=20)
    monkeypatch.setattr(command, "named", lambda _key: deaf)
    (tmp_path / "cat.jpg").write_bytes(jpeg())
    given = [str(tmp_path / "cat.jpg"), "--out", str(tmp_path / "out"), "--target", "4"]
    given += ["--methods", "gradcam", "guided", "--no-scores"]
    for state in ("made", "kept"):
        assert command.main(given) == 0
        (told,) = json.loads((tmp_path / "out" / "summary.json").read_text())
        assert told["state"] == state
        assert {n["key"] for n in told["notes"]["gradcam"]} == {"not seen", "blank"}
        said = capsys.readouterr().err
        assert said.count("does not see it") == said.count("is blank") == 1
    with zipfile.ZipFile(tmp_path / "out" / told["report"]) as archive:
        page = archive.read("report.html").decode()
    assert "strongest" not in " ".join(re.findall('alt="[^"]*"', page))
    assert page.count("<span class=doubt>The map is blank") == 2
    assert page.count("does not see it here") >= 1
