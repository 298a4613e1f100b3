"""Weights and configs as others leave them: what timm reads is read as it reads it."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file, save_model
from skimage import data

from explainers import ModelError, explain, load, read, targets, wrap
from explainers.network.recipe import Recipe
from explainers.zoo import Zoo, assembly
from tests import nets
from tests.fake_hub import TINY, FakeHub
from tests.test_brought import HOW, made, saved

Weights = dict[str, torch.Tensor]


def rewritten(folder: Path, change: Callable[[Weights], Weights], **cfg: Any) -> Path:
    """A folder whose weights or config somebody else wrote. cfg: None takes an entry out."""
    file = folder / "model.safetensors"
    save_file({name: value.contiguous() for name, value in change(load_file(file)).items()}, file)
    config = json.loads((folder / "config.json").read_text())
    found = config["pretrained_cfg"] | cfg
    config["pretrained_cfg"] = {name: value for name, value in found.items() if value is not None}
    if "img_size" in config.get("model_args", {}):
        config["model_args"]["img_size"] = 64  # which its weights may not be of
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def same(weights: Weights) -> Weights:
    return weights


def of_its_authors(weights: Weights) -> Weights:
    """ConvNeXt's names as they are in the code it was published with."""
    patterns = {
        r"^stem\.": "downsample_layers.0.",
        r"^stages\.(\d)\.downsample": r"downsample_layers.\1",
        r"\.blocks\.": ".", "mlp.fc1": "pwconv1", "mlp.fc2": "pwconv2", "conv_dw": "dwconv",
        r"^head\.norm": "norm", r"^head\.fc": "head",
    }  # fmt: skip
    for pattern, theirs in patterns.items():
        weights = {re.sub(pattern, theirs, name): value for name, value in weights.items()}
    return weights


def with_a_background(weights: Weights) -> Weights:
    return weights | {
        name: torch.cat([torch.ones_like(weights[name][:1]), weights[name]])
        for name in ("fc.weight", "fc.bias")
    }


def with_a_mask_token(weights: Weights) -> Weights:
    return weights | {"mask_token": torch.zeros(1, weights["cls_token"].shape[2])}


FORMS: dict[str, tuple[str, dict, Callable[[Weights], Weights], dict]] = {
    "names": ("test_convnext", {}, of_its_authors, {}),
    "background": ("test_resnet", {}, with_a_background, {"label_offset": 1}),
    "positions": ("test_vit", {"img_size": 96}, same, {}),
    "more": ("test_vit", {"img_size": 64}, with_a_mask_token, {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("own", [True, False], ids=["own", "Hub"])
@pytest.mark.parametrize("form", FORMS)
def test_weights_in_another_form_make_the_network_that_timm_makes_of_them(
    hub: FakeHub, settings, tmp_path: Path, form: str, own: bool
):  # fmt: skip
    arch, args, change, cfg = FORMS[form]
    module = nets.module(arch, num_classes=3, **args)
    folder = rewritten(saved(tmp_path / "m", module), change, **cfg)
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    if own:
        network = load(folder)
    else:
        config = json.loads((folder / "config.json").read_text())
        hub.put(TINY, config=config, weights=(folder / "model.safetensors").read_bytes())
        zoo = Zoo(settings)
        network = zoo.get(zoo.add(TINY))
    x = nets.noise(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(network.logits(x), theirs(x), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_positions_are_resampled_only_where_somebody_says_the_size(tmp_path: Path):
    module = nets.module("test_vit", num_classes=3, img_size=96)
    torch.save(module.state_dict(), tmp_path / "w.pth")
    with pytest.raises(ModelError, match="pos_embed is 1 × 37 × 64 where 1 × 101 × 64"):
        load(tmp_path / "w.pth", arch="test_vit")
    network = load(tmp_path / "w.pth", arch="test_vit", size=96)
    x = nets.noise(1, 3, 96, 96)
    with torch.no_grad():
        assert torch.allclose(network.logits(x), module(x), rtol=1e-4, atol=1e-5)


def test_what_a_config_does_not_say_can_be_said(tmp_path: Path):
    cfg = {"mean": None, "std": None, "label_names": ["too few"]}
    folder = rewritten(saved(tmp_path / "m", made(), label_names=None), same, **cfg)
    with pytest.raises(ModelError, match="does not name its 3 classes: give labels"):
        load(folder)
    with pytest.raises(ModelError, match=r"\(it names no mean\): say mean=…, std=… and size=…"):
        load(folder, labels=["a", "b", "c"])
    network = load(folder, labels=["a", "b", "c"], mean=0.4, std=[0.1, 0.2, 0.3], size=(64, 96))
    assert network.mean.flatten().tolist() == pytest.approx([0.4] * 3)
    assert (network.shape, network.labels) == ((64, 96), ("a", "b", "c"))


@pytest.mark.slow
@pytest.mark.parametrize("crop_pct", [0.875, 1.3])
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_an_oblong_network_sees_what_timms_transform_shows_it(tmp_path, mode, crop_pct):
    cfg = {"input_size": (3, 64, 96), "crop_mode": mode, "mean": [0.0], "std": 1.0}
    folder = rewritten(saved(tmp_path / "m", made()), same, **cfg, crop_pct=crop_pct)
    network = load(folder)
    assert network.shape == (64, 96)
    facts = {"input_size": (3, 64, 96), "crop_pct": crop_pct, "interpolation": "bilinear"}
    transform = timm.data.create_transform(**facts, crop_mode=mode, mean=(0,) * 3, std=(1,) * 3)
    for side in ((300, 200), (160, 120), (100, 300), (96, 96)):
        photo = read(Image.fromarray(data.chelsea()).resize(side))
        view = network.prepare(photo, "crop")
        theirs = transform(Image.fromarray(photo.pixels))
        assert float((view.tensor[0] - theirs).abs().max()) < 2 / 255, side
        if mode == "squash":
            left, top, right, bottom = view.frame
            assert (right - left, bottom - top) == pytest.approx((crop_pct, crop_pct), abs=0.02)


def test_a_checkpoint_of_timms_training_is_built_as_it_was_trained(tmp_path: Path):
    module = made(global_pool="max", act_layer="silu")
    nothing = dict.fromkeys(("mean", "std", "crop_pct", "img_size", "input_size", "gp", "bn_eps"))
    args = nothing | {"interpolation": "", "model_kwargs": {"act_layer": "silu"}, "lr": 0.1}
    args |= {"gp": "max", "mean": [0.1, 0.2, 0.3], "img_size": 64, "crop_pct": 0.9}
    content = {"arch": "test_resnet", "args": argparse.Namespace(**args)}
    torch.save(content | {"state_dict": module.state_dict()}, tmp_path / "best.pth.tar")
    network = load(tmp_path / "best.pth.tar")
    assert (network.shape, network.crop_pct) == ((64, 64), 0.9)
    assert network.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    x = nets.noise(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(network.logits(x), module(x), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("names", [[0, 1, 2], {"0": 0, "1": 1, "2": 2}, {"0": 0, "2": 2, "1": 1}])
def test_names_come_in_the_form_that_data_sets_have_them(tmp_path: Path, names):
    folder = saved(tmp_path / "m", made(), label_names=names)
    assert load(folder).labels == ("0", "1", "2")
    told = {"0": "zero", "1": None, "2": ""}  # what they are called, as far as that was filled in
    plain = saved(tmp_path / "n", made(), label_names=None)
    about = {"label_names": names, "label_descriptions": told}
    assert load(rewritten(plain, same, **about)).labels == ("zero", "1", "2")
    with pytest.raises(ModelError, match="its input_size is not channels, height and width"):
        load(rewritten(folder, same, input_size=(64, 64)))


@pytest.mark.slow
@pytest.mark.parametrize("names", [
    {"id2label": {"0": "a", "1": "b", "2": "c"}}, {"label2id": {"c": 2, "a": 0, "b": 1}},
    {"labels": ["a", "b", "c"], "num_classes": 3},
])  # fmt: skip
def test_names_and_numbers_as_transformers_has_them(tmp_path: Path, names):
    folder = saved(tmp_path / "m", made(), label_names=None)
    plain = {"architecture": "test_resnet", "pretrained_cfg": HOW | {"mean": 0.5, "std": 0.25}}
    (folder / "config.json").write_text(json.dumps(plain | names))
    assert load(folder).labels == ("a", "b", "c")
    assert load(folder, labels=["x", "y", "z"]).labels == ("x", "y", "z")
    several = plain | names | {"problem_type": "multi_label_classification"}
    (folder / "config.json").write_text(json.dumps(several))
    assert load(folder).head == "sigmoid"
    (folder / "config.json").write_text(json.dumps(plain))
    with pytest.raises(ModelError, match="names no num_classes: add it there"):
        load(folder)
    (folder / "config.json").write_text(json.dumps(plain | {"num_classes": "3"}))
    with pytest.raises(ModelError, match="gives 3 as num_classes, where a whole number up to"):
        load(folder)


@pytest.mark.slow
def test_an_architecture_may_be_named_as_the_hub_has_it(tmp_path: Path):
    torch.save(made().state_dict(), tmp_path / "w.pth")
    for arch in ("timm/test_resnet.r160_in1k", "hf-hub:timm/test_resnet"):
        assert len(load(tmp_path / "w.pth", arch=arch).labels) == 3
    with pytest.raises(ModelError, match="knows no architecture “my_own_net”: build, and wrap"):
        load(tmp_path / "w.pth", arch="my_own_net")


@pytest.mark.slow
def test_features_without_a_head_are_explained_by_functions_of_them(tmp_path: Path):
    module = made(num_classes=0)
    folder = saved(tmp_path / "m", module, label_names=None)
    torch.save(module.state_dict(), tmp_path / "w.pth")
    photo = data.chelsea()[:64, :64]
    for network in (load(folder), load(tmp_path / "w.pth", arch="test_resnet", head="none")):
        assert network.head == "none"
        found = explain(network, photo, targets.similar_to(data.chelsea()[64:128, :64]))
        assert found.values.abs().max() > 0


def test_a_model_of_timms_says_its_size_and_classes_itself():
    facts = {"input_size": (3, 96, 64), "label_names": ["a", "b", "c"], "num_classes": 3}
    module = timm.create_model("test_resnet", num_classes=3, pretrained_cfg_overlay=facts)
    network = wrap(module)
    assert (network.shape, network.labels) == ((96, 64), ("a", "b", "c"))


def test_weights_that_several_parts_share_are_kept_once_in_a_file(tmp_path: Path):
    small = {"embed_dims": (64,) * 4, "serial_depths": (2,) * 4, "parallel_depth": 1}
    small |= {"img_size": 64}
    how = (64, (0.5,) * 3, (0.5,) * 3, "bicubic", 1.0)
    recipe = Recipe(("a", "b"), *how, arch="coat_tiny", args=small)
    module = assembly.blank(recipe, device="cpu")
    save_model(module, str(tmp_path / "tied.safetensors"))
    tensors = load_file(tmp_path / "tied.safetensors")
    assert len(tensors) < len(module.state_dict())
    x, found = torch.randn(1, 3, 64, 64), assembly.assemble(recipe, tensors, "tied")
    assert torch.equal(found(x), module(x))
