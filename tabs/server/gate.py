"""The gate that every request passes: limits, headers, health, numbers, the name of the request."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from explainers.photo.source import MAX_BYTES

from . import logs
from .calls import Calls
from .first import First
from .kept import Kept
from .limits import Rate, Uploads
from .numbers import Numbers
from .options import ANYWHERE, Options

log = logging.getLogger("seeing_why")

API = "/gradio_api/"
PAGE = f"{API}component_server"  # what the page's own scripts call
UPLOAD = f"{API}upload"
PHOTO = f"{API}upload_photo"  # a visitor's, as it is: taken in without becoming a file
UNUSED = (  # what Gradio offers besides, some of it without end or bound
    *("custom_component/", "deep_link", "dev/", "process_recording", "profiling/", "proxy="),
    *("run-history/", "runs", "stream/", "undo-vibe", "vibe-"),
)
MOST_BYTES = {True: 125_000_000, False: 24_000_000}  # of a request's body: an upload's, any other's
UPLOAD_SECONDS = 180  # that an upload may take to arrive
CLOSING = "The page is about to restart: try again in a minute."
CROWDED = "Many people are uploading just now: try again in {} s."
OFTEN = "Too many requests came from your address: try again in {} s."
FULL = "The disk here is full: try again in {} s."
LARGE = "That is more than may be sent at once: photos may have 20 MB, clips 100 MB."
JSON = b"application/json"
KEEP = (b"cache-control", b"public, max-age=31536000, immutable")
SHORT = 10_000  # bytes of an answer that are sent as they are
PACKED = ((b"content-encoding", b"gzip"), (b"vary", b"accept-encoding"))
SOON = 5  # seconds after which to try an upload again


@dataclass
class State:
    """What the gate of one server knows. ready: does the bundled network answer? calls: the page's
    own, which are answered here; None leaves all to Gradio, which knows who has logged in."""

    options: Options
    uploads: Uploads
    numbers: Numbers | None
    ready: Callable[[], bool]
    calls: Calls | None = None
    closing: bool = False
    under_way: int = 0
    rate: Rate = field(init=False)

    def __post_init__(self) -> None:
        self.rate = Rate(self.options.address_rate)


class Gate:
    """ASGI middleware."""

    def __init__(self, app: Any, state: State) -> None:
        self.app, self.state = app, state
        self.first, self.kept = First(app), Kept(app)
        frames = state.options.frames
        self.headers = [
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
        ]
        if frames != ANYWHERE:
            policy = f"frame-ancestors {frames}".encode("ascii")
            self.headers.append((b"content-security-policy", policy))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path, start = scope["path"].removeprefix(scope.get("root_path", "")), time.monotonic()
        talk = _Talk(receive, send, [*self.headers, (b"x-request-id", logs.begin().encode())])
        try:
            if path in ("/healthz", "/readyz", "/metrics"):
                await self._health(path, talk.send)
            elif path.startswith(API) and path.removeprefix(API).startswith(UNUSED):
                await _answer(talk.send, 404, b"Not found\n")
            elif scope["method"] == "POST" and path.startswith(API):
                await self._post(path, scope, talk)
            elif self.state.calls is not None and First.answers(path, scope):
                await self.first(scope, talk.receive, talk.send)
            elif path.startswith("/assets/") or _versioned(path, scope):
                talk.keeps = True
                await self.kept(scope, talk.receive, talk.send)
            else:
                await self.app(scope, talk.receive, talk.send)
        except Exception:
            if not talk.gone:
                raise
            log.info("the client went away")
        finally:
            if self.state.numbers is not None:
                self.state.numbers.answered(path, talk.status, time.monotonic() - start)

    async def _post(self, path: str, scope: Any, talk: _Talk) -> None:
        state, address = self.state, (scope.get("client") or ("",))[0]
        upload, mine, photo = path.startswith(UPLOAD), path.startswith(PAGE), path == PHOTO
        talk.limit = MAX_BYTES if photo else MOST_BYTES[upload]
        if seconds := state.rate.wait(address):
            await _refuse(talk.send, 429, OFTEN.format(seconds), seconds, mine)
        elif state.closing and not mine:  # the page's work under way may be pulled to its end
            await _refuse(talk.send, 503, CLOSING, 60, mine)
        elif _length(scope) > talk.limit:
            await _refuse(talk.send, 413, LARGE, 0, mine)
        elif upload and not state.uploads.begin(address):
            await _refuse(talk.send, 429, CROWDED.format(SOON), SOON, mine)
        else:
            state.under_way += 1
            try:
                async with asyncio.timeout(UPLOAD_SECONDS if upload else None):
                    if (mine or photo) and state.calls is not None:
                        answer = state.calls.take if photo else state.calls.answer
                        status, said = await answer(await talk.body())
                        packs = len(said) > SHORT and b"gzip" in _header(scope, b"accept-encoding")
                        if packs:
                            said = await asyncio.to_thread(packed, said)
                        await _answer(talk.send, status, said, JSON, PACKED if packs else ())
                    else:
                        await self.app(scope, talk.receive, talk.send)
            except (_Large, TimeoutError):
                if not talk.status:
                    await _refuse(talk.send, 413, LARGE, 0, mine)
            except OSError as error:
                if error.errno != errno.ENOSPC or talk.status:
                    raise
                log.error("the disk is full: uploads are deleted to make room")
                await asyncio.to_thread(state.uploads.sweep, state.uploads.bytes() // 2)
                await _refuse(talk.send, 507, FULL.format(SOON), SOON, mine)
            finally:
                state.under_way -= 1
                if upload and state.uploads.end(address, 0 if photo else talk.had):
                    await asyncio.to_thread(state.uploads.sweep)

    async def _health(self, path: str, send: Any) -> None:
        state = self.state
        if path == "/healthz":
            await _answer(send, 200, b"up\n")
        elif path == "/readyz":
            ready = not state.closing and await asyncio.to_thread(state.ready)
            await _answer(send, 200 if ready else 503, b"ready\n" if ready else b"not ready\n")
        elif state.numbers is None:
            await _answer(send, 404, b"Not found\n")
        else:
            await _answer(send, 200, await asyncio.to_thread(state.numbers.text))


def _versioned(path: str, scope: Any) -> bool:
    """Is that the theme, by an address that changes with what is in it, as those of assets do?"""
    return path == "/theme.css" and scope.get("query_string", b"").startswith(b"v=")


def packed(said: bytes) -> bytes:
    """As gzip, by the letters alone: most of an answer is pictures and values in base64, in which
    nothing repeats. A quarter is gained in 1.5 ms for the maps of a class; to look for what repeats
    takes three times as long and gains no more."""
    way = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16, strategy=zlib.Z_HUFFMAN_ONLY)
    return way.compress(said) + way.flush()


def _header(scope: Any, name: bytes) -> bytes:
    return dict(scope["headers"]).get(name, b"")


def _length(scope: Any) -> int:
    """What the request says of its length; -1 if nothing."""
    said = _header(scope, b"content-length")
    return int(said) if said.isdigit() else -1


class _Large(Exception):
    """The body is longer than it may be, whatever it said."""


class _Talk:
    """One request and its answer, as they pass. limit: bytes of the body. status: of the answer, 0
    before it begins. gone: has the client left? keeps: may it keep a good answer, unasked?"""

    def __init__(self, receive: Any, send: Any, headers: list[tuple[bytes, bytes]]) -> None:
        self._receive, self._send, self._headers = receive, send, headers
        self.limit, self.had, self.status, self.gone, self.keeps = 0, 0, 0, False, False

    async def receive(self) -> Any:
        message = await self._receive()
        self.gone = self.gone or message["type"] == "http.disconnect"
        self.had += len(message.get("body", b""))
        if self.had > self.limit > 0:
            raise _Large
        return message

    async def body(self) -> bytes:
        """All of it; raises ConnectionError when the client goes away before its end."""
        parts, more = [], True
        while more:
            message = await self.receive()
            if self.gone:
                raise ConnectionError
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        return b"".join(parts)

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            ours = [*self._headers, KEEP] if self.keeps and self.status == 200 else self._headers
            own = {name for name, _ in ours}
            kept = [each for each in message.get("headers", ()) if each[0].lower() not in own]
            message = {**message, "headers": [*kept, *ours]}
        await self._send(message)


async def _refuse(send: Any, status: int, sentence: str, seconds: int, page: bool) -> None:
    """Say no: to a program by its status, to the page by what it shows before it asks again."""
    said: dict[str, Any] = {"problem" if page else "detail": sentence}
    if page and seconds:
        said["busy"] = seconds
    retry = [(b"retry-after", str(seconds).encode())] if seconds else []
    body = json.dumps(said, ensure_ascii=False).encode()
    await _answer(send, 200 if page else status, body, JSON, retry)


async def _answer(
    send: Any, status: int, body: bytes, kind: bytes = b"text/plain; charset=utf-8", more: Any = ()
) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
