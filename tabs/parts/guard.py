"""Errors become one sentence for the visitor; the rest goes to the log, never to the page."""

from __future__ import annotations

import logging
from collections.abc import Callable

from explainers import ExplainError

from ..server import logs

log = logging.getLogger("seeing_why")

UNEXPECTED = (
    "Something went wrong here, and it was noted as {}: please try again or with another photo."
)
noted: list[Callable[[], None]] = []  # told of every error that was not expected


def sentence(error: Exception) -> str:
    """What a visitor is told about an error."""
    if isinstance(error, ExplainError):
        return str(error)
    name = logs.request()
    log.error("while answering a visitor", exc_info=error)
    for told in noted:
        told()
    return UNEXPECTED.format(name)
