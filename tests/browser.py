"""One server and one Chromium for all browser tests, and what a visitor does with them."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import (
    Error,
    LocatorAssertions,
    Page,
    Request,
    Route,
    expect,
)
from skimage.data import chelsea

from .chromium import Browsers, opened
from .fake_hub import CONFIG, TINY, FakeHub, weights_of
from .waiting import until

ROOT = Path(__file__).parent.parent
expect.set_options(timeout=60_000)  # two cores, shared
COMPONENTS = re.compile("component_server")  # where the page's calls go
AHEAD = "ahead"  # the bar's call for a tab that Gradio has yet to draw
TWIN = "timm/test_resnet.again"
TRANSFORMER = "timm/test_vit.r160_in1k"
EXAMPLES = json.loads((ROOT / "assets/examples/examples.json").read_text("utf-8"))
NOWHERE = "http://127.0.0.1:9"  # nothing answers there: a Hub that can't be reached


@dataclass(frozen=True)
class Server:
    """A running page: its address, how long it took to be ready, its process."""

    url: str
    seconds: float
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


def free_port() -> int:
    """A port on loopback that nobody uses. Where somebody has talked just now, nobody else is given
    it for a minute: who asks for any port, or calls somebody, gets another one."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        with socket.create_connection(probe.getsockname()):
            probe.accept()[0].close()
        return probe.getsockname()[1]


def start_server(
    folder: Path,
    *,
    command: Sequence[str] = (sys.executable, "app.py"),
    cwd: Path = ROOT,
    **settings: str,
) -> Server:
    """Start `python app.py` as a visitor's server would be, and wait until it answers. command:
    another one that starts the page."""
    port = free_port()
    environment = {
        **os.environ,
        "HF_ENDPOINT": NOWHERE,
        "HF_HOME": str(folder / "hub"),
        "GRADIO_TEMP_DIR": str(folder / "uploads"),
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        **settings,
    }
    log = (folder / "server.log").open("wb")
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, "it ended"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    try:
        until(answers, seconds=300)  # of a machine that has other work, too
    except AssertionError as error:
        process.kill()
        said = (folder / "server.log").read_text()[-3000:]
        raise RuntimeError(f"The page did not start:\n{said}") from error
    return Server(url, time.monotonic() - start, process)


@contextmanager
def serving(**settings: Any) -> Iterator[Server]:
    """A running page, until the end of the block; what it wrote goes with it."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = start_server(Path(folder), **settings)
        try:
            yield server
        finally:
            server.process.terminate()
            server.process.wait(20)


@pytest.fixture(scope="session")
def open_hub() -> Iterator[FakeHub]:
    """A Hub in miniature, with a network that fits, the same again and surer, and a transformer."""
    made = FakeHub()
    for name, sure in ((TINY, 1), (TWIN, 100)):
        made.put(name, config=CONFIG, weights=weights_of("test_resnet", sure=sure))
    vit = CONFIG | {"architecture": "test_vit"}
    made.put(TRANSFORMER, config=vit, weights=weights_of("test_vit"))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def server(open_hub: FakeHub) -> Iterator[Server]:
    """The page with that Hub, where visitors may type a network's id; each network is loaded when
    it is asked for."""
    settings = {"SEEING_WHY_HUB_IDS": "on", "SEEING_WHY_STARTUP": ""}
    with serving(HF_ENDPOINT=open_hub.url, **settings) as made:
        yield made


Visit = Callable[..., Page]


@pytest.fixture
def visit(server: Server, browsers: Browsers) -> Iterator[Visit]:
    """Opens the page as a new visitor; at the end there is no script's error, no foreign
    request and no answer of 5xx.

    visit(width=1280, height=900, dark=False, query="") -> Page
    """
    errors, foreign, failed = [], [], []

    def note(url: str) -> None:
        if not url.startswith((server.url, "data:", "blob:")):
            foreign.append(url)

    with ExitStack() as stack:

        def open_page(
            width: int = 1280, height: int = 900, dark: bool = False, query: str = ""
        ) -> Page:
            page = opened(stack.enter_context(browsers.lent()), server.url, width, height, dark)
            page.set_default_timeout(60_000)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("request", lambda request: note(request.url))
            page.on("response", lambda each: each.status >= 500 and failed.append(each.url))
            theme = "__theme=dark" if dark else "__theme=light"
            page.goto(f"{server.url}/?{theme}{query}")
            page.wait_for_selector(".rail .chip, .rail .ghost", state="attached")
            return page

        yield open_page
    assert not foreign, f"the page asked other hosts: {foreign}"
    assert not errors, f"scripts failed: {errors}"
    assert not failed, f"the server failed: {failed}"


def drop(page: Page, data: bytes, name: str, kind: str, *before: str) -> None:
    """Drop a file onto the page, as a mouse would, and wait until it is taken or refused. before:
    names of text files that come with it."""
    page.evaluate(
        """([data, name, kind, before]) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          const transfer = new DataTransfer();
          for (const each of before)
            transfer.items.add(new File(['words'], each, {type: 'text/plain'}));
          transfer.items.add(new File([bytes], name, {type: kind}));
          document.querySelector('.rail [data-problem]').textContent = '';
          window.before = JSON.stringify(seeing.state.photo);
          for (const event of ['dragenter', 'dragover', 'drop'])
            document.querySelector('#main').dispatchEvent(
              new DragEvent(event, {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }""",
        [base64.b64encode(data).decode(), name, kind, before],
    )
    page.wait_for_function(
        "() => JSON.stringify(seeing.state.photo) !== window.before"
        " || document.querySelector('.rail [data-problem]').textContent"
    )


def example(page: Page, name: str) -> None:
    """Take an example photo and wait for its maps."""
    page.click("[data-more][aria-expanded=false]")
    page.click(f'[data-example="{name}"]')
    settled(page)


def finger(page: Page, points: Iterable[tuple[float, float]]) -> None:
    """A finger put down, moved on the screen and lifted."""
    send, kind = page.context.new_cdp_session(page).send, "touchStart"
    for x, y in points:
        send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        kind = "touchMove"
    send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def address(page: Page) -> str:
    """As the page has it: `page.url` is told of changes a little later."""
    return page.evaluate("location.href")


def settled(page: Page) -> None:
    """Wait until the Maps tab shows all that is asked of it."""
    page.wait_for_function(
        "() => window.seeing?.current()"
        " && !document.querySelector('#maps-tab.busy, .stage .waiting')"
        " && document.querySelector('.stage figcaption')"
        " && [...document.querySelectorAll('.stage canvas')].every((c) => c.dataset.painted)"
    )


def heats(page: Page) -> list[str]:
    """The maps shown, as their pixels."""
    return page.eval_on_selector_all(".stage canvas", "all => all.map((each) => each.toDataURL())")


def calls(page: Page) -> list[str]:
    """From now on, what the page asks the server: “maps.more”, “rail.take”, …"""
    asked: list[str] = []
    parts = _parts(page)

    def note(request: Request) -> None:
        if COMPONENTS.search(request.url):
            asked.append(_call(request, parts))

    page.on("request", note)
    return asked


@contextmanager
def held(page: Page, name: str, since: str = "") -> Iterator[None]:
    """Until the end of the block no call of that name, such as “compare.more”, reaches the server:
    what takes long is in its midst, on a fast machine too. since: those go through until an answer
    to one of them has these words."""
    parts, waiting, said = _parts(page), [], not since

    def hold(route: Route) -> None:
        nonlocal said
        if _call(route.request, parts) != name:
            route.fallback()
        elif said:
            waiting.append(route)
        else:
            with suppress(Error):  # the page was closed meanwhile
                answer = route.fetch()
                said = since in answer.text()
                route.fulfill(response=answer)

    page.route(COMPONENTS, hold)
    try:
        yield
    finally:
        for route in waiting:
            route.continue_()
        page.unroute(COMPONENTS, hold)


@contextmanager
def told(page: Page, name: str, answer: Callable[[Any], dict[str, Any]]) -> Iterator[None]:
    """Until the end of the block calls of that name get this answer to their data, and no server
    sees them."""
    parts = _parts(page)

    def say(route: Route) -> None:
        if _call(route.request, parts) != name:
            route.fallback()
        else:
            body = json.loads(route.request.post_data or "{}")
            early = body["fn_name"] == AHEAD
            route.fulfill(json=answer(body["data"]["question"] if early else body["data"]))

    page.route(COMPONENTS, say)
    try:
        yield
    finally:
        page.unroute(COMPONENTS, say)


def _parts(page: Page) -> dict[str, str]:
    """The page's components: names by number."""
    return page.evaluate(
        "() => Object.fromEntries(gradio_config.components.map((c) => [c.id, c.props.elem_id]))"
    )


def _call(request: Request, parts: dict[str, str]) -> str:
    """What a request asks the server: “maps.more”. What is asked for a tab that has yet to be drawn
    counts as its own."""
    body = json.loads(request.post_data or "{}")
    part = str(parts.get(str(body.get("component_id")))).removesuffix("-html")
    if body.get("fn_name") == AHEAD:
        return f"{body['data']['tab']}.ask"
    return f"{part}.{body.get('fn_name')}"


def cat_jpeg(quality: int = 92, **more: object) -> bytes:
    """A photo of a cat that is none of the examples; in another quality it is one of which the
    server knows nothing yet, whatever other tests have asked."""
    file = io.BytesIO()
    Image.fromarray(chelsea()).save(file, "JPEG", quality=quality, **more)
    return file.getvalue()


def cat(page: Page) -> None:
    """Drop it, and wait for its maps."""
    drop(page, cat_jpeg(), "my cat.jpg", "image/jpeg")
    settled(page)


def chip(page: Page, at: int) -> str:
    """Click a chip; returns its class."""
    page.locator(".rail .chip").nth(at).click()
    return page.locator(".rail .chip-name").nth(at).inner_text()


def say(page: Page) -> LocatorAssertions:
    """What the Maps tab says."""
    return expect(page.locator("#maps-tab .say"))
