"""A file to take away: a button that has it made, and the download that follows by itself."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from .guard import guarded
from .maps import DOWNLOAD_JS, _cache


def button(
    title: str, name: str, make: Callable[..., bytes], inputs: Sequence[Any], elem_id: str
) -> gr.Button:
    """A button after which the browser gets make(*inputs) as the file `name`."""

    def written(*given: Any) -> str:
        path = Path(tempfile.mkdtemp(dir=_cache())) / name
        path.write_bytes(make(*given))
        return str(path)

    start = gr.Button(title, size="sm", elem_id=elem_id, scale=0, min_width=230)
    file = gr.DownloadButton("", visible="hidden", elem_id=f"{elem_id}-file")
    start.click(
        guarded(written),
        list(inputs),
        file,
        show_progress="minimal",
        show_progress_on=start,
        api_visibility="private",
    ).success(None, None, None, js=DOWNLOAD_JS.replace("ID", f"{elem_id}-file"))
    return start
