"""What a cluster costs and gives: overhead of a call, throughput, a death in mid-traffic, growth.

    python benchmarks/cluster.py [--seconds 10] [--rounds 3] [--replicas 10,50,100] [--slower 60]

A Grad-CAM of a photo never seen before is asked for in this process, and of a front with two
replicas of one thread each: first as a program asks, with the photo in the call and the drawn map
in the answer; then, for throughput, as the page does, by many visitors, in turns with two processes
of one thread that answer the same without Ray. One replica is killed during 200 such questions.
Growth is simulated: replicas that only sleep, behind the same front and router. Their sleep is the
measured time of a call, `slower` times over, so that this machine's cores can carry the traffic of
a hundred of them; the processor's time that a call takes of the front says how many fronts the real
thing needs.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from explainers import Photo, cores, read
from explainers.settings import Settings
from tabs.here import Here
from tabs.page import answering
from tabs.server.options import Options
from tabs.subject import EXAMPLES, Subject

SETTINGS = Settings(startup=(), endpoint="http://127.0.0.1:9", threads=1)
CLIENTS = 4  # questions at a time
CALLS, KILLED = 200, 50  # one replica dies after so many
PAIRS = 60  # calls compared
MOST = 60  # photos a second that two cores may ask for, drawn before the clock runs
CALM = 12  # answers in a row, so that each replica's is among them
_drawn = itertools.count(os.getpid() * 10**6)


def fresh() -> Photo:
    """A photo that nobody has seen: an example under a little noise of its own."""
    pixels = read(EXAMPLES / "cat.jpg").pixels
    noise = np.random.default_rng(next(_drawn)).integers(0, 3, pixels.shape, np.uint8)
    return read(np.clip(pixels // 2 + noise, 0, 255).astype(np.uint8))


def ask(engine: Any, seen: Photo | None = None) -> dict[str, Any]:
    """A Grad-CAM, drawn over its photo."""
    given = {"photo": seen or fresh(), "network": "lite0", "method": "gradcam"}
    answer = engine.answer("programs", "explain", given | {"target": "", "against": ""})
    while "more" in answer:
        answer = engine.answer("programs", "more", answer["more"])
    return answer


def visit(engine: Any, seen: Photo | None = None) -> str:
    """A new visitor's photo and its Grad-CAM, as the page asks; what went wrong, or nothing."""
    seen = seen or fresh()
    token = seen.digest[:16]
    engine.subject.keep(token, seen)
    question = {"photo": {"own": token}, "visit": token, "network": "lite0"}
    answer = engine.answer("maps", "ask", question | {"settings": {"methods": ["gradcam"]}})
    while "more" in answer:
        answer = engine.answer("maps", "more", answer["more"])
    return answer.get("problem", "")


def timed(work: Callable[[], Any]) -> float:
    """Milliseconds."""
    since = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - since)


def spread(values: Sequence[float]) -> str:
    """The median, and the middle half."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def overhead(front: Any, here: Any) -> tuple[float, float]:
    """Milliseconds of a call: what the cluster adds (median of pairs), and of the process alone."""
    theirs, ours = [], []
    for _ in range(PAIRS):
        seen = fresh()  # neither knows it
        ours.append(timed(lambda seen=seen: ask(here, seen)))
        theirs.append(timed(lambda seen=seen: ask(front, seen)))
    added = [a - b for a, b in zip(theirs, ours, strict=True)]
    print(f"a call in the process  {spread(ours)} ms")
    print(f"the same over a handle {spread(theirs)} ms")
    print(f"what that adds         {spread(added)} ms")
    return statistics.median(added), statistics.median(ours)


def many(engine: Any, seconds: float, clients: int) -> float:
    """Visitors a second who get their map when there are so many at a time."""
    photos = [fresh() for _ in range(round(MOST * seconds))]
    since, done = time.monotonic(), itertools.count()
    until = since + seconds

    def client(_number: int) -> None:
        while time.monotonic() < until:
            if problem := visit(engine, photos.pop() if photos else None):
                raise RuntimeError(problem)
            next(done)

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return next(done) / (time.monotonic() - since)


def alone() -> None:
    """One of the processes side by side: told by a line how long to go on, says how fast it was."""
    cores.share(SETTINGS, 1)
    engine = answering(SETTINGS, Options())
    settle(engine)
    print("ready", flush=True)
    for line in sys.stdin:
        print(many(engine, float(line), 1), flush=True)
    os._exit(0)


def settle(engine: Any) -> None:
    """Wait until no network is being loaded, whichever replica one asks: what they load in the
    background would count as their maps' time."""
    calm = 0
    while calm < CALM:
        listed = engine.answer("programs", "networks", {})["found"]
        calm += 1
        if any(each["state"] == "loading" for each in listed):
            calm = 0
            time.sleep(0.5)
    for _ in range(5):
        ask(engine)
        visit(engine)


def throughput(front: Any, seconds: float, rounds: int) -> float:
    """Maps a second of two replicas, as a share of those of two processes, in turns."""
    command = [sys.executable, __file__, "--alone"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for each in both:
        assert each.stdout.readline().strip() == "ready"
    shares = []
    for _ in range(rounds):
        for each in both:
            each.stdin.write(f"{seconds}\n")
            each.stdin.flush()
        ours = sum(float(each.stdout.readline()) for each in both)
        theirs = many(front, seconds, CLIENTS)
        shares.append(theirs / ours)
        print(f"two processes {ours:.1f} a second, two replicas {theirs:.1f}: {theirs / ours:.2f}")
    for each in both:
        each.stdin.close()
        each.wait()
    return statistics.median(shares)


def death(front: Any) -> int:
    """How many of 200 calls fail when a replica is killed in their midst."""
    import ray
    from ray.util import list_named_actors

    replicas = [e for e in list_named_actors(all_namespaces=True) if "replica" in e["name"]]
    done, failed = itertools.count(1), []

    def one(_number: int) -> None:
        if problem := visit(front):
            failed.append(problem)
        if next(done) == KILLED:
            ray.kill(ray.get_actor(replicas[0]["name"], namespace="serve"))

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(one, range(CALLS)))
    print(f"{len(failed)} of {CALLS} failed when a replica was killed {failed[:1]}")
    return len(failed)


class Sleeper:
    """A replica that answers whatever it is asked after so many seconds on average, half as many
    to half as many again: photos differ, and replicas in step would answer all at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.turn = seconds, asyncio.Lock()

    async def answer(self, *_asked: Any, **_more: Any) -> tuple[str, dict[str, Any]]:
        async with self.turn:  # one at a time, as a replica's lane computes; the next may wait here
            await asyncio.sleep(self.seconds * random.uniform(0.5, 1.5))
        return "", {"cpu": time.process_time()}


def growth(replicas: int, seconds: float, options: Options) -> tuple[float, float, float]:
    """Share of linear that so many sleeping replicas reach with two questions under way for each;
    milliseconds of the processor's time a call in the front; calls a second."""
    from ray import serve
    from ray.serve.config import RequestRouterConfig

    from tabs.cluster.front import Front
    from tabs.cluster.replica import ONGOING
    from tabs.cluster.router import ByVisit

    made = serve.deployment(
        name="sleeper",
        num_replicas=replicas,
        max_ongoing_requests=ONGOING,
        ray_actor_options={"num_cpus": 0},
        request_router_config=RequestRouterConfig(request_router_class=ByVisit),
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
    )(Sleeper)
    since = time.monotonic()
    handle = serve.run(made.bind(seconds), name=f"sleepers-{replicas}", route_prefix=None)
    started = time.monotonic() - since
    front = Front(handle, Subject(None), options, leave=list)
    clients, finished, over = 2 * replicas, [], threading.Event()

    def client(number: int) -> None:
        while not over.is_set():
            front.answer("programs", "explain", {"visit": f"{number}", "method": "gradcam"})
            finished.append(number)

    def until(many: int) -> tuple[int, float, float]:
        while len(finished) < many:
            time.sleep(0.05)
        return len(finished), time.monotonic(), time.process_time()

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(client, number) for number in range(clients)]
        first, since, spent = until(2 * clients)  # all are at work
        last, now, spent_now = until(first + round(max(8, 20 / seconds) * replicas))
        over.set()
        for each in running:
            each.result()
    serve.delete(f"sleepers-{replicas}")
    rate, cpu = (last - first) / (now - since), 1000 * (spent_now - spent) / (last - first)
    share = rate * seconds / replicas
    print(
        f"{replicas:4} replicas: {rate:6.1f} calls a second, {share:.2f} of linear; the front took "
        f"{cpu:.1f} ms of a core for each; started in {started:.0f} s",
        flush=True,
    )
    return share, cpu, rate


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    told.add_argument("--seconds", type=float, default=10)
    told.add_argument("--rounds", type=int, default=3)
    told.add_argument("--replicas", default="10,50,100")
    told.add_argument("--slower", type=float, default=60)
    told.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = told.parse_args()
    if given.alone:
        alone()
    cores.share(SETTINGS, 1)
    options = Options(cluster="local", replicas=2)
    front, here = answering(SETTINGS, options), answering(SETTINGS, Options())
    assert isinstance(here, Here)
    settle(here)
    settle(front)
    added, call = overhead(front, here)
    share = throughput(front, given.seconds, given.rounds)
    failed = death(front)
    from ray import serve

    serve.delete("seeing-why")
    sizes = [int(each) for each in given.replicas.split(",")]
    grown = {size: growth(size, given.slower * call / 1000, options) for size in sizes}
    linear, cpu, _ = grown[max(sizes)]
    fronts = max(sizes) * cpu / call
    print(
        f"A call of {call:.0f} ms: one core of a front carries {1000 / cpu:.0f} calls a second, "
        f"those of {call / cpu:.0f} replicas; {max(sizes)} replicas need {fronts:.1f} such cores."
    )
    front.close()
    print(
        json.dumps(
            {
                "overhead_ms": round(added, 1),
                "throughput_vs_processes": round(share, 2),
                "failed_of_200": failed,
                f"linear_at_{max(sizes)}": round(linear, 2),
                "front_ms_of_a_core": round(cpu, 2),
            }
        ),
        flush=True,
    )
    os._exit(0)


if __name__ == "__main__":
    main()
