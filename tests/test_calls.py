"""The page's own calls, answered at the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from tabs.server import logs
from tabs.server.calls import Calls
from tests.test_server import PAGE, Site, run


def test_the_page_s_own_calls_reach_its_server_functions_and_nothing_else(tmp_path: Path) -> None:
    def told(data: Any = None) -> dict[str, Any]:
        return {"data": data, "request": logs.request()}

    with gr.Blocks() as page:
        html = gr.HTML("", server_functions=[told])

    async def ask() -> None:
        site = Site(tmp_path)
        site.state.calls = Calls(page, 2)
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
