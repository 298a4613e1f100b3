"""The page's own calls, answered at the gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tabs import bar
from tabs.rail import Rail
from tabs.server import gate, kept, logs
from tabs.server.calls import Calls
from tabs.server.first import SIGN, sooner
from tabs.subject import Subject
from tests.test_server import CAT, PAGE, Site, run


def test_the_page_s_own_calls_reach_its_server_functions_and_nothing_else(tmp_path: Path) -> None:
    def told(data: Any = None) -> dict[str, Any]:
        return {"data": data, "request": logs.request()}

    with gr.Blocks() as page:
        html = gr.HTML("", server_functions=[told])

    async def ask() -> None:
        site = Site(tmp_path)
        site.state.calls = Calls(page, 2, bytes)
        body = {"component_id": html._id, "fn_name": "told", "data": {"a": [1, "ü"]}}
        said = await site.http.post(f"{PAGE}/", json=body)
        name = said.headers["x-request-id"]
        assert said.json() == {"data": body["data"], "request": name}
        for wrong in (
            {"fn_name": "get_config"},
            {"fn_name": "__init__"},
            {"fn_name": None},
            {"component_id": 10**6},
            {"component_id": [1]},
        ):
            said = await site.http.post(PAGE, json=body | wrong)
            assert said.status_code in (404, 422)
            assert "load the page again" in said.json()["problem"]
        for broken in (b"", b"[]", b"3", b"{"):
            assert (await site.http.post(PAGE, content=broken)).status_code == 422

    run(ask())


def test_a_tab_s_question_may_come_before_it_is_drawn() -> None:
    """It is asked as the tab would, and nothing else can be asked in this way."""
    asked: list[Any] = []

    class Noting:
        def answer(self, *question: Any) -> dict[str, Any]:
            asked.append(question)
            return {"places": {}}

    ahead = bar.ahead_of(Noting(), ["maps", "muting"])  # type: ignore[arg-type]
    assert ahead({"tab": "muting", "question": {"photo": None}}) == {"places": {}}
    assert asked == [("muting", "ask", {"photo": None})]
    for wrong in (None, [], "muting", {}, {"tab": "programs"}, {"tab": ["muting"]}, {"tab": {}}):
        assert "no such tab" in ahead(wrong)["problem"]
    assert len(asked) == 1


def test_a_photo_is_taken_in_as_it_arrives_within_the_bounds_of_uploads(tmp_path: Path) -> None:
    subject = Subject(None)
    path = gate.PHOTO

    async def ask() -> None:
        site = Site(tmp_path, uploads=2)
        assert (await site.http.post(path, content=b"x")).text == "1"  # Gradio's, where one logs in
        site.state.calls = Calls(gr.Blocks(), 2, Rail(subject).take)
        said = (await site.http.post(path, content=CAT.read_bytes())).json()
        assert subject.photo(said).height > 100
        said = await site.http.post(path, content=b"no photo")
        assert (said.status_code, list(said.json())) == (200, ["problem"])
        said = await site.http.post(path, content=bytes(gate.MAX_BYTES + 1))
        assert (said.status_code, said.json()["detail"]) == (413, gate.LARGE)
        site.state.uploads.begin("127.0.0.1")
        said = await site.http.post(path, content=CAT.read_bytes())
        assert (said.status_code, said.headers["retry-after"]) == (429, "5")
        assert not list(tmp_path.iterdir())
        assert site.state.uploads.arriving == 1

    run(ask())


def test_the_page_is_made_once_for_each_of_its_addresses(tmp_path: Path) -> None:
    made: list[str] = []

    class Made(Site):
        async def _app(self, scope: Any, _receive: Any, send: Any) -> None:
            host = dict(scope["headers"])[b"host"].decode()
            made.append(f"{host}{scope['path']}?{scope['query_string'].decode()}")
            failing = b"page=none" in scope["query_string"]
            said, cookie = json.dumps(made[-1]).encode(), [(b"Set-Cookie", b"whose=mine")]
            await gate._answer(send, 404 if failing else 200, said, more=cookie)

    async def ask() -> None:
        site = Made(tmp_path)
        site.state.calls = Calls(gr.Blocks(), 2, bytes)
        first = await site.http.get("/?target=1", headers={"Accept-Encoding": "identity"})
        assert first.headers["x-content-type-options"] == "nosniff"
        packed = await site.http.get("/")
        assert (packed.text, packed.headers["content-encoding"]) == (first.text, "gzip")
        assert "set-cookie" not in first.headers.keys() | packed.headers.keys()  # one visitor's
        known = {"If-None-Match": first.headers["etag"]}
        again = await site.http.get("/?model=lite0", headers=known)
        assert (again.status_code, again.content, len(made)) == (304, b"", 1)
        assert "b.org" in (await site.http.get("/", headers={**known, "Host": "b.org"})).text
        assert "page=2" in (await site.http.get("/?page=2")).text
        assert (await site.http.get("/?page=none")).status_code == 404
        assert (await site.http.get("/other")).text == '"page/other?"'
        assert len(made) == 5

    run(ask())


def test_a_sign_of_the_page_comes_before_its_settings() -> None:
    """On a slow line these take ten seconds."""
    settings = b'<script>window.gradio_config = {"a": "\\u003c/script"};</script>'
    head, body = b"<html><head><title>x</title>", b'</head>\n<body\n class="a">'
    rest = b"<gradio-app></gradio-app><script>all()</script>"
    end = b"</body></html>"
    assert sooner(head + settings + body + rest + end) == head + body + SIGN + rest + settings + end
    assert sooner(head + body + rest + end) == head + body + rest + end


@pytest.mark.slow
def test_long_answers_are_packed_for_those_who_take_it(tmp_path: Path) -> None:
    async def ask(length: int, coding: str) -> tuple[str | None, bool]:
        with gr.Blocks() as page:
            html = gr.HTML("", server_functions=[told])
        site = Site(tmp_path)
        site.state.calls = Calls(page, 2, bytes)
        body = {"component_id": html._id, "fn_name": "told", "data": "ab" * length}
        said = await site.http.post(PAGE, json=body, headers={"Accept-Encoding": coding})
        return said.headers.get("content-encoding"), said.json() == body["data"]

    def told(data: Any = None) -> Any:
        return data

    assert run(ask(gate.SHORT, "gzip, br")) == ("gzip", True)
    assert run(ask(gate.SHORT, "identity")) == (None, True)
    assert run(ask(5, "gzip, br")) == (None, True)


def test_gradio_s_scripts_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would compress them anew for each visitor."""
    monkeypatch.setattr(kept, "MOST", 150)
    made: list[str] = []

    class Made(Site):
        async def _app(self, scope: Any, _receive: Any, send: Any) -> None:
            made.append(scope["path"])
            status = 404 if "none" in scope["path"] else 200
            await gate._answer(send, status, scope["path"].encode() * 4, b"text/javascript")

    async def ask() -> None:
        http = Made(tmp_path).http

        async def get(name: str, **headers: str) -> str:
            said = await http.get(f"/assets/{name}.js", headers={"Accept-Encoding": "br"} | headers)
            if said.status_code == 200:
                assert "immutable" in said.headers["cache-control"]
                assert said.headers["content-type"] == "text/javascript"
            return said.text

        assert await get("a") == await get("a") == "/assets/a.js" * 4
        assert len(made) == 1
        await get("a", **{"Accept-Encoding": "identity"})  # another answer
        await get("a", Range="bytes=0-1")
        await get("none")
        await get("none")
        assert len(made) == 5
        for name in "bcda":  # of which there is room for three
            await get(name)
        assert len(made) == 9

    run(ask())
