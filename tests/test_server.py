"""What stands before the page: how much may be asked, what a stranger sees, how it stops."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from explainers import ExplainError, OptionError
from tabs.parts import guard
from tabs.parts.lanes import Busy, Closing, Lanes
from tabs.parts.work import Jobs, Show
from tabs.server import gate, logs
from tabs.server.limits import Rate, Uploads
from tabs.server.options import Options, from_environment
from tests.browser import ROOT, Server, serving
from tests.waiting import run

PAGE = "/gradio_api/component_server"
CAT = Path(__file__).parent.parent / "assets/examples/cat.jpg"
get, post = (partial(each, timeout=60) for each in (httpx.get, httpx.post))  # of a busy machine


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


class Site:
    """A gate before an app that reads all it is sent and says how much that was."""

    def __init__(self, folder: Path, **options: Any) -> None:
        chosen = Options(**options)
        uploads = Uploads(folder, chosen.upload_bytes, chosen.uploads)
        self.state = gate.State(chosen, uploads, None, lambda: True)
        self.hold: asyncio.Event | None = None
        self._transport = httpx.ASGITransport(gate.Gate(self._app, self.state))
        self.http = httpx.AsyncClient(transport=self._transport, base_url="http://page")

    async def _app(self, _scope: Any, receive: Any, send: Any) -> None:
        had, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError
            had += len(message["body"])
            more = message.get("more_body", False)
        if self.hold is not None:
            await self.hold.wait()
        await gate._answer(send, 200, str(had).encode())


# ---- how much one may ask ----


def test_a_rate_lets_some_come_at_once_and_then_so_many_a_minute(clock: list[float]) -> None:
    rate = Rate(60)
    assert [rate.wait("me") for _ in range(12)] == [0] * 10 + [1, 1]
    assert rate.wait("you") == 0
    clock[0] += 2.5
    assert [rate.wait("me") for _ in range(3)] == [0, 0, 1]


def test_an_address_that_asks_too_often_is_told_so(tmp_path: Path, clock: list[float]) -> None:
    async def ask() -> None:
        site = Site(tmp_path, address_rate=12)  # two at once
        for path in (PAGE, "/gradio_api/queue/join"):
            assert (await site.http.post(path, content=b"x")).text == "1"
        page = await site.http.post(PAGE)
        api = await site.http.post("/gradio_api/call/explain")
        assert page.status_code == 200  # the page shows the sentence, waits and asks again
        assert page.json()["busy"] >= 1
        assert api.status_code == 429
        assert int(api.headers["retry-after"]) >= 1
        for said in (page.json()["problem"], api.json()["detail"]):
            assert said.startswith("Too many requests came from your address: try again in ")
        assert (await site.http.get("/")).status_code == 200  # looking is free

    run(ask())


def test_a_body_of_any_length_is_bounded_whether_it_says_so_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "MOST_BYTES", {True: 100, False: 10})

    async def pieces() -> Any:
        for _ in range(100):
            yield b"12345678"

    async def ask() -> None:
        site = Site(tmp_path)
        assert (await site.http.post("/gradio_api/upload", content=b"1" * 100)).text == "100"
        said = await site.http.post("/gradio_api/queue/join", content=b"1" * 11)
        assert said.status_code == 413
        assert said.json()["detail"].endswith("100 MB.")
        cut = await site.http.post("/gradio_api/upload", content=pieces())
        assert (cut.status_code, cut.json()) == (413, {"detail": gate.LARGE})
        assert site.state.under_way == site.state.uploads.arriving == 0

    run(ask())


def test_so_many_uploads_at_a_time_and_half_of_them_from_one_address(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, 10**9, 4)
    assert [uploads.begin("a") for _ in range(3)] == [True, True, False]
    assert [uploads.begin("b") for _ in range(2)] == [True, True]
    assert not uploads.begin("c")
    uploads.end("a", 0)
    assert uploads.begin("c")

    async def ask() -> None:
        site = Site(tmp_path, uploads=2)
        site.hold = asyncio.Event()
        one = asyncio.create_task(site.http.post("/gradio_api/upload", content=b"x"))
        while not site.state.uploads.arriving:
            await asyncio.sleep(0)
        said = await site.http.post("/gradio_api/upload", content=b"x")
        assert said.status_code == 429
        assert "uploading just now: try again in" in said.json()["detail"]
        site.hold.set()
        assert (await one).status_code == 200
        assert site.state.uploads.arriving == 0

    run(ask())


def test_past_the_bound_the_oldest_uploads_go(tmp_path: Path) -> None:
    for age, name in enumerate("dcba"):
        path = tmp_path / name / "photo.jpg"
        path.parent.mkdir()
        path.write_bytes(bytes(1_000_000))
        os.utime(path, (10_000 - age, 10_000 - age))

    async def upload() -> None:
        await Site(tmp_path, upload_mb=2).http.post("/gradio_api/upload", content=b"")

    run(upload())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "d"]


def test_one_visitor_has_a_rate_of_his_own_and_work_has_an_end() -> None:
    jobs = Jobs(rate=Rate(6))

    def work() -> Iterator[Show]:
        while True:
            yield Show(done=0.5)

    jobs.start(("me", "tab"), work())
    with pytest.raises(Busy, match=r"one visitor may ask: try again in \d+ s\."):
        jobs.start(("me", "tab"), work())
    jobs.start(("you", "tab"), work())
    brief = Jobs(seconds=0.1)
    _, ticket = brief.start(("me", "tab"), work())
    while brief.count:
        try:
            brief.more(ticket)
        except ExplainError as error:
            assert str(error).endswith("ask for less.")  # noqa: PT017


def test_a_full_disk_is_told_and_room_is_made(tmp_path: Path) -> None:
    for age in range(4):
        path = tmp_path / f"{age}.jpg"
        path.write_bytes(bytes(1000))
        os.utime(path, (10_000 - age, 10_000 - age))

    async def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def upload() -> httpx.Response:
        site = Site(tmp_path)
        site._transport.app.app = full
        return await site.http.post("/gradio_api/upload", content=b"x")

    said = run(upload())
    assert (said.status_code, said.json()) == (507, {"detail": gate.FULL.format(gate.SOON)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.jpg", "1.jpg"]


# ---- what a stranger sees ----


def test_headers_say_who_may_frame_the_page(tmp_path: Path) -> None:
    async def ask(**options: Any) -> httpx.Headers:
        return (await Site(tmp_path, **options).http.get("/")).headers

    headers = run(ask())
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["content-security-policy"].startswith("frame-ancestors 'self'")
    assert "content-security-policy" not in run(ask(frames="*"))


def test_what_never_changes_at_its_address_is_kept_without_asking_again(tmp_path: Path) -> None:
    """On a slow line, ninety small questions take longer than the page."""

    async def kept(path: str) -> bool:
        return "immutable" in (await Site(tmp_path).http.get(path)).headers.get("cache-control", "")

    asked = ("/assets/index-1a.js", "/theme.css?v=1a", "/theme.css", "/static/logo.svg", "/config")
    assert [run(kept(path)) for path in asked] == [True, True, False, False, False]


def test_what_the_page_does_not_use_of_gradio_is_closed(tmp_path: Path) -> None:
    async def ask() -> list[int]:
        http = Site(tmp_path).http
        closed = [
            await http.get(f"/gradio_api/{path}") for path in ("dev/reload", "proxy=x", "runs")
        ]
        closed += [await http.post("/gradio_api/process_recording", content=b"x")]
        return [each.status_code for each in [*closed, await http.get("/gradio_api/info")]]

    assert run(ask()) == [404, 404, 404, 404, 200]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SEEING_WHY_UPLOAD_MB", "-1"),
        ("SEEING_WHY_RATE", "many"),
        ("SEEING_WHY_LOG", "xml"),
        ("SEEING_WHY_METRICS", "perhaps"),
        ("SEEING_WHY_FRAMES", "a; script-src b"),
        ("SEEING_WHY_FRAMES", "a\nX-Header: b"),
    ],
)
def test_a_setting_that_can_t_be_is_named(name: str, value: str) -> None:
    assert from_environment({}) == Options()
    with pytest.raises(OptionError, match=name):
        from_environment({name: value})


@pytest.mark.parametrize("kind", ["lines", "json"])
def test_log_and_visitor_are_told_the_same_name(kind: str, capsys, monkeypatch) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.start(kind)

        def meets(index: int) -> tuple[str, str]:
            name = logs.begin()
            return name, guard.sentence(RuntimeError(f"secret {index}"))

        with ThreadPoolExecutor(4) as pool:
            said = list(pool.map(meets, range(8)))
    finally:
        root.handlers[:], root.level = handlers, level
    written = capsys.readouterr().err
    for index, (name, sentence) in enumerate(said):
        assert f"noted as {name}:" in sentence
        assert "secret" not in sentence
        if kind == "lines":
            assert f"ERROR [{name}] seeing_why" in written
        else:
            entries = [json.loads(line) for line in written.splitlines()]
            entry = next(each for each in entries if f"secret {index}" in each["exception"])
            assert entry["request"] == name


# ---- how it stops ----


def test_what_is_new_is_refused_and_what_is_under_way_goes_on() -> None:
    lanes = Lanes()
    jobs = Jobs(lanes)

    def work() -> Iterator[Show]:
        yield from (Show(done=0.5), Show(done=0.6), Show())

    _, ticket = jobs.start(("me", "tab"), work())
    lanes.close()
    with pytest.raises(Closing, match="try again in a minute"):
        jobs.start(("you", "tab"), work())
    assert jobs.pulled(5)
    while ticket:
        _, ticket = jobs.more(ticket)
    assert not jobs.pulled(5)


def ask(server: Server, **more: Any) -> httpx.Response:
    """The page's own question for the first tab."""
    config = get(f"{server.url}/config").json()
    place = next(each["id"] for each in config["components"]
                 if each["props"].get("elem_id") == "maps-html")  # fmt: skip
    question = {"photo": {"example": "cat.jpg"}, "visit": "me", "settings": more}
    body = {"component_id": place, "fn_name": "ask", "session_hash": "x", "data": question}
    return post(f"{server.url}{PAGE}", json=body)


def image(folder: Path) -> tuple[Path, list[str]]:
    """A folder with what the image holds of this one, and how the image asks for its health."""
    text = (ROOT / "deploy/Dockerfile").read_text("utf-8")
    for source in re.findall(r"^COPY (\S+) ", text.split("\nFROM ")[1], re.MULTILINE):
        place = folder / source
        if (ROOT / source).is_dir():
            unwanted = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / source, place, ignore=unwanted, copy_function=linked)
        else:
            linked(ROOT / source, place)
    asked = re.search(r"^HEALTHCHECK[^\[]*(\[.*\])$", text, re.MULTILINE)
    return folder, json.loads(asked[1])


def linked(source: str | Path, place: str | Path) -> None:
    try:
        os.link(source, place)
    except OSError:  # another disk
        shutil.copy(source, place)


@pytest.mark.browser
def test_a_server_from_its_start_to_its_end(tmp_path: Path) -> None:
    """As in its image: health, numbers, what is not there; then SIGTERM during a question and after
    an upload."""
    folder, healthy = image(tmp_path)
    settings = {"SEEING_WHY_STARTUP": "", "SEEING_WHY_METRICS": "on", "SEEING_WHY_LOG": "json"}
    settings["SEEING_WHY_UPLOADS"] = "2"  # one from each address
    with serving(cwd=folder, **settings) as server:
        asked = [
            sys.executable,
            *healthy[1:-1],
            healthy[-1].replace("http://127.0.0.1:7860", server.url),
        ]
        assert subprocess.run(asked, capture_output=True).returncode == 0
        assert get(f"{server.url}/healthz").text == "up\n"
        assert get(f"{server.url}/readyz").status_code == 200
        for path in ("/monitoring", "/monitoring/summary", "/openapi.json", "/docs"):
            assert get(server.url + path).status_code in (403, 404), path
        assert "problem" not in ask(server).json()
        numbers = get(f"{server.url}/metrics").text
        for line in (
            'seeing_why_maps_total{method="gradcam",network="lite0"}',
            "seeing_why_waiting_quick 0.0",
            "process_resident_memory_bytes",
            "seeing_why_results_evicted",
            "seeing_why_failures_total 0.0",
        ):
            assert line in numbers, line
        [path] = post(
            f"{server.url}/gradio_api/upload", files={"files": ("cat.jpg", CAT.read_bytes())}
        ).json()
        assert Path(path).is_file()
        assert interrupted(server) == 200  # what had begun was let end
        assert server.process.wait(20) == 0
        assert not Path(path).exists()


def interrupted(server: Server) -> int:
    """The status of an upload in the midst of which the server is told to stop."""
    url = f"{server.url}/gradio_api/upload"

    def body() -> Iterator[bytes]:
        yield (
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="cat.jpg"\r\n'
            b"Content-Type: image/jpeg\r\n\r\n"
        )
        while "seeing_why_under_way 1.0" not in get(f"{server.url}/metrics").text:
            pass
        claimed = {"X-Forwarded-For": "6.6.6.6"}  # no proxy is believed here
        second = {"files": ("cat.jpg", b"x")}
        crowded = post(url, files=second, headers=claimed)
        assert crowded.status_code == 429, crowded.text
        server.process.send_signal(signal.SIGTERM)
        while get(f"{server.url}/readyz").status_code == 200:
            pass
        refused = post(f"{server.url}/gradio_api/queue/join", json={})
        assert refused.status_code == 503
        assert refused.json()["detail"] == gate.CLOSING == ask(server).json()["problem"]
        yield CAT.read_bytes() + b"\r\n--x--\r\n"

    kind = {"content-type": "multipart/form-data; boundary=x"}
    return post(url, content=body(), headers=kind).status_code


def test_no_metrics_unless_asked_for(tmp_path: Path) -> None:
    async def look() -> int:
        return (await Site(tmp_path).http.get("/metrics")).status_code

    assert run(look()) == 404
