"""Networks that a visitor asks for by their id on the Hub: what is checked before one is built.

Only timm's own repositories, only convolutional classifiers, and nothing in them is ever run: from
a repository come numbers (safetensors) and a config.json of which a few values are read.
"""

from __future__ import annotations

import math
import re
from collections import Counter

import timm
import torch

from ..errors import ModelError
from ..network import Recipe
from ..settings import Settings
from . import assembly, download
from .catalogue import Entry, imagenet_labels
from .sources import Hub

_ID = re.compile(r"timm/[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+|__[A-Za-z0-9]+)*")
_PREFIXES = ("https://huggingface.co/", "hf_hub:", "hf-hub:")
_LONGEST_LABEL = 80
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
    cfg = config.get("pretrained_cfg")
    cfg = cfg if isinstance(cfg, dict) else config
    arch = config.get("architecture")
    if not isinstance(arch, str) or not timm.is_model(arch):
        raise ModelError(f"{entry.title} is no architecture that timm knows: choose another one.")
    classes = config.get("num_classes", cfg.get("num_classes"))
    if not isinstance(classes, int) or not 2 <= classes <= 10**5:
        raise ModelError(f"{entry.title} is not a classifier: choose one with named classes.")
    labels = _labels(config, cfg, classes, entry.title)
    try:
        recipe = _recipe(arch, labels, cfg, entry.licence)
    except (TypeError, ValueError, KeyError) as error:
        raise ModelError(
            f"The config.json of {entry.title} does not say how to prepare a photo: "
            "choose another one."
        ) from error
    _check_convolutional(recipe, settings, entry.title)
    return recipe, commit


def _recipe(arch: str, labels: tuple[str, ...], cfg: dict, licence: str) -> Recipe:
    channels, height, width = cfg["input_size"]
    mean, std = (tuple(float(value) for value in cfg[name]) for name in ("mean", "std"))
    crop_pct = float(cfg.get("crop_pct", 0.875))
    numbers = (*mean, *std, crop_pct)
    if (
        (channels, len(mean), len(std)) != (3, 3, 3)
        or height != width
        or not 32 <= width <= 640
        or not all(map(math.isfinite, numbers))
        or min(*std, crop_pct) <= 0
        or crop_pct > 1
    ):
        raise ValueError("out of range")
    named = str(cfg.get("license", "")).strip()[:40]
    interpolation = "bilinear" if cfg.get("interpolation") == "bilinear" else "bicubic"
    return Recipe(
        arch=arch,
        labels=labels,
        size=int(width),
        mean=mean,
        std=std,
        interpolation=interpolation,
        crop_pct=crop_pct,
        licence=named or licence,
    )


def _labels(config: dict, cfg: dict, classes: int, title: str) -> tuple[str, ...]:
    names = config.get("label_names") or cfg.get("label_names")
    if names is None and classes == 1000:
        return imagenet_labels()
    if (
        not isinstance(names, list)
        or len(names) != classes
        or not all(isinstance(name, str) and name.strip() for name in names)
    ):
        raise ModelError(f"{title} does not name its {classes} classes: choose one that does.")
    told = config.get("label_descriptions") or cfg.get("label_descriptions")
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
    shell = assembly.blank(recipe.arch, classes)
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
    channels_first = getattr(features, "ndim", 0) == 4 and features.shape[1] == shell.num_features
    if not channels_first or tuple(logits.shape) != (1, classes):
        raise ModelError(f"{title} has no convolutional feature map to explain: {other}.")
    megabytes = sum(p.numel() * p.element_size() for p in shell.parameters()) / download.MEGABYTE
    if megabytes > settings.model_mb:
        raise ModelError(
            f"{title} needs {megabytes:.0f} MB of memory and networks have {settings.model_mb} MB: "
            "choose a smaller one."
        )
