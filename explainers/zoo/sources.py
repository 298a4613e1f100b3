"""Where the weights of a network come from: one of four places."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..errors import ModelError
from ..places import WEIGHTS
from ..settings import Settings
from . import download

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bundled:
    """A checkpoint that an installed package carries. package: its module. sha256: of the file.
    repo: the Hub's card of the same weights. The tensors have names of their own: their order
    counts."""

    package: str
    sha256: str
    repo: str
    in_order: ClassVar[bool] = True


@dataclass(frozen=True)
class Hub:
    """A file on the Hub. sha256: None for the digest that the Hub announces. by_config: the network
    is built as the config.json beside it says, not as the catalogue does. in_order: as above."""

    repo: str
    revision: str = "main"
    sha256: str | None = None
    filename: str = "model.safetensors"
    by_config: bool = False
    in_order: bool = False


@dataclass(frozen=True)
class Shipped:
    """A folder of weights/; where the settings name a copy of weights/ on the Hub, that is asked
    first."""

    folder: str
    repo: ClassVar[str] = ""
    in_order: ClassVar[bool] = False


@dataclass(frozen=True)
class File:
    """A checkpoint on this server, whose tensors go by their order."""

    path: str
    repo: ClassVar[str] = ""
    in_order: ClassVar[bool] = True


@dataclass(frozen=True)
class Given:
    """A network that is handed over ready."""

    repo: ClassVar[str] = ""
    in_order: ClassVar[bool] = False


Source = Bundled | Hub | Shipped | File | Given


def fetch(
    source: Source,
    name: str,
    settings: Settings,
    progress: download.Progress | None = None,
    *,
    keep_in: str | None = None,
) -> Path:
    """The local file with the weights of a network called `name`, downloaded if need be.

    keep_in: where a download goes, if not into the cache. Raises ModelError.
    """
    match source:
        case Bundled():
            return download.bundled(name, source.sha256, source.package)
        case File():
            return Path(source.path)
        case Hub():
            file = download.HubFile(
                name, source.repo, source.filename, source.revision, source.sha256
            )
            return download.fetch(file, settings, progress, keep_in=keep_in)
        case Shipped():
            return _shipped(source, name, settings, progress)


def _shipped(
    source: Shipped, name: str, settings: Settings, progress: download.Progress | None
) -> Path:
    filename = f"{source.folder}/model.safetensors"
    if settings.weights_repo:
        file = download.HubFile(name, settings.weights_repo, filename)
        try:
            return download.fetch(file, settings, progress)
        except ModelError as error:
            _log.info("%s The copy that is here is used.", error)
    return WEIGHTS / filename
