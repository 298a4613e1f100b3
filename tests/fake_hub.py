"""A Hugging Face Hub in miniature on loopback: what huggingface_hub asks, as the real one answers.

Small files (config.json) are answered directly; safetensors by a redirect to a storage host, with
the digest and size in the headers of the redirect, and byte ranges on the storage host.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import timm
import torch
from safetensors.torch import save

from explainers.zoo.catalogue import Entry
from explainers.zoo.sources import Hub

TINY = "timm/test_resnet.r160_in1k"
PHOTO = {
    "input_size": [3, 160, 160],
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "crop_pct": 0.95,
    "license": "apache-2.0",
}
CONFIG = {"architecture": "test_resnet", "num_classes": 1000, "pretrained_cfg": PHOTO}


def weights_of(arch: str, seed: int = 0, sure: float = 1, **kwargs) -> bytes:
    """Seeded weights of one of timm's architectures, as safetensors. sure: how much larger its
    logits are than those of a network that was never trained."""
    torch.manual_seed(seed)
    made = timm.create_model(arch, pretrained=False, **kwargs)
    made.get_classifier().weight.data *= sure
    return save(made.state_dict())


@dataclass
class Repo:
    """A repository, and how it misbehaves.

    status: answer every question with this code. corrupt: send other bytes than announced.
    announced_size: claim another size. break_off: hang up half way through the first download.
    breaks: hang up half way through every one. storage: answer every download with this code.
    hold: send half, then wait until it is set. silent: say nothing until it is set.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    status: int = 200
    corrupt: bool = False
    announced_size: int | None = None
    break_off: bool = False
    breaks: bool = False
    storage: int = 200
    hold: threading.Event | None = None
    silent: threading.Event | None = None


class FakeHub:
    """Serves `repos` at `url` until `stop`.

    questions: how many requests came. downloads: what was fetched, as (repo, file, range).
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.questions = 0
        self.downloads: list[tuple[str, str, str | None]] = []
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(self, repo: str, **files: bytes | dict) -> Repo:
        """Add files to a repository: config={...} is config.json, weights=bytes the safetensors."""
        made = self.repos.setdefault(repo, Repo())
        if "config" in files:
            made.files["config.json"] = json.dumps(files.pop("config")).encode()
        if "weights" in files:
            made.files["model.safetensors"] = files.pop("weights")
        made.files.update(files)
        return made

    def stop(self) -> None:
        for repo in self.repos.values():
            for each in (repo.hold, repo.silent):
                if each is not None:
                    each.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running() -> Iterator[FakeHub]:
    hub = FakeHub()
    try:
        yield hub
    finally:
        hub.stop()


def commit_of(repo: str) -> str:
    """The one commit of a repository, 40 hexadecimal digits."""
    return hashlib.sha1(repo.encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, body: bool) -> None:
        self.hub.questions += 1
        parts = unquote(self.path.split("?")[0]).strip("/").split("/")
        if parts[0] == "storage":
            return self._storage("/".join(parts[1:3]), "/".join(parts[3:]), body)
        if len(parts) < 5 or parts[2] != "resolve":
            return self._refuse(404, "EntryNotFound")
        return self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]), body)

    def _resolve(self, name: str, revision: str, filename: str, body: bool) -> None:
        repo = self.hub.repos.get(name)
        if repo is None:
            return self._refuse(401, "RepoNotFound")
        if repo.silent is not None:
            repo.silent.wait()
        if repo.status != 200:
            return self._refuse(repo.status, "RepoNotFound" if repo.status in (401, 404) else None)
        if revision not in ("main", commit_of(name)):
            return self._refuse(404, "RevisionNotFound")
        if filename not in repo.files:
            return self._refuse(404, "EntryNotFound")
        data = repo.files[filename]
        headers = {"X-Repo-Commit": commit_of(name), "ETag": f'"{_git_digest(data)}"'}
        if filename.endswith(".json"):
            return self._send(200, headers, data, body)
        size = len(data) if repo.announced_size is None else repo.announced_size
        headers |= {
            "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Linked-Size": str(size),
            "Location": f"http://localhost:{self.hub.port}/storage/{name}/{filename}",
        }
        return self._send(302, headers, b"", body)

    def _storage(self, name: str, filename: str, body: bool) -> None:
        repo = self.hub.repos[name]
        data = repo.files[filename]
        wanted = self.headers.get("Range")
        if body:
            self.hub.downloads.append((name, filename, wanted))
        if repo.storage != 200:
            return self._refuse(repo.storage, None)
        if repo.corrupt:
            data = data[:-8] + bytes(8 * [7])
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        headers = {"Accept-Ranges": "bytes"}
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        half = None
        if repo.breaks:
            half = "hang up"
        elif repo.break_off and not wanted:
            half, repo.break_off = "hang up", False
        elif repo.hold is not None:
            half = "wait"
        self._send(206 if wanted else 200, headers, data[start:], body, half=half)

    def _send(
        self, code: int, headers: dict[str, str], data: bytes, body: bool, half: str | None = None
    ) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if not body:
            return
        middle = len(data) // 2 if half else len(data)
        try:
            self.wfile.write(data[:middle])
            self.wfile.flush()
            if half == "hang up":
                self.close_connection = True
                return
            if half == "wait":
                self.hub.repos[self.path.strip("/").split("/", 1)[1].rsplit("/", 1)[0]].hold.wait()
            self.wfile.write(data[middle:])
        except OSError:  # the other side has gone
            self.close_connection = True

    def _refuse(self, code: int, error: str | None) -> None:
        headers = {"X-Error-Code": error} if error else {}
        self._send(code, headers, b"", body=False)


def _git_digest(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def entry_for(repo: str, arch: str, weights: bytes | None = None) -> Entry:
    """A network of that Hub, as the catalogue would have it; without weights no digest is known."""
    digest = hashlib.sha256(weights).hexdigest() if weights else None
    return Entry(
        key=repo.split("/")[1].split(".")[0],
        title=arch,
        arch=arch,
        source=Hub(repo, revision=commit_of(repo), sha256=digest),
        licence="Apache-2.0",
        megabytes=len(weights or b"") // 10**6,
        remark="For a test.",
    )
