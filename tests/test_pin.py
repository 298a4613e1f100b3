"""A network on the Hub becomes a catalogue entry by one command, and the entry loads it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import timm
import torch

from explainers.settings import Settings
from explainers.zoo import Zoo, pin
from explainers.zoo.catalogue import Entry
from explainers.zoo.sources import Hub

from .fake_hub import CONFIG, PHOTO, TINY, FakeHub, commit_of, running, weights_of


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
        yield hub


def printed(capsys: pytest.CaptureFixture[str], *ids: str) -> Entry:
    assert pin.main(list(ids)) == 0
    return eval(capsys.readouterr().out.strip().rstrip(","), {"Entry": Entry, "Hub": Hub})


@pytest.mark.parametrize(("crop_pct", "known"), [(0.95, True), (0.5, False)])
def test_the_printed_entry_is_pinned_and_loads(hub: FakeHub, capsys, tmp_path, crop_pct, known):
    photo = PHOTO | {"interpolation": "bilinear", "crop_pct": crop_pct}
    weights = weights_of("test_resnet")
    hub.put(TINY, weights=weights, config=CONFIG | {"pretrained_cfg": photo})
    entry = printed(capsys, TINY)
    assert hub.downloads == []  # only asked about
    digest = hashlib.sha256(weights).hexdigest()
    assert (entry.source.repo, entry.source.revision) == (TINY, commit_of(TINY))
    assert (entry.source.sha256, entry.megabytes) == (digest, round(len(weights) / 1e6))
    assert (entry.licence, entry.task) == ("Apache-2.0", "ImageNet, 1000 classes")
    assert entry.source.by_config != known  # to timm, with 0.95
    settings = Settings(endpoint=hub.url, cache_dir=str(tmp_path), startup=())
    network = Zoo(settings, [entry]).get(entry.key)
    assert network.crop_pct == crop_pct
    torch.manual_seed(0)
    theirs = timm.create_model("test_resnet", pretrained=False).eval()
    x = torch.rand(1, 3, 160, 160)
    with torch.no_grad():
        assert torch.allclose(network.logits(x), theirs(x), atol=1e-5)


def test_what_cannot_be_explained_is_not_pinned(hub: FakeHub, capsys):
    hub.put("timm/odd.x", config=CONFIG | {"architecture": "test_odd"}, weights=b"1234")
    hub.put("timm/bare.x", config=CONFIG)
    for repo, reason in {
        "timm/odd.x": "no architecture that timm knows",
        "timm/bare.x": "safetensors",
        "x": "Hub id",
    }.items():
        assert pin.main([repo]) == 1
        said = capsys.readouterr()
        assert reason in said.err
        assert (said.out, said.err.count("\n")) == ("", 1)
