"""The page's HTML, which Gradio makes anew for each visitor in half the time of a map: kept as it
made it, compressed, and with what can be seen at once before what it takes long to send."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEPT = 8  # addresses under which the page is known; one and a half megabytes each
NAMES = (b"host", b"x-forwarded-host", b"x-forwarded-proto", b"x-gradio-server")  # make its address
OTHER = (b"page=", b"deep_link=")  # in a query: these ask Gradio for something else
SAME = b'params, except=("page" "deep_link")'  # the browser’s copy, whatever its address says
LEVEL = 6  # brotli, which Gradio has for its own files, would save another 4 %
HERE = Path(__file__)
SIGN = (  # until the page's scripts have drawn it; before Gradio's own, what keeps it still
    b"<script>%s</script>" % HERE.with_suffix(".js").read_bytes()
    + HERE.with_suffix(".html").read_bytes()
)
SETTINGS = re.compile(rb"<script>window\.gradio_config = .*?</script>", re.DOTALL)


@dataclass(frozen=True)
class _Page:
    headers: tuple[tuple[bytes, bytes], ...]
    tag: bytes
    body: bytes
    packed: bytes


class First:
    """ASGI app: answers GET / with what `app` made of it before."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._kept: OrderedDict[Any, _Page] = OrderedDict()

    @staticmethod
    def answers(path: str, scope: Any) -> bool:
        """Is that what is asked for?"""
        query = scope.get("query_string", b"")
        return scope["method"] == "GET" and path == "/" and not any(o in query for o in OTHER)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        given = dict(scope["headers"])
        where = scope.get("scheme"), scope.get("root_path"), scope.get("server")
        key = (*where, *map(given.get, NAMES))
        page = self._kept.get(key)
        if page is None:
            made = Made()
            await self.app(scope, receive, made)
            if made.status != 200:
                await made.replay(send)
                return
            page = self._kept[key] = await asyncio.to_thread(_page, made)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        headers = [*page.headers, (b"etag", page.tag), (b"vary", b"accept-encoding")]
        headers.append((b"cache-control", b"no-cache"))
        headers.append((b"no-vary-search", SAME))
        if given.get(b"if-none-match") == page.tag:
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        body = page.body
        if b"gzip" in given.get(b"accept-encoding", b""):
            body = page.packed
            headers.append((b"content-encoding", b"gzip"))
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Made:
    """An answer as it is sent."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def __call__(self, message: Any) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return self.messages[0]["status"]

    def whole(self) -> tuple[dict[str, Any], bytes]:
        """Its start, and all of its body."""
        start, *rest = self.messages
        return start, b"".join(each.get("body", b"") for each in rest)

    async def replay(self, send: Any) -> None:
        for message in self.messages:
            await send(message)


def _page(made: Made) -> _Page:
    start, body = made.whole()
    body = sooner(body)
    own = (b"content-length", b"etag", b"vary", b"cache-control", b"set-cookie")
    headers = tuple(each for each in start["headers"] if each[0].lower() not in own)
    tag = b'W/"%s"' % hashlib.sha256(body).hexdigest()[:32].encode()
    return _Page(headers, tag, body, gzip.compress(body, LEVEL))


def sooner(html: bytes) -> bytes:
    """The page's settings, nearly all of it, behind a first sign of it."""
    settings = SETTINGS.search(html)
    if settings is None:
        return html
    html = html[: settings.start()] + html[settings.end() :]
    html = re.sub(rb"<body\b[^>]*>", lambda body: body[0] + SIGN, html, count=1)
    before, end, after = html.rpartition(b"</body>")
    return before + settings[0] + end + after
