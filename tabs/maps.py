"""The Maps tab: methods side by side on the same photo, a row for each class."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from explainers import (
    METHODS,
    ExplainError,
    Explanation,
    Method,
    Photo,
    Question,
    ask,
    render,
    sheets,
)
from explainers import photo as photos
from explainers.cam import identity_gap
from explainers.explanation import to_npz

from . import html
from .guard import guarded, sentence
from .subject import GONE, WELCOME, Subject

CELL = 448  # pixels on the longer side of a picture in the grid
CLOSE = 900  # … and in the before/after slider
OFTEN = 0.7  # seconds between pictures of a map that grows
STRENGTH = 0.75

GRID_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-method]');
  if (button) trigger('pick', {method: button.dataset.method, row: +button.dataset.row});
});
"""
OPACITY_JS = "(v) => { document.documentElement.style.setProperty('--heat', v); return []; }"
DOWNLOAD_JS = """() => {
  const wait = (n) => {
    const link = document.querySelector('#ID a[href], #ID[href]') || document.querySelector('#ID');
    if (link) link.click(); else if (n) setTimeout(() => wait(n - 1), 50);
  };
  setTimeout(() => wait(40), 50);
}"""
EMPTY = (
    '<div class="maps-empty"><p><b>The maps appear here.</b> Heat marks the places of the photo '
    "that speak for the class; the methods often disagree, which is why they stand side by side."
    "</p></div>"
)


@dataclass(frozen=True)
class Look:
    """How maps are shown; every value checked, since requests can hold anything."""

    colourmap: str = render.DEFAULT
    scale: str = "each"
    pixels: str = "colour"
    opacity: float = STRENGTH

    def __post_init__(self) -> None:
        render.colours(self.colourmap)
        if self.scale not in ("each", "shared") or self.pixels not in ("colour", "strength"):
            raise ExplainError("There is no such way to show a map: choose one of those offered.")
        if not 0 <= self.opacity <= 1:
            raise ExplainError("The opacity goes from 0 to 1: choose a value in between.")

    @property
    def colours(self) -> dict[str, str]:
        return {"colourmap": self.colourmap, "scale": self.scale, "pixels": self.pixels}


@dataclass
class Sheet:
    """The grid as it fills up: for each method its explanation, or why there is none."""

    photo: Photo
    question: Question
    look: Look
    methods: list[Method]
    found: dict[str, Explanation] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)

    def html(self) -> str:
        small = render.shrink(self.photo, CELL)
        height, width = small.shape[:2]
        rows = "".join(self._row(row, (width, height)) for row in range(len(self._targets)))
        url = html.data_url(photos.to_jpeg(small, 85), "jpeg")
        return (
            f'<div class="maps" style="--photo:url({url});--shape:{width}/{height}">'
            f"{rows}{self._foot()}</div>"
        )

    @property
    def _targets(self) -> tuple[int, ...]:
        return self.question.targets

    def _name(self, row: int) -> str:
        labels, against = self.question.network.labels, self.question.against
        name = labels[self._targets[row]]
        return name if against is None else f"{name}, and not {labels[against]}"

    def _row(self, row: int, size: tuple[int, int]) -> str:
        network, view = self.question.network, self.question.view
        logits = network.recorded(view, self.question.layer).logits.detach()[0]
        chance = float(network.probabilities(logits)[self._targets[row]])
        name = escape(self._name(row))
        cells = "".join(self._cell(method, row, size) for method in self.methods)
        return (
            f'<section class="maps-row" aria-label="{name}"><h3>{name} '
            f"<span>{html.percent(chance)}</span></h3>"
            f'<div class="cells"><figure class="cell"><div class="stack plain" role="img" '
            f'aria-label="The photo without a map"></div><figcaption><b>Photo</b></figcaption>'
            f"</figure>{cells}</div></section>"
        )

    def _cell(self, method: Method, row: int, size: tuple[int, int]) -> str:
        title = escape(method.title)
        if method.key in self.absent:
            body = f'<div class="stack absent"><p>{escape(self.absent[method.key])}</p></div>'
            took = "not defined here"
        elif method.key not in self.found:
            body, took = '<div class="stack waiting"></div>', "…"
        else:
            body, took = self._picture(method, row, size)
        return (
            f'<figure class="cell">{body}<figcaption><b>{title}</b> '
            f'<small title="Time beyond the shared forward pass">{took}</small>'
            f"<p>{escape(method.caption)}</p></figcaption></figure>"
        )

    def _picture(self, method: Method, row: int, size: tuple[int, int]) -> tuple[str, str]:
        found = self.found[method.key]
        over = render.layer(found, row, size, **self.look.colours)
        where = html.place(*found.peak(row))
        alt = escape(f"{method.title} for {self._name(row)}: strongest at the {where}")
        bar = ""
        if found.done < 1:
            bar = html.progress(found.done, html.left(found.seconds, found.done))
        kind = "heat opaque" if found.per_pixel and self.look.pixels == "colour" else "heat"
        body = (
            f'<button type="button" class="stack" data-method="{method.key}" data-row="{row}" '
            f'title="Look at this map closely below"><img class="{kind}" alt="{alt}" '
            f'src="{html.data_url(render.png(over), "png")}">{bar}</button>'
        )
        return body, f"{found.seconds * 1000:.0f} ms" if found.seconds < 1 else (
            f"{found.seconds:.1f} s"
        )

    def _foot(self) -> str:
        both = self.question.against is not None
        notes = []
        cam, grad = self.found.get("cam"), self.found.get("gradcam")
        gap = identity_gap(cam, grad) if cam and grad else None
        if gap is not None:
            notes.append(
                "CAM and Grad-CAM are the same map here: the network ends in a global average and "
                f"one linear layer, and then they differ by a factor alone (measured: {gap:.0e} "
                "of the map’s range)."
            )
        if any(each.per_pixel for each in self.found.values()):
            how = "their sign and colour on grey" if self.look.pixels == "colour" else "strength"
            notes.append(f"Gradients and guided maps show single pixels: {how}.")
        scale = (
            "one scale for all rows" if self.look.scale == "shared" else "each map by its strongest"
        )
        words = "".join(f"<p>{escape(note)}</p>" for note in notes)
        return (
            f'<div class="maps-foot">{html.legend(self.look.colourmap, both)}'
            f"<span>{scale}</span>{words}</div>"
        )


class Maps:
    """The handlers of the tab."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def sheet(
        self, seen, key, targets, against, framing, methods, layer, colourmap, scale, pixels
    ) -> Sheet | None:
        """An empty sheet for what is asked; None while there is nothing to explain."""
        asked = self.subject.question(seen, key, targets, against, framing, layer)
        if asked is None:
            return None
        chosen = [METHODS[name] for name in METHODS if name in (methods or [])]
        sheet = Sheet(seen, asked, Look(colourmap, scale, pixels), chosen)
        for method in chosen:
            if reason := method.why_not(asked.network):
                sheet.absent[method.key] = reason
        return sheet

    @staticmethod
    def fill(sheet: Sheet) -> Iterator[None]:
        """Ask the methods, fast ones first; yields when there is something new to show."""
        todo = [method for method in sheet.methods if method.key not in sheet.absent]
        shown = 0.0
        for method in sorted(todo, key=lambda method: method.slow):
            try:
                for explanation in ask(sheet.question, method.key):
                    sheet.found[method.key] = explanation
                    if method.slow and time.monotonic() - shown > OFTEN:
                        shown = time.monotonic()
                        yield
            except ExplainError as error:
                sheet.absent[method.key] = sentence(error)
        yield

    def draw(self, *inputs: Any) -> Iterator[tuple[Any, ...]]:
        """The grid, growing; and the first map in the before/after slider."""
        sheet = self.sheet(*inputs)
        if sheet is None:
            yield EMPTY, gr.skip(), gr.skip()
            return
        if not sheet.methods:
            yield html.notice("Tick a method to see its map."), gr.skip(), gr.skip()
            return
        yield gr.skip(), gr.skip(), gr.Button(interactive=any(m.slow for m in sheet.methods))
        for _ in self.fill(sheet):
            yield sheet.html(), gr.skip(), gr.skip()
        best = "gradcam" if "gradcam" in sheet.found else next(iter(sheet.found), None)
        yield gr.skip(), self._close(sheet, best, 0), gr.Button(interactive=False)

    def closer(self, event: gr.EventData, *inputs: Any) -> Any:
        """A click on a map: that one in the before/after slider."""
        sheet = self.sheet(*inputs)
        data = event._data if isinstance(event._data, dict) else {}
        method, row = data.get("method"), data.get("row")
        if sheet is None or method not in METHODS or not isinstance(row, int):
            raise ExplainError(GONE if inputs[0] is None else "Choose one of the maps shown.")
        if not 0 <= row < len(sheet.question.targets):
            raise ExplainError("That row is gone: choose one of the maps shown.")
        sheet.methods = [METHODS[method]]
        for _ in self.fill(sheet):
            pass
        return self._close(sheet, method, row)

    @staticmethod
    def _close(sheet: Sheet, method: str | None, row: int) -> Any:
        if method is None:
            return gr.skip()
        over = render.overlay(
            sheet.photo,
            sheet.found[method],
            row,
            opacity=0.9,
            longest=CLOSE,
            **sheet.look.colours,
        )
        label = f"{METHODS[method].title} · {sheet._name(row)}: photo and map"
        return gr.update(value=(render.shrink(sheet.photo, CLOSE), over), label=label, visible=True)

    def download(self, kind: str, opacity: float, *inputs: Any) -> str:
        """The grid as one PNG, or the raw maps as .npz, as a file that is deleted in an hour."""
        sheet = self.sheet(*inputs)
        if sheet is None:
            raise ExplainError(GONE if inputs[0] is None and inputs[2] else WELCOME)
        for _ in self.fill(sheet):
            pass
        found = [sheet.found[each.key] for each in sheet.methods if each.key in sheet.found]
        if not found:
            raise ExplainError("There is no map to download: tick a method first.")
        if kind == "npz":
            data = to_npz(found)
        else:
            titles = [METHODS[each.method].title for each in found]
            look = Look(sheet.look.colourmap, sheet.look.scale, sheet.look.pixels, opacity)
            data = sheets.panel(
                sheet.photo, found, titles=titles, opacity=look.opacity, **look.colours
            )
        folder = Path(tempfile.mkdtemp(dir=_cache()))
        path = folder / f"seeing-why.{kind}"
        path.write_bytes(data)
        return str(path)


def _cache() -> Path:
    """Gradio's own folder, which it empties of old files by itself."""
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def build(subject: Subject) -> None:
    """Lay out the tab and wire it."""
    maps = Maps(subject)
    first = subject.zoo.get()
    methods = gr.CheckboxGroup(
        [(method.title, key) for key, method in METHODS.items() if method.family != "perturbation"],
        value=[key for key, method in METHODS.items() if method.default],
        label="Methods",
        elem_id="methods",
    )
    with gr.Row(equal_height=True):
        opacity = gr.Slider(0, 1, STRENGTH, step=0.05, label="Opacity", min_width=180)
        colourmap = gr.Dropdown(
            list(render.COLOURMAPS), value=render.DEFAULT, label="Colours", min_width=140
        )
        scale = gr.Radio(
            [("Each map", "each"), ("Shared by the rows", "shared")],
            value="each",
            label="Scale",
            min_width=240,
        )
    with gr.Accordion("More settings", open=False), gr.Row():
        layer = gr.Dropdown(
            _layers(first),
            value=first.last,
            label="Layer to explain",
            allow_custom_value=True,  # a new network's maps may be asked for before its layers
            elem_id="layer",
        )
        pixels = gr.Radio(
            [("Signed colour", "colour"), ("Strength", "strength")],
            value="colour",
            label="Gradients as",
        )
    grid = gr.HTML(EMPTY, js_on_load=GRID_JS, elem_id="maps-grid", min_height=240)
    with gr.Row():
        as_png = gr.Button("Download the panel (PNG)", size="sm")
        as_npz = gr.Button("Download the raw maps (.npz)", size="sm")
        cancel = gr.Button("Cancel", size="sm", interactive=False, elem_id="cancel")
    files = {
        kind: gr.DownloadButton("", visible="hidden", elem_id=f"file-{kind}")
        for kind in ("png", "npz")
    }
    slider = gr.ImageSlider(
        label="Before and after",
        format="jpeg",
        interactive=False,
        visible=False,
        max_height=560,
        buttons=["fullscreen"],
        elem_id="closer",
    )
    subject.settings["maps"] = {
        "methods": methods,
        "layer": layer,
        "colours": colourmap,
        "scale": scale,
        "gradients": pixels,
    }
    inputs = [*subject.inputs, methods, layer, colourmap, scale, pixels]
    quiet: dict[str, Any] = {"api_visibility": "private"}
    drawing = subject.live(
        "maps",
        maps.draw,
        inputs,
        [grid, slider, cancel],
        also=[each.change for each in (methods, layer, colourmap, scale, pixels)],
        show_progress="minimal",
        show_progress_on=grid,
    )
    cancel.click(lambda: gr.Button(interactive=False), None, cancel, cancels=[drawing], **quiet)
    grid.pick(guarded(maps.closer), inputs, slider, show_progress="minimal", **quiet)
    opacity.change(None, opacity, None, js=OPACITY_JS)
    subject.network.change(
        guarded(lambda key, now: _layer_update(subject.zoo.get(key), now)),
        [subject.network, layer],
        layer,
        **quiet,
    )
    for kind, button in (("png", as_png), ("npz", as_npz)):
        button.click(
            guarded(_downloader(maps, kind)),
            [opacity, *inputs],
            files[kind],
            show_progress="minimal",
            show_progress_on=button,
            **quiet,
        ).success(None, None, None, js=DOWNLOAD_JS.replace("ID", f"file-{kind}"))


def _layers(network: Any) -> list[tuple[str, str]]:
    return [(layer.title, name) for name, layer in network.layers.items()]


def _layer_update(network: Any, now: Any) -> Any:
    """Another network's layers; the one chosen stays if it is among them (links name it early)."""
    value = now if now in network.layers else network.last
    return gr.update(choices=_layers(network), value=value)


def _downloader(maps: Maps, kind: str) -> Any:
    def download(opacity: float, *inputs: Any) -> str:
        return maps.download(kind, opacity, *inputs)

    return download
