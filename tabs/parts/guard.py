"""Errors become one sentence for the visitor; the rest goes to the log, never to the page."""

from __future__ import annotations

import logging

from explainers import ExplainError

log = logging.getLogger("seeing_why")

UNEXPECTED = "Something went wrong here, and it was noted; please try again or with another photo."


def sentence(error: Exception) -> str:
    """What a visitor is told about an error."""
    if isinstance(error, ExplainError):
        return str(error)
    log.error("while answering a visitor", exc_info=error)
    return UNEXPECTED
