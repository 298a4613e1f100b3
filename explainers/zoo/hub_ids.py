"""Networks that a visitor asks for by their id on the Hub: what is checked before one is built.

Only timm's own repositories, only convolutional classifiers, and nothing in them is ever run: from
a repository come numbers (safetensors) and a config.json of which a few values are read.
"""

from __future__ import annotations

import copy
import math
import re
from collections import Counter
from dataclasses import replace
from typing import Any, get_args

import timm
import torch
from timm.data import ImageNetInfo, infer_imagenet_subset
from timm.models._hub import _parse_model_cfg

from ..errors import ModelError
from ..imagenet import imagenet_labels
from ..network import Recipe
from ..network.door import FILTERS
from ..network.recipe import CropMode
from ..settings import Settings
from . import assembly, download
from .catalogue import Entry
from .sources import Hub

_ID = re.compile(r"timm/[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+|__[A-Za-z0-9]+)*")
_PREFIXES = ("https://huggingface.co/", "hf_hub:", "hf-hub:")
_LONGEST_LABEL = 80
_BUILT_FROM = ("num_classes", "global_pool", "input_size", "fixed_input_size", "pool_size")
#: Arguments of timm's `create_model` that are not about the network's shape.
_NOT_OF_THE_SHAPE = frozenset(
    "pretrained pretrained_cfg pretrained_cfg_overlay pretrained_strict pretrained_filter_fn "
    "pretrained_model_args checkpoint_path cache_dir scriptable exportable no_jit device dtype "
    "features_only feature_cls feature_cfg out_indices model_cfg cfg".split()
)
_LARGEST, _MOST = 8192, 64  # numbers in model_args, and how many at a time
# Layers in which every place looks at every other: there a map's places mean something else.
_ATTENTION = re.compile(
    "Attention|Transformer|SelfAttn|CovarianceAttn|ClassAttn|SampleAttn|GroupedAttn|HaloAttn"
    "|BottleneckAttn|NonLocalAttn|LambdaLayer|LiteMLA|SHSA"
)


def entry(text: str) -> Entry:
    """The entry for what a visitor typed. Raises ModelError unless it is an id of timm's."""
    repo = text.strip()
    for prefix in _PREFIXES:
        repo = repo.removeprefix(prefix)
    if len(repo) > 96 or not _ID.fullmatch(repo):
        raise ModelError(
            "That is not the Hub id of a timm network: type one such as timm/resnet34.a1_in1k."
        )
    return Entry(
        key=repo,
        title=repo.removeprefix("timm/"),
        source=Hub(repo, by_config=True),
        licence="see the model card",
        megabytes=0,
        remark="Typed by a visitor.",
        task="as its model card says",
    )


def inspect(entry: Entry, settings: Settings, keep_in: str | None) -> tuple[Recipe, str]:
    """Read a repository's config.json and check that its network can be explained.

    Returns the recipe and the commit to take the weights from; raises ModelError. Builds nothing
    but an empty shell, and downloads no weights.
    """
    revision = entry.source.revision
    config, commit = download.config(entry.repo, settings, keep_in=keep_in, revision=revision)
    arch = config.get("architecture")
    if not isinstance(arch, str) or not timm.is_model(arch):
        raise ModelError(f"{entry.title} is no architecture that timm knows: choose another one.")
    try:
        cfg, _, args = _parse_model_cfg(copy.deepcopy(config), {})  # as timm itself reads it
        args = dict(args)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(
            f"The config.json of {entry.title} is not as timm writes it: choose another one."
        ) from error
    classes = args.pop("num_classes", cfg.get("num_classes"))
    if isinstance(classes, bool) or not isinstance(classes, int) or not 1 <= classes <= 10**5:
        raise ModelError(f"{entry.title} is not a classifier: choose one with named classes.")
    _check_args(args, entry.title)
    labels = _labels(cfg, classes, entry.title)
    try:
        recipe = _recipe(arch, labels, cfg, entry.licence)
    except (TypeError, ValueError, KeyError) as error:
        raise ModelError(
            f"The config.json of {entry.title} does not say how to prepare a photo, or not in a "
            f"way that is known here{f' ({error})' if str(error) else ''}: choose another one."
        ) from error
    if args or cfg.get("global_pool") or cfg.get("fixed_input_size"):
        told = {name: cfg[name] for name in _BUILT_FROM if cfg.get(name) is not None}
        recipe = replace(recipe, args=args | {"pretrained_cfg": told})
    _check_convolutional(recipe, settings, entry.title)
    return recipe, commit


def _check_args(args: dict[str, Any], title: str) -> None:
    """Raises ModelError unless a config's model_args do nothing but shape the network."""
    for name, value in args.items():
        if name in _NOT_OF_THE_SHAPE:
            raise ModelError(
                f"The model_args of {title} ask for “{name}”, which is not taken from the Hub: "
                "choose another one."
            )
        if name == "in_chans" and value != 3:
            raise ModelError(f"{title} takes {value} channels, and photos have 3: choose another.")
        if not _small(value):
            raise ModelError(
                f"The model_args of {title} have a “{name}” that is too large: choose another one."
            )


def _small(value: Any) -> bool:
    if isinstance(value, list | tuple | dict):
        inner = value.values() if isinstance(value, dict) else value
        return len(value) <= _MOST and all(map(_small, inner))
    return not isinstance(value, int | float) or abs(value) <= _LARGEST


def _recipe(arch: str, labels: tuple[str, ...], cfg: dict, licence: str) -> Recipe:
    channels, height, width = cfg["input_size"]
    mean, std = (tuple(float(value) for value in cfg[name]) for name in ("mean", "std"))
    crop_pct = float(cfg.get("crop_pct") or 0.875)
    numbers = (*mean, *std, crop_pct)
    crop_mode = cfg.get("crop_mode") or "center"
    interpolation = cfg.get("interpolation") or "bicubic"
    if crop_mode not in get_args(CropMode):
        raise ValueError(f"the crop mode is {str(crop_mode)[:20]}")
    if interpolation not in FILTERS:
        raise ValueError(f"the interpolation is {str(interpolation)[:20]}")
    if height != width:
        raise ValueError(f"its input is {height} by {width} pixels, and not square")
    if (
        (channels, len(mean), len(std)) != (3, 3, 3)
        or not 32 <= width <= 640
        or not all(map(math.isfinite, numbers))
        or min(*std, crop_pct) <= 0
        or crop_pct > 1
    ):
        raise ValueError("a number is out of range")
    named = str(cfg.get("license", "")).strip()[:40]
    return Recipe(
        arch=arch,
        labels=labels,
        size=int(width),
        mean=mean,
        std=std,
        interpolation=interpolation,
        crop_pct=crop_pct,
        crop_mode=crop_mode,
        licence=named or licence,
        head="sigmoid" if len(labels) == 1 else "softmax",
    )


def _labels(cfg: dict, classes: int, title: str) -> tuple[str, ...]:
    names = cfg.get("label_names") or cfg.get("labels")
    if names is None and classes == 1000:
        return imagenet_labels()
    if names is None and (subset := infer_imagenet_subset({"num_classes": classes})):
        info = ImageNetInfo(subset)
        names = [info.index_to_description(index) for index in range(classes)]
        return _distinct([name.partition(",")[0].strip()[:_LONGEST_LABEL] for name in names])
    if isinstance(names, dict):  # class number -> name
        names = [names.get(str(index), names.get(index)) for index in range(len(names))]
    if isinstance(names, list) and classes == 1 and len(names) == 2:
        names = names[1:]  # one logit speaks for the second of two
    if (
        not isinstance(names, list)
        or len(names) != classes
        or not all(isinstance(name, str) and name.strip() for name in names)
    ):
        raise ModelError(f"{title} does not name its {classes} classes: choose one that does.")
    told = cfg.get("label_descriptions")
    told = told if isinstance(told, dict) else {}
    return _distinct([str(told.get(name, name)).strip()[:_LONGEST_LABEL] for name in names])


def _distinct(names: list[str]) -> tuple[str, ...]:
    """The same names, with the class number behind those that occur more than once."""
    often = Counter(name.casefold() for name in names)
    return tuple(
        f"{name} ({index})" if often[name.casefold()] > 1 else name
        for index, name in enumerate(names)
    )


def _check_convolutional(recipe: Recipe, settings: Settings, title: str) -> None:
    """Try an empty shell of the network: it costs neither memory nor time."""
    other = "choose a convolutional one, such as timm/resnet34.a1_in1k"
    classes = len(recipe.labels)
    try:
        shell = assembly.blank(recipe)
    except Exception as error:  # whatever an architecture makes of arguments that it does not know
        reason = " ".join(str(error).split())[:120].rstrip(" .")
        raise ModelError(
            f"timm can't build {title} as its config.json says ({reason}): choose another one."
        ) from error
    if any(_ATTENTION.search(type(part).__name__) for part in shell.modules()):
        raise ModelError(
            f"{title} looks at a photo with attention (a transformer), where these maps would "
            f"mislead: {other}."
        )
    photo = torch.zeros(1, 3, recipe.size, recipe.size, device="meta")
    try:
        with torch.no_grad():
            features = shell.forward_features(photo)
            logits = shell.forward_head(features)
    except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError) as error:
        raise ModelError(f"{title} has no features and head to take apart: {other}.") from error
    a_map = getattr(features, "ndim", 0) == 4 and shell.num_features in features.shape[1::2]
    if not a_map or tuple(logits.shape) != (1, classes):
        raise ModelError(f"{title} has no convolutional feature map to explain: {other}.")
    megabytes = sum(p.numel() * p.element_size() for p in shell.parameters()) / download.MEGABYTE
    if megabytes > settings.model_mb:
        raise ModelError(
            f"{title} needs {megabytes:.0f} MB of memory and networks have {settings.model_mb} MB: "
            "choose a smaller one."
        )
