"""What a tab is: a question, a generator that draws the answer, settings, and acts of its own.

    TAB = Tab(key="mine", title="Mine", asks="What is this?", draw=draw, markup=MARKUP)

`draw(asked, settings)` is a generator of `Show`s (its last one may be returned); the browser asks
for it when the tab is looked at and something new is asked, and pulls on as long as both hold.
`parts/tab.js` does the browser's side, so that most tabs need no script.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, reduce
from html import escape
from pathlib import Path
from typing import Any

from explainers import cores

from ..subject import Asked, Away, Gone, Subject, Wait
from . import fields
from .engine import Engine, asked_of
from .guard import sentence
from .lanes import Busy
from .work import Jobs, Show, Work

BAR = (
    '<div class="work" data-work="{}" hidden><progress max="1" value="0" aria-label="Progress">'
    '</progress><span></span><button type="button" data-cancel>Cancel</button></div>'
)

EMPTY = "Drop a photo, or choose an example, to see this."
NO_SUCH = "There is no such thing to do: choose one of those shown."
Settings = dict[str, Any]
Draw = Callable[[Asked, Settings], Work]
Act = Callable[[Asked, Settings, Mapping[str, Any]], "Show | Work"]
Call = Callable[[Subject, Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Tab:
    """One tab. key: its name in links. asks: the plain question under its title.

    markup: HTML with places, `data-place="name"`, that `Show.places` fills; "say", "problem" and
    the bar of slow work are there already; `<!--work-->` says where the bar stands if not on top,
    `<!--work:name-->` where an act has one of its own. fields: its settings, under "Adjust"; front:
    settings that stand in the markup, where it says `<!--field:key-->`; under: HTML below the
    settings. acts: what its script may ask for besides, `tab.act(name, data)`; an act is a function
    or a generator. calls: answers outside of all that, for what comes many times a second:
    `tab.call(name, data)`. script: JavaScript, run with `tab`, `element` and `seeing`. needs: the
    parts of the question on which it depends; only when one of these changes is it drawn anew.
    lone: does it show something without a photo? prompt: its first picture takes no more than the
    rail's part, and comes with it. props: what the script finds in `props`, as text.
    """

    key: str
    title: str
    asks: str
    draw: Draw
    markup: str
    fields: Sequence[fields.Field] = ()
    front: Sequence[fields.Field] = ()
    acts: Mapping[str, Act] = field(default_factory=dict)
    calls: Mapping[str, Call] = field(default_factory=dict)
    under: str = ""
    script: str = ""
    needs: Sequence[str] = ("photo", "network", "targets", "against", "framing")
    lone: bool = False
    prompt: bool = False
    props: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("fields", "front"):
            mine = tuple(replace(each, home=self.key) for each in getattr(self, name))
            object.__setattr__(self, name, mine)

    @property
    def settings(self) -> list[fields.Field]:
        """All fields, wherever they stand."""
        return [*self.fields, *self.front]


class Server:
    """What a tab's script may ask for. Never raises."""

    answers = ("ask", "act", "see", "more", "stop", "call")

    def __init__(self, tab: Tab, subject: Subject, jobs: Jobs) -> None:
        self.tab, self.subject, self.jobs = tab, subject, jobs

    def ask(self, data: Any) -> dict[str, Any]:
        """Draw the tab anew for what is asked."""
        return self._answer(data, lambda given: self._work(given, self.tab.draw), "")

    def act(self, data: Any) -> dict[str, Any]:
        """One of the tab's own acts, by its name."""
        name = data.get("act") if isinstance(data, dict) else None
        work = self.tab.acts.get(name) if isinstance(name, str) else None
        if work is None:
            return {"problem": NO_SUCH}
        given = data.get("data")
        given = given if isinstance(given, dict) else {}

        def draw(asked: Asked, settings: Settings) -> Show | Work:
            return work(asked, settings, given)

        return self._answer(data, lambda question: self._work(question, draw), name)

    def see(self, data: Any) -> dict[str, Any]:
        """The rail's part alone, of what is asked but does not change the tab."""
        return self._answer(data, self._seen, "see")

    def more(self, data: Any) -> dict[str, Any]:
        """The next slice of work under way."""
        try:
            return _plain(*self.jobs.more(str(data)))
        except Exception as error:
            return problem(error)

    def stop(self, data: Any) -> dict[str, Any]:
        """The visitor does not want the rest."""
        self.jobs.stop(str(data))
        return {}

    def call(self, data: Any) -> dict[str, Any]:
        """One of the tab's own calls, by its name; `problem` is a sentence."""
        data = data if isinstance(data, dict) else {}
        work = self.tab.calls.get(str(data.get("call")))
        if work is None:
            return {"problem": NO_SUCH}
        try:
            with self.jobs.lanes.quick.turn(object()) as ahead:
                if ahead:
                    raise Busy(1)
                return cores.compute(work, self.subject, data)
        except Exception as error:
            return problem(error)

    def _answer(
        self, data: Any, work: Callable[[dict[str, Any]], Work], what: str
    ) -> dict[str, Any]:
        try:
            data = data if isinstance(data, dict) else {}
            visit = str(data.get("visit"))[:40]
            return _plain(*self.jobs.start((visit, f"{self.tab.key} {what}"), work(data)))
        except Exception as error:
            return problem(error)

    def _seen(self, data: dict[str, Any]) -> Work:
        yield from ()
        return Show(data={"seen": self.subject.seen(self.subject.answerable(data))})

    def _work(self, data: dict[str, Any], draw: Callable[..., Any]) -> Work:
        """The rail's part first, where the browser lacks it; then what the tab draws."""
        asked = self.subject.answerable(data)
        network = asked.network
        values, problems = fields.read(self.tab.settings, data.get("settings"), network)
        places: dict[str, str] = {}
        if data.get("form") != network.key:
            places |= {
                _front(each): each.html(values[each.key], network) for each in self.tab.front
            }
            places["adjust"] = fields.form(self.tab.fields, values, network)
        elif problems:
            raise problems[0]
        soon = self.tab.prompt
        if not data.get("knows"):
            seen = {"seen": self.subject.seen(asked), "form": network.key}
            yield Show(places, seen, soon=soon)
        elif places:
            yield Show(places, {"form": network.key}, soon=soon)
        if asked.photo is None and not self.tab.lone:
            return Show({"say": EMPTY}, {"empty": True})
        made = draw(asked, values)
        if isinstance(made, Iterator):
            return (yield from made)
        return made


def _plain(show: Show, ticket: str | None) -> dict[str, Any]:
    """As JSON."""
    answer: dict[str, Any] = {"places": dict(show.places), "data": dict(show.data)}
    answer |= {"settings": dict(show.settings), "state": dict(show.state)}
    if ticket:
        answer["more"] = ticket
    if show.done < 1 and show.words:
        answer["work"] = {"done": show.done, "words": show.words}
    if show.file:
        name, content = show.file
        answer["file"] = {"name": name, "data": base64.b64encode(content).decode()}
    return answer


def problem(error: Exception) -> dict[str, Any]:
    """What the browser is told about an error."""
    if isinstance(error, Wait):
        status = error.status
        return {"wait": {"done": status.progress, "words": f"{status.title} is on its way"}}
    answer: dict[str, Any] = {"problem": sentence(error)}
    if isinstance(error, Busy):
        answer["busy"] = error.seconds
    if isinstance(error, Away):
        answer["away"] = True
    return answer | {"gone": True} if isinstance(error, Gone) else answer


def begun(script: str) -> str:
    """A component's script that runs once the bar's has set up what all of them share: Gradio
    draws components in no fixed order."""
    return (
        f"const start = () => {{\n{script}\n}};\nif (window.seeing?.begun) start();\n"
        "else addEventListener('seeing-begun', start, {once: true});"
    )


@cache
def script(*names: str) -> str:
    """Files beside this one, one after the other."""
    return "\n".join((Path(__file__).parent / name).read_text("utf-8") for name in names)


def _front(each: fields.Field) -> str:
    """The place of a field that stands in the markup."""
    return f"field-{each.key}"


def markup(tab: Tab, subject: Subject) -> str:
    """The tab's HTML: a sentence, its own places, slow work, and the settings folded."""
    network = subject.zoo.get()
    values, _ = fields.read(tab.settings, {}, network)
    form = fields.form(tab.fields, values, network)
    adjust = (
        f'<details class="adjust"><summary>Adjust</summary><form class="fields" '
        f'data-place="adjust" data-form="{escape(network.key)}">{form}</form>{tab.under}</details>'
        if tab.fields
        else ""
    )
    body = f"{tab.markup}{adjust}"
    if "<!--work-->" not in body:
        body = f"<!--work-->{body}"
    body = re.sub("<!--work:?([a-z]*)-->", lambda found: BAR.format(found[1]), body)
    for each in tab.front:
        widget = each.html(values[each.key], network)
        widget = f'<span class="front" data-place="{_front(each)}">{widget}</span>'
        body = body.replace(f"<!--field:{each.key}-->", widget)
    return (
        f'<div class="tab-body" id="{tab.key}-tab" data-needs="{" ".join(tab.needs)}">'
        f'<h2 class="unseen">{escape(tab.title)}: {escape(tab.asks)}</h2>'
        '<p class="say" data-place="say" tabindex="-1" aria-live="polite"></p>'
        '<p class="problem" role="alert" data-place="problem" hidden></p>'
        f"{body}</div>"
    )


def widget(tab: Tab, engine: Engine, start: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The tab as `gr.HTML` takes it: replicas have tabs, too, and no Gradio. start: what is asked
    first, where its answer comes with the page: what is seen soonest in it, and the rest as soon as
    that is there."""
    run = (
        f"const tab = seeing.tab(element, server, {tab.key!r}, props);\n{tab.script}\ntab.ready();"
    )
    props, functions = dict(tab.props), asked_of(engine, tab.key, Server.answers)
    if start is not None:
        first, later = whole(tab, engine.subject, start)
        props["first"] = json.dumps(first)

        def rest(_data: Any = None) -> dict[str, Any]:
            return later

        functions.append(rest)
    return {
        "value": markup(tab, engine.subject),
        "js_on_load": begun(run),
        "server_functions": functions,
        "elem_id": f"{tab.key}-html",
        **props,
    }


def whole(
    tab: Tab, subject: Subject, given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All that a tab would show of a question: its first picture, with a ticket for the rest, and
    the rest."""

    def pictures() -> Iterator[Show | None]:
        yield (yield from Server(tab, subject, Jobs())._work(dict(given), tab.draw))

    shown, first = filter(None, pictures()), Show()
    for each in shown:
        first = first.then(each)
        if not each.soon:
            break
    return _plain(first, "rest"), _plain(reduce(Show.then, shown, Show()), None)


def plain(method: Any) -> Any:
    """A function with the method's name: Gradio marks it, and methods can't be marked."""

    def call(data: Any = None) -> Any:
        return method(data)

    call.__name__ = method.__name__
    return call
