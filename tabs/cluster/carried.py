"""An upload that a question names, on its way from a front to a replica."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..parts.uploads import folder, uploaded

MISSING = "The file did not arrive: please choose it again."


def named(data: Any) -> Path | None:
    """The upload that an act's data names; raises ExplainError if it is not here."""
    given = data.get("data") if isinstance(data, Mapping) else None
    file = given.get("file") if isinstance(given, Mapping) else None
    return uploaded(file, MISSING) if isinstance(file, Mapping) else None


def packed(data: Any) -> Any:
    """The same with the upload's content in place of its path."""
    path = named(data)
    if path is None:
        return data
    file = {"content": path.read_bytes(), "suffix": path.suffix}
    return {**data, "data": {**data["data"], "file": file}}


def unpacked(data: Any) -> Any:
    """The same with the upload in this machine's own folder."""
    given = data.get("data") if isinstance(data, Mapping) else None
    file = given.get("file") if isinstance(given, Mapping) else None
    if not isinstance(file, Mapping) or "content" not in file:
        return data
    within = folder()
    within.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=within, suffix=file["suffix"], delete=False) as made:
        made.write(file["content"])
    return {**data, "data": {**given, "file": {"path": made.name}}}
