"""nginx as `deploy/nginx.conf` has it, before fronts of a test's own."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .browser import ROOT, free_port
from .waiting import until

MAIN = """\
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    include {folder}/site.conf;
}}
"""


def tool(name: str, package: str) -> str:
    """Where a program of this machine is; where CI is set, not to have it is a failure."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is None:
        how = f"No {name} here, so what needs it is not tested: “apt-get install {package}”."
        if os.environ.get("CI"):
            pytest.fail(how)
        pytest.skip(how)
    return found


def site(port: int, fronts: tuple[int, ...]) -> str:
    """deploy/nginx.conf with other ports."""
    text = (ROOT / "deploy/nginx.conf").read_text("utf-8")
    servers = re.findall(r"^ +server 127\.0\.0\.1:\d+;$", text, re.MULTILINE)
    assert len(servers) == 2
    text = text.replace("\n".join(servers), "\n".join(f"server 127.0.0.1:{n};" for n in fronts))
    text, count = re.subn(r"\blisten 80;", f"listen 127.0.0.1:{port};", text)
    assert count == 1
    return text


@contextmanager
def proxied(folder: Path, *fronts: int) -> Iterator[str]:
    """The address of an nginx before fronts at these ports, until the end of the block."""
    nginx, port = tool("nginx", "nginx-light"), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user))
    (folder / "site.conf").write_text(site(port, fronts))
    command = [nginx, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr + (folder / "error.log").read_text()
    process = subprocess.Popen(command)

    def listens() -> bool:
        assert process.poll() is None, (folder / "error.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        until(listens)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
