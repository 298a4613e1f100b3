"""The Compare tab: every method on one photo, measured; and what happens when a network forgets."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from explainers import METHODS, ExplainError, Network, Photo, Question, photo, render
from explainers.api import question
from explainers.render import report
from explainers.scores import sanity
from explainers.scores.comparison import SORTS, Comparison, applicable
from explainers.scores.faithfulness import BASELINES, checked_box

from . import box, html, kept, links, scoreboard
from .guard import guarded
from .maps import _layer_update, _layers
from .scoreboard import Side
from .subject import EXAMPLES, GONE, WELCOME, Subject, examples

OFFERED = 12  # classes to put beside, likeliest first
BESIDE = [
    ("Nothing", "nothing"),
    ("Another class", "class"),
    ("Another network", "network"),
    ("Another photo", "photo"),
]
EMPTY = (
    '<div class="maps-empty"><p><b>All methods appear here,</b> each with its time and its scores: '
    "the network itself is asked which map named the pixels it needs.</p></div>"
)
_clicks = itertools.count(1)


class Compare:
    """The handlers of the tab. `given` are the values of `inputs` in `build`, in that order."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def sides(self, *given: Any) -> list[Side]:
        """What is compared, checked, with no map yet; empty while there is nothing to explain."""
        *shared, methods, layer, baseline, _colours, area, beside, second, key2, shown2 = given
        seen, key, targets, against, framing = shared
        asked = self.subject.question(seen, key, targets, against, framing, layer)
        if asked is None:
            return []
        if baseline not in BASELINES:
            raise ExplainError("There is no such baseline: choose one of those offered.")
        chosen = [name for name in METHODS if name in (methods or [])]
        around = None if area is None else checked_box(area)
        sides = [_side(seen, asked, chosen, baseline, around)]
        other = self._other(asked, seen, framing, (beside, second, key2, shown2))
        if other is not None:
            same_photo = other[0].digest == seen.digest
            sides.append(_side(*other, chosen, baseline, around if same_photo else None))
            _name_apart(sides, beside)
        return sides

    def _other(self, asked: Question, seen: Photo, framing: str, beside: tuple[Any, ...]):
        """The photo and question beside the first; None for none."""
        what, second, key, name = beside
        if what == "class" and second:
            target = asked.network.resolve(second)
            against = None if asked.against == target else asked.against
            return seen, dataclasses.replace(asked, targets=(target,), against=against)
        if what == "network" and key:
            network = self._ready(key)
            name = asked.network.labels[asked.targets[0]]
            same = name if name in network.labels else None  # else its own first guess
            layer = asked.layer if asked.layer in network.layers else None
            return seen, question(network, seen, same, layer=layer, framing=framing)
        if what == "photo" and name:
            if name not in examples():
                raise ExplainError("There is no such example: choose one of those offered.")
            other = photo.read(EXAMPLES / name)
            return other, dataclasses.replace(asked, view=asked.network.prepare(other, framing))
        return None

    def _ready(self, key: str):
        if not any(each.key == key and each.state == "ready" for each in self.subject.zoo.status()):
            raise ExplainError("That network is not here yet: choose it above once, to have it.")
        return self.subject.zoo.get(key)

    def opens(self, method: str) -> str | None:
        """Title of the tab that shows this method closely."""
        tab = links.tab_of(self.subject, method)
        return tab and self.subject.titles[tab]

    def draw(self, *given: Any) -> Iterator[tuple[Any, ...]]:
        """The methods of one pass at once; `begun` then starts the slow ones and the scores."""
        sides = self.sides(*given)
        offers = self.offers(*given[:5])
        if not sides:
            yield EMPTY, "", "", gr.skip(), *offers
            return
        if not sides[0].found.methods:
            yield html.notice("Tick a method to see its map."), "", "", gr.skip(), *offers
            return
        yield *(gr.skip(),) * 3, gr.skip(), *offers
        for side in sides:
            for _ in side.found.draw((0,)):
                pass
        grid = scoreboard.grid(sides, given[8], self.opens)
        yield grid, "", html.notice("Measuring …"), next(_clicks), *(gr.skip(),) * 3

    def offers(self, seen: Photo | None, key: str, targets: Any, _against: Any, framing: str):
        """The box's photo, and the classes and networks to put beside."""
        ready = [(s.title, s.key) for s in self.subject.zoo.status() if s.state == "ready"]
        networks = gr.update(choices=[each for each in ready if each[1] != key])
        if seen is None:
            return box.EMPTY, gr.skip(), networks
        network = self.subject.zoo.get(key)
        likely = network.ranked(network.answer(network.prepare(seen, framing)), OFFERED)
        names = [network.labels[i] for i in likely if i not in (targets or [])]
        return box.picture(seen), gr.update(choices=names), networks

    def work(self, tab: str, measures: bool, by: str, *given: Any) -> Iterator[tuple[Any, ...]]:
        """Slow maps and scores as they come: (grid, scores, state, Cancel)."""
        sides = self.sides(*given) if tab == "compare" else []  # a link may start it elsewhere
        if not sides or not sides[0].found.methods:
            yield gr.skip(), gr.skip(), "", gr.Button(interactive=False)
            return
        since, shown = time.monotonic(), None
        yield gr.skip(), gr.skip(), gr.skip(), gr.Button(interactive=True)
        for grid_changed, done, what in scoreboard.steps(sides, measures):
            grid = scoreboard.grid(sides, given[8], self.opens) if grid_changed else gr.skip()
            table = scoreboard.scores(sides, by)
            spent = time.monotonic() - since
            state = html.progress(done, f"{what}: {html.left(spent, done)}")
            if (table, grid) != shown:
                shown = table, grid
                yield grid, table, state, gr.skip()
        yield gr.skip(), scoreboard.scores(sides, by), "", gr.Button(interactive=False)

    def boxed(self, event: gr.EventData) -> tuple[float, ...] | None:
        """The box that was drawn, or None when it was removed."""
        data = event._data if isinstance(event._data, dict) else {}
        given = data.get("box")
        return None if given is None else checked_box(given)

    def open(
        self, event: gr.EventData, seen: Photo | None, layer: str, colours: str
    ) -> dict[str, Any]:
        """A method's own tab with the same settings."""
        data = event._data if isinstance(event._data, dict) else {}
        method = data.get("method")
        tab = links.tab_of(self.subject, method) if method in METHODS else None
        if tab is None:
            raise ExplainError("That method has no tab of its own: choose another one.")
        settings = {"methods": [method], "method": method, "layer": layer, "colours": colours}
        settings |= links.options_of(method, seen)
        return {"tab": tab, "settings": settings, "click": next(_clicks)}

    def forget(self, *given: Any) -> Iterator[tuple[Any, ...]]:
        """The sanity check, a stage at a time: (table, state, Cancel)."""
        sides = self.sides(*given)
        if not sides or not sides[0].found.methods:
            raise ExplainError(GONE if given[0] is None and given[2] else WELCOME)
        found = sides[0].found
        yield "", html.notice("A copy of the network is being made …"), gr.Button(interactive=True)
        for _ in found.draw((0, 1) if _quick(found) else (0, 1, 2)):
            pass
        originals, done, since = found.finished(), [], time.monotonic()
        for stage in sanity.check(found.question, originals):
            done.append(stage)
            share = stage.index / stage.count
            table = scoreboard.sanity(given[0], originals, done, found.row, stage.count)
            left = html.left(time.monotonic() - since, share)
            state = html.progress(share, f"{stage.title} is random now: {left}")
            yield table, state if share < 1 else "", gr.skip()
        yield gr.skip(), "", gr.Button(interactive=False)

    def report(self, *given: Any) -> Iterator[tuple[Any, ...]]:
        """The ZIP, after what is still missing has been computed: (file, state, Cancel)."""
        sides = self.sides(*given)
        if not sides or not sides[0].found.methods:
            raise ExplainError(GONE if given[0] is None and given[2] else WELCOME)
        yield (
            gr.skip(),
            html.notice("Collecting the maps and scores …"),
            gr.Button(interactive=True),
        )
        for _grid, done, what in scoreboard.steps(sides[:1], True):
            yield gr.skip(), html.progress(done, what), gr.skip()
        data = report.build(given[0], sides[0].found, colourmap=given[8])
        file = kept.written("seeing-why-report.zip", data)
        yield file, "", gr.Button(interactive=False)


def _quick(found: Comparison) -> bool:
    """Are there only methods that take at most some dozens of passes?"""
    return all(METHODS[name].cost != "hundreds" for name in found.methods)


def _side(seen: Photo, asked: Question, methods: list[str], baseline: str, around: Any) -> Side:
    name = asked.network.labels[asked.targets[0]]
    logits = asked.network.answer(asked.view)
    chance = float(asked.network.probabilities(logits)[asked.targets[0]])
    asked = dataclasses.replace(asked, targets=asked.targets[:1])
    title = f"{name} · {html.percent(chance)}"
    return Side(seen, Comparison(asked, methods, baseline, box=around), title)


def _name_apart(sides: list[Side], beside: str) -> None:
    if beside == "network":
        for side in sides:
            side.title = f"{side.found.question.network.title} · {side.title}"


def _controls(first: Network) -> tuple[Any, ...]:
    """Which methods, and how they are drawn, measured and sorted."""
    methods = gr.CheckboxGroup(
        [(f"{m.title} (slow)" if m.cost == "hundreds" else m.title, k)
         for k, m in METHODS.items()],
        value=applicable(),
        label="Methods",
        elem_id="compare-methods",
    )  # fmt: skip
    with gr.Row(equal_height=True):
        by = gr.Dropdown(
            [("As listed", "listed"), *((title, key) for key, (title, _) in SORTS.items())],
            value="listed",
            label="Best first, by",
            min_width=150,
            elem_id="compare-sort",
        )
        baseline = gr.Dropdown(
            [("A blurred copy", "blur"), ("Its mean colour", "mean")],
            value="blur",
            label="Missing pixels show",
            min_width=150,
        )
        layer = gr.Dropdown(
            _layers(first),
            value=first.last,
            label="Layer",
            allow_custom_value=True,
            min_width=200,
            scale=2,
        )
        colours = gr.Dropdown(
            list(render.COLOURMAPS), value=render.DEFAULT, label="Colours", min_width=120
        )
        measures = gr.Checkbox(True, label="Measure them", min_width=140)
    return methods, by, baseline, layer, colours, measures


def _aside() -> tuple[gr.Radio, gr.Dropdown, gr.Dropdown, gr.Dropdown]:
    """What to put beside the first grid, and which one."""
    with gr.Accordion("Put something beside it", open=False, elem_id="compare-beside"), gr.Row():
        beside = gr.Radio(BESIDE, value="nothing", label="Side by side with")
        second = gr.Dropdown([], value=None, allow_custom_value=True, label="That class",
                             elem_id="compare-class", visible=False)  # fmt: skip
        network = gr.Dropdown([], value=None, label="That network", elem_id="compare-network",
                              info="Those that are ready.", visible=False)  # fmt: skip
        shown = gr.Dropdown([(each["title"], name) for name, each in examples().items()],
                            value=None, label="That photo", visible=False)  # fmt: skip
    return beside, second, network, shown


def build(subject: Subject) -> None:
    """Lay out the tab and wire it."""
    first = subject.zoo.get()
    methods, by, baseline, layer, colours, measures = _controls(first)
    beside, second, network, shown = _aside()
    state = gr.HTML("", elem_id="compare-state")
    grid = gr.HTML(EMPTY, js_on_load=scoreboard.GRID_JS, elem_id="compare-grid", min_height=240)
    with gr.Row():
        cancel = gr.Button("Cancel", size="sm", interactive=False, elem_id="compare-cancel")
        zipped = gr.Button("Download the report (ZIP)", size="sm", elem_id="compare-report")
    file = gr.DownloadButton("", visible="hidden", elem_id="file-zip")
    table = gr.HTML("", js_on_load=scoreboard.SCORES_JS, elem_id="compare-scores")
    with gr.Accordion("Did it find the object? Draw a box", open=False, elem_id="compare-box"):
        drawn = gr.HTML(box.EMPTY, js_on_load=box.JS, elem_id="box")
    with gr.Accordion("Sanity check: what if the network knew nothing?", open=False,
                      elem_id="compare-sanity"):  # fmt: skip
        gr.HTML(
            "<p>A copy of the network is made random, from the head down, and every method is "
            "asked again. A map that stays the same does not show what the network has learnt.</p>"
        )
        forget = gr.Button("Randomise a copy of the network", elem_id="compare-forget")
        progress, forgotten = gr.HTML(""), gr.HTML("", elem_id="compare-forgotten")
    subject.settings["compare"] = {
        "methods": methods, "sort": by, "baseline": baseline, "layer": layer, "colours": colours,
        "beside": beside, "class": second, "network": network, "photo": shown,
    }  # fmt: skip
    wire(subject, Compare(subject), locals())


def wire(subject: Subject, tab: Compare, parts: dict[str, Any]) -> None:
    """Connect the widgets that `build` made."""
    area, begun, go = gr.State(None), gr.State(0), gr.State(0)
    grid, table, state, cancel = (parts[k] for k in ("grid", "table", "state", "cancel"))
    names = ("methods", "layer", "baseline", "colours")
    given = [*subject.inputs, *(parts[name] for name in names), area]
    aside = [parts[name] for name in ("beside", "second", "network", "shown")]
    given += aside
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    heavy: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "slow", **quiet}
    working = go.change(
        guarded(tab.work), [subject.tab, parts["measures"], parts["by"], *given],
        [grid, table, state, cancel], **heavy,
    )  # fmt: skip
    also = [parts[name].change for name in ("methods", "layer", "colours")]
    also += [each.change for each in aside]
    subject.live(
        "compare",
        tab.draw,
        given,
        [grid, table, state, begun, parts["drawn"], parts["second"], parts["network"]],
        also=also,
        show_progress="minimal",
        show_progress_on=grid,
        cancels=[working],
    )
    again = [begun, parts["by"], parts["baseline"], parts["measures"], area, subject.tab]
    gr.on(  # leaving the tab stops the work, coming back takes it up again
        [each.change for each in again],
        lambda shown, begun: next(_clicks) if shown == "compare" and begun else gr.skip(),
        [subject.tab, begun],
        go,
        cancels=[working],
        trigger_mode="always_last",
        **quiet,
    )
    rest(subject, tab, parts, given, area, working)


def rest(
    subject: Subject, tab: Compare, parts: dict[str, Any], given: list[Any], area: Any, working: Any
) -> None:
    """Connect the box, the cards' buttons, the sanity check, the report and Cancel."""
    grid, state, cancel = (parts[k] for k in ("grid", "state", "cancel"))
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    heavy: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "slow", **quiet}
    subject.photo.change(lambda: None, None, area, **quiet)
    parts["beside"].change(
        _show_one,
        parts["beside"],
        [parts[name] for name in ("second", "network", "shown")],
        **quiet,
    )
    # four numbers typed quickly are four boxes, and the last one counts
    parts["drawn"].box(guarded(tab.boxed), None, area, trigger_mode="multiple", **quiet)
    grid.pick(
        guarded(tab.open),
        [subject.photo, parts["layer"], parts["colours"]],
        subject.wanted,
        **quiet,
    )
    forgetting = parts["forget"].click(
        guarded(tab.forget), given, [parts["forgotten"], parts["progress"], cancel], **heavy
    )
    reporting = parts["zipped"].click(
        guarded(tab.report), given, [parts["file"], state, cancel], **heavy
    )
    reporting.success(None, None, None, js=kept.fetched("file-zip"))
    cancel.click(
        lambda: ("", "", gr.Button(interactive=False)), None, [state, parts["progress"], cancel],
        cancels=[working, forgetting, reporting], **quiet,
    )  # fmt: skip
    subject.network.change(
        guarded(lambda key, now: _layer_update(subject.zoo.get(key), now)),
        [subject.network, parts["layer"]], parts["layer"], **quiet,
    )  # fmt: skip


def _show_one(beside: str) -> list[Any]:
    return [gr.update(visible=beside == name) for name in ("class", "network", "photo")]
