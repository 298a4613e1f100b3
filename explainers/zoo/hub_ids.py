"""Networks that a visitor asks for by their id on the Hub: what is checked before one is built.

Only timm's own repositories, only classifiers that keep places, and nothing in them is ever run:
from a repository come numbers (safetensors) and a config.json of which a few values are read.
"""

from __future__ import annotations

import re

import torch
from torch.overrides import TorchFunctionMode

from ..errors import ModelError
from ..network import Recipe
from ..network.discovery import glimpse
from ..settings import MEGABYTE, Settings
from . import assembly, configs, download
from .catalogue import Entry
from .sources import Hub

_ID = re.compile(r"timm/[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+|__[A-Za-z0-9]+)*")
_OTHERS = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
MOST_CALLS = 10**5  # of torch, to lay out a network and look at it: three times timm's longest


def entry(text: str) -> Entry:
    """The entry for what a visitor typed. Raises ModelError unless it is an id of timm's."""
    repo = download.bare(text)
    if len(repo) <= 96 and _OTHERS.fullmatch(repo) and not repo.startswith("timm/"):
        raise ModelError(
            f"“{repo}” is not one of timm’s own networks, which alone can be asked for here: type "
            "one such as timm/resnet34.a1_in1k, or load it in Python, or on a page of your own "
            "(app.py --network)."
        )
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


class _Bounded(TorchFunctionMode):
    """Ends what takes more calls of torch than any network that could be used here: a config may
    ask for thousands of layers, which would take minutes to lay out."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title, self.calls = title, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        if self.calls > MOST_CALLS:
            raise ModelError(f"{self.title} has far too many layers: choose a smaller one.")
        return func(*args, **(kwargs or {}))


def _check_explainable(recipe: Recipe, settings: Settings, title: str) -> None:
    """Try an empty shell of the network: it costs neither memory nor time."""
    other = "choose another one, such as timm/resnet34.a1_in1k"
    with _Bounded(title):
        shell = assembly.blank(recipe)
        weights = sum(p.numel() * p.element_size() for p in shell.parameters())
        megabytes = weights / MEGABYTE
        if megabytes > settings.model_mb:
            raise ModelError(
                f"{title} needs {megabytes:.0f} MB of memory and networks have "
                f"{settings.model_mb} MB: choose a smaller one."
            )
        try:
            photo = torch.zeros(1, 3, recipe.size, recipe.size, device="meta")
            logits, has_maps = glimpse(shell, photo)
        except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError) as error:
            raise ModelError(f"{title} does not take in a photo as it is: {other}.") from error
    if tuple(getattr(logits, "shape", ())) != (1, len(recipe.labels)):
        raise ModelError(f"{title} does not answer with a logit for each class: {other}.")
    if not has_maps:
        raise ModelError(f"{title} has no maps or tokens of places to explain: {other}.")
