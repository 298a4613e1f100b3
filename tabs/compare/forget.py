"""The sanity check: a copy of the network forgets, from the head down, and every method is asked
again (Adebayo et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from explainers import METHODS, ExplainError, Explanation, render
from explainers.scores import sanity
from explainers.scores.sanity import Stage

from ..parts import html
from ..parts.pace import Pace
from ..parts.tab import Settings, Show
from ..subject import Asked
from .sides import Side, chosen

THUMB = 150
NUMB = 0.6  # rank correlation from which on a map has hardly noticed


def act(asked: Asked, settings: Settings, _data: Mapping[str, Any]) -> Iterator[Show | None]:
    """The table fills as the copy forgets: quick methods first, then those of many passes."""
    side = chosen(asked, {**settings, "beside": ""})[0][0]
    found = side.found
    yield Show(done=0.01, words="The maps of the trained network come first")
    for name in found.draw():
        yield Show(done=0.01, words=f"The trained network’s own map: {METHODS[name].title}")
    originals = [found.maps[name] for name in found.twins()]
    if not originals:
        raise ExplainError("There is no map to check: tick a method first.")
    groups = [[each for each in originals if METHODS[each.method].slow == slow]
              for slow in (False, True)]  # fmt: skip
    groups = [group for group in groups if group]
    stages: dict[int, dict[str, float]] = {}
    titles: list[str] = []
    for number, group in enumerate(groups):
        pace, known = Pace(), set()
        for stage in sanity.checking(found.question, group):
            places: dict[str, str] = {}
            if not stages:
                places["forgotten"] = table(side, originals, stage.count)
            if stage.index > len(titles):
                titles.append(stage.title)
            likes = {name: like.signed for name, like in stage.similarity.items()}
            stages.setdefault(stage.index, {}).update(likes)
            new = {(stage.index, name) for name in (*stage.maps, *stage.absent)} - known
            known |= new
            share = (stage.index - 1 + stage.done) / stage.count
            slots = {f"forget:head:{stage.index}": escape(stage.title)}
            for _, name in new:
                slots |= cell(side, stage, name)
            more = " (quick methods)" if number == 0 and len(groups) > 1 else ""
            words = f"“{stage.title}” is random now{more}: {pace.words(share)}"
            share = (number + share) / len(groups)
            yield Show(places, {"slots": slots if new else {}}, min(share, 0.99), words)
    return Show({"remembered": verdict(titles, stages)})


def table(side: Side, originals: Sequence[Explanation], count: int) -> str:
    """A row for each method, a column for each stage; the network knows less to the right."""
    head = "".join(f'<th scope="col" data-slot="forget:head:{i + 1}">…</th>' for i in range(count))
    rows = ""
    for each in originals:
        key = f"forget:{escape(each.method)}"
        cells = "".join(f'<td data-slot="{key}:{i + 1}"></td>' for i in range(count))
        rows += (
            f'<tr><th scope="row">{escape(METHODS[each.method].title)}</th>'
            f"<td>{_thumb(side, each)}</td>{cells}</tr>"
        )
    return (
        '<div class="compare-wide" tabindex="0" role="region" aria-label="Sanity check"><table '
        'class="compare-sanity"><caption>From left to right more of the copy is random, head '
        "first. Numbers: rank correlation with the original map, of signed values and (in "
        "brackets) of magnitudes.</caption><thead><tr><td></td><th scope=col>Trained</th>"
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def cell(side: Side, stage: Stage, name: str) -> dict[str, str]:
    """One method after one stage."""
    key = f"forget:{name}:{stage.index}"
    if name not in stage.maps:
        return {key: f"<p>{escape(stage.absent[name])}</p>"}
    like = stage.similarity[name]
    text = f"{like.signed:.2f} <small>({like.magnitude:.2f})</small>"
    return {key: f"{_thumb(side, stage.maps[name])}<span>{text}</span>"}


def _thumb(side: Side, found: Explanation) -> str:
    shown = render.overlay(side.photo, found, side.found.row, longest=THUMB)
    alt = escape(METHODS[found.method].title)
    return f'<img alt="{alt}" src="{html.data_url(render.jpeg(shown, 80), "jpeg")}">'


def verdict(titles: Sequence[str], stages: Mapping[int, Mapping[str, float]]) -> str:
    """Which maps hardly noticed: judged where half of the network is random."""
    middle = (len(titles) - 1) // 2
    kept = stages[middle + 1]
    numb = [f"{METHODS[m].title} ({v:.2f})" for m, v in kept.items() if v > NUMB]
    if not numb:
        words = "Every map here changes as the network forgets: it depends on what was learnt."
        return html.notice(words)
    looks = "looks" if len(numb) == 1 else "look"
    return html.notice(
        f"With everything from the head to “{titles[middle]}” random, {html.listed(numb)} still "
        f"{looks} like the original: such a map shows the photo’s edges more than what the network "
        "knows."
    )
