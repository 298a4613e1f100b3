"""Errors become one sentence for the visitor; the rest goes to the log, never to the page."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

import gradio as gr

from explainers import ExplainError

log = logging.getLogger("seeing_why")

UNEXPECTED = "Something went wrong here, and it was noted; please try again or with another photo."


def sentence(error: Exception) -> str:
    """What a visitor is told about an error."""
    if isinstance(error, ExplainError):
        return str(error)
    log.error("while answering a visitor", exc_info=error)
    return UNEXPECTED


def guarded(handler: Callable[..., Any]) -> Callable[..., Any]:
    """An event handler whose errors are shown as a warning and leave the page as it is."""

    def refuse(error: Exception) -> None:
        gr.Warning(sentence(error), title="")

    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def stream(*args: Any, **kwargs: Any) -> Any:
            try:
                yield from handler(*args, **kwargs)
            except Exception as error:
                refuse(error)

        return stream

    @functools.wraps(handler)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except Exception as error:
            refuse(error)
            return gr.skip()

    return call
