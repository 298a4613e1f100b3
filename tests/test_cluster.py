"""A real cluster on this machine: two replicas answer as the process does, and may be killed."""

from __future__ import annotations

import base64
import io
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import numpy as np
import pytest

from explainers import METHODS, Photo, cores
from explainers.settings import Settings
from tabs import page
from tabs.cluster.front import INTERRUPTED, Front, _Under
from tabs.here import Here
from tabs.page import answering
from tabs.server import logs
from tabs.server.options import Options

from . import scripted
from .browser import free_port, serving
from .cluster_nets import NAMED
from .proxied import proxied
from .waiting import until

pytestmark = pytest.mark.slow
SETTINGS = Settings(networks=NAMED, startup=(), endpoint="http://127.0.0.1:9", threads=1)
FRONT = {"SEEING_WHY_NETWORKS": ",".join(NAMED), "SEEING_WHY_STARTUP": ""}
CNN, TRANSFORMER = "cnn", "transformer"
TICK = os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    made = answering(SETTINGS, Options(cluster="local", replicas=2))
    assert isinstance(made, Front)
    with ThreadPoolExecutor(8) as apart:  # a browser's loop may live in this thread
        answer = made.answer
        made.answer = lambda *asked: apart.submit(answer, *asked).result()
        yield made
        apart.submit(made.close).result()


@pytest.fixture(scope="module")
def here() -> Iterator[Here]:
    made = answering(SETTINGS, Options())
    assert isinstance(made, Here)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "shared", cores.Cores(1, 1))  # as each replica has


@pytest.fixture
def own(front: Front, here: Here, photo: Photo) -> dict[str, Any]:
    """A visitor's question, with a photo of his own that only the front and the process have."""
    for each in (front, here):
        each.subject.keep("mine", photo)
    return {"photo": {"own": "mine"}, "visit": "me", "targets": [3], "network": CNN}


def replicas() -> list[int]:
    """The processes of all replicas that run now."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::ServeReplica:seeing-why"):
                found.append(int(path.parent.name))
        except OSError:  # it ended meanwhile
            continue
    return found


def working(seconds: float) -> float:
    """The cores on which all replicas compute just now, seen for so long."""

    def spent() -> float:
        each = [Path(f"/proc/{process}/stat").read_text() for process in replicas()]
        fields = [text.rpartition(")")[2].split() for text in each]
        return sum(int(field[11]) + int(field[12]) for field in fields) / TICK

    before = spent()
    time.sleep(seconds)
    return (spent() - before) / seconds


def loaded(answer: dict[str, Any]) -> bool:
    """Need the network not be waited for?"""
    return "wait" not in answer


def begun(front: Front, act: dict[str, Any]) -> dict[str, Any]:
    """The first answer to slow work, once a replica has loaded its network."""
    return until(lambda: front.answer("muting", "act", act), loaded)


def drained(engine: Any, desk: str, answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """That answer and all that follow; fails if one of them is a problem, or waits."""
    while True:
        assert not answer.keys() & {"problem", "paused"}, answer
        yield answer
        if "more" not in answer:
            return
        answer = engine.answer(desk, "more", answer["more"])


def arrays(engine: Any, question: dict[str, Any]) -> dict[str, np.ndarray]:
    """The raw maps of every method of the Maps tab, as they are downloaded."""
    methods = [key for key, each in METHODS.items() if each.home == "maps"]
    act = question | {"act": "npz", "settings": {"methods": methods}}
    answers = list(drained(engine, "maps", engine.answer("maps", "act", act)))
    file = base64.b64decode(answers[-1]["file"]["data"])
    return dict(np.load(io.BytesIO(file)))


def test_maps_are_bit_for_bit_those_of_the_process(front, here, own, photo) -> None:
    found: set[str] = set()
    for network in (CNN, TRANSFORMER):
        theirs, ours = (arrays(engine, own | {"network": network}) for engine in (front, here))
        assert theirs.keys() == ours.keys()
        for name, values in ours.items():
            assert theirs[name].tobytes() == values.tobytes(), (network, name)
        found |= ours.keys() - {"about"}
    for method in ("occlusion", "patches"):
        asked = {"photo": photo, "network": CNN, "target": "class 3", "method": method}
        asked |= {"against": ""}
        a, b = (
            list(drained(e, "programs", e.answer("programs", "explain", asked)))[-1]
            for e in (front, here)
        )
        assert a["about"] == b["about"]
        assert a["picture"].tobytes() == b["picture"].tobytes(), method
        found.add(method)
    act = own | {"act": "rise", "settings": {"masks": 100}}
    a, b = (list(drained(e, "muting", e.answer("muting", "act", act)))[-1] for e in (front, here))
    assert a["places"] == b["places"]
    assert "data:image/png" in a["places"]["rise"]
    assert found | {"rise"} == set(METHODS)


def test_what_nobody_pulls_stops_within_a_second(front: Front, own: dict[str, Any]) -> None:
    act = own | {"network": "lite0", "act": "sweep", "settings": {"stride": 4}}
    answer = begun(front, act)
    while not answer.get("work", {}).get("done"):
        assert "more" in answer, answer
        answer = front.answer("muting", "more", answer["more"])
    until(lambda: working(1.0), lambda share: share <= 0.3)
    following = front.answer("muting", "more", answer["more"])  # and goes on where it was
    assert following.get("work", {"done": 1})["done"] >= answer["work"]["done"]
    front.answer("muting", "stop", answer["more"])


@pytest.fixture
def beside(front: Front, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """The port of a page of this process, whose front has begun the cluster."""
    port = free_port()
    begun = {"GRADIO_TEMP_DIR": str(tmp_path), "FORWARDED_ALLOW_IPS": "", "SEEING_WHY_THREADS": "1"}
    for name, value in (FRONT | begun).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(page, "answering", lambda *_: front)
    monkeypatch.setattr(logs, "start", lambda _: None)
    page.launch(prevent_thread_lock=True, server_port=port, server_name="127.0.0.1", quiet=True)
    yield port
    gr.close_all(verbose=False)


def test_two_fronts_behind_nginx_share_the_replicas(beside: int, tmp_path: Path) -> None:
    """One has begun the cluster, and one has joined it."""
    import ray

    address = ray.get_runtime_context().gcs_address
    joined = {"SEEING_WHY_CLUSTER": address, "RAY_AUTH_MODE": "token"}  # its secret is here
    with serving(**FRONT, **joined) as other, proxied(tmp_path, beside, other.port) as url:
        kept(url)
        with httpx.Client(base_url=f"{url}/gradio_api", timeout=60) as program:  # no browser
            taken = [program.post("/upload", files={"files": ("a.jpg", b"1")}) for _ in range(4)]
            assert len({front_of(each.json()[0]) for each in taken}) == 1
            assert not program.cookies


def kept(url: str) -> None:
    """Behind that address two fronts serve, and each visitor keeps his photo."""
    met: set[str] = set()
    while len(met) < 2:
        visitor = scripted.Page(url)
        paths = [visitor.upload(scripted.CAT.read_bytes()) for _ in range(4)]
        assert len({front_of(path) for path in paths}) == 1
        if front_of(paths[0]) not in met:
            met.add(front_of(paths[0]))
            photo = visitor.ask("rail", "take", {"path": paths[0]})
            question = {"photo": {"own": photo["own"]}, "visit": "me", "settings": {}}
            for _ in range(4):
                answer = visitor.ask("maps-html", "ask", question)
                assert "problem" not in answer, answer
                assert answer["data"]["seen"]["chips"]


def front_of(path: str) -> str:
    """The folder of uploads that a front has of its own."""
    return next(part for part in Path(path).parts if part.startswith("seeing-why-"))


def kill(name: str) -> None:
    """End the process of that replica at once."""
    from ray import get_actor, kill
    from ray.util import list_named_actors

    names = [each["name"] for each in list_named_actors(all_namespaces=True)]
    (actor,) = [each for each in names if name in each]
    kill(get_actor(actor, namespace="serve"))


def both_answer(front: Front) -> set[str]:
    """Wait for the one that comes in the place of one that a test has killed; both by name."""
    met: set[str] = set()

    def meet() -> set[str]:  # of those that have the network
        met.add(front._send(_Under("bar", "networks", {"network": CNN}), at="")[0])
        return met

    return until(meet, lambda names: len(names) == 2, 200)


def test_a_replica_that_dies_costs_no_map_of_200_and_slow_work_goes_on(front, own) -> None:
    act = own | {"network": "lite0", "act": "sweep", "settings": {"stride": 4, "window": 24}}
    for name in both_answer(front):
        until(lambda at=name: front._send(_Under("muting", "act", act), at=at)[1], loaded)
    slow = begun(front, act)
    while not slow.get("work", {}).get("done"):
        slow = front.answer("muting", "more", slow["more"])
    place = front._places.get(("me", "lite0"))
    front._places["visitor 0", CNN] = place  # some of the maps come from there
    done, killed = threading.Semaphore(0), threading.Event()

    def ask(number: int) -> dict[str, Any]:
        asked = own | {"visit": f"visitor {number % 8}", "targets": [number % 20]}
        shown: dict[str, Any] = {}
        settings = {"settings": {"methods": ["gradcam"]}}
        for answer in drained(front, "maps", front.answer("maps", "ask", asked | settings)):
            shown |= answer["data"].get("maps", {})
        done.release()
        return shown

    def end() -> None:
        for _ in range(40):
            done.acquire(timeout=60)
        kill(place)
        killed.set()

    threading.Thread(target=end).start()
    with ThreadPoolExecutor(4) as pool:
        shown = list(pool.map(ask, range(200)))
    assert killed.is_set()
    assert [list(each) for each in shown] == [["gradcam:0"]] * 200

    slow = front.answer("muting", "more", slow["more"])
    assert (slow["paused"], slow["work"]["words"]) == (True, INTERRUPTED)
    slow = front.answer("muting", "more", slow["more"])
    while not slow.get("work", {}).get("done"):  # on the other one, with photo and settings
        assert not slow.keys() & {"problem", "paused"}, slow
        slow = front.answer("muting", "more", slow["more"])
    front.answer("muting", "stop", slow["more"])
    assert front._places.get(("me", "lite0")) != place
