"""The page's look: what all its parts share, then each part's own, as one sheet."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from .parts.tab import Tab

HERE = Path(__file__).parent
ABOVE = ":root:root:root "  # outranks the rules of Gradio's own parts


def head(tabs: Iterable[Tab]) -> str:
    """All of it for the page's head. What is given to Gradio as `css` it scopes, which doubles each
    rule, and does so twice: a browser then has four times the work with every change of style."""
    sheets = [HERE / "page.css", *sorted(HERE.glob("*/*.css"))]
    asks = "".join(  # the questions under the tabs
        f"#tab-{tab.key}-button::after {{ content: {json.dumps(tab.asks, ensure_ascii=False)}; }}\n"
        for tab in tabs
    )
    return f"<style>{ranked(''.join(path.read_text('utf-8') for path in sheets) + asks)}</style>"


def ranked(css: str) -> str:
    """The same rules, but above Gradio's."""
    rules = []
    for prelude, body in _rules(re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)):
        if not prelude.startswith("@"):
            rules.append(f"{','.join(map(_above, _selectors(prelude)))}{{{body}}}")
        elif prelude.startswith("@keyframes"):
            rules.append(f"{prelude}{{{body}}}")
        else:
            rules.append(f"{prelude}{{{ranked(body)}}}")
    return "\n".join(rules)


def _above(selector: str) -> str:
    return selector if selector.startswith((":root", "html")) else f"{ABOVE}{selector}"


def _rules(css: str) -> Iterator[tuple[str, str]]:
    """What stands before each pair of braces, and within it."""
    start = opens = depth = 0
    for brace in re.finditer("[{}]", css):
        if brace[0] == "{":
            opens = opens if depth else brace.start()
            depth += 1
            continue
        depth -= 1
        if not depth:
            yield css[start:opens].strip(), css[opens + 1 : brace.start()].strip()
            start = brace.end()


def _selectors(prelude: str) -> list[str]:
    """Those of a list, whose parts may have lists in brackets."""
    depth, found = 0, [""]
    for letter in prelude:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            found.append("")
        else:
            found[-1] += letter
    return [each.strip() for each in found]
