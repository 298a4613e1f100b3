"""What `deploy/` holds works: nginx runs before two fronts; the rest is checked by its linter."""

from __future__ import annotations

import http.client
import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import kubernetes_validate
import pytest
import yaml
from playwright.sync_api import Browser

from tabs.server import gate, running
from tests.browser import ROOT, Server, drop, free_port, settled
from tests.proxied import proxied, tool

DEPLOY = ROOT / "deploy"
CLUSTER = ROOT / "requirements-cluster.txt"
CAT = ROOT / "assets/examples/cat.jpg"


def test_a_space_believes_its_own_proxy_alone() -> None:
    """Of a believed X-Forwarded-For its first address counts where all are believed: a visitor
    could write there who he is, and would have no limit."""
    environ = {**os.environ, "SPACE_ID": "someone/page"}
    environ.pop("FORWARDED_ALLOW_IPS", None)
    show = "import os, tabs; print(os.environ.get('FORWARDED_ALLOW_IPS'))"
    said = subprocess.run(
        [sys.executable, "-c", show], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert said.stdout == "None\n"
    running.believe(environ)
    assert environ["FORWARDED_ALLOW_IPS"] == running.INSIDE


def test_a_free_port_is_given_to_nobody_else_meanwhile() -> None:
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    with socket.create_server(("127.0.0.1", port)):
        pass


# ---- nginx ----


def test_the_page_is_whole_behind_nginx(server: Server, chromium: Browser, tmp_path: Path) -> None:
    with proxied(tmp_path, server.port, free_port()) as url:  # and one front is away
        page = chromium.new_page()
        asked: list[str] = []
        page.on("request", lambda each: asked.append(each.url))
        page.goto(url)
        settled(page)
        drop(page, CAT.read_bytes(), "cat.jpg", "image/jpeg")
        settled(page)
        assert page.evaluate("() => Boolean(seeing.state.photo.own)")
        page.context.close()
    assert all(each.startswith((url, "data:", "blob:")) for each in asked)


class Front(BaseHTTPRequestHandler):
    """A front of a test's own: tells what it was asked, and sends a stream in which each event
    waits until the test has seen what came before."""

    seen: threading.Semaphore

    def do_GET(self) -> None:
        self.send_response(200)
        stream = self.path == "/gradio_api/queue/data"
        self.send_header("Content-Type", "text/event-stream" if stream else "application/json")
        self.end_headers()
        if not stream:
            self.wfile.write(json.dumps(dict(self.headers)).encode())
            return
        for event in (b"data: first\n\n", b"data: second\n\n"):
            self.seen.acquire(timeout=60)
            self.wfile.write(event)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def stub() -> Iterator[ThreadingHTTPServer]:
    Front.seen = threading.Semaphore(0)
    with ThreadingHTTPServer(("127.0.0.1", 0), Front) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.mark.slow
def test_events_come_as_they_are_sent_and_nobody_claims_an_address(tmp_path: Path) -> None:
    with stub() as made, proxied(tmp_path, made.server_port) as url:
        with httpx.stream("GET", f"{url}/gradio_api/queue/data", timeout=30) as answer:
            Front.seen.release()
            events = answer.iter_lines()
            assert next(events) == "data: first"
            Front.seen.release()
            assert "data: second" in list(events)
        claimed = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "evil.example"}
        heard = httpx.get(f"{url}/config", headers=claimed, timeout=60).json()
        assert heard["X-Forwarded-For"] == "127.0.0.1"
        assert heard["X-Forwarded-Host"] == heard["Host"] == urlsplit(url).netloc
        assert httpx.get(f"{url}/metrics", timeout=60).status_code == 404


def said(url: str, path: str, length: int) -> tuple[int, str]:
    """The answer to a body of that length, before any of it is sent."""
    line = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    line.putrequest("POST", path)
    line.putheader("Content-Length", str(length))
    line.endheaders()
    answer = line.getresponse()
    found = answer.status, json.loads(answer.read())["detail"]
    line.close()
    return found


def test_what_nginx_refuses_it_refuses_in_our_words(tmp_path: Path) -> None:
    photo, question = "/gradio_api/upload", "/gradio_api/queue/join"
    with proxied(tmp_path, free_port()) as url:
        assert said(url, photo, gate.MOST_BYTES[True] + 10**6) == (413, gate.LARGE)
        assert said(url, question, gate.MOST_BYTES[False] + 2 * 10**6) == (413, gate.LARGE)
        assert said(url, question, 0) == (503, gate.CLOSING)
        slow = [waiting(url, photo) for _ in range(5)]
        crowded = answered(slow)  # any of them may be the one too many
        assert (crowded.status, crowded.headers["Retry-After"]) == (429, "5")
        assert json.loads(crowded.read())["detail"] == gate.CROWDED.format(gate.SOON)
        for each in slow:
            each.close()


def waiting(url: str, path: str) -> socket.socket:
    """An upload whose body does not come."""
    line = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), 60)
    line.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode())
    return line


def answered(lines: list[socket.socket]) -> http.client.HTTPResponse:
    """What the first of them reads that is answered."""
    [line, *_], _, _ = select.select(lines, [], [], 60)
    answer = http.client.HTTPResponse(line, method="POST")
    answer.begin()
    return answer


# ---- what can't run here ----


def test_the_units_are_sound_and_give_the_page_time_to_stop(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze", "systemd")
    units = sorted(DEPLOY.glob("*.service"))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("python", "ray"):
        (programs / name).touch(0o755)
    for unit in units:
        text = unit.read_text("utf-8")
        assert int(re.search(r"TimeoutStopSec=(\d+)", text)[1]) > running.GRACE + 5
        text = text.replace("/opt/seeing-why/.venv/bin", str(programs))
        (tmp_path / unit.name).write_text(text.replace("/opt/seeing-why", str(ROOT)))
    copies = [str(tmp_path / unit.name) for unit in units]
    checked = subprocess.run([analyze, "verify", *copies], capture_output=True, text=True)
    assert checked.stderr == ""  # a name it does not know is no error to it
    for copy in copies:  # its own measure of what a unit may do: 0 nothing, 100 all
        strict = [analyze, "security", "--offline=yes", "--threshold=20", copy]
        assert subprocess.run(strict, capture_output=True).returncode == 0, copy


def test_the_image_is_as_its_linter_wants_it() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    checked = subprocess.run([hadolint, DEPLOY / "Dockerfile"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    stages = (DEPLOY / "Dockerfile").read_text("utf-8").split("\nFROM ")[1:]
    assert all(re.findall(r"^USER (.*)$", stage, re.MULTILINE)[-1:] == ["10001"]
               for stage in stages if "\nUSER " in stage)  # fmt: skip
    assert stages[-1].startswith("base AS page")  # what is built unless another one is named


FIELDS = {  # of KubeRay's reference, as far as they are used here
    "service": {"serveConfigV2", "rayClusterConfig", "excludeHeadPodFromServeSvc"},
    "cluster": {"rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions",
                "headGroupSpec", "workerGroupSpecs"},
    "group": {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"},
}  # fmt: skip


def test_the_manifests_are_what_kubernetes_takes() -> None:
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    documents = [each for file in files for each in yaml.safe_load_all(file.read_text("utf-8"))]
    service = next(each for each in documents if each["kind"] == "RayService")["spec"]
    cluster = service["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    assert service.keys() <= FIELDS["service"]
    assert cluster.keys() <= FIELDS["cluster"]
    assert all(group.keys() <= FIELDS["group"] for group in groups)
    pods = [{"apiVersion": "v1", "kind": "Pod", **group["template"]} for group in groups]
    for each in [*pods, *(each for each in documents if each["kind"] != "RayService")]:
        kubernetes_validate.validate(each, "1.34", strict=True)
    for pod in pods:
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        assert pod["spec"]["terminationGracePeriodSeconds"] > running.GRACE + 5
        assert pod["metadata"]["labels"].items() >= {"app": "seeing-why"}.items()
    assert f"ray[serve]=={cluster['rayVersion']}" in CLUSTER.read_text("utf-8")


@pytest.mark.slow
def test_ray_takes_the_application_of_the_manifest() -> None:
    from ray.serve.schema import ServeDeploySchema

    from tabs.cluster import replica

    service = yaml.safe_load((DEPLOY / "kubernetes/rayservice.yaml").read_text("utf-8"))["spec"]
    [found] = ServeDeploySchema(**yaml.safe_load(service["serveConfigV2"])).applications
    module, name = found.import_path.split(":")
    assert (module, found.name) == (replica.__name__, replica.NAME)
    application = getattr(replica, name)(found.args)
    grows = application._bound_deployment._deployment_config.autoscaling_config
    assert (grows.min_replicas, grows.max_replicas) == (2, 20)


def test_the_example_of_settings_names_settings() -> None:
    lines = (DEPLOY / "seeing-why.env.example").read_text("utf-8").splitlines()
    names = [
        line.removeprefix("#").split("=")[0] for line in lines if re.match(r"#?[A-Z_]+=", line)
    ]
    readme = (ROOT / "README.md").read_text("utf-8")
    assert names
    assert all(f"`{name}`" in readme for name in names), names
