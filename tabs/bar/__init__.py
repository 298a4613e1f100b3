"""The bar on top: what this is, the network in use, the tour, a link to what is seen.

On a phone it also says which photo, class and network the tabs are about.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from explainers.zoo import Status, Zoo

from ..parts.engine import Engine, asked_of
from ..parts.guard import sentence
from ..parts.tab import script

HERE = Path(__file__).parent
SCRIPTS = ("store.js", "tab.js", "tiles.js", "search.js", "focus.js")  # which all parts share


def _network(status: Status) -> dict[str, Any]:
    entry = status.entry
    return {
        "key": status.key,
        "title": status.title,
        "state": status.state,
        "message": status.message,
        "stands": _stands(status),
        "remark": entry.remark,
        "task": entry.task,
    }


def _stands(status: Status) -> str:
    """How it stands, in a few words; nothing where it is ready."""
    size = f" ({status.entry.megabytes:.0f}\N{NO-BREAK SPACE}MB)" if status.entry.megabytes else ""
    return {
        "ready": "",
        "loading": f"loading, {status.progress:.0%}",
        "on demand": f"loads when chosen{size}",
        "failed": "can’t be had now",
    }[status.state]


class Bar:
    """What the bar's script may ask for."""

    answers = ("networks", "add")

    def __init__(self, zoo: Zoo) -> None:
        self.zoo = zoo

    def networks(self, wanted: Any = None) -> dict[str, Any]:
        """How each network stands; one that is named is fetched."""
        try:
            if isinstance(wanted, str) and wanted:
                self.zoo.request(wanted)
            return {"networks": [_network(each) for each in self.zoo.status()]}
        except Exception as error:
            return {"problem": sentence(error)}

    def add(self, text: Any) -> dict[str, Any]:
        """Another network of timm's, by its Hub id."""
        try:
            key = self.zoo.add(str(text))
            return {"key": key} | self.networks()
        except Exception as error:
            return {"problem": sentence(error)}


def ahead_of(engine: Engine, tabs: Collection[str]) -> Callable[[Any], dict[str, Any]]:
    """What a tab is going to ask, for a browser that has yet to draw it."""

    def ahead(data: Any = None) -> dict[str, Any]:
        data = data if isinstance(data, dict) else {}
        if data.get("tab") not in tabs:
            return {"problem": "There is no such tab: choose one of those shown."}
        return engine.answer(data["tab"], "ask", data.get("question"))

    return ahead


def widget(engine: Engine, start: dict[str, Any]) -> dict[str, Any]:
    """The bar as `gr.HTML` takes it. `start`: what is asked when the address says nothing."""
    settings = engine.subject.zoo.settings
    markup = (HERE / "bar.html").read_text("utf-8")
    if not settings.hub_ids:
        markup = markup.replace("<!--hub-->", "")
    hub = (HERE / "hub.html").read_text("utf-8").replace("<!--mb-->", str(settings.hub_file_mb))
    return {
        "value": markup.replace("<!--hub-->", hub),
        "head": f"<script>{script(*SCRIPTS)}</script>",
        "js_on_load": (HERE / "bar.js").read_text("utf-8"),
        "server_functions": [
            *asked_of(engine, "bar", Bar.answers),
            ahead_of(engine, start["tabs"]),
        ],
        "elem_id": "bar",
        "start": json.dumps(start),
        "known": json.dumps(engine.answer("bar", "networks", None)["networks"]),
    }


def dock() -> dict[str, Any]:
    """A phone's buttons at the bottom, which the keyboard comes to last."""
    return {"value": (HERE / "dock.html").read_text("utf-8"), "elem_id": "dock"}
