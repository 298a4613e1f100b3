"""A file to take away: a button that has it made, and the download that follows by itself."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from .guard import guarded

_FETCH = """() => {
  const wait = (n) => {
    const link = document.querySelector('#ID a[href], #ID[href]') || document.querySelector('#ID');
    if (link) link.click(); else if (n) setTimeout(() => wait(n - 1), 50);
  };
  setTimeout(() => wait(40), 50);
}"""


def fetched(elem_id: str) -> str:
    """A script that downloads the file of a DownloadButton as soon as it is there."""
    return _FETCH.replace("ID", elem_id)


def new_file(name: str) -> Path:
    """Where to write a file: in Gradio's own folder, which it empties of old files by itself."""
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=folder)) / name


def written(name: str, data: bytes) -> str:
    """The path of a new file that holds the data; it is deleted in an hour."""
    path = new_file(name)
    path.write_bytes(data)
    return str(path)


def button(
    title: str, name: str, make: Callable[..., bytes], inputs: Sequence[Any], elem_id: str
) -> gr.Button:
    """A button after which the browser gets make(*inputs) as the file `name`."""

    def made(*given: Any) -> str:
        return written(name, make(*given))

    start = gr.Button(title, size="sm", elem_id=elem_id, scale=0, min_width=230)
    file = gr.DownloadButton("", visible="hidden", elem_id=f"{elem_id}-file")
    start.click(
        guarded(made),
        list(inputs),
        file,
        show_progress="minimal",
        show_progress_on=start,
        api_visibility="private",
    ).success(None, None, None, js=fetched(f"{elem_id}-file"))
    return start
