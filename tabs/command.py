"""The command: the page, reports of photos, or a list of networks.

seeing-why [--network NETWORK …]     opens the page
seeing-why explain PHOTOS …          writes a report for each photo
seeing-why networks                  lists the networks on offer
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from .allocator import lasting, preloaded

NETWORK = (
    "one of your own, to stand first: a folder, a file of weights, a Hub id, or your code as "
    "file.py:make; may be given several times"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code. What it needs is imported only then."""
    match list(sys.argv[1:] if arguments is None else arguments):
        case ["explain", *rest]:
            with lasting():
                from explainers.__main__ import main as reports

            return reports(rest, "seeing-why explain")
        case ["networks", *rest]:
            return networks(rest)
        case given:
            return page(given)


def process() -> None:
    """The command as a process of its own, which ends with it: threads in the midst of a
    computation would otherwise be torn down with an abort."""
    preloaded()
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def page(arguments: Sequence[str]) -> int:
    """Start the page, and stay until it ends."""
    head, _, rest = __doc__.partition("\n\n")
    options = argparse.ArgumentParser(
        "seeing-why", description=head, epilog=rest, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--network", action="append", default=[], help=NETWORK)
    chosen = options.parse_args(arguments)

    with lasting():
        from explainers import ExplainError

        from .page import launch

    try:
        launch(chosen.network)
    except ExplainError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def networks(arguments: Sequence[str]) -> int:
    """Print the networks on offer: key, name, classes, and where the weights come from."""
    options = argparse.ArgumentParser("seeing-why networks", description=networks.__doc__)
    options.parse_args(arguments)

    from explainers.settings import from_environment
    from explainers.zoo.catalogue import offered

    for entry in offered(from_environment()):
        where = "here" if entry.here else f"from the Hub, {entry.megabytes} MB"
        print(f"{entry.key:12} {entry.title:20} {entry.task:40} {where}")
    return 0
