"""The lists of networks and methods in the README, from the catalogue and the registry.

    python assets/make_lists.py

writes them between their marks; a test says when that is to be done.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from explainers import METHODS  # noqa: E402
from explainers.settings import Settings  # noqa: E402
from explainers.zoo.catalogue import CATALOGUE, Entry  # noqa: E402
from explainers.zoo.sources import File  # noqa: E402


def networks() -> str:
    """A row for each network that every server offers."""
    rows = [
        f"| {_titled(entry)} | `{entry.key}` | {entry.task} | {_there(entry)} | {entry.licence} "
        f"| {entry.remark} |"
        for entry in CATALOGUE
        if not isinstance(entry.source, File)
    ]
    return "\n".join([*_head("Network", "Key", "Trained on", "Is there", "Licence", ""), *rows])


def methods() -> str:
    """A row for each method, in its place."""
    rows = [
        f"| {each.title} | `{key}` | {each.caption} | {each.cost} | {each.paper} |"
        for key, each in METHODS.items()
    ]
    return "\n".join([*_head("Method", "Key", "What to look for", "Passes", "Paper"), *rows])


def models() -> str:
    """The model cards, for the Space's own card."""
    return "\n".join(["models:", *(f"  - {each.repo}" for each in CATALOGUE if each.repo)])


def _head(*columns: str) -> tuple[str, str]:
    return f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"


def _titled(entry: Entry) -> str:
    return f"[{entry.title}]({entry.url})" if entry.url else entry.title


def _there(entry: Entry) -> str:
    if entry.here:
        return "from the start"
    when = "after the start" if entry.key in Settings().startup else "when chosen"
    return f"{when}, {entry.megabytes} MB"


def filled(readme: str) -> str:
    """The README with its lists as they are now."""
    for name, content in {"networks": networks(), "methods": methods()}.items():
        mark = rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)"
        readme = re.sub(mark, lambda found, c=content: found[1] + c + found[2], readme, flags=re.S)
    return re.sub(r"models:\n(?:  - .*\n)+", models() + "\n", readme, count=1)


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(filled(path.read_text("utf-8")), "utf-8")
