"""RISE: random masks, and which parts must be visible; streamed until it has settled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from explainers import ExplainError, Explanation, Photo, Question, ask, render
from explainers import photo as photos

from . import courier, html
from .brush import FIRST, whole
from .guard import guarded
from .subject import GONE, Subject

CELL = 520
OFTEN = 0.7  # seconds between pictures
MOST = 8000  # masks
HEAD = "<h3 class='finder-head'>RISE: random masks instead of windows</h3>"
HINT = html.notice(
    "Half of the photo is hidden by random blots, again and again; a pixel counts as much as the "
    "class is likely while it is visible (Petsiuk et al. 2018)."
)


class Rise:
    """The handlers. `given`: photo, network key, targets, against, framing, masks, tolerance in
    percent, the mute's kind, the noise's seed."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def run(self, *given: Any) -> Iterator[tuple[Any, ...]]:
        """Words and bar, the maps as they settle, and whether there is something to cancel."""
        try:
            yield from self._run(*given)
        except ExplainError as error:
            yield html.notice(str(error), "problem"), gr.skip(), gr.Button(interactive=False)

    def _run(self, *given: Any) -> Iterator[tuple[Any, ...]]:
        *shared, masks, tolerance, baseline, seed = given
        asked = self.subject.question(*shared)
        if asked is None:
            raise ExplainError(GONE if shared[2] else FIRST)
        if type(masks) is not int or not 1 <= masks <= MOST:
            raise ExplainError(f"RISE takes between 1 and {MOST} masks here.")
        if not isinstance(tolerance, int | float) or not 0 <= tolerance <= 100:
            raise ExplainError("The error to stop at is a percentage from 0 to 100.")
        options = {"baseline": baseline, "seed": whole(seed)}
        shown, last, stop = 0.0, None, gr.Button(interactive=True)
        for found in ask(asked, "rise", masks=masks, tolerance=tolerance / 100, **options):
            last = found
            if time.monotonic() - shown > OFTEN and found.done < 1:
                shown = time.monotonic()
                yield _progress(found, tolerance), self.picture(shared[0], asked, found), stop
        ended = html.notice(_ending(last, tolerance))
        yield ended, self.picture(shared[0], asked, last), gr.Button(interactive=False)

    @staticmethod
    def picture(seen: Photo, asked: Question, found: Explanation) -> str:
        small = render.shrink(seen, CELL)
        height, width = small.shape[:2]
        url = html.data_url(photos.to_jpeg(small, 85), "jpeg")
        cells = "".join(
            _cell(asked, found, row, (width, height)) for row in range(len(found.values))
        )
        return (
            f'<div class="maps" style="--photo:url({url});--shape:{width}/{height}">'
            f'<div class="cells muting-cells">{cells}</div></div>'
        )


def _progress(found: Explanation, tolerance: float) -> str:
    words = (
        f"{found.facts['used']} masks, standard error "
        f"{100 * found.facts['standard_error']:.1f} % of the map’s range (it stops at "
        f"{tolerance:g} %) · {html.left(found.seconds, found.done)}"
    )
    return html.progress(found.done, words)


def _cell(asked: Question, found: Explanation, row: int, size: tuple[int, int]) -> str:
    name = asked.network.labels[asked.targets[row]]
    name += f", and not {asked.network.labels[asked.against]}" if asked.against is not None else ""
    alt = escape(f"RISE for {name}: strongest at the {html.place(*found.peak(row))}")
    picture = html.data_url(
        render.png(render.translucent(render.from_lowest(found), row, size)), "png"
    )
    return (
        f'<figure class="cell"><div class="stack"><img class="heat" alt="{alt}" src="{picture}">'
        f"</div><figcaption><b>{escape(name)}</b>"
        f"{html.legend(render.DEFAULT, found.against is not None)}</figcaption></figure>"
    )


def _ending(found: Explanation, tolerance: float) -> str:
    used, error = found.facts["used"], 100 * found.facts["standard_error"]
    if error <= tolerance:
        return f"Settled after {used} masks: the standard error is {error:.1f} % of the range."
    return (
        f"All {used} masks are used, and the standard error is still {error:.1f} % of the map’s "
        "range: ask for more masks to have it settle."
    )


def build(subject: Subject, baseline: gr.Dropdown, seed: gr.Number) -> tuple[Any, list[Any]]:
    """Lay out the section and wire it; returns the running event, to be cancelled, and where its
    words and maps are."""
    tab = Rise(subject)
    gr.HTML(HEAD)
    with gr.Row(equal_height=True):
        masks = gr.Number(
            2000, label="Masks at most", precision=0, min_width=140, elem_id="rise-masks"
        )
        tolerance = gr.Number(10, label="Stop at a standard error of (%)", min_width=140)
    with gr.Row():
        start = gr.Button("Run RISE", elem_id="rise-start", scale=0, min_width=170)
        stop = gr.Button("Cancel", interactive=False, elem_id="rise-cancel", scale=0, min_width=110)
    subject.settings.setdefault("muting", {}).update(masks=masks, tolerance=tolerance)
    status = gr.HTML(HINT, elem_id="rise-status", min_height=28)
    out = gr.HTML("", elem_id="rise")
    quiet: dict[str, Any] = {"api_visibility": "private"}
    courier.waiting(start, status, stop)
    running = start.click(
        guarded(tab.run),
        [*subject.inputs, masks, tolerance, baseline, seed],
        [status, out, stop],
        concurrency_limit=1,
        concurrency_id="slow",
        show_progress="hidden",
        **quiet,
    )
    stopped = html.notice("Stopped: what is shown is as far as it came.")
    stop.click(
        lambda: (stopped, gr.Button(interactive=False)),
        None,
        [status, stop],
        cancels=[running],
        **quiet,
    )
    return running, [status, out]
