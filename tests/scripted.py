"""What the page's scripts ask of a server, without a browser."""

from __future__ import annotations

import time
from typing import Any

import httpx


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
        while True:
            answer = self.http.send(self.call(part, name, data)).raise_for_status().json()
            if not answer.keys() & {"busy", "wait"}:
                return answer
            time.sleep(0.1)

    def upload(self, content: bytes) -> str:
        """The path that the server says."""
        answer = self.http.post("/upload", files={"files": ("cat.jpg", content)})
        [path] = answer.raise_for_status().json()
        return path

    def stream(self, photo: bytes, method: str) -> httpx.Request:
        """The events of a map that a program waits for."""
        cat = {"path": self.upload(photo), "meta": {"_type": "gradio.FileData"}}
        data = {"data": [cat, "tabby", method, "lite0", ""]}
        event = self.http.post("/call/explain", json=data).raise_for_status().json()["event_id"]
        return self.http.build_request("GET", f"/call/explain/{event}")
