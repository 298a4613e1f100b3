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
GRACE = 10.0  # seconds that what is under way has to end when the server stops


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
    cluster: SEEING_WHY_CLUSTER, empty for this process alone; "local" for a Ray cluster of this
        machine, or the address of one that it belongs to.
    replicas, most_replicas: SEEING_WHY_REPLICAS, how many answer: "4", or "2-20" to grow and shrink
        with what is asked; 0 for as many as this machine's cores allow.
    replica_cpus: SEEING_WHY_REPLICA_CPUS, on how many cores each of them computes.
    replica_gpus: SEEING_WHY_REPLICA_GPUS, how many GPUs each of them has.
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
    cluster: str = ""
    replicas: int = 0
    most_replicas: int = 0
    replica_cpus: int = 1
    replica_gpus: int = 0

    @property
    def upload_bytes(self) -> int:
        return self.upload_mb * MEGABYTE

    def least_replicas(self, cores: int) -> int:
        """How many there are at least, on a machine of so many cores."""
        return self.replicas or max(1, cores // self.replica_cpus)


def from_environment(environ: Mapping[str, str] = os.environ) -> Options:
    """Read the options; raises OptionError that names the variable with a bad value."""
    numbers = ("upload_mb", "uploads", "rate", "address_rate", "waiting", "sessions")
    numbers += ("work_seconds", "replica_cpus")
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
    least, most = _range(environ.get("SEEING_WHY_REPLICAS", "").strip())
    return Options(
        **found,
        frames=frames,
        metrics=metrics,
        log=log,
        cluster=environ.get("SEEING_WHY_CLUSTER", "").strip(),
        replicas=least,
        most_replicas=most,
        replica_gpus=whole(environ, "SEEING_WHY_REPLICA_GPUS", default.replica_gpus, least=0),
    )


def _range(text: str) -> tuple[int, int]:
    """ "4" -> 4, 4; "2-20" -> 2, 20; raises OptionError."""
    found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", text or "0")
    least, most = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if most < least or (found and found[2] and not least):
        raise OptionError("SEEING_WHY_REPLICAS must be a number such as 4, or a range as 2-20.")
    return least, most
