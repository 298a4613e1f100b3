"""A network as timm's config.json describes it: how to build it and prepare its photos.

A config is data: a few values of it are read, and what is wrong with them is told in a sentence.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, get_args

import timm
from timm.data import ImageNetInfo, infer_imagenet_subset
from timm.models._hub import _parse_model_cfg

from ..errors import ModelError
from ..imagenet import imagenet_labels
from ..network import Recipe
from ..network.recipe import FILTERS, MOST_CROP, CropMode
from ..own import PROBLEMS, in_order

LONGEST_LABEL = 80
_BUILT_FROM = (
    "num_classes", "global_pool", "input_size", "fixed_input_size", "pool_size",
    "first_conv", "classifier", "label_offset",
)  # fmt: skip
#: Arguments of timm's `create_model` that are not about the network's shape.
_NOT_OF_THE_SHAPE = frozenset(
    "pretrained pretrained_cfg pretrained_cfg_overlay pretrained_strict pretrained_filter_fn "
    "pretrained_model_args checkpoint_path cache_dir scriptable exportable no_jit device dtype "
    "features_only feature_cls feature_cfg out_indices model_cfg cfg".split()
)
_LARGEST, _MOST = 8192, 64  # numbers in model_args, and how many at a time
_SIDES, _OWN_SIDES = (32, 640), (8, 2048)  # pixels


def described(
    config: dict[str, Any],
    title: str,
    *,
    licence: str = "",
    own: bool = False,
    said: Mapping[str, Any] = MappingProxyType({}),
) -> Recipe:
    """The recipe of a network called `title`. Raises ModelError.

    own: it is brought by whoever runs this: it may have no classes or name none, see greys, and
    take oblong inputs; numbers that would cost a public server too much are its own affair. said:
    "mean", "std" and "size", as `wrap` takes them, in place of what the config says.
    """
    arch = config.get("architecture")
    if not isinstance(arch, str) or not timm.is_model(arch):
        remedy = "give arch=…, or build it yourself, for wrap()" if own else "choose another one"
        raise ModelError(f"{title} is no architecture that timm knows: {remedy}.")
    try:
        cfg, _, args = _parse_model_cfg(copy.deepcopy(config), {})  # as timm itself reads it
        args = dict(args)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(
            f"The config.json of {title} is not as timm writes it: choose another one."
        ) from error
    named = _numbered(config)
    classes = args.pop("num_classes", cfg.get("num_classes", len(named) or None))
    if classes == len(named) and not (cfg.get("label_names") or cfg.get("labels")):
        cfg["label_names"] = named
    least = 0 if own else 1  # features alone
    if own and classes is None:
        raise ModelError(f"The config.json of {title} names no num_classes: add it there.")
    if isinstance(classes, bool) or not isinstance(classes, int) or not least <= classes <= 10**5:
        if own:
            raise ModelError(
                f"The config.json of {title} gives {str(classes)[:20]} as num_classes, where a "
                f"whole number up to {10**5} is needed: mend it there."
            )
        raise ModelError(f"{title} is not a classifier: choose one with named classes.")
    _check_args(args, title, own)
    labels = _labels(cfg, classes, title, own)
    try:
        cfg |= _instead(cfg, said)
        recipe = _recipe(arch, labels, cfg, licence, own)
    except (TypeError, ValueError) as error:
        remedy = "say mean=…, std=… and size=…" if own else "choose another one"
        raise ModelError(
            f"The config.json of {title} does not say how to prepare a photo, or not in a "
            f"way that is known here ({error}): {remedy}."
        ) from error
    if own and (head := PROBLEMS.get(str(config.get("problem_type")))):
        recipe = replace(recipe, head=head)
    if args or own or any(map(cfg.get, ("global_pool", "fixed_input_size", "label_offset"))):
        told = {name: cfg[name] for name in _BUILT_FROM if cfg.get(name) is not None}
        recipe = replace(recipe, args=args | {"pretrained_cfg": told})
    return recipe


def _numbered(config: Mapping[str, Any]) -> dict[str, Any]:
    """Class number -> name, as Transformers and earlier ones of timm have them in a config; empty
    where it names none."""
    names = config.get("id2label") or config.get("labels")
    if isinstance(names, list):
        return {str(index): name for index, name in enumerate(names)}
    if isinstance(names, dict) and names:
        return {str(index): name for index, name in names.items()}
    numbers = config.get("label2id")
    return {str(i): name for name, i in numbers.items()} if isinstance(numbers, dict) else {}


def _check_args(args: dict[str, Any], title: str, own: bool) -> None:
    """Raises ModelError unless a config's model_args do nothing but shape the network."""
    for name, value in args.items():
        if name in _NOT_OF_THE_SHAPE:
            raise ModelError(
                f"The model_args of {title} ask for “{name}”, which is not taken from a config: "
                "choose another one."
            )
        if name == "in_chans" and value not in ((1, 3) if own else (3,)):
            remedy = "build it yourself, for wrap(…, channels=…)" if own else "choose another"
            raise ModelError(f"{title} takes {value} channels, and photos have 3: {remedy}.")
        if not own and not _small(value):
            raise ModelError(
                f"The model_args of {title} have a “{name}” that is too large: choose another one."
            )


def _small(value: Any) -> bool:
    if isinstance(value, list | tuple | dict):
        inner = value.values() if isinstance(value, dict) else value
        return len(value) <= _MOST and all(map(_small, inner))
    return not isinstance(value, int | float) or abs(value) <= _LARGEST


def _instead(cfg: dict[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """What was said of a network's photos, under timm's names."""
    found = {name: said[name] for name in ("mean", "std") if name in said}
    if "size" in said:
        size = said["size"]
        channels, *_ = cfg.get("input_size") or (3,)
        sides = size if isinstance(size, list | tuple) else (size, size)
        found["input_size"] = (channels, *sides)
    return found


def _recipe(
    arch: str, labels: tuple[str, ...], cfg: dict[str, Any], licence: str, own: bool
) -> Recipe:
    for name in ("input_size", "mean", "std"):
        if cfg.get(name) is None:
            raise ValueError(f"it names no {name}")
    try:
        channels, height, width = cfg["input_size"]
    except (TypeError, ValueError):
        raise ValueError("its input_size is not channels, height and width") from None
    mean, std = (_numbers(cfg[name], channels) for name in ("mean", "std"))
    if channels == 1 and own:  # greys, of which timm may keep the colours' numbers
        mean, std = ((sum(each) / len(each),) for each in (mean, std))
    crop_pct = float(cfg.get("crop_pct") or 0.875)
    numbers = (*mean, *std, crop_pct)
    crop_mode = cfg.get("crop_mode") or "center"
    interpolation = cfg.get("interpolation") or "bicubic"
    if crop_mode not in get_args(CropMode):
        raise ValueError(f"the crop mode is {str(crop_mode)[:20]}")
    if interpolation not in FILTERS:
        raise ValueError(f"the interpolation is {str(interpolation)[:20]}")
    if height != width and not own:
        raise ValueError(f"its input is {height} by {width} pixels, and not square")
    low, high = _OWN_SIDES if own else _SIDES
    counts = (channels, len(mean), len(std))
    if (
        counts not in (((3, 3, 3), (1, 1, 1)) if own else ((3, 3, 3),))
        or not low <= min(height, width) <= max(height, width) <= high
        or not all(map(math.isfinite, numbers))
        or min(*std, crop_pct) <= 0
        or crop_pct > MOST_CROP
    ):
        raise ValueError("a number is out of range")
    named = str(cfg.get("license", "")).strip()[:40]
    return Recipe(
        arch=arch,
        labels=labels,
        size=int(width) if height == width else (int(height), int(width)),
        mean=mean,
        std=std,
        interpolation=interpolation,
        crop_pct=crop_pct,
        crop_mode=crop_mode,
        licence=named or licence,
        head="sigmoid" if len(labels) == 1 else "softmax",
    )


def _numbers(value: Any, channels: int) -> tuple[float, ...]:
    """A number for each channel, of which there may be one for all."""
    found = [float(each) for each in (value if isinstance(value, list | tuple) else [value])]
    return tuple(found * channels if len(found) == 1 else found)


def _labels(cfg: dict[str, Any], classes: int, title: str, own: bool) -> tuple[str, ...]:
    names = cfg.get("label_names") or cfg.get("labels")
    if names is None and classes == 1000:
        return imagenet_labels()
    if names is None and (subset := infer_imagenet_subset({"num_classes": classes})):
        info = ImageNetInfo(subset)
        names = [info.index_to_description(index) for index in range(classes)]
        return _distinct([name.partition(",")[0].strip()[:LONGEST_LABEL] for name in names])
    if own:
        names = in_order(names, title)
    elif isinstance(names, dict):  # class number -> name
        names = [names.get(str(index), names.get(index)) for index in range(len(names))]
    if names is None and own:
        return tuple(f"class {index}" for index in range(classes))
    if isinstance(names, list) and classes == 1 and len(names) == 2:
        names = names[1:]  # one logit speaks for the second of two
    if (
        not isinstance(names, list)
        or len(names) != classes
        or not all(isinstance(name, str) and name.strip() for name in names)
    ):
        remedy = "give labels=[…], a name for each" if own else "choose one that does"
        raise ModelError(f"{title} does not name its {classes} classes: {remedy}.")
    told = cfg.get("label_descriptions")
    told = told if isinstance(told, dict) else {}
    return _distinct([str(told.get(name) or name).strip()[:LONGEST_LABEL] for name in names])


def _distinct(names: list[str]) -> tuple[str, ...]:
    """The same names, with the class number behind those that occur more than once."""
    often = Counter(name.casefold() for name in names)
    return tuple(
        f"{name} ({index})" if often[name.casefold()] > 1 else name
        for index, name in enumerate(names)
    )
