"""The reference photos: small ones of free licence, each of which every unit is asked about."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from ..photo import Photo, read
from ..places import ASSETS

FOLDER = ASSETS / "reference"


@dataclass(frozen=True)
class Reference:
    """One photo: its file in `assets/reference`, what it shows, whose it is, and its licence."""

    file: str
    title: str
    author: str
    licence: str

    @property
    def photo(self) -> Photo:
        """Read from its file; all of them at once would take a hundred times the memory."""
        return read(FOLDER / self.file)


@cache
def references() -> tuple[Reference, ...]:
    """All of them, by file name."""
    listed = json.loads((FOLDER / "photos.json").read_text("utf-8"))
    names = ("file", "title", "author", "licence")
    return tuple(Reference(**{name: each[name] for name in names}) for each in listed)
