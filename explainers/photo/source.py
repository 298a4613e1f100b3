"""A photo's file however it is handed over: its bytes, or why there are none."""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..errors import PhotoError

MAX_BYTES = 20_000_000

_TOO_HEAVY = (
    f"The file is larger than {MAX_BYTES // 1_000_000} MB; save the photo smaller and try again."
)
_KINDS = (
    "A photo must be bytes, a path, a file opened for reading bytes, a Pillow image, an array or a "
    "tensor."
)
_REMOTE = "A photo is read from a file; download this address first, or give a path."
_TEXT = "The file is opened as text; open it for reading bytes, with “rb”."
_PLAIN = str.maketrans("-_", "+/")  # what stands for them in addresses
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # a Path leaves one slash of two


def is_file(source: Any) -> bool:
    """An opened file, a `BytesIO`, or anything else that is read from."""
    return callable(getattr(source, "read", None))


def content_of(source: Any) -> bytes:
    """The bytes of a file that is given by its path, as a data URL, opened, or as bytes.

    Raises PhotoError, which names no path.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source) if len(source) <= MAX_BYTES else source
    elif isinstance(source, str) and source[:5].lower() == "data:":
        content = _of_data_url(source)
    elif isinstance(source, str | os.PathLike):
        content = _of_path(os.fspath(source))
    elif is_file(source):
        content = _of_file(source)
    else:
        raise PhotoError(_KINDS)
    if len(content) > MAX_BYTES:
        raise PhotoError(_TOO_HEAVY)
    if not content:
        raise PhotoError("The file is empty; choose a photo that opens on your own device.")
    return content


def _of_path(path: str | bytes) -> bytes:
    if isinstance(path, str) and _ADDRESS.match(path):
        raise PhotoError(_REMOTE)
    try:
        # is_file: a pipe or a device would keep the reader waiting.
        if not Path(os.fsdecode(path)).is_file():
            raise PhotoError("There is no such file; choose the photo again.")
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except PhotoError:
        raise
    except (OSError, ValueError):
        # Without the cause: it names the path.
        raise PhotoError("The file can’t be opened; choose the photo again.") from None


def _of_file(file: Any) -> bytes:
    """All of it, wherever it was read to; it is left as it was found where it can be."""
    if isinstance(file, io.TextIOBase):
        raise PhotoError(_TEXT)
    try:
        seekable = getattr(file, "seekable", lambda: hasattr(file, "seek"))  # an mmap may not say
        at = file.tell() if seekable() else None
        if at is not None:
            file.seek(0)
        content = file.read(MAX_BYTES + 1)
        if at is not None:
            file.seek(at)
    except Exception as error:
        raise PhotoError("The file can’t be read; open the photo again.") from error
    if not isinstance(content, bytes | bytearray):
        raise PhotoError(_TEXT)
    return bytes(content)


def _of_data_url(source: str) -> bytes:
    """Its bytes, also where "+", "/" and "=" were written for an address: escaped, by others, or
    left out (RFC 2397, RFC 4648)."""
    kind, _, body = source.partition(",")
    if len(body) > 2 * MAX_BYTES:
        raise PhotoError(_TOO_HEAVY)
    try:
        if kind.replace(" ", "").lower().endswith(";base64"):
            body = "".join(unquote(body).split()).translate(_PLAIN).rstrip("=")
            return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        pass
    raise PhotoError("The data URL holds no photo in base64; save the photo to a file instead.")
