"""The page's own calls, answered before Gradio sees them.

Gradio's route for them keeps a copy of every component for each new visitor and leads through a
dozen layers, which takes as long as half a map does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import gradio as gr
import orjson

UNKNOWN = b'{"problem": "There is no such thing to do: load the page again."}'


class Calls:
    """The server functions of a page's components, and `take`, which gets a photo's bytes.
    threads: how many may be called at a time. readers: those in which photos are taken in, if not
    these: each thread more that a request passes through wakes one and waits for it."""

    def __init__(
        self,
        page: gr.Blocks,
        threads: int,
        take: Callable[[bytes], Any],
        readers: Executor | None = None,
    ) -> None:
        self.page, self._take = page, take
        self._threads = ThreadPoolExecutor(threads, "call")
        self._readers = readers or self._threads

    async def answer(self, body: bytes) -> tuple[int, bytes]:
        """Status and JSON for the JSON of a call, `{component_id, fn_name, data}`."""
        try:
            asked = orjson.loads(body)
            function = self._function(asked["component_id"], asked["fn_name"])
            data = asked.get("data")
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            return 422, UNKNOWN
        if function is None:
            return 404, UNKNOWN
        return 200, await self._said(self._threads, function, data)

    async def take(self, body: bytes) -> tuple[int, bytes]:
        """Status and JSON for a photo that was brought."""
        return 200, await self._said(self._readers, self._take, body)

    async def _said(self, where: Executor, function: Callable[[Any], Any], data: Any) -> bytes:
        told = copy_context().run  # the name of the request
        loop = asyncio.get_running_loop()
        said = await loop.run_in_executor(where, told, function, data)
        return orjson.dumps(said, option=orjson.OPT_SERIALIZE_NUMPY)

    def _function(self, component: Any, name: Any) -> Callable[[Any], Any] | None:
        function = getattr(self.page.blocks.get(component), str(name), None)
        return function if getattr(function, "_is_server_fn", False) else None
