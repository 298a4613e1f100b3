"""Gradio's scripts and styles, which it reads and compresses anew for each visitor, a second of a
core for one page: kept as it sent them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from .first import Made

MOST = 8_000_000  # bytes of all of them; the page's own take half of one million
CODINGS = (b"br", b"gzip")  # that Gradio knows
APART = {b"range", b"if-none-match", b"if-modified-since"}  # what asks for a part, or for nothing

Key = tuple[str, tuple[bool, ...]]


class Kept:
    """ASGI app: answers what never changes at its address with what `app` said of it before."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._kept: OrderedDict[Key, tuple[dict[str, Any], bytes]] = OrderedDict()
        self._bytes = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        given = dict(scope["headers"])
        if scope["method"] != "GET" or APART & given.keys():
            await self.app(scope, receive, send)
            return
        accepts = given.get(b"accept-encoding", b"")
        key = scope["path"], tuple(each in accepts for each in CODINGS)
        if key not in self._kept:
            made = Made()
            await self.app(scope, receive, made)
            if made.status != 200:
                await made.replay(send)
                return
            self._keep(key, *made.whole())
        start, body = self._kept[key]
        self._kept.move_to_end(key)
        await send(start)
        await send({"type": "http.response.body", "body": body})

    def _keep(self, key: Key, start: dict[str, Any], body: bytes) -> None:
        headers = [each for each in start["headers"] if each[0].lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        self._kept[key] = {**start, "headers": headers}, body
        self._bytes += len(body)
        while self._bytes > MOST and len(self._kept) > 1:
            self._bytes -= len(self._kept.popitem(last=False)[1][1])
