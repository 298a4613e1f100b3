"""Where what visitors upload lies for as long as it is needed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from explainers import ExplainError

WHERE = "GRADIO_TEMP_DIR"  # as Gradio reads it


def own_folder(environ: Any) -> Path:
    """A new folder for this server's uploads, in GRADIO_TEMP_DIR or where temporary files go."""
    within = environ.get(WHERE)
    if within:
        Path(within).mkdir(parents=True, exist_ok=True)
    made = tempfile.mkdtemp(prefix="seeing-why-", dir=within)
    environ[WHERE] = made
    return Path(made)


def folder() -> Path:
    """Where Gradio puts uploads; asked here, for replicas have no Gradio."""
    return Path(os.environ.get(WHERE) or Path(tempfile.gettempdir()) / "gradio").resolve()


def uploaded(file: Any, sentence: str) -> Path:
    """The path of an upload; nothing else on this machine can be named. Raises ExplainError with
    that sentence."""
    given = file.get("path") if isinstance(file, Mapping) else None
    missing = ExplainError(sentence)
    if not isinstance(given, str) or len(given) > 1000 or "\0" in given:
        raise missing
    path = Path(given).resolve()
    if not path.is_relative_to(folder()) or not path.is_file():
        raise missing
    return path
