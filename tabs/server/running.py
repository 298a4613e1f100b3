"""A server from its start to its end: what stands before the page, and how it stops."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import time
from typing import Any

import gradio as gr
from gradio.utils import ipython_check

from explainers import cores

from ..parts import guard, uploads
from ..parts.engine import Engine, Gauges
from ..rail import Rail
from . import logs
from .calls import Calls
from .gate import Gate, State
from .limits import Uploads
from .numbers import Numbers
from .options import GRACE, Options

log = logging.getLogger("seeing_why")

QUIET = 1.5  # seconds without a pull after which nobody waits for the rest of some work
FRESH = 20.0  # seconds for which an answer of the bundled network counts
INSIDE = "10.0.0.0/8"  # where a Space is asked from: by its own proxy alone


def believe(environ: Any) -> None:
    """Have X-Forwarded-For count only where FORWARDED_ALLOW_IPS names the proxy that says it, and
    on a Space, which can't be reached otherwise. (uvicorn by itself believes this machine.)"""
    environ.setdefault("FORWARDED_ALLOW_IPS", INSIDE if environ.get("SPACE_ID") else "")


class Ready:
    """Does the bundled network answer? Asked at most every few seconds."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = threading.Lock()
        self._said, self._when = False, -FRESH

    def __call__(self) -> bool:
        with self._lock:
            if time.monotonic() - self._when > FRESH:
                answer = self.engine.answer("programs", "well", {})
                self._said = bool(answer.get("well"))
                if not self._said:
                    log.error("the bundled network does not answer: %s", answer.get("problem"))
                self._when = time.monotonic()
            return self._said


class Running:
    """What stands before a page. `middleware` goes to Gradio; `run` serves until it is to stop."""

    def __init__(self, engine: Engine, options: Options) -> None:
        self.engine, self.options = engine, options
        kept = Uploads(uploads.folder(), options.upload_bytes, options.uploads)
        self.state = State(options, kept, None, Ready(engine))
        if options.metrics:
            self.state.numbers = Numbers(self._gauges())
            guard.noted.append(self.state.numbers.failed)

    @property
    def middleware(self) -> list[tuple[type, tuple, dict[str, Any]]]:
        """As FastAPI takes it: class, arguments, keywords."""
        return [(Gate, (), {"state": self.state})]

    def _gauges(self) -> Gauges:
        kept = self.state.uploads
        return {
            **self.engine.gauges(),
            "under_way": ("Requests under way", lambda: self.state.under_way),
            "uploads_arriving": ("Uploads arriving", lambda: kept.arriving),
            "uploads_bytes": ("Uploads on disk", kept.bytes),
        }

    def run(self, page: gr.Blocks, **launch: Any) -> None:
        """Serve until a signal says to stop; then let what is under way end, and clean up.

        In a notebook, or where the main thread has other work, it goes on in the background.
        """
        launch["enable_monitoring"] = False
        believe(os.environ)
        if not (launch.get("auth") or launch.get("auth_dependency")):
            take = Rail(self.engine.subject).take
            self.state.calls = Calls(page, launch["max_threads"], take, cores.shared.readers)
        main = threading.current_thread() is threading.main_thread()
        if ipython_check() or not main or launch.get("prevent_thread_lock"):
            page.launch(**launch)
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        page.launch(**{**launch, "prevent_thread_lock": True})
        logs.take_over()
        stop.wait()
        self.close(page)

    def close(self, page: gr.Blocks) -> None:
        """Refuse what is new, wait for what is under way, delete uploads."""
        log.info("stopping: what is under way has %.0f s", GRACE)
        self.state.closing = True
        self.engine.refuse()
        until = time.monotonic() + GRACE
        while time.monotonic() < until and (self.state.under_way or self.engine.pulled(QUIET)):
            time.sleep(0.05)
        page.close(verbose=False)
        self.engine.close()
        shutil.rmtree(self.state.uploads.folder, ignore_errors=True)
