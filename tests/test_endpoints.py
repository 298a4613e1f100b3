"""Every endpoint is public: good requests get answers, bad ones a sentence; the server lives."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio.components import Component
from gradio_client import Client, handle_file
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from PIL import Image

from explainers import METHODS
from explainers.settings import Settings
from explainers.zoo import BUNDLED, shared
from explainers.zoo.catalogue import CATALOGUE, offered
from tabs import endpoints, page
from tabs.here import Here
from tests.browser import Server
from tests.waiting import run

ROOT = Path(__file__).parent.parent
CAT = ROOT / "assets/examples/cat.jpg"
#: Folders that are nobody's business; a container's user may have “/” for a home.
OURS = [f"{each}/" for each in (ROOT, Path.home()) if each != Path("/")]
NONSENSE = [
    None,
    "../../etc/passwd",
    {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
    {"path": "http://127.0.0.1:9/x.png", "url": "file:///etc/passwd"},
    10**30,
    -1,
    ["x"] * 500,
    [1e300, None],
    {"index": "x", "add": []},
    "<script>alert(1)</script>",
]


@pytest.fixture(scope="module")
def client(server: Server) -> Client:
    return Client(server.url, verbose=False, httpx_kwargs={"timeout": 60})


def test_classify_and_explain_from_a_program(client: Client, tmp_path: Path) -> None:
    named = client.predict(handle_file(CAT), "lite0", 3, api_name="/classify")
    assert len(named) == 3
    assert "cat" in named[0]["class"]
    picture, about = client.predict(
        handle_file(CAT), "tabby", "gradcam", "lite0", "", api_name="/explain"
    )
    with Image.open(picture) as image:
        assert image.width > 200
        assert not image.getexif()
    assert about["class"] == "tabby"
    assert 0 <= about["peak"]["x"] <= 1
    mask = tmp_path / "mask.png"
    Image.fromarray(np.eye(64, dtype=np.uint8)).save(mask)
    *_, about = client.predict(handle_file(mask), "", "gradcam", "lite0", "", api_name="/explain")
    assert "nearly black" in about["notes"][0]


def test_what_there_is_can_be_asked(client: Client) -> None:
    methods = {each["key"] for each in client.predict(api_name="/methods")}
    assert methods == set(METHODS)
    networks = {each["key"]: each["state"] for each in client.predict(api_name="/networks")}
    listed = [entry.key for entry in offered(Settings())]
    assert list(networks)[: len(listed)] == listed  # then what somebody has typed
    assert networks[BUNDLED] == "ready"
    later = [entry.key for entry in CATALOGUE if entry.repo and not entry.here]
    assert "on demand" in {networks[key] for key in later}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("no such beast", "gradcam", "lite0", ""), "knows no class"),
        (("tabby", "no such method", "lite0", ""), "The methods are"),
        (("tabby", "gradcam", "no such network", ""), "choose"),
        (("tabby", "gradcam", "lite0", "tabby"), "itself"),
    ],
)
def test_a_bad_request_gets_the_sentence(
    client: Client, arguments: tuple[str, ...], says: str
) -> None:
    with pytest.raises(Exception, match=says) as error:
        client.predict(handle_file(CAT), *arguments, api_name="/explain")
    assert "Traceback" not in str(error.value)


def ask(http: httpx.Client, index: int, values: list[object], trigger: int | None) -> str:
    """Call an endpoint by its number, as anybody can; returns all that the server says."""
    session = uuid.uuid4().hex
    body = {"fn_index": index, "data": values, "session_hash": session, "trigger_id": trigger}
    joined = http.post("/gradio_api/queue/join", json=body)
    said = joined.text
    if joined.status_code != 200:
        return said
    with http.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        for line in stream.iter_lines():
            said += line
            if any(end in line for end in ("completed", "generating", "close_stream")):
                return said
    return said


def test_nonsense_at_every_endpoint_leaves_the_server_well(server: Server) -> None:
    alone = httpx.Limits(max_keepalive_connections=0)  # what ends one call ends no other
    http = httpx.Client(base_url=server.url, timeout=60, limits=alone)
    config = httpx.get(f"{server.url}/config", timeout=60).json()
    endpoints = [each for each in config["dependencies"] if each["backend_fn"]]
    functions = [
        (each["id"], name)
        for each in config["components"]
        for name in each["props"].get("server_fns") or each.get("server_fns") or []
    ]
    assert len(endpoints) >= 4
    assert len(functions) > 20

    def answer(endpoint: dict, shift: int) -> str:
        count = len(endpoint["inputs"])
        values = [NONSENSE[(shift + i) % len(NONSENSE)] for i in range(count)]
        targets = endpoint["targets"] or [[None, None]]
        return ask(http, endpoint["id"], values, targets[0][0])

    def call(function: tuple[int, str], data: object) -> str:
        body = {"data": data, "component_id": function[0], "fn_name": function[1]}
        body["session_hash"] = uuid.uuid4().hex
        said = http.post("/gradio_api/component_server/", content=json.dumps(body),
                         headers={"content-type": "application/json"})  # fmt: skip
        assert said.status_code < 500, (function, data)
        return said.text

    wrong = product(endpoints, (2, 3, 4, 8))  # files first, then numbers, then events
    photo = {"example": "cat.jpg"}
    asked = [
        *NONSENSE,
        {"path": "/etc/passwd"},
        {"photo": photo, "network": "../x", "targets": [10**9]},
        {"photo": {"own": "x"}, "settings": {"layer": [1]}},
        {"photo": photo, "targets": ["no such beast"], "against": {}},
        {"photo": photo, "targets": [281], "settings": "x", "act": "png", "data": [1]},
        {"photo": photo, "knows": True, "form": "x", "act": {}, "visit": ["x"]},
    ]
    with http, ThreadPoolExecutor(8) as visitors:
        answers = [*visitors.map(lambda each: answer(*each), wrong)]
        answers += visitors.map(lambda each: call(*each), product(functions, asked))
    for said in answers:
        assert "Traceback" not in said
        assert "root:" not in said  # /etc/passwd
        assert "site-packages" not in said
        assert not [each for each in OURS if each in said]
    assert httpx.get(server.url, timeout=60).status_code == 200


def test_it_is_an_mcp_server_with_described_tools(server: Server) -> None:
    async def talk() -> tuple[dict[str, str], str]:
        url = f"{server.url}/gradio_api/mcp/"
        async with (
            streamablehttp_client(url) as (read, write, _),
            ClientSession(read, write) as mcp,
        ):
            await mcp.initialize()
            tools = {tool.name: tool.description or "" for tool in (await mcp.list_tools()).tools}
            answer = await mcp.call_tool(next(name for name in tools if "methods" in name), {})
            return tools, json.dumps([each.model_dump() for each in answer.content], default=str)

    tools, answer = run(talk())
    names = ("classify", "explain", "methods", "networks")
    for name in names:
        assert any(name in tool and len(text) > 40 for tool, text in tools.items()), tools
    assert len(tools) == len(names)
    assert "gradcam" in answer


def test_browsers_load_no_scripts_of_widgets_that_are_never_shown() -> None:
    """They do for what stands in a part that is not shown, and does not say so itself."""
    with gr.Blocks() as built:
        endpoints.build(Here(shared(), ()))
    widgets = [each for each in built.blocks.values() if isinstance(each, Component)]
    assert len(widgets) > 10
    assert not [each for each in widgets if each.visible]


@pytest.mark.slow
def test_uploads_are_deleted_after_an_hour() -> None:
    every, age = page.build(Here(shared(), page.TABS)).delete_cache
    assert every <= age == 3600
