"""A front without Ray’s processes: what is asked again, what waits, what is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from grpc import aio, method_handlers_generic_handler, unary_unary_rpc_method_handler
from ray.exceptions import ActorDiedError
from ray.serve._private.common import (
    DeploymentHandleSource,
    DeploymentID,
    ReplicaID,
    RequestMetadata,
)
from ray.serve._private.request_router.common import PendingRequest
from ray.serve.exceptions import BackPressureError, RequestCancelledError

from explainers import METHODS, Network, Photo, Question, api
from explainers.recent import Recent
from explainers.zoo import Status, Zoo
from explainers.zoo.catalogue import given
from tabs.cluster import front as fronts
from tabs.cluster import router
from tabs.cluster.front import Front
from tabs.endpoints import Endpoints
from tabs.here import Here
from tabs.parts import work
from tabs.parts.tab import Settings, Show, Tab
from tabs.server.options import Options
from tabs.subject import Asked, Subject

from .browser import Server
from .desk import refused
from .scripted import CAT
from .waiting import run

steps: list[str] = []  # of slow work, by what became of it


def quick(asked: Asked, _settings: Settings) -> Iterator[Show | None]:
    """A map, in three parts."""
    for part in "abc":
        yield Show({part: f"{part} of {asked.seen.width}"})


def slow(_asked: Asked, _settings: Settings) -> Iterator[Show | None]:
    """Ten steps, each of which is shown."""
    mine = steps  # what an earlier test left may end only now
    try:
        for step in range(10):
            mine.append("step")
            yield Show({"picture": str(step)}, done=step / 10, words=f"{step} of 10")
    finally:
        mine.append("over")


TABS = [
    Tab(key="quick", title="Quick", asks="?", draw=quick, markup=""),
    Tab(key="slow", title="Slow", asks="?", draw=slow, markup=""),
]


class Few:
    """A replica's networks, of which one is asked for."""

    def __init__(self, network: Network, state: str) -> None:
        self.network, self.state = network, state

    def get(self, _key: str | None = None) -> Network:
        return self.network

    def request(self, _key: str) -> None:
        """It takes its time."""

    def status(self) -> list[Status]:
        return [Status(given(self.network), self.state, 0.0, "")]


class Machines:
    """Replicas in this process, in place of Ray's handle. dead: those that were killed. photos: by
    replica, those that were sent to it. trouble: what Ray raises next."""

    def __init__(self, network: Network) -> None:
        has = {"one": "ready", "two": "on demand"}
        self.replicas = {name: Here(Few(network, state), TABS) for name, state in has.items()}
        self.dead: set[str] = set()
        self.photos: list[str] = []
        self.trouble: list[Exception] = []

    def options(self, **_: Any) -> Machines:
        return self

    def remote(self, *asked: Any, **more: Any) -> Any:
        return SimpleNamespace(result=lambda timeout_s: self._answer(*asked, **more), cancel=list)

    def _answer(
        self, desk: str, what: str, data: Any, *, photo: Any, at: str, only: bool, request: str
    ) -> tuple[str, dict[str, Any]]:
        if self.trouble:
            raise self.trouble.pop(0)
        alive = [name for name in self.replicas if name not in self.dead]
        if not alive:
            raise ActorDiedError
        name = at if at in alive else alive[0]
        if only and name != at:
            return name, {"lost": True}
        if photo is not None:
            self.photos.append(name)
            self.replicas[name].subject.keep(data["photo"]["own"], photo)
        return name, self.replicas[name].answer(desk, what, data)


@pytest.fixture
def machines(resnet18: Network, monkeypatch: pytest.MonkeyPatch) -> Machines:
    monkeypatch.setattr(work, "SLICE", 0)  # a step for each pull
    monkeypatch.setattr(f"{__name__}.steps", [])
    return Machines(resnet18)


@pytest.fixture
def front(machines: Machines, photo: Photo) -> Front:
    made = Front(machines, Subject(Zoo()), Options(), leave=list)
    made.subject.keep("mine", photo)
    return made


def asked(front: Front, tab: str, what: str = "ask") -> dict[str, Any]:
    question = {"visit": "me", "knows": True, "form": "resnet18", "photo": {"own": "mine"}}
    return told(front.answer(tab, what, question))


def told(answer: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(answer))


def test_a_map_whose_replica_dies_is_asked_again(front: Front, machines: Machines) -> None:
    answer, shown = asked(front, "quick"), {}
    machines.dead.add("one")
    while True:
        assert not answer.keys() & {"problem", "paused"}
        shown |= answer["places"]
        if "more" not in answer:
            break
        answer = told(front.answer("quick", "more", answer["more"]))
    assert {name: shown[name] for name in "abc"} == {n: f"{n} of 451" for n in "abc"}


def elsewhere(name: str, channel: Any = None) -> Any:
    """What Ray's router knows of a replica that takes one request at a time. queue: of requests."""
    made = SimpleNamespace(
        replica_id=ReplicaID(name, DeploymentID("replica")),
        multiplexed_model_ids=set(),
        node_id="",
        availability_zone="",
        max_ongoing_requests=1,
        queue=0,
        _channel=channel,
    )
    made.get_queue_len = lambda deadline_s: asyncio.sleep(0, made.queue)
    return made


def routed(replicas: list[Any]) -> router.ByVisit:
    to = router.ByVisit(
        DeploymentID("replica"),
        DeploymentHandleSource.UNKNOWN,
        use_replica_queue_len_cache=True,
        initial_backoff_s=1000,
        max_backoff_s=1000,
    )
    to.initialize_state()
    to.update_replicas(replicas)
    return to


def test_a_request_goes_where_there_is_room_as_soon_as_there_is() -> None:
    async def all_of_them() -> None:
        many = [elsewhere(str(number)) for number in range(20)]
        to = routed(many)
        while any(to.replica_queue_len_cache.get(each.replica_id) is None for each in many):
            await asyncio.sleep(0)  # until each has said that it is free

        async def choose(name: str) -> Any:
            about = RequestMetadata(request_id=name, internal_request_id=name)
            chosen = await to._choose_replica_for_request(PendingRequest([], {}, about))
            chosen.queue += 1
            to.on_send_request(chosen.replica_id)
            return chosen

        for number in range(20):
            await asyncio.wait_for(choose(f"{number}"), 10)
        assert [each.queue for each in many] == [1] * 20
        waits = asyncio.ensure_future(choose("one more"))
        while not to._full:
            await asyncio.sleep(0)
        many[7].queue = 0
        to.on_request_completed(many[7].replica_id, "7")
        assert await asyncio.wait_for(waits, 10) is many[7]

    run(all_of_them())


def test_an_old_word_on_a_queue_fills_no_line() -> None:
    """A replica's word on its queue comes with its answer, and is as old as the question."""

    async def third() -> None:
        many = [elsewhere("long"), elsewhere("short")]
        long, short = (each.replica_id for each in many)
        for each in many:
            each.max_ongoing_requests = 16
        to = routed(many)
        while any(to.replica_queue_len_cache.get(each) is None for each in (long, short)):
            await asyncio.sleep(0)
        for each in (long, long, long, short):
            to.on_send_request(each)
        to.on_new_queue_len_info(long, 1)  # as it took the first
        to.on_request_completed(long, "first")
        to.decrement_queue_len_cache(long)
        about = RequestMetadata(request_id="last", internal_request_id="last")
        asked = to._choose_replica_for_request(PendingRequest([], {}, about))
        assert (await asyncio.wait_for(asked, 10)).replica_id is short

    run(third())


def test_what_a_machine_that_was_switched_off_was_asked_is_lost(monkeypatch) -> None:
    """It does not say so itself; the router learns it from Ray."""
    monkeypatch.setattr(router, "GRACE", 0)

    async def lost() -> None:
        asked = asyncio.Event()

        async def never(_question: bytes, _context: Any) -> None:
            asked.set()
            await asyncio.Event().wait()

        server, handler = aio.server(), unary_unary_rpc_method_handler(never)
        handlers = [method_handlers_generic_handler("replica", {"answer": handler})]
        server.add_generic_rpc_handlers(handlers)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        channel = aio.insecure_channel(f"127.0.0.1:{port}")
        away = elsewhere("away", channel)
        to = routed([away])
        waits = asyncio.ensure_future(channel.unary_unary("/replica/answer")(b""))
        await asked.wait()
        to.update_replicas([])
        done, _ = await asyncio.wait([waits], timeout=10)
        assert done
        assert waits.cancelled()
        await server.stop(0)

    run(lost())


def test_what_is_lost_on_its_way_is_asked_again(front: Front, machines: Machines) -> None:
    machines.trouble += [RequestCancelledError(), asyncio.CancelledError()]
    assert "problem" not in asked(front, "quick")


def test_who_goes_on_may_have_to_load_the_network_first(front, machines) -> None:
    question = {"visit": "me", "knows": True, "form": "resnet18", "network": "resnet18"}
    answer = told(front.answer("slow", "ask", question | {"photo": {"own": "mine"}}))
    ticket = answer["more"]
    told(front.answer("slow", "more", ticket))
    machines.dead.add("one")
    assert told(front.answer("slow", "more", ticket))["paused"] is True
    for _ in range(2):
        answer = told(front.answer("slow", "more", ticket))
        assert "is on its way" in answer["wait"]["words"]
        assert answer["more"] == ticket  # which is to be asked again
    machines.replicas["two"].zoo.state = "ready"
    assert told(front.answer("slow", "more", ticket))["places"]["picture"] == "0"


def test_slow_work_whose_replica_dies_waits_until_the_visitor_goes_on(front, machines) -> None:
    answer = asked(front, "slow")
    ticket = answer["more"]
    for _ in range(2):
        answer = told(front.answer("slow", "more", ticket))
    known = len(steps)
    machines.dead.add("one")
    answer = told(front.answer("slow", "more", ticket))
    assert answer["paused"] is True
    assert answer["work"] == {"done": pytest.approx(0.2), "words": fronts.INTERRUPTED}
    assert answer["places"] == {}  # what is there stays
    assert len(steps) == known  # nothing began anew by itself
    while "more" in answer:
        answer = told(front.answer("slow", "more", ticket))
        assert not answer.keys() & {"problem", "paused"}
    assert steps[known:].count("step") == 10
    assert steps[-1] == "over"


def test_what_nobody_pulls_stands_still_and_what_is_stopped_ends(front: Front) -> None:
    ticket = asked(front, "slow")["more"]
    front.answer("slow", "more", ticket)
    assert steps.count("step") == 2
    front.answer("slow", "stop", ticket)
    assert steps[-1] == "over"
    assert "left our memory" in refused(told(front.answer("slow", "more", ticket)))


def test_a_photo_is_sent_to_a_replica_once(front: Front, machines: Machines) -> None:
    for _ in range(2):
        asked(front, "quick")
    assert machines.photos == ["one"]
    machines.dead.add("one")
    for _ in range(2):
        assert "problem" not in asked(front, "quick")
    assert machines.photos == ["one", "two"]
    gone = told(front.answer("quick", "ask", {"photo": {"own": "not here"}}))
    assert gone["gone"] is True
    assert refused(gone)


def test_a_programs_slow_map_outlives_crowds_and_the_replica(front, machines, monkeypatch) -> None:
    events = [
        lambda: machines.trouble.append(BackPressureError(1, 1)),
        lambda: machines.dead.add("one"),
    ]

    def slowly(asked: Question) -> Iterator[Any]:
        for step in (0.2, 0.4):
            if events:
                events.pop(0)()
            yield SimpleNamespace(done=step)
        yield from METHODS["gradcam"].run(asked)

    monkeypatch.setitem(METHODS, "rise", replace(METHODS["rise"], run=slowly))
    monkeypatch.setattr(fronts, "SOON", 0)
    monkeypatch.setattr(api, "_recent", Recent())  # no such map is known, nor will be
    picture, about = Endpoints(front).explain_photo({"path": CAT}, "class 3", "rise", "", "")
    assert (picture.shape[-1], about["class"]) == (3, "class 3")
    assert not events
    assert machines.dead == {"one"}


@pytest.mark.parametrize("trouble", [BackPressureError(1, 1), TimeoutError()])
def test_too_many_and_too_late_are_told_as_busy(front, machines, trouble) -> None:
    machines.trouble.append(trouble)
    answer = asked(front, "quick")
    assert answer["busy"] == fronts.SOON
    assert f"try again in {fronts.SOON} s" in refused(answer)
    assert "problem" not in asked(front, "quick")


def test_a_cluster_without_replicas_is_told_and_come_back_to(front, machines) -> None:
    machines.dead |= {"one", "two"}
    answer = asked(front, "quick")
    assert answer["busy"] == fronts.SOON
    assert refused(answer)
    machines.dead.clear()
    assert "problem" not in asked(front, "quick")


def test_a_front_that_stops_takes_nothing_new(front: Front) -> None:
    answer = asked(front, "slow")
    front.refuse()
    assert "try again in a minute" in refused(asked(front, "quick"))
    assert front.pulled(5)
    while "more" in answer:
        answer = told(front.answer("slow", "more", answer["more"]))
    assert "problem" not in answer
    assert steps == ["step"] * 10 + ["over"]


def test_a_network_is_ready_if_any_replica_has_it(front: Front, machines: Machines) -> None:
    def states() -> dict[str, str]:
        listed = front.answer("bar", "networks", "")["networks"]
        return {each["key"]: each["state"] for each in listed}

    front.answer("quick", "ask", {"network": "resnet18", "photo": {"own": "mine"}})
    machines.dead.add("one")  # whoever is asked now has not loaded it
    assert states() == {"resnet18": "ready"}


def test_without_the_setting_ray_is_not_even_loaded(server: Server) -> None:
    loaded = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "torch" in loaded
    assert "_raylet" not in loaded
