"""How the tests are run: in three processes, where no number is named.

One of them has all that the page's server or a browser is needed for, so that there is one of each;
the other files go one by one to whichever is free. What waits for a page leaves a core of two idle:
hence the third, but for the quick tests.
"""

from __future__ import annotations

import gc
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

#: Fixtures of the page as it runs.
SERVED = {"server", "chromium", "browsers", "visit"}
PAGE = "page"
FIRST = "test_cluster.py"  # Ray is not to be asked where a browser's event loop runs


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    if config.args_source is not config.ArgsSource.TESTPATHS:
        return 0
    return 2 if "not browser" in config.option.markexpr else 3


def pytest_configure(config: pytest.Config) -> None:
    """Fixtures, and all that they import, are for processes that run tests. What is imported stays:
    no search for cycles, now or later, need go through it."""
    gc.disable()
    if hasattr(config, "workerinput") or config.getoption("dist") == "no":
        config.pluginmanager.import_plugin("tests.fixtures")


class Lanes(LoadScopeScheduling):
    """Whose test is next."""

    def _split_scope(self, nodeid: str) -> str:
        return _lane(nodeid.partition("::")[0])


@cache
def _lane(file: str) -> str:
    text = (Path(__file__).parent.parent / file).read_text("utf-8")
    asked = re.findall(r"^def test_\w+\((.*?)\)", text, re.MULTILINE | re.DOTALL)
    return PAGE if any(SERVED.intersection(re.findall(r"\w+", each)) for each in asked) else file


def _when(item: pytest.Item) -> int:
    file = item.nodeid.partition("::")[0]
    return 0 if file.endswith(FIRST) else 1 if _lane(file) == PAGE else 2


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    return Lanes(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a server or a browser is started for is marked so, wherever it stands; the page's lane
    is the longest, and begins, but for what can't come after it."""
    for item in items:
        if SERVED.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.browser)
    items.sort(key=_when)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
