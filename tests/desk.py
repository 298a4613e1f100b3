"""A tab's server without a browser: what it answers to what a browser would send."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from explainers import Network
from tabs.parts.tab import Server, Tab
from tabs.parts.work import Jobs
from tabs.subject import Subject


def serving(tab: Tab, network: Network, others: Sequence[Network] = ()) -> Server:
    """A tab's server for one network; the others are in memory, too."""
    listed = [SimpleNamespace(key=each.key, state="ready") for each in others]
    known = {each.key: each for each in others}
    zoo = SimpleNamespace(get=lambda key=None: known.get(key, network), status=lambda: list(listed))
    return Server(tab, Subject(zoo), Jobs())


def slices(server: Server, answer: dict[str, Any]) -> list[dict[str, Any]]:
    """An answer and all that follows it, as a browser gets them."""
    found = [json.loads(json.dumps(answer))]
    while ticket := found[-1].get("more"):
        found.append(json.loads(json.dumps(server.more(ticket))))
    return found


class Desk:
    """A browser's side of a tab, for one network and one question; others are in memory, too."""

    def __init__(
        self,
        tab: Tab,
        network: Network,
        *,
        others: Sequence[Network] = (),
        zoo: Any = None,
        **question: Any,
    ) -> None:
        own = Server(tab, Subject(zoo), Jobs()) if zoo else None
        self.server = own or serving(tab, network, others)
        self.question = {"visit": "me", "knows": True, "form": network.key, **question}
        self.ticket: str | None = None

    def ask(self, **settings: Any) -> dict[str, Any]:
        """The first answer to the tab being looked at."""
        return self._taken(self.server.ask({**self.question, "settings": settings}))

    def act(self, name: str, data: Any = None, **settings: Any) -> dict[str, Any]:
        """The first answer to an act."""
        given = {"act": name, "data": data, "settings": settings}
        return self._taken(self.server.act({**self.question, **given}))

    def more(self) -> dict[str, Any] | None:
        """The next slice, or None after the last."""
        return self._taken(self.server.more(self.ticket)) if self.ticket else None

    def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        """All that follows an answer, put together; fails if there is a problem."""
        shown: dict[str, Any] = {"places": {}, "data": {}, "settings": {}, "state": {}}
        while answer is not None:
            assert "problem" not in answer, answer["problem"]
            for name in shown:
                shown[name] |= answer[name]
            answer = self.more()
        return shown

    def _taken(self, answer: dict[str, Any]) -> dict[str, Any]:
        answer = json.loads(json.dumps(answer))
        self.ticket = answer.get("more")
        return answer


def refused(answer: dict[str, Any]) -> str:
    """The one sentence of what can't be done, which says nothing of the machine."""
    said = answer["problem"]
    assert said.endswith(".")
    assert "/" not in said
    assert "Traceback" not in said
    return said
