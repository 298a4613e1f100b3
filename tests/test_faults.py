"""What goes wrong where nobody is to blame: it is told in a sentence, and all the rest goes on."""

from __future__ import annotations

import errno
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from explainers.errors import ModelError
from explainers.settings import Settings
from explainers.zoo import Zoo, assembly, download
from explainers.zoo.catalogue import Entry
from tabs.parts.lanes import Lane
from tabs.parts.work import Jobs, Show
from tabs.server.limits import Rate
from tests import nets, twins
from tests.browser import Server
from tests.fake_hub import TINY, FakeHub, Repo, entry_for
from tests.scripted import CAT, Page


@pytest.fixture
def entry(tiny: bytes) -> Entry:
    return entry_for(TINY, "test_resnet", tiny)


@pytest.fixture
def zoo(hub: FakeHub, entry: Entry, tiny: bytes, tmp_path: Path) -> Zoo:
    hub.put(TINY, weights=tiny)
    settings = Settings(
        startup=(), endpoint=hub.url, cache_dir=str(tmp_path), device="cpu", hub_timeout=1
    )
    return Zoo(settings, [entry])


# ---- networks ----


def silent(repo: Repo) -> None:
    repo.silent = threading.Event()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        (silent, "can’t be reached"),
        (lambda repo: setattr(repo, "status", 429), "error 429"),
        (lambda repo: setattr(repo, "status", 503), "error 503"),
        (lambda repo: setattr(repo, "storage", 500), "error 500"),
        (lambda repo: setattr(repo, "breaks", True), "broke off"),
        (lambda repo: setattr(repo, "corrupt", True), "arrived damaged"),
    ],
    ids=["slow", "429", "503", "storage", "breaks off", "wrong digest"],
)
def test_a_hub_in_trouble_is_told_and_forgiven(
    hub: FakeHub, zoo: Zoo, entry: Entry, monkeypatch, trouble: Callable, sentence: str
) -> None:
    now = [0.0]
    monkeypatch.setattr("explainers.zoo.loaded.time.monotonic", lambda: now[0])
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)  # between tries
    trouble(hub.repos[TINY])
    with pytest.raises(ModelError, match=sentence) as refused:
        zoo.get(entry.key)
    assert str(refused.value).endswith(".")
    hub.repos[TINY] = Repo(hub.repos[TINY].files)
    now[0] += 10  # seconds: by then it is tried again
    assert zoo.get(entry.key).title == entry.title


@pytest.mark.parametrize(
    ("where", "error", "sentence"),
    [
        ((download, "hf_hub_download"), OSError(errno.ENOSPC, "full"), "no room on the disk"),
        ((assembly, "assemble"), MemoryError(), "no memory for test_resnet"),
        (
            (assembly, "assemble"),
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            "no memory for test_resnet",
        ),
    ],
    ids=["disk", "memory", "torch's memory"],
)
def test_no_room_for_a_network_is_told_and_nothing_of_it_stays(
    zoo: Zoo, entry: Entry, monkeypatch, where: tuple, error: Exception, sentence: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(*where, full)
    with pytest.raises(ModelError, match=sentence):
        zoo.get(entry.key)
    assert zoo.bytes == 0
    assert zoo.status()[0].state == "failed"


# ---- visitors ----


@pytest.mark.slow
def test_maps_made_at_once_are_those_made_alone() -> None:
    """A seeded share of what `benchmarks/twins.py` tries."""
    archs = ("resnet18", "densenet121", "tf_efficientnet_lite0")
    networks = [nets.narrow_vgg16(), *map(nets.seeded, archs)]
    photos = [nets.noise(1, 3, 64, 64 + 32 * (seed % 2), seed=seed) for seed in range(3)]
    wanted = twins.wishes(networks, len(photos), 24)
    assert twins.unequal(networks, photos, wanted, 8) == []


def test_a_clock_that_jumps_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    days = itertools.cycle((0.0, 86_400.0 * 400, -86_400.0 * 400))
    monkeypatch.setattr(time, "time", lambda: 1.8e9 + next(days))

    def work() -> Iterator[Show]:
        yield from (Show({"a": str(step)}, done=0.5) for step in range(3))

    jobs, seen = Jobs(rate=Rate(600)), []
    shown, ticket = jobs.start(("me", "tab"), work())
    while ticket:
        seen.append(shown.places.get("a"))
        shown, ticket = jobs.more(ticket)
    assert seen[0] == "0"
    lane = Lane(1)
    with lane.turn("works", 0), lane.turn("waits", 0) as place:
        assert place == 1
    with lane.turn("waits", 0) as place:
        assert place == 0


STREAMS = {
    "upload": (
        b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\nContent-Disposition: "
        b'form-data; name="files"; filename="cat.jpg"\r\n\r\nhalf a ca'
    ),
    "queue": b"GET /gradio_api/queue/data?session_hash=gone HTTP/1.1\r\nHost: x\r\n\r\n",
    "heartbeat": b"GET /gradio_api/heartbeat/gone HTTP/1.1\r\nHost: x\r\n\r\n",
    "progress": b"GET /gradio_api/upload_progress?upload_id=gone HTTP/1.1\r\nHost: x\r\n\r\n",
    "half a question": (
        b"POST /gradio_api/component_server HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n"
        b'Content-Type: application/json\r\n\r\n{"data": {"photo"'
    ),
    "tools": (
        b"POST /gradio_api/mcp/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\nAccept: "
        b"application/json, text/event-stream\r\nContent-Type: application/json\r\n\r\n{"
    ),
}


def test_a_client_may_go_away_in_the_midst_of_anything(server: Server) -> None:
    log = Path(f"/proc/{server.process.pid}/fd/2")
    before = len(log.read_text())
    page = Page(server.url)
    question = {"photo": {"example": "cat.jpg"}, "visit": "gone", "settings": {"methods": ["rise"]}}
    rise = page.call("maps-html", "ask", question)
    ticket = page.http.send(rise).json()["more"]
    calls = [
        rise,
        page.call("impressions-html", "ask", {**question, "settings": {}}),
        page.call("maps-html", "more", ticket),
        page.call("activations-html", "call", {"call": "ticket"}),
        page.map("tabby", "rise", "lite0", ""),
    ]
    for request in [*STREAMS.values(), *calls]:
        with page.talking(request):
            pass
    assert page.upload(CAT.read_bytes())  # nobody holds its place
    assert "chips" in page.http.send(page.call("maps-html", "ask", question)).json()["data"]["seen"]
    assert "Traceback" not in log.read_text()[before:]
