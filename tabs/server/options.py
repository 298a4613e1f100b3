"""What whoever runs the page may choose about its server, read from the environment once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from explainers import OptionError
from explainers.settings import MEGABYTE, switch, whole

LOGS = ("lines", "json")
FRAMES = "'self' https://huggingface.co https://*.hf.space"
ANYWHERE = "*"


@dataclass(frozen=True)
class Options:
    """Each field, the environment variable that sets it, and what it means.

    upload_mb: SEEING_WHY_UPLOAD_MB, disk for all uploads in MB; past it the oldest ones go.
    uploads: SEEING_WHY_UPLOADS, how many may arrive at a time.
    rate: SEEING_WHY_RATE, questions and acts a minute that one visitor may ask.
    address_rate: SEEING_WHY_ADDRESS_RATE, requests a minute from one address.
    waiting: SEEING_WHY_WAITING, how many may wait for a turn.
    sessions: SEEING_WHY_SESSIONS, how many of Gradio's sessions are kept.
    work_seconds: SEEING_WHY_WORK_SECONDS, of work that one answer may take in all.
    frames: SEEING_WHY_FRAMES, on whose pages ours may be framed: sources as in the header
        Content-Security-Policy, or "*" for all.
    metrics: SEEING_WHY_METRICS, "on" or "off": is there /metrics, for everybody who asks?
    log: SEEING_WHY_LOG, "lines" or "json".
    """

    upload_mb: int = 2000
    uploads: int = 8
    rate: int = 1200
    address_rate: int = 6000
    waiting: int = 64
    sessions: int = 200
    work_seconds: int = 900
    frames: str = FRAMES
    metrics: bool = False
    log: str = "lines"

    @property
    def upload_bytes(self) -> int:
        return self.upload_mb * MEGABYTE


def from_environment(environ: Mapping[str, str] = os.environ) -> Options:
    """Read the options; raises OptionError that names the variable with a bad value."""
    numbers = ("upload_mb", "uploads", "rate", "address_rate", "waiting", "sessions")
    numbers += ("work_seconds",)
    default = Options()
    found = {
        name: whole(environ, f"SEEING_WHY_{name.upper()}", getattr(default, name))
        for name in numbers
    }
    log = environ.get("SEEING_WHY_LOG", "").strip().lower() or default.log
    if log not in LOGS:
        raise OptionError(f"SEEING_WHY_LOG must be one of {' and '.join(LOGS)}.")
    frames = environ.get("SEEING_WHY_FRAMES", "").strip() or default.frames
    if not re.fullmatch(r"[\w\s':/.*\-]+", frames) or "\n" in frames:
        raise OptionError(
            "SEEING_WHY_FRAMES must be addresses with spaces between, such as https://example.org."
        )
    metrics = switch(environ, "SEEING_WHY_METRICS", default.metrics)
    return Options(**found, frames=frames, metrics=metrics, log=log)
