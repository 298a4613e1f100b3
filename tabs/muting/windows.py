"""A window over every place in turn: a coarse look by itself, all places on demand."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from explainers import ExplainError, Question
from explainers.explanation import to_npz
from explainers.muting import COARSE, Muting, Position, Sweep, check, grid, mute_in_steps, recent
from explainers.muting.maps import drop_map
from explainers.muting.pictures import sheet as drawn
from explainers.network.frame import part

from ..parts import html
from ..parts.pace import Often, Pace, span
from ..parts.tab import Settings, Show
from ..subject import Asked
from . import maps

OFTEN = 0.4  # seconds between pictures while it runs
QUICK = 0.6  # seconds of a first look that need no bar
FINEST = 4  # pixels of stride: 2401 positions of a square photo
Looking = Iterator["Show | None"]


class Run(Sweep):
    """Windows as the page asks for them, and what is known of them."""

    @classmethod
    def of(cls, settings: Settings) -> Run:
        return cls(**{each.name: settings[each.name] for each in fields(cls)})

    @property
    def coarse(self) -> Run:
        """As few places as leave no gap."""
        return replace(self, stride=min(self.window, COARSE))

    def wrong(self, question: Question) -> ExplainError | None:
        """Why there can't be such windows."""
        try:
            check(question.network, question.view.tensor, self.window, self.stride)
        except ExplainError as error:
            return error
        return None

    def places(self, question: Question) -> int:
        """How many there are."""
        down, across = grid(question.view, self.window, self.stride)
        return len(down) * len(across)

    def found(self, question: Question) -> Muting | None:
        """What is known already, the finer of both; it may be half done."""
        fine, first = (recent.get(each.key(question.view)) for each in (self, self.coarse))
        return max((each for each in (fine, first) if each), key=_count, default=None)

    def steps(self, question: Question) -> Iterator[Muting | None]:
        """Mute every window, None between results; what is known stays so when one leaves."""
        least, known = _count(self.found(question)), recent.get(self.key(question.view))
        for muting in mute_in_steps(question.network, question.view, **vars(self), known=known):
            news = muting is not None
            if news and (muting.count >= least or muting.done >= 1):  # less would be a step back
                recent.keep(self.key(question.view), muting, of=question.network)
            yield muting


def _count(muting: Muting | None) -> int:
    return muting.count if muting is not None else 0


def first_look(asked: Asked, settings: Settings, first: Show) -> Looking:
    """The picture that is there by itself; `first` is shown before it."""
    question, run = asked.question(), Run.of(settings)
    found, wrong = run.found(question), run.wrong(question)
    ready = found is not None and (found.done >= 1 or found.stride != run.coarse.stride)
    shown = Show({"maps": "" if wrong else maps.WAITING, "looked": ""})
    yield first.then(_picture(asked, question, found, settings) if ready else shown)
    if wrong:
        raise wrong
    return Show() if ready else (yield from _looked(asked, question, settings, run.coarse))


def sweep(asked: Asked, settings: Settings, _data: Mapping[str, Any]) -> Looking:
    """Every place, coarse to fine."""
    question, run = asked.question(), Run.of(settings)
    found = recent.get(run.key(question.view))
    if found is not None and found.done >= 1:
        return _picture(asked, question, found, settings)
    yield Show(done=0.0, words="Starting")
    return (yield from _looked(asked, question, settings, run))


def _looked(asked: Asked, question: Question, settings: Settings, run: Run) -> Looking:
    since, due, pace = time.monotonic(), Often(OFTEN), Pace()
    least = _count(run.found(question))
    for found in run.steps(question):
        if found is None:
            yield None
            continue
        muting, left = found, pace.words(found.done)
        if muting.done >= 1 or not due():
            yield None
            continue
        long = time.monotonic() - since > QUICK
        bar = Show(done=muting.done, words=f"{muting.count} of {_every(muting)} places · {left}")
        if muting.count >= least:
            bar = _picture(asked, question, muting, settings).then(Show({"looked": ""})).then(bar)
        yield bar if long else Show(bar.places, bar.data)
    return _picture(asked, question, muting, settings)


def known(asked: Asked, settings: Settings) -> Iterator[None]:
    """Returns what is known of the windows, a coarse look at least."""
    question, run = asked.question(), Run.of(settings)
    found = run.found(question)
    if found is None:
        if wrong := run.wrong(question):
            raise wrong
        for muting in run.coarse.steps(question):
            found = muting or found
            yield None
    return found


def _picture(asked: Asked, question: Question, muting: Muting, settings: Settings) -> Show:
    run = Run.of(settings)
    places = {
        "maps": maps.maps(asked, question, muting, settings["score"]),
        "looked": _words(question, muting, run),
    }
    complete = muting.done >= 1 and muting.stride <= run.stride
    facts = {"places": run.places(question), "complete": complete}
    return Show(places, {"windows": facts | maps.facts(asked, muting)})


def _words(question: Question, muting: Muting, run: Run) -> str:
    """What was done, and what is left to do."""
    stride = f'<abbr class="term" tabindex="0" title="{maps.STRIDE}">stride</abbr>'
    said = f"{muting.count} places, {stride} {muting.stride} px"
    if muting.done < 1:
        said = f"{muting.count} of {_every(muting)} places so far, exact at each of them."
    elif muting.stride > run.stride:
        every = run.places(question)
        takes = span(every * muting.seconds / muting.count)
        said = f"A first look: {said}. All {every} places take about {takes}."
    else:
        said += f", in {muting.seconds:.1f} s: exact at each of them."
    return said + html.notice(muting.note)


def _every(muting: Muting) -> int:
    return muting.known.numel()


def box(muting: Muting, position: Position) -> list[float]:
    """A window's left, top, right and bottom as fractions of the photo."""
    (top, bottom), (left, right) = muting.rows[position[0]], muting.cols[position[1]]
    height, width = muting.size
    return list(part((left / width, top / height, right / width, bottom / height), muting.frame))


def _asked_for(asked: Asked, settings: Settings) -> tuple[Question, Muting]:
    question = asked.question()
    found = Run.of(settings).found(question)
    if found is None:
        raise ExplainError("There is no map to download yet: wait for the first picture.")
    return question, found


def sheet(asked: Asked, settings: Settings, _data: Mapping[str, Any]) -> Show:
    """The maps that are shown, as one PNG."""
    question, found = _asked_for(asked, settings)
    return Show(
        file=("seeing-why-muting.png", drawn(asked.seen, question, found, settings["score"]))
    )


def raw(asked: Asked, settings: Settings, _data: Mapping[str, Any]) -> Show:
    """The drop of each class by pixel, as .npz."""
    question, found = _asked_for(asked, settings)
    return Show(
        file=("seeing-why-muting.npz", to_npz([drop_map(found, question, settings["score"])]))
    )
