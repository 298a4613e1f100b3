"""The examples of CONTRIBUTING.md do what it says of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from explainers import METHODS, Network, Photo, explain
from tabs.order import TABS
from tabs.parts.fields import Choice

from .desk import Desk

GUIDE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text("utf-8")
METHOD, TAB = re.findall(r"```python\n(.*?)```", GUIDE, re.S)


def run(code: str, package: str) -> dict:
    """As if it were a module of that package."""
    names = {"__name__": f"{package}.example", "__package__": package}
    exec(compile(code, "CONTRIBUTING.md", "exec", dont_inherit=True), names)
    return names


def test_the_method_is_listed_offered_and_asked(
    resnet18: Network, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(METHODS, "active", raising=False)  # who tries it has it as a file, too
    try:
        run(METHOD, "explainers.methods")
        found = explain(resnet18, photo, [1, 2], "active", power=2)
        assert found.values.shape[0] == 2
        offers = [field for field in TABS[0].fields if isinstance(field, Choice)]
        assert any("active" in dict(map(reversed, f.offered(resnet18))) for f in offers)
    finally:
        METHODS.pop("active", None)


@pytest.mark.slow
def test_the_tab_draws(lite0: Network) -> None:
    desk = Desk(run(TAB, "tabs.brightness")["TAB"], lite0, photo={"example": "cat.jpg"})
    shown = desk.whole(desk.ask(parts=3))
    assert shown["places"]["say"].startswith("The upper 3 of 3 parts")
    assert "<img" in shown["places"]["picture"]
