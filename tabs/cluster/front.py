"""The engine of a front: photos and questions stay here, replicas answer.

Slow work is pulled a slice at a time, as a browser pulls it: nothing runs ahead on a replica, and
what nobody pulls stops with its slice.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from grpc import RpcError
from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import BackPressureError, RequestCancelledError

from explainers import ExplainError, Photo
from explainers.recent import Memory, Recent

from ..parts.engine import Gauges
from ..parts.lanes import TOO_OFTEN, Busy, Closing
from ..parts.tab import problem
from ..parts.work import GONE
from ..server import logs
from ..server.limits import Rate
from ..server.options import Options
from ..subject import Subject
from . import carried

TRIES = 4  # replicas that are asked the same before a visitor is told to come again
SOON = 3  # seconds after which to ask again
LONGEST = 60.0  # seconds until an answer; where a program has a network fetched, as long as
FETCH = 600.0
QUESTIONS = 64_000_000  # bytes of questions whose work is under way
PLACES = 8_000_000  # bytes of notes on where a visit is answered
READY = 600.0  # seconds for which a network that answered counts as ready
AWAY = "The machines that answer can’t be reached just now"
INTERRUPTED = "The machine that worked on this has gone; what is here stays."
LOST = (RayActorError, RequestCancelledError, RpcError, asyncio.CancelledError)  # by its replica


@dataclass(frozen=True)
class _Under:
    """Work under way. at: the replica that works on it, under that ticket; empty once that is gone.
    done: share of slow work that was seen of it."""

    desk: str
    what: str
    data: Any
    at: str = ""
    ticket: str = ""
    done: float = 0.0


class Front:
    """Answers by asking replicas. handle: Ray's, of their application. subject: visitors' photos,
    and the network with which the page is laid out. leave: how the cluster is left."""

    def __init__(
        self, handle: Any, subject: Subject, options: Options, leave: Callable[[], None]
    ) -> None:
        self.subject, self._handle, self._leave = subject, handle, leave
        self._rate = Rate(options.rate)
        self._under: Recent[str, _Under] = Recent(within=Memory(QUESTIONS))
        self._places: Recent[tuple[str, str], str] = Recent(within=Memory(PLACES))
        self._sent: Recent[str, str] = Recent(within=Memory(PLACES))  # photos that a replica has
        self._ready: dict[str, float] = {}  # networks that answered, and when
        self._typed: dict[str, dict[str, Any]] = {}  # networks that visitors typed, as listed
        self._closed, self._pulled = False, 0.0

    def answer(self, desk: str, what: str, data: Any) -> dict[str, Any]:
        """What a replica's desk says; never raises."""
        try:
            if what == "more":
                return self._more(str(data))
            if what == "stop":
                return self._stop(str(data))
            if self._closed and desk != "programs":
                raise Closing
            visit = _of(data, "visit")
            if what in ("ask", "act") and (seconds := self._rate.wait(visit)):
                raise Busy(seconds, TOO_OFTEN)
            answer = self._begun(_Under(desk, what, data))
            return self._listed(answer) if desk == "bar" else answer
        except Exception as error:
            return problem(error)

    def gauges(self) -> Gauges:
        """Of the front; what replicas do, Ray counts."""
        return {"work": ("Pieces of work under way or left lately", lambda: len(self._under))}

    def refuse(self) -> None:
        """Take nothing new."""
        self._closed = True

    def pulled(self, lately: float) -> bool:
        """Has anybody pulled in the last seconds, and is not at the end?"""
        return time.monotonic() - self._pulled < lately

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self.subject.zoo.close()
        self._leave()

    # ---- work ----

    def _begun(self, under: _Under, ticket: str = "") -> dict[str, Any]:
        """The first answer to a question, from wherever its visit is answered."""
        place = _of(under.data, "visit"), _network(under)
        replica, answer = self._send(under, at=self._places.get(place) or "")
        if place[0]:
            self._places[place] = replica
        if place[1] and not answer.keys() & {"problem", "wait"}:
            self._ready[place[1]] = time.monotonic()
        if ticket and "wait" in answer:  # who goes on has yet to load the network
            self._under[ticket] = replace(under, at="")
            return answer | {"more": ticket}
        return self._taken(replace(under, at=replica), answer, ticket)

    def _more(self, ticket: str) -> dict[str, Any]:
        """The next slice. Where its replica is gone: a map is asked for again, slow work waits."""
        under = self._under.get(ticket)
        if under is None:
            raise ExplainError(GONE)
        if not under.at:
            return self._begun(under, ticket)
        pull = replace(under, what="more", data=under.ticket)
        replica, answer = self._send(pull, at=under.at, only=True)
        if "lost" not in answer:
            return self._taken(replace(under, at=replica), answer, ticket)
        self._under[ticket] = under = replace(under, at="")
        if not under.done:
            return self._begun(under, ticket)
        shown: dict[str, Any] = {"places": {}, "data": {}, "settings": {}, "state": {}}
        work = {"done": under.done, "words": INTERRUPTED}
        return shown | {"more": ticket, "work": work, "paused": True}

    def _taken(self, under: _Under, answer: dict[str, Any], ticket: str) -> dict[str, Any]:
        """Remember what was asked while there is more to come."""
        if "more" not in answer:
            self._over(ticket, under)
            return answer
        self._pulled = time.monotonic()
        ticket = ticket or secrets.token_urlsafe(9)
        done = max(under.done, answer.get("work", {}).get("done", 0.0))
        self._under[ticket] = replace(under, ticket=answer["more"], done=done)
        return answer | {"more": ticket}

    def _stop(self, ticket: str) -> dict[str, Any]:
        under = self._under.get(ticket)
        if under is not None:
            self._over(ticket, under)
            if under.at:
                stop = replace(under, what="stop", data=under.ticket)
                self._send(stop, at=under.at, only=True)
        return {}

    def _over(self, ticket: str, under: _Under) -> None:
        """An upload is deleted as soon as nobody needs it."""
        self._under.drop(ticket)
        try:
            path = carried.named(under.data)
        except ExplainError:  # it was never here, or is gone already
            return
        if path is not None:
            path.unlink(missing_ok=True)

    # ---- requests ----

    def _send(self, under: _Under, *, at: str, only: bool = False) -> tuple[str, dict[str, Any]]:
        """Who answered, and what. only: `at` or nobody; {"lost": True} where it is gone."""
        handle = self._handle.options(method_name="answer", multiplexed_model_id=_network(under))
        data, name, again = carried.packed(under.data), logs.request(), False
        photo = None if self._sent.get(_own(under.data)) else self._photo(under.data)
        for _ in range(TRIES):
            asked = handle.remote(
                under.desk, under.what, data, photo=photo, at=at, only=only, request=name
            )
            try:
                patience = FETCH if under.desk == "programs" else LONGEST
                replica, answer = asked.result(timeout_s=patience)
            except BackPressureError as error:
                raise Busy(SOON) from error
            except TimeoutError as error:
                asked.cancel()
                raise Busy(SOON, AWAY) from error
            except LOST:
                if only:
                    return at, {"lost": True}
                at = ""
                continue
            except RayError as error:
                raise Busy(SOON, AWAY) from error
            if photo is not None:
                self._sent[_own(under.data)] = replica
            if "gone" not in answer or again or (photo := self._photo(under.data)) is None:
                return replica, answer
            at, again = replica, True  # it was sent to another one
        raise Busy(SOON, AWAY)

    def _photo(self, data: Any) -> Photo | None:
        """The visitor's photo that a question names, for a replica that has not seen it."""
        try:
            return self.subject.photo(data["photo"]) if _own(data) else None
        except ExplainError:
            return None

    def _listed(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Networks are ready if any replica has them, and listed if any visitor typed them."""
        since, listed = time.monotonic() - READY, {e["key"]: e for e in answer.get("networks", [])}
        if answer.get("key"):
            self._typed[answer["key"]] = listed[answer["key"]]
        for key, each in (self._typed | listed).items():
            if self._ready.get(key, 0.0) > since:
                each = {**each, "state": "ready", "stands": "", "message": ""}
            listed[key] = each
        return answer | {"networks": list(listed.values())} if listed else answer


def _of(data: Any, name: str) -> str:
    given = data.get(name) if isinstance(data, Mapping) else None
    return given[:96] if isinstance(given, str) else ""


def _own(data: Any) -> str:
    """The name of the visitor's own photo that a question is about."""
    return _of(data.get("photo"), "own") if isinstance(data, Mapping) else ""


def _network(under: _Under) -> str:
    """The key of the network that a question is about."""
    return under.data[:96] if under.desk == "rail" else _of(under.data, "network")
