"""The Maps tab: methods side by side on the same photo, a row for each class."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from explainers import METHODS, ExplainError, ask, render
from explainers.explanation import to_npz
from explainers.render import sheets

from . import html, kept
from .guard import guarded, sentence
from .sheet import STRENGTH, Look, Sheet
from .subject import GONE, WELCOME, Subject

CLOSE = 900  # … and in the before/after slider
OFTEN = 0.7  # seconds between pictures of a map that grows

GRID_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-method]');
  if (button) trigger('pick', {method: button.dataset.method, row: +button.dataset.row});
});
"""
OPACITY_JS = "(v) => { document.documentElement.style.setProperty('--heat', v); return []; }"
EMPTY = (
    '<div class="maps-empty"><p><b>The maps appear here.</b> Heat marks the places of the photo '
    "that speak for the class; the methods often disagree, which is why they stand side by side."
    "</p></div>"
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
            if reason := method.why_not(asked):
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
        return kept.written(f"seeing-why.{kind}", data)


def build(subject: Subject) -> None:
    """Lay out the tab and wire it."""
    maps = Maps(subject)
    first = subject.zoo.get()
    methods = gr.CheckboxGroup(
        [(each.title, key) for key, each in METHODS.items() if each.home == "maps"],
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

    def for_network(key: str, now: Any) -> tuple[Any, str]:
        network = subject.zoo.get(key)
        return _layer_update(network, now), _scale(network)

    subject.network.change(
        guarded(for_network),
        [subject.network, layer],
        [layer, scale],
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
        ).success(None, None, None, js=kept.fetched(f"file-{kind}"))


def _layers(network: Any) -> list[tuple[str, str]]:
    return [(layer.title, name) for name, layer in network.layers.items()]


def _layer_update(network: Any, now: Any) -> Any:
    """Another network's layers; the one chosen stays if it is among them (links name it early)."""
    value = now if now in network.layers else network.last
    return gr.update(choices=_layers(network), value=value)


def _scale(network: Any) -> str:
    """Where several classes are present at once, their rows have to be comparable."""
    return "shared" if network.head == "sigmoid" else "each"


def _downloader(maps: Maps, kind: str) -> Any:
    def download(opacity: float, *inputs: Any) -> str:
        return maps.download(kind, opacity, *inputs)

    return download
