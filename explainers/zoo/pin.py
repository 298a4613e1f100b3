"""A catalogue entry for a network on the Hub, pinned: python -m explainers.zoo.pin timm/…

Prints what goes into `CATALOGUE` (catalogue.py), after checking that the network can be explained:
its revision, digest, size and licence are those that the Hub gives now. No weights are downloaded.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace

import timm

from ..errors import ModelError
from ..imagenet import imagenet_labels
from ..network import Recipe
from ..settings import MEGABYTE, Settings, from_environment
from . import assembly, download, hub_ids
from .catalogue import Entry, recipe

LICENCES = {name.casefold(): name for name in ("Apache-2.0", "BSD-3-Clause", "MIT", "CC-BY-NC-4.0")}


def pin(text: str, settings: Settings | None = None) -> Entry:
    """The finished entry of a network by its Hub id. Raises ModelError if it can't be explained."""
    settings = settings or from_environment()
    typed = hub_ids.entry(text)
    with tempfile.TemporaryDirectory() as folder:
        made, commit = hub_ids.inspect(typed, settings, folder)
    source = replace(typed.source, revision=commit)
    file = download.HubFile(typed.title, source.repo, source.filename, commit)
    about = download.announced(file, settings)
    if about.size is None or not download.SHA256.fullmatch(about.etag or ""):
        raise ModelError(
            f"The Hub names no size and SHA-256 for {typed.title}: choose another network."
        )
    name, _, tag = typed.title.partition(".")
    shell = assembly.blank(made)
    weights = sum(each.numel() for each in shell.parameters()) / 1e6
    entry = Entry(
        key=name,
        title=typed.title,
        arch=made.arch,
        tag=tag,
        source=replace(source, sha256=about.etag, by_config=False),
        licence=LICENCES.get(made.licence.casefold(), made.licence),
        megabytes=max(1, round(about.size / MEGABYTE)),
        remark=f"{weights:.3g} million weights; photos of {made.size} by {made.size} pixels.",
        task=_task(made),
    )
    if _known(entry, made):
        return entry
    return replace(entry, tag="", source=replace(entry.source, by_config=True))


def _task(made: Recipe) -> str:
    if made.labels == imagenet_labels():
        return "ImageNet, 1000 classes"
    return f"{len(made.labels)} classes"


def _known(entry: Entry, made: Recipe) -> bool:
    """Does the timm that is installed here say the same of it as its config.json?"""
    if f"{entry.arch}.{entry.tag}" not in timm.list_pretrained(f"{entry.arch}.*"):
        return False
    return replace(recipe(entry), licence=made.licence) == made


def written(entry: Entry) -> str:
    """An entry as Python, as it stands in the catalogue."""
    lines = ["Entry("]
    for name in ("key", "title", "arch", "tag"):
        if value := getattr(entry, name):
            lines.append(f"    {name}={_quoted(value)},")
    lines += ["    source=Hub(", f"        {_quoted(entry.source.repo)},"]
    lines += [f"        revision={_quoted(entry.source.revision)},"]
    lines += [f"        sha256={_quoted(entry.source.sha256)},"]
    if entry.source.by_config:
        lines.append("        by_config=True,")
    lines += [
        "    ),",
        f"    licence={_quoted(entry.licence)},",
        f"    megabytes={entry.megabytes},",
    ]
    lines += [f"    {name}={_quoted(getattr(entry, name))}," for name in ("remark", "task")]
    return "\n".join([*lines, "),"])


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    head, _, rest = __doc__.partition("\n\n")
    options = argparse.ArgumentParser("python -m explainers.zoo.pin", description=head, epilog=rest)
    options.add_argument("ids", nargs="+", metavar="timm/…", help="Hub ids of networks")
    for each in options.parse_args(arguments).ids:
        try:
            print(written(pin(each)))
        except ModelError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
