"""Compare: which map to believe? Every method on one photo, measured by the network itself."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from explainers import METHODS, ExplainError
from explainers.registry import COSTS, offered
from explainers.render import report
from explainers.scores.comparison import FIRST, SORTS, Comparison, applicable
from explainers.scores.verdict import verdict

from ..parts.choices import COLOURS, LAYER
from ..parts.fields import Choice, Many, Switch, Text
from ..parts.pace import Often
from ..parts.tab import Settings, Show, Tab
from ..subject import Asked
from . import board, box, forget, pair
from .progress import Progress
from .sides import Side, chosen, offers

HERE = Path(__file__).parent
OFTEN = 0.7  # seconds between pictures of a map that grows

FIELDS = (
    Many(
        key="methods",
        label="Methods",
        choices=lambda network: [
            (f"{each.title} (slow)" if each.cost == COSTS[-1] else each.title, each.key)
            for each in offered(network)
        ],
        default=applicable,
    ),
    LAYER,
    Choice(
        key="baseline",
        label="Missing pixels show",
        choices=(("A blurred copy", "blur"), ("The photo’s mean colour", "mean")),
        default="blur",
        help="No choice is neutral: everything is measured again with the other one, and what that "
        "changes counts as noise.",
    ),
    COLOURS,
    Switch(key="measure", label="Measure them", default=True),
)
FRONT = (
    Choice(
        key="sort",
        label="Best first, by",
        choices=[("As listed", "listed"), *((title, key) for key, (title, _) in SORTS.items())],
        default="listed",
        here=True,
    ),
    Text(key="beside", label="Beside it"),
    Choice(
        key="pair",
        label="Map",
        choices=[(each.title, key) for key, each in METHODS.items()],
        default=FIRST,
    ),
    Text(key="box", label="The box", here=True),
)


def draw(asked: Asked, settings: Settings) -> Iterator[Show | None]:
    """What is known already, the fast maps, their scores, then the slow ones."""
    sides, word = chosen(asked, settings)
    if not sides[0].found.methods:
        say = "Tick a method under “Adjust” to see its map."
        empty = dict.fromkeys(("verdict", "grid", "tables", "agreement"), "")
        return Show({"say": say, **empty, **pair.NOTHING})
    quick = yield from _begun(sides, settings)
    progress = Progress(sides, settings["measure"])
    yield _first(asked, sides, word, settings, progress)
    for number, work in enumerate(quick):
        yield from _drawn(sides, number, work, settings, progress)
    if pair.there(sides):
        yield from pair.measured(sides, settings, progress)
        for number, side in enumerate(sides):
            yield Show(data=_one(side, number, settings["pair"], settings), done=progress.done)
    yield from _measured(sides, settings, progress)
    for cost in range(1, len(COSTS)):
        for number, side in enumerate(sides):
            yield from _drawn(sides, number, side.found.draw((cost,)), settings, progress)
        yield from _measured(sides, settings, progress)
    yield from _repeated(sides, settings, progress)
    told, slots = _verdict(sides, settings)
    places = {"verdict": told, "agreement": board.agreement(sides), "boxed": box.tell(sides[0])}
    return Show(places, {"slots": slots})


def _begun(sides: Sequence[Side], settings: Settings) -> Generator[None, None, list[Iterator[str]]]:
    """All that decides how many cards there are: which maps are the same one. Returns the rest of
    the quick drawing of each side."""
    for side in sides:
        side.found.recall()
        if pair.there(sides):
            for _ in side.found.draw((0,), [settings["pair"]]):
                yield None
    quick = [side.found.draw((0,)) for side in sides]
    for side, work in zip(sides, quick, strict=True):
        for _ in work:
            yield None
            if not _cams(side.found):
                break
    return quick


def _first(
    asked: Asked, sides: Sequence[Side], word: str, settings: Settings, progress: Progress
) -> Show:
    """Every place, with what is known by now."""
    told, slots = _verdict(sides, settings)
    data = _all(sides, settings, progress)
    data["slots"] |= slots
    return Show(
        {
            "say": _say(asked, sides),
            "verdict": told,
            "offers": offers(asked),
            "beside": escape(word),
            "doubts": _doubts(sides),
            "grid": board.grid(sides, settings),
            "legend": board.legend(sides, settings["colours"]),
            "tables": board.tables(sides),
            "agreement": board.agreement(sides),
            "boxed": box.tell(sides[0]),
            **pair.places(sides, settings),
        },
        data,
        done=progress.done,
        words=progress.words("Drawing"),
    )


def _cams(found: Comparison) -> list[str]:
    """The methods of the CAM family whose maps are still to come: some of them may be one map."""
    left = set(found.methods) - found.maps.keys() - found.absent.keys()
    return [name for name in left if METHODS[name].family == "cam"]


def _drawn(
    sides: Sequence[Side],
    number: int,
    work: Iterator[str],
    settings: Settings,
    progress: Progress,
) -> Iterator[Show | None]:
    """Maps as they come and grow."""
    side, due = sides[number], Often(OFTEN)
    for name in work:
        if progress.has(number, name):  # shown already
            yield None
            continue
        found = side.found.maps.get(name)
        progress.drawn(number, name, found.done if found else 1.0)
        if found and found.done < 1 and not due():
            yield None
            continue
        words = progress.words(METHODS[name].title)
        yield Show(data=_one(side, number, name, settings), done=progress.done, words=words)


def _measured(
    sides: Sequence[Side], settings: Settings, progress: Progress
) -> Iterator[Show | None]:
    for number, side in enumerate(sides if settings["measure"] else []):
        known: set[str] = set()
        for name in side.found.measure():
            progress.step()
            words = progress.words(f"Measuring {_title(side, name)}")
            ones = side.found.twins()
            new = {each for each in ones if side.found.figures(each)["gain"] is not None}
            slots: dict[str, str] = {}
            numbers: dict[str, Any] = {}
            for each in new - known:
                slots |= board.scored(side, number, each)
                numbers |= board.values(side, number, each)
            places = {"verdict": _verdict(sides, settings)[0]} if new - known else {}
            known = new
            data = {"slots": slots, "values": numbers} if slots else {}
            yield Show(places, data, done=progress.done, words=words)


def _repeated(
    sides: Sequence[Side], settings: Settings, progress: Progress
) -> Iterator[Show | None]:
    """Everything is measured once more, which tells what is noise."""
    for side in sides if settings["measure"] else []:
        known = len(side.found.again)
        for name in side.found.repeat():
            progress.step()
            words = progress.words(f"Measuring {_title(side, name)} again")
            places = {}
            if len(side.found.again) > known:
                known = len(side.found.again)
                places = {"verdict": _verdict(sides, settings)[0]}
            yield Show(places, done=progress.done, words=words)


def _title(side: Side, name: str) -> str:
    """Under which name a map is shown."""
    for one, doubles in side.found.twins().items():
        name = one if name in doubles else name
    return METHODS[name].title


def _one(side: Side, number: int, name: str, settings: Settings) -> dict[str, Any]:
    """A map for the browser, and what is known of it."""
    if name not in side.found.maps:
        return {"slots": board.absent(side, number, name)}
    slots = board.picture(side, number, side.found.maps[name], settings)
    return {
        "slots": slots | board.scored(side, number, name),
        "values": board.values(side, number, name),
    }


def _all(sides: Sequence[Side], settings: Settings, progress: Progress) -> dict[str, Any]:
    shown = Show(data={"slots": {}, "values": {}, "new": True})
    for number, side in enumerate(sides):
        for name in set(board.shown(side)) & side.found.maps.keys():
            progress.drawn(number, name, side.found.maps[name].done)
            shown = shown.then(Show(data=_one(side, number, name, settings)))
    return dict(shown.data)


def _say(asked: Asked, sides: Sequence[Side]) -> str:
    count = len([name for name in board.shown(sides[0]) if name not in sides[0].found.absent])
    more = " (the first of your classes)" if len(asked.targets) > 1 else ""
    ways = f"{count} maps of" if count > 1 else "One map of"
    return (
        f"{ways} what speaks for <b>{escape(asked.name())}</b>{more}: the network’s answers say "
        "which to believe. <em>Try: click one.</em>"
    )


def _verdict(sides: Sequence[Side], settings: Settings) -> tuple[str, dict[str, str]]:
    """The three lines of each side, and the marks on its cards."""
    told, slots = "", {}
    for number, side in enumerate(sides):
        found = verdict(side.found) if settings["measure"] else None
        if found:
            slots |= board.marks(number, found)
        doubles = {name for twins in side.found.twins().values() for name in twins}
        count = sum(m not in side.found.absent and m not in doubles for m in side.found.methods)
        rounds = (side.found.scores, side.found.again)
        done = sum(len(each.keys() - doubles) for each in rounds)
        doing = ["Not measured: switch on “Measure them” under “Adjust” for a verdict."]
        if settings["measure"]:
            so_far = f"{done} of {2 * count} measurements so far"
            doing = [f"No verdict before every map is measured twice: {so_far}."]
            doing += [] if number else board.WAITS
        head = f"<h3>{escape(side.title)}</h3>" if len(sides) > 1 else ""
        told += f"<div>{head}{board.tell(side, found, doing)}</div>"
    return told, slots


def _doubts(sides: Sequence[Side]) -> str:
    """What holds for every map, such as that the class is not seen at all."""
    said: dict[str, None] = {}
    for side in sides:
        for each in side.found.finished()[:1]:
            said |= {n.sentence: None for n in side.found.notes(each.method) if n.of_pass}
    return escape(" ".join(said))


def _fetched(found: Comparison, progress: Progress, measures: bool) -> Iterator[str]:
    """All that a comparison still lacks; yields what is being done."""
    for name in found.draw():
        progress.drawn(0, name, found.maps[name].done if name in found.maps else 1.0)
        yield METHODS[name].title
    for work in (found.measure(), found.repeat()) if measures else ():
        for name in work:
            progress.step()
            yield f"Measuring {METHODS[name].title}"


def zipped(asked: Asked, settings: Settings, data: Mapping[str, Any]) -> Iterator[Show | None]:
    """The report, after what is still missing has been computed."""
    settings = {**settings, "beside": "", "box": str(data.get("box") or "")}
    side = chosen(asked, settings)[0][0]
    if not side.found.methods:
        raise ExplainError("There is nothing to report: tick a method first.")
    progress = Progress([side], True)
    for doing in _fetched(side.found, progress, True):
        yield Show(done=progress.done, words=progress.words(f"For the report: {doing}"))
    made = report.build(side.photo, side.found, colourmap=settings["colours"])
    return Show(file=("seeing-why-report.zip", made))


TAB = Tab(
    key="compare",
    title="Compare",
    asks="Which map to believe?",
    draw=draw,
    markup=(HERE / "compare.html").read_text("utf-8"),
    fields=FIELDS,
    front=FRONT,
    acts={"box": box.act, "forget": forget.act, "report": zipped},
    script=(HERE / "compare.js").read_text("utf-8"),
    props={
        "sorts": json.dumps({key: small for key, (_, small) in SORTS.items()}),
        "frame": pair.FRAME,
    },
)
