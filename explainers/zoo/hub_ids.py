"""Networks that a visitor asks for by their id on the Hub: what is checked before one is built.

Only timm's own repositories, only classifiers that keep places, and nothing in them is ever run:
from a repository come numbers (safetensors) and a config.json of which a few values are read.
"""

from __future__ import annotations

import re

import torch

from ..errors import ModelError
from ..network import Recipe
from ..network.discovery import glimpse
from ..settings import Settings
from . import assembly, configs, download
from .catalogue import Entry
from .sources import Hub

_ID = re.compile(r"timm/[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+|__[A-Za-z0-9]+)*")
_PREFIXES = ("https://huggingface.co/", "hf_hub:", "hf-hub:")


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
    recipe = configs.described(config, entry.title, licence=entry.licence)
    _check_explainable(recipe, settings, entry.title)
    return recipe, commit


def _check_explainable(recipe: Recipe, settings: Settings, title: str) -> None:
    """Try an empty shell of the network: it costs neither memory nor time."""
    other = "choose another one, such as timm/resnet34.a1_in1k"
    shell = assembly.blank(recipe)
    try:
        logits, has_maps = glimpse(
            shell, torch.zeros(1, 3, recipe.size, recipe.size, device="meta")
        )
    except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError) as error:
        raise ModelError(f"{title} does not take in a photo as it is: {other}.") from error
    if tuple(getattr(logits, "shape", ())) != (1, len(recipe.labels)):
        raise ModelError(f"{title} does not answer with a logit for each class: {other}.")
    if not has_maps:
        raise ModelError(f"{title} has no maps or tokens of places to explain: {other}.")
    megabytes = sum(p.numel() * p.element_size() for p in shell.parameters()) / download.MEGABYTE
    if megabytes > settings.model_mb:
        raise ModelError(
            f"{title} needs {megabytes:.0f} MB of memory and networks have {settings.model_mb} MB: "
            "choose a smaller one."
        )
