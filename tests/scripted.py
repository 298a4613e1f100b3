"""What the page's scripts ask of a server, without a browser."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from .waiting import until

CAT = Path(__file__).parent.parent / "assets/examples/cat.jpg"


class Page:
    """A visitor's page, or a program's, at that address. http: keeps the cookies that it gets."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=f"{url}/gradio_api", timeout=120)
        self.http.get(f"{url}/")
        config = self.http.get(f"{url}/config").json()
        self.parts = {each["props"].get("elem_id"): each["id"] for each in config["components"]}

    def call(self, part: str, name: str, data: object) -> httpx.Request:
        """A call of that part's script, as it would be sent."""
        body = {"component_id": self.parts[part], "fn_name": name, "session_hash": "x"}
        return self.http.build_request("POST", "/component_server", json=body | {"data": data})

    def ask(self, part: str, name: str, data: object) -> dict[str, Any]:
        """The answer; asked again where the page would do so."""
        return until(
            lambda: self.http.send(self.call(part, name, data)).raise_for_status().json(),
            lambda answer: not answer.keys() & {"busy", "wait"},
            120,
        )

    def upload(self, content: bytes) -> str:
        """The path that the server says."""
        answer = self.http.post("/upload", files={"files": ("cat.jpg", content)})
        [path] = answer.raise_for_status().json()
        return path

    def map(self, *asked: str, queued: bool = True) -> httpx.Request:
        """What a program sends to have a map of a cat: the events of its call, or the call itself
        where it uses no queue. asked: target, method, network, against."""
        cat = {"path": self.upload(CAT.read_bytes()), "meta": {"_type": "gradio.FileData"}}
        data = {"data": [cat, *asked]}
        if not queued:
            return self.http.build_request("POST", "/run/explain", json=data)
        event = self.http.post("/call/explain", json=data).raise_for_status().json()["event_id"]
        return self.http.build_request("GET", f"/call/explain/{event}")

    @contextmanager
    def talking(self, request: httpx.Request | bytes) -> Iterator[None]:
        """Send it, and go away at the end of the block, whatever the answer is."""
        if isinstance(request, httpx.Request):
            heads = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
            first = f"{request.method} {request.url.path} HTTP/1.1\r\n{heads}\r\n"
            request = first.encode() + request.read()
        where = self.http.base_url
        with socket.create_connection((where.host, where.port), 60) as talk:
            talk.sendall(request)
            yield
