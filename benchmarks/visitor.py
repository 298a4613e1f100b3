"""A visitor of the page without a browser, for `load.py`, `memory.py` and `soak.py`.

As lean as can be, since it shares the machine with the server.
"""

from __future__ import annotations

import io
import json
import random
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import orjson
from PIL import Image

from explainers.zoo.catalogue import CATALOGUE
from tests.browser import Server

EXAMPLES = Path(__file__).resolve().parents[1] / "assets" / "examples"
NETWORKS = [entry.key for entry in CATALOGUE if entry.here]  # without a Hub
API = "/gradio_api"
CALL = f"{API}/component_server"
LIKE = {"Accept-Encoding": "gzip"}  # as a browser asks for the page
IDLE = 2.0  # seconds after which a connection isn't used again: servers hang up after some
ONE_ADDRESS = {"SEEING_WHY_ADDRESS_RATE": "1000000", "SEEING_WHY_UPLOADS": "400"}  # for them all


@dataclass
class Seen:
    """What visitors met. maps, told: seconds. errors: what the page said went wrong."""

    maps: list[float] = field(default_factory=list)
    told: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    busy: int = 0
    waits: int = 0
    peak_mb: float = 0.0


class Photos:
    """JPEGs that nobody has seen: each a part of its own of one of the photos. Drawing one takes a
    millisecond of a core, so those of the runs without a pause are made beforehand."""

    def __init__(self, folder: Path | None, seed: int = 0) -> None:
        paths = sorted((folder or EXAMPLES).rglob("*.jpg"))[:60]
        self.images = [Image.open(path).convert("RGB") for path in paths]
        self._random, self._lock = random.Random(seed), threading.Lock()
        self._made: deque[bytes] = deque()

    def make(self, count: int) -> None:
        """Have so many ready."""
        self._made.extend([self._draw() for _ in range(count)])

    def __call__(self) -> bytes:
        try:
            return self._made.popleft()
        except IndexError:
            return self._draw()

    def _draw(self) -> bytes:
        with self._lock:
            image = self._random.choice(self.images)
            edge = [self._random.uniform(0, 0.15) for _ in range(4)]
        width, height = image.size
        box = (edge[0] * width, edge[1] * height, (1 - edge[2]) * width, (1 - edge[3]) * height)
        file = io.BytesIO()
        image.crop(tuple(map(round, box))).save(file, "JPEG", quality=88)
        return file.getvalue()


@cache
def places(url: str) -> dict[str, int]:
    """The numbers of the page's components, by name."""
    with urlopen(f"{url}/config") as answer:
        listed = json.load(answer)["components"]
    return {each["props"].get("elem_id"): each["id"] for each in listed}


def tabs(url: str) -> dict[str, int]:
    """The same of the tabs alone, by their keys, in the page's order."""
    ends = "-html"
    return {k.removesuffix(ends): at for k, at in places(url).items() if k and k.endswith(ends)}


class Visitor:
    """A browser's side of the page. number: tells one visitor from another."""

    def __init__(self, url: str, seen: Seen, number: int) -> None:
        self.url, self.seen, self.visit = url, seen, f"visitor-{number}-{random.random()}"
        at = urlsplit(url)
        self.http = HTTPConnection(at.hostname or "", at.port, timeout=300)
        self.used = time.monotonic()
        self._send("GET", "/")  # the page itself

    def _send(self, method: str, path: str, body: bytes = b"", kind: str = "") -> bytes:
        if time.monotonic() - self.used > IDLE:
            self.http.close()  # and the next request opens it anew
        self.http.request(method, path, body or None, {"Content-Type": kind} if kind else LIKE)
        answer = self.http.getresponse()
        content, self.used = answer.read(), time.monotonic()
        if answer.status != 200:
            raise OSError(f"{path} answered {answer.status}")
        return content

    def _asked(self, place: int, name: str, data: Any) -> bytes:
        body = {"component_id": place, "fn_name": name, "session_hash": self.visit, "data": data}
        return json.dumps(body).encode()

    def call(self, place: int, name: str, data: Any) -> dict[str, Any]:
        """One of the page's own calls; sent again where the page would do so."""
        asked = self._asked(place, name, data)
        while True:
            answer = orjson.loads(self._send("POST", CALL, asked, "application/json"))
            if not answer.get("busy"):
                return answer
            self.seen.busy += 1
            time.sleep(answer["busy"])

    def bring(self, photo: bytes) -> dict[str, str]:
        """Bring a photo; what questions call it."""
        return {"own": json.loads(self._send("POST", f"{API}/upload_photo", photo))["own"]}

    def look(self, tab: str, asked: dict[str, Any], seconds: float) -> None:
        """Look at a tab until all is drawn or one has seen enough."""
        place, until = tabs(self.url)[tab], time.monotonic() + seconds
        answer = self.call(place, "ask", {**asked, "visit": self.visit})
        while answer.get("wait"):
            time.sleep(0.5)
            answer = self.call(place, "ask", {**asked, "visit": self.visit})
        while answer.get("more") and time.monotonic() < until:
            answer = self.call(place, "more", answer["more"])
        if "problem" in answer:
            self.seen.errors.append(f"{tab}: {answer['problem']}")

    def leave(self, tab: str, asked: dict[str, Any]) -> None:
        """Ask, and hang up before the answer."""
        data = self._asked(tabs(self.url)[tab], "ask", {**asked, "visit": self.visit})
        with socket.create_connection((self.http.host, self.http.port), 30) as line:
            line.sendall(
                f"POST {CALL} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(data)}\r\n\r\n".encode()
                + data
            )


def memory(server: Server, field: str) -> float:
    """MB of the server's process: VmRSS is resident now, VmHWM at the most so far."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6
