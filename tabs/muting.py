"""The Muting tab: what does the class need? Windows muted in turn, a brush, random masks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from explainers import ExplainError, Question, render
from explainers.muting import COARSE, Key, Muting, Score, mute, recent
from explainers.muting import maps as muting_maps
from explainers.muting.baselines import BASELINES
from explainers.muting.brush import Flip, smallest_flip
from explainers.muting.pictures import sheet

from . import brush, courier, html, kept, positions, rise
from .guard import guarded
from .subject import GONE, Subject

OFTEN = 0.4  # seconds between pictures while it runs
AUTOMATIC = 4.0  # seconds that the first look may take by itself; the slow networks stop there
FINEST = 4  # pixels of stride: 2401 positions of a square photo
CELL = 420

Shown = tuple[Key, int]  # a result, and how many of its positions are known


@dataclass(frozen=True)
class Settings:
    """Of one run; window and stride are checked further by `mute`."""

    window: int
    stride: int
    baseline: str
    seed: int

    def __post_init__(self) -> None:
        brush.whole(self.seed)

    def check(self) -> Settings:
        """For a whole run; a first look does not mind a fine stride."""
        if type(self.stride) is int and 1 <= self.stride < FINEST:
            raise ExplainError(f"A stride below {FINEST} px takes too long here: choose more.")
        return self

    def key(self, asked: Question) -> Key:
        seed = self.seed if self.baseline == "noise" else 0
        return asked.view.key, self.window, self.stride, self.baseline, seed

    @property
    def coarse(self) -> Settings:
        """The same with as few positions as leave no gap, for a first look."""
        if type(self.window) is not int or self.window < 1:
            return self
        return Settings(self.window, min(self.window, COARSE), self.baseline, self.seed)


class Mute:
    """The handlers. `shared`: photo, network key, targets, against, framing."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.results = recent

    def question(self, shared: Any) -> Question:
        asked = self.subject.question(*shared)
        if asked is None:
            raise ExplainError(GONE if shared[2] else brush.FIRST)
        return asked

    def run(self, shown: Shown | None, *given: Any) -> Iterator[tuple[Any, ...]]:
        """Everything, coarse to fine: the words and bar, what is shown, Cancel."""
        *shared, window, stride, baseline, seed = given
        try:
            asked = self.question(shared)
            settings = Settings(window, stride, baseline, seed).check()
            yield from self._run(asked, settings, shown)
        except ExplainError as error:
            yield html.notice(str(error), "problem"), gr.skip(), gr.Button(interactive=False)

    def first_look(self, wanted: str, shown: Shown | None, *given: Any) -> Iterator[Any]:
        """A coarse picture by itself, as far as it comes in a few seconds."""
        *shared, window, stride, baseline, seed = given
        asked = self.subject.question(*shared)
        if asked is None or not wanted:
            yield "", gr.skip(), gr.Button(interactive=False)
            return
        try:
            settings = Settings(window, stride, baseline, seed)
            known = self.results.get(settings.key(asked))
            settings = settings if known and known.done >= 1 else settings.coarse
            yield from self._run(asked, settings, shown, AUTOMATIC)
        except ExplainError as error:
            yield html.notice(str(error), "problem"), gr.skip(), gr.Button(interactive=False)

    def _run(
        self, asked: Question, settings: Settings, shown: Shown | None, limit: float | None = None
    ) -> Iterator[tuple[Any, ...]]:
        key, more, drawn = settings.key(asked), gr.Button(interactive=True), 0.0
        muting = self.results.get(key)
        if muting is None or muting.done < 1:
            least = self._had(shown, key)
            since = time.monotonic()
            yield html.progress(0, "Reading the photo …"), gr.skip(), more
            for muting in mute(asked.network, asked.view, **vars(settings)):
                if int(muting.known.sum()) >= least or muting.done >= 1:
                    self.results[key] = muting
                    least = 0
                if time.monotonic() - drawn > OFTEN:
                    drawn = time.monotonic()
                    now = gr.skip() if least else (key, _count(muting))
                    yield self.words(muting), now, more
                if limit and time.monotonic() - since > limit:
                    break
        yield self.ended(muting, limit), (key, _count(muting)), gr.Button(interactive=False)

    def _had(self, shown: Shown | None, key: Key) -> int:
        """How many positions the picture of the same photo has now: less would be a step back."""
        before = self.results.get(shown[0]) if shown else None
        if before is None or (key[0], key[1], key[3:]) != (shown[0][0], shown[0][1], shown[0][3:]):
            return 0
        return _count(before) if key[2] <= shown[0][2] else 0

    @staticmethod
    def words(muting: Muting) -> str:
        left = muting.seconds_left
        rest = "starting" if left is None else f"about {left:.0f} s left"
        rest = "nearly there" if left is not None and left < 1.5 else rest
        count, every = _count(muting), muting.known.numel()
        return html.progress(muting.done, f"{count} of {every} positions · {rest}")

    @staticmethod
    def ended(muting: Muting, limit: float | None) -> str:
        count, every = _count(muting), muting.known.numel()
        said = f"{count} positions, stride {muting.stride} px, in {muting.seconds:.1f} s"
        if muting.done < 1:
            said = f"{count} of {every} positions so far; “Mute” does them all."
        elif limit:
            said = f"A first look: {said}. “Mute” makes it finer."
        else:
            said += ": every value is exact at its own position."
        note = html.notice(muting.note) if muting.note else ""
        return html.notice(said) + note

    def cancelled(self, shown: Shown | None) -> tuple[str, Any]:
        muting = self.results.get(shown[0]) if shown else None
        words = html.notice("Stopped.")
        if muting is not None:
            words = html.notice(
                f"Stopped at {_count(muting)} of {muting.known.numel()} positions; those are exact."
            )
        return words, gr.Button(interactive=False)

    def of(self, asked: Question, shown: Shown | None) -> Muting | None:
        """The result on the page, if it is of the photo and network asked about."""
        if not shown or shown[0][0] != asked.view.key:
            return None
        return self.results.get(shown[0])

    def draw(self, *given: Any) -> Iterator[tuple[Any, ...]]:
        """Maps, closer look, what it looks at, and the view that has no result yet."""
        *shared, shown, score, looked = given
        asked = self.subject.question(*shared)
        if asked is None:
            yield positions.EMPTY, "", None, ""
            return
        muting = self.of(asked, shown)
        if muting is None:
            yield positions.WAITING, positions.HINT, None, asked.view.key
            return
        sheet = positions.maps(shared[0], asked, muting, _score(score))
        now = (asked.view.key, asked.targets)
        if looked == now:
            yield sheet, gr.skip(), gr.skip(), gr.skip()
            return
        best = muting_maps.strongest(muting, asked.targets[0])
        yield sheet, positions.look(asked, muting, best), now, gr.skip()

    def look(self, event: gr.EventData, *given: Any) -> str:
        """Pointed at a map: that window muted."""
        *shared, shown = given
        asked = self.question(shared)
        muting = self.of(asked, shown)
        if muting is None:
            return html.notice("This result has left our memory: press “Mute” again.")
        data = event._data if isinstance(event._data, dict) else {}
        x, y = data.get("x"), data.get("y")
        if not all(isinstance(v, int | float) and 0 <= v <= 1 for v in (x, y)):
            raise ExplainError("There is no such place: point at the map.")
        return positions.look(asked, muting, muting_maps.place(muting, x, y))

    def panel(self, *given: Any) -> bytes:
        """The maps that are shown, as one PNG."""
        *shared, shown, score = given
        asked = self.question(shared)
        muting = self.of(asked, shown)
        if muting is None:
            raise ExplainError("There is no map to download yet: press “Mute” first.")
        return sheet(shared[0], asked, muting, _score(score))

    def flip(self, *given: Any) -> Iterator[tuple[Any, ...]]:
        """The smallest region found that changes the network's mind, as the search goes: words and
        bar, the region, Cancel."""
        *shared, shown = given
        stop = gr.Button(interactive=True)
        try:
            asked = self.question(shared)
            muting = self.of(asked, shown)
            if muting is None:
                raise ExplainError("Press “Mute” first: the search starts from its heat map.")
            small, drawn, found = render.shrink(shared[0], CELL), 0.0, None
            for found in smallest_flip(muting, asked.targets[0]):
                if time.monotonic() - drawn > OFTEN and found.done < 1:
                    drawn = time.monotonic()
                    bar = html.progress(found.done, "searching …")
                    yield bar, self._flip(asked, muting, found, small), stop
            yield "", self._flip(asked, muting, found, small), gr.Button(interactive=False)
        except ExplainError as error:
            yield html.notice(str(error), "problem"), gr.skip(), gr.Button(interactive=False)

    @staticmethod
    def _flip(asked: Question, muting: Muting, found: Flip, small: Any) -> str:
        if found.done >= 1 and not found.flipped:
            return html.notice(
                "Even with every window muted the network does not change its mind: try another "
                "way of muting."
            )
        picture = render.region(small, found.mask.numpy(), muting.frame)
        title = f"Muting {found.percent:.1f} % of the picture "
        title += "changes its mind" if found.flipped else "is not enough yet"
        return positions.flipped(asked, picture, found.change, title)


def _score(score: Any) -> Score:
    return "probability" if score == "probability" else "logit"


def _count(muting: Muting) -> int:
    return int(muting.known.sum())


def _settings() -> dict[str, Any]:
    with gr.Row(equal_height=True, elem_id="muting-settings"):
        window = gr.Number(32, label="Window (px)", precision=0, min_width=110, elem_id="window")
        stride = gr.Number(8, label="Stride (px)", precision=0, min_width=110, elem_id="stride")
        kind = gr.Dropdown(
            [(title.capitalize(), key) for key, title in BASELINES.items()],
            value="grey",
            label="Muted with",
            min_width=170,
            elem_id="baseline",
        )
        seed = gr.Number(
            0, label="Seed", precision=0, min_width=90, visible=False, elem_id="muting-seed"
        )
        score = gr.Radio(
            [("Logit", "logit"), ("Probability", "probability")],
            value="logit",
            label="Drop of the",
            min_width=210,
        )
    with gr.Row(elem_id="muting-buttons"):
        start = gr.Button("Mute", variant="primary", scale=0, min_width=170, elem_id="mute")
        stop = gr.Button("Cancel", interactive=False, scale=0, min_width=110, elem_id="mute-cancel")
    names = ("window", "stride", "kind", "seed", "score", "start", "stop")
    return dict(zip(names, (window, stride, kind, seed, score, start, stop), strict=True))


def build(subject: Subject) -> None:
    """Lay out the tab and wire it."""
    parts = _settings()
    parts["status"] = gr.HTML("", elem_id="muting-status", min_height=28)
    parts["maps"] = gr.HTML(
        positions.EMPTY, js_on_load=positions.JS, elem_id="muting-maps", min_height=220
    )
    shown, tab = gr.State(None), Mute(subject)
    kept.button(
        "Download the maps (PNG)",
        "seeing-why-muting.png",
        tab.panel,
        [*subject.inputs, shown, parts["score"]],
        "muting-file",
    )
    parts["look"] = gr.HTML("", elem_id="muting-look")
    with gr.Row():
        parts["flip"] = gr.Button(
            "Find the smallest region that flips the decision",
            scale=0,
            min_width=460,
            elem_id="flip-start",
        )
        parts["flip_stop"] = gr.Button(
            "Cancel", interactive=False, elem_id="flip-cancel", scale=0, min_width=110
        )
    parts["flip_status"] = gr.HTML("", elem_id="flip-status")
    parts["flipped"] = gr.HTML("", elem_id="flipped")
    brush.build(subject, parts["kind"], parts["seed"])
    rising = rise.build(subject, parts["kind"], parts["seed"])
    names = ("window", "stride", "score", "seed")
    subject.settings.setdefault("muting", {}).update(
        {name: parts[name] for name in names}, baseline=parts["kind"]
    )
    _wire(subject, tab, {**parts, "shown": shown}, *rising)


def _wire(
    subject: Subject, tab: Mute, parts: dict[str, Any], rising: Any, risen: list[Any]
) -> None:
    """Connect what `build` made. Runs only say how far they are; drawing is a cheap event of its
    own, so that another class can be chosen while they run."""
    shown, looked, wanted = parts["shown"], gr.State(None), gr.State("")
    quiet: dict[str, Any] = {"api_visibility": "private"}
    slow = {"concurrency_limit": 1, "concurrency_id": "slow", "show_progress": "hidden", **quiet}
    settings = [parts[name] for name in ("window", "stride", "kind", "seed")]
    told = [parts["status"], shown, parts["stop"]]
    subject.live(
        "muting",
        tab.draw,
        [*subject.inputs, shown, parts["score"], looked],
        [parts["maps"], parts["look"], looked, wanted],
        also=[shown.change, parts["score"].change],
        show_progress="hidden",
    )
    courier.waiting(parts["start"], parts["status"], parts["stop"])
    courier.waiting(parts["flip"], parts["flip_status"], parts["flip_stop"])
    flipping = parts["flip"].click(
        guarded(tab.flip),
        [*subject.inputs, shown],
        [parts["flip_status"], parts["flipped"], parts["flip_stop"]],
        **slow,
    )
    run = parts["start"].click(
        guarded(tab.run),
        [shown, *subject.inputs, *settings],
        told,
        **slow,
    )
    first = wanted.change(
        guarded(tab.first_look),
        [wanted, shown, *subject.inputs, *settings],
        told,
        cancels=[run, flipping, rising],
        **slow,
    )
    parts["stop"].click(
        guarded(tab.cancelled),
        shown,
        [parts["status"], parts["stop"]],
        cancels=[run, first],
        **quiet,
    )
    parts["flip_stop"].click(
        lambda: (html.notice("Stopped."), gr.Button(interactive=False)),
        None,
        [parts["flip_status"], parts["flip_stop"]],
        cancels=[flipping],
        **quiet,
    )
    wanted.change(  # another photo: nothing of the last one stays
        lambda: ("", "", rise.HINT, ""),
        None,
        [parts["flip_status"], parts["flipped"], *risen],
        show_progress="hidden",
        **quiet,
    )
    looking = parts["maps"].look(
        guarded(tab.look),
        [*subject.inputs, shown],
        parts["look"],
        trigger_mode="multiple",
        show_progress="hidden",
        **quiet,
    )
    courier.answered(looking, "look")
    parts["kind"].change(
        lambda kind: gr.update(visible=kind == "noise"), parts["kind"], parts["seed"], **quiet
    )
