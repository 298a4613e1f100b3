"""A network from the Hub is the one that its config.json describes: as timm itself builds it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from skimage import data

from explainers import ModelError, explain, read
from explainers.zoo import Zoo, hub_ids
from tests.fake_hub import CONFIG, PHOTO, TINY, FakeHub, weights_of

SMALL = PHOTO | {"input_size": [3, 64, 64], "crop_pct": 0.9}


def put(hub: FakeHub, folder: Path, *, classes: int = 3, cfg: dict | None = None, **args: Any):
    """Write a network as timm does and hand it to the Hub; timm's own reading of it."""
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=classes, **args)
    labels = [f"label {index}" for index in range(classes)]
    timm.models.save_for_hf(
        model, str(folder), model_args=args, model_config={"label_names": labels},
        safe_serialization=True,
    )  # fmt: skip
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"] |= SMALL | (cfg or {})
    (folder / "config.json").write_text(json.dumps(config))
    hub.put(TINY, config=config, weights=(folder / "model.safetensors").read_bytes())
    return timm.create_model(f"local-dir:{folder}", pretrained=True).eval()


@pytest.mark.slow
@pytest.mark.parametrize("args", [
    {}, {"global_pool": "max"}, {"output_stride": 16}, {"act_layer": "silu"}, {"stem_width": 16},
    {"avg_down": True}, {"block_args": {"attn_layer": "se"}}, {"drop_rate": 0.5},
    {"global_pool": "catavgmax"},
], ids=str)  # fmt: skip
def test_it_is_built_with_its_model_args(hub, settings, tmp_path, args):
    theirs = put(hub, tmp_path, **args)
    zoo = Zoo(settings)
    network = zoo.get(zoo.add(TINY))
    x = network.prepare(read(data.chelsea())).tensor
    torch.testing.assert_close(network.logits(x), theirs(x), rtol=1e-4, atol=1e-5)
    found = explain(network, data.chelsea(), 1)
    assert torch.allclose(found.logits, theirs(x)[0], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["center", "squash"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "hamming"])
def test_the_crop_is_the_one_it_was_evaluated_with(
    hub, settings, tmp_path, mode, interpolation
):  # fmt: skip
    cfg = {"crop_mode": mode, "interpolation": interpolation}
    theirs = put(hub, tmp_path, cfg=cfg)
    facts = timm.data.resolve_data_config({}, model=theirs)
    assert (facts["crop_mode"], facts["interpolation"]) == (mode, interpolation)
    zoo = Zoo(settings)
    network = zoo.get(zoo.add(TINY))
    photo = read(data.chelsea())
    view = network.prepare(photo, "crop")
    expected = timm.data.create_transform(**facts)(Image.fromarray(photo.pixels))
    assert float((view.tensor[0] - expected).abs().max()) < 3 / 255 / 0.5
    left, top, right, bottom = view.frame
    assert bottom - top == pytest.approx(0.9, abs=0.02)
    squeezed = (right - left) == pytest.approx(0.9, abs=0.02)
    assert squeezed == (mode == "squash")


@pytest.mark.slow
@pytest.mark.parametrize("crop_pct", [0.9, 1.0, 1.25])
@pytest.mark.parametrize("side", [(451, 300), (200, 333), (64, 64)])
def test_a_border_is_put_round_the_photo_as_timm_does(
    hub, settings, tmp_path, side, crop_pct
):  # fmt: skip
    theirs = put(hub, tmp_path, cfg={"crop_mode": "border", "crop_pct": crop_pct})
    facts = timm.data.resolve_data_config({}, model=theirs)
    assert facts["crop_mode"] == "border"
    zoo = Zoo(settings)
    network = zoo.get(zoo.add(TINY))
    photo = read(np.asarray(Image.fromarray(data.chelsea()).resize(side)))
    view = network.prepare(photo, "crop")
    expected = timm.data.create_transform(**facts)(Image.fromarray(photo.pixels))
    assert float((view.tensor[0] - expected).abs().max()) < 3 / 255 / 0.5
    left, top, right, bottom = view.frame  # all of the longer side, and beyond the shorter one
    assert max(right - left, bottom - top) / min(right - left, bottom - top) == pytest.approx(
        max(side) / min(side), rel=0.05
    )
    assert min(right - left, bottom - top) == pytest.approx(crop_pct, abs=0.03)
    assert explain(network, photo, 1, framing="crop").values.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "names", "first", "last"), [
    (11821, None, "benthos (0)", None), (21841, None, None, None), (1000, None, "tench", None),
    (3, {"0": "a", "1": "b", "2": "c"}, "a", "c"),
    (1, ["healthy", "ill"], "ill", "ill"), (1, ["ill"], "ill", "ill"),
])  # fmt: skip
def test_classes_have_the_names_of_the_config_or_of_timms_sets(
    hub, settings, classes, names, first, last
):  # fmt: skip
    config = CONFIG | {"num_classes": classes, "pretrained_cfg": SMALL}
    config |= {"label_names": names} if names else {}
    hub.put(TINY, config=config, weights=weights_of("test_resnet", num_classes=classes))
    zoo = Zoo(settings)
    network = zoo.get(zoo.add(TINY))
    assert len(set(network.labels)) == classes
    assert first in (None, network.labels[0])
    assert last in (None, network.labels[-1])
    assert network.head == ("sigmoid" if classes == 1 else "softmax")
    if classes == 1:
        found = explain(network, np.full((64, 64, 3), 90, np.uint8))
        assert 0 < float(found.probabilities[0]) < 1


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"model_args": {"checkpoint_path": "x"}}, "ask for “checkpoint_path”"),
    ({"model_args": {"features_only": True}}, "ask for “features_only”"),
    ({"model_args": {"in_chans": 1}}, "takes 1 channels, and photos have 3"),
    ({"model_args": {"stem_width": 10**7}}, "a “stem_width” that is too large"),
    ({"model_args": {"layers": [999] * 4}}, "has far too many layers"),
    ({"model_args": {"no_such": 1}}, "can’t build .* as its config.json says .*no_such"),
    ({"model_args": [1]}, "not as timm writes it"),
    ({"pretrained_cfg": SMALL | {"crop_mode": "round"}}, "the crop mode is round"),
    ({"pretrained_cfg": SMALL | {"interpolation": "random"}}, "the interpolation is random"),
    ({"pretrained_cfg": SMALL | {"input_size": [3, 64, 96]}}, "64 by 96 pixels, and not square"),
], ids=str)  # fmt: skip
def test_what_a_config_asks_for_in_vain_is_told(hub, settings, changes, sentence, monkeypatch):
    monkeypatch.setattr(hub_ids, "MOST_CALLS", 3000)
    names = ["a", "b", "c"]
    config = CONFIG | {"num_classes": 3, "label_names": names, "pretrained_cfg": SMALL} | changes
    hub.put(TINY, config=config, weights=b"")
    zoo = Zoo(settings)
    with pytest.raises(ModelError, match=sentence):
        zoo.get(zoo.add(TINY))
    assert hub.downloads == []
