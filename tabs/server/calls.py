"""The page's own calls, answered before Gradio sees them.

Gradio's route for them keeps a copy of every component for each new visitor and leads through a
dozen layers, which takes as long as half a map does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio.to_thread
import gradio as gr
import orjson

UNKNOWN = b'{"problem": "There is no such thing to do: load the page again."}'


class Calls:
    """The server functions of a page's components."""

    def __init__(self, page: gr.Blocks) -> None:
        self.page = page

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
        said = await anyio.to_thread.run_sync(function, data, limiter=self.page.limiter)
        return 200, orjson.dumps(said, option=orjson.OPT_SERIALIZE_NUMPY)

    def _function(self, component: Any, name: Any) -> Callable[[Any], Any] | None:
        function = getattr(self.page.blocks.get(component), str(name), None)
        return function if getattr(function, "_is_server_fn", False) else None
