"""The rail beside the tabs: photo, camera, examples, what the network sees, which class to explain.

On a phone it is a sheet that the dock at the bottom opens.
"""

from __future__ import annotations

from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from explainers import photo, render

from ..parts import html
from ..parts.engine import Engine, asked_of
from ..parts.guard import sentence
from ..parts.tab import begun, plain
from ..subject import Subject, example, examples

HERE = Path(__file__).parent


@cache
def _strip() -> str:
    items = []
    for name in examples():
        small = render.shrink(example(name), 128)
        items.append((name, examples()[name]["alt"], photo.to_jpeg(small, 80)))
    return "".join(
        f'<button type="button" data-example="{escape(name)}" title="{escape(alt)}">'
        f'<img alt="" src="{html.data_url(data, "jpeg")}"></button>'
        for name, alt, data in items
    )


class Rail:
    """What the rail's script may ask for. Photos are taken in where the page is."""

    answers = ("labels",)

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def take(self, file: Any) -> dict[str, Any]:
        """A photo that was uploaded just now, or its bytes."""
        try:
            return self.subject.take(file)
        except Exception as error:
            return {"problem": sentence(error)}

    def labels(self, key: Any) -> dict[str, Any]:
        """All class names of a network, for the search in the browser."""
        try:
            return {"labels": list(self.subject.network(key).labels)}
        except Exception as error:
            return {"problem": sentence(error)}


def widget(engine: Engine) -> dict[str, Any]:
    """The rail as `gr.HTML` takes it."""
    markup = (HERE / "rail.html").read_text("utf-8").replace("<!--examples-->", _strip())
    return {
        "value": markup,
        "js_on_load": begun((HERE / "rail.js").read_text("utf-8")),
        "server_functions": [
            plain(Rail(engine.subject).take),
            *asked_of(engine, "rail", Rail.answers),
        ],
        "elem_id": "rail",
    }
