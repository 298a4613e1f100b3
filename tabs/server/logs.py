"""The log, as lines or as JSON; each entry names the request that it belongs to.

A visitor who meets an error is told the same name: “tell us 3f2a”.
"""

from __future__ import annotations

import json
import logging
import secrets
from contextvars import ContextVar

_request: ContextVar[str] = ContextVar("request", default="")
GONE = "ClientDisconnect"  # Starlette's: a client that went away is no error of ours
OTHERS = ("uvicorn", "uvicorn.error", "uvicorn.access")  # these bring handlers of their own


def begin(name: str = "") -> str:
    """Name the request that is answered from here on, in this context."""
    name = name or secrets.token_hex(2)
    _request.set(name)
    return name


def request() -> str:
    """The name of the request, or a new one where none has begun."""
    return _request.get() or begin()


class _Named(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request = _request.get() or "-"
        return not (record.exc_info and record.exc_info[0] and record.exc_info[0].__name__ == GONE)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "request": getattr(record, "request", "-"),
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


LINES = logging.Formatter("%(asctime)s %(levelname)s [%(request)s] %(name)s: %(message)s")


def start(kind: str) -> None:
    """Have all that is logged written in one way: "lines" or "json"."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if kind == "json" else LINES)
    handler.addFilter(_Named())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the page asking itself whether it is up


def take_over() -> None:
    """Have the web server's log go the same way; to be called once it has started."""
    for name in OTHERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name == "uvicorn" or logger.propagate
