"""The Filters tab: the kernels of a convolution, one of them closely, and what Gabor has to do
with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from explainers import Network, Photo, render
from explainers import filters as kernels
from explainers.filters import Conv, gabor
from explainers.units import mosaic as mosaics

from . import gabors, html, impressions, tiles, unit
from .activations import payload
from .guard import guarded
from .subject import Subject

SLICES = 256  # of a deeper filter, strongest inputs first
STRONGEST = 8  # of them by name
LARGE = 420


def choices(network: Network) -> list[tuple[str, str]]:
    """The convolutions, input to output."""
    return [(conv.title, name) for name, conv in kernels.convolutions(network).items()]


class Filters:
    """The handlers. `given`: photo, network key, targets, against, framing, layer."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def conv(self, key: str, layer: str) -> tuple[Network, Conv, np.ndarray]:
        """The network, the convolution and its kernels (F, C, h, w)."""
        network = self.subject.zoo.get(key)
        known = kernels.convolutions(network)
        conv = known.get(layer) or next(iter(known.values()))
        return network, conv, kernels.weights(network, conv.name).numpy()

    def draw(self, *given: Any) -> Iterator[tuple[Any, ...]]:
        """Grid, number, closer look, Gabor question, chosen unit."""
        *_, layer, by, shared, width, index = given
        network, conv, values = self.conv(given[1], layer)
        index = int(index or 0) if 0 <= (index or 0) < conv.filters else 0
        number = gr.update(
            value=index, maximum=conv.filters - 1, label=f"Filter (0 to {conv.filters - 1})"
        )
        sheet = self.sheet(network, conv, values, index, by, shared, width)
        state = {"network": network.key, "layer": conv.name, "channel": index}
        yield sheet, number, gr.skip(), gr.skip(), state
        yield gr.skip(), gr.skip(), self.close(given, index), gr.skip(), gr.skip()
        if conv.first and (values.tobytes(), values.shape) not in _known:
            words = html.notice("Fitting Gabors to the filters, and to random ones …")
            yield gr.skip(), gr.skip(), gr.skip(), words, gr.skip()
        yield gr.skip(), gr.skip(), gr.skip(), self.question(conv, values, index), gr.skip()

    @staticmethod
    def sheet(
        network: Network, conv: Conv, values: np.ndarray, index: int, by, shared, width
    ) -> str:
        """All filters in colour, or the slices of one deeper filter."""
        room = min(max(int(width or 480), 240), 720)
        size = f"{conv.kernel[0]} × {conv.kernel[1]}"
        if conv.first:
            order = kernels.order(values, by)
            made = mosaics.kernels(values, order, room, shared=shared == "shared")
            alt = f"The {conv.filters} filters of the first convolution, {size} pixels each."
            return tiles.tiles(made, "filter", alt, index, close="#filter")
        found = kernels.slices(values, index, SLICES)
        stack = np.stack([each for _, each, _ in found])
        per = "layer" if shared == "shared" or conv.kernel == (1, 1) else "channel"
        made = mosaics.mosaic(stack, range(len(stack)), room, side=30, per=per)
        begin = kernels.first_input(network, conv, index)
        names = [begin + i for i, *_ in found]
        words = (
            f"Filter {index} of {conv.filters} reads {conv.inputs} channels: one slice of {size} "
            f"weights for each, strongest first."
        )
        alt = f"The slices of filter {index}, strongest input channel first."
        foot = f"<p>{words}</p>"
        return tiles.tiles(made, "input channel", alt, names=names, foot=foot)

    def close(self, given: tuple[Any, ...], index: int) -> str:
        """One filter closely."""
        seen, key, *_, framing, layer = given[:6]
        network, conv, values = self.conv(key, layer)
        index = kernels.check(conv, index)
        if not conv.first:
            return self._deeper(network, conv, values, index)
        kernel = values[index]
        parts = kernels.separate(kernel)
        top = max(float(np.abs(kernel).max()), 1e-12)
        angle, frequency = kernels.tuning(parts.plane)
        size = kernels.spectrum(parts.plane)
        whole = unit.figure(
            gabors.large(kernel.transpose(1, 2, 0) / top),
            f"Filter {index}, enlarged",
            f"Filter {index}",
            "In its colours; grey is zero.",
        )
        bands = unit.figure(
            gabors.large(size / max(float(size.max()), 1e-12), 192),
            "Frequency response",
            "Frequency response",
            f"Strongest at {frequency:.2f} cycles per pixel, {angle:.0f}° across the stripes. "
            "Slow changes in the middle, fast ones at the rim.",
        )
        answer = self._response(seen, network, conv, framing, index)
        return f'<div class="unit"><div class="filter-pair">{whole}{bands}</div>{answer}</div>'

    @staticmethod
    def _response(
        seen: Photo | None, network: Network, conv: Conv, framing: str, index: int
    ) -> str:
        if seen is None:
            return html.notice("Drop a photo above to see what this filter answers to it.")
        view = network.prepare(seen, framing)
        values = kernels.response(network, view, conv, index).numpy()
        picture = render.glow(render.shrink(seen, LARGE), values, view.frame, None, 0.9, both=True)
        alt = f"What filter {index} answers to your photo"
        words = "Orange where the photo matches it, blue where the photo is its opposite."
        return unit.figure(picture, alt, "On your photo", words)

    @staticmethod
    def _deeper(network: Network, conv: Conv, values: np.ndarray, index: int) -> str:
        found = kernels.slices(values, index, STRONGEST)
        top = max(float(np.abs(found[0][1]).max()), 1e-12)
        picture = ""
        if conv.kernel != (1, 1):  # a single weight is no picture
            title = "Its strongest slice"
            picture = unit.figure(gabors.large(found[0][1] / top), title, title)
        begin, most = kernels.first_input(network, conv, index), max(found[0][2], 1e-12)
        bars = unit.bars([(f"Channel {begin + i}", size, size / most) for i, _, size in found])
        words = (
            f"Half of its weight lies on {kernels.half(values, index)} of {conv.inputs} inputs. "
            "A deeper filter reads other channels, not colours: look at a channel in the "
            "Activations tab to see what makes it fire."
        )
        return (
            f'<div class="unit"><div class="filter-pair">{picture}<div><b>What it reads most</b>'
            f"{bars}</div></div>{html.notice(words)}</div>"
        )

    @staticmethod
    def question(conv: Conv, values: np.ndarray, index: int) -> str:
        """Do the filters resemble Gabors?"""
        height, width = conv.kernel
        if not conv.first or height != width or height < 2:
            return html.notice(
                "The question is asked of the first convolution, which reads the photo itself."
            )
        fits, null = _scores(values.tobytes(), values.shape), gabor.null(height, conv.inputs)
        share = kernels.separate(values[index]).share
        plane = kernels.separate(values[index]).plane
        one = gabors.card(plane, share, fits[index], null)
        all_of_them = gabors.verdict(fits, null, height)
        return f'<div class="gabor"><div>{one}</div><div>{all_of_them}</div></div>'

    def show(self, event: gr.EventData, *given: Any) -> tuple[Any, ...]:
        """A click on a tile; on a slice of a deeper filter, it changes nothing."""
        _, conv, _ = self.conv(given[1], given[5])
        return self._show(payload(event).get("channel"), given) if conv.first else (gr.skip(),) * 5

    def typed(self, index: Any, *given: Any) -> tuple[Any, ...]:
        """A filter's number."""
        return self._show(index, given)

    def _show(self, index: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        network, conv, values = self.conv(given[1], given[5])
        index = kernels.check(conv, index)
        state = {"network": network.key, "layer": conv.name, "channel": index}
        sheet = gr.skip() if conv.first else self.sheet(network, conv, values, index, *given[6:])
        closer = self.close(given[:6], index)
        return sheet, index, closer, self.question(conv, values, index), state


_known: dict[tuple[bytes, tuple[int, ...]], Any] = {}


def _scores(data: bytes, shape: tuple[int, ...]) -> Any:
    if (data, shape) not in _known:
        if len(_known) > 16:
            _known.clear()
        _known[data, shape] = gabor.scores(np.frombuffer(data, np.float32).reshape(shape))
    return _known[data, shape]


def build(subject: Subject) -> None:
    """Lay out the tab and wire it."""
    tab = Filters(subject)
    offered = choices(subject.zoo.get())
    width = gr.State(0)
    with gr.Row(equal_height=True):
        layer = gr.Dropdown(
            offered,
            value=offered[0][1],
            label="Convolution",
            allow_custom_value=True,  # another network's may be asked for before it is listed
            elem_id="conv",
            min_width=280,
        )
        by = gr.Radio(
            [("Index", "index"), ("Orientation", "orientation"), ("Frequency", "frequency")],
            value="index",
            label="Sorted by",
            elem_id="filter-sort",
            min_width=280,
        )
        shared = gr.Radio(
            [("Each filter", "each"), ("Shared", "shared")], value="each", label="Scale"
        )
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            sheet = gr.HTML("", js_on_load=tiles.JS, elem_id="filters-grid", min_height=200)
        with gr.Column(scale=1, min_width=300):
            number = gr.Number(
                0, label="Filter", precision=0, minimum=0, elem_id="filter", min_width=120
            )
            panel = gr.HTML("", elem_id="filter-panel")
            impressions.offer(subject, "filter-draw")
    gr.HTML("<h3 class='finder-head'>Do they resemble Gabor filters?</h3>")
    question = gr.HTML("", elem_id="gabor")
    one = [*subject.inputs, layer]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    subject.live(
        "filters",
        tab.draw,
        [*one, by, shared, width, number],
        [sheet, number, panel, question, subject.unit],
        also=[each.change for each in (layer, by, shared, width)],
        show_progress="minimal",
        show_progress_on=sheet,
    )
    shown = [sheet, number, panel, question, subject.unit]
    asked = [*one, by, shared, width]
    sheet.pick(guarded(tab.show), asked, shown, trigger_mode="always_last", **quiet)
    number.change(None, number, None, js=tiles.chosen_js("#filter"))
    number.input(guarded(tab.typed), [number, *asked], shown, trigger_mode="always_last", **quiet)
    sheet.measure(guarded(_measured), None, width, **quiet)
    subject.network.change(
        guarded(lambda key: _layer_update(subject.zoo.get(key))), subject.network, layer, **quiet
    )


def _measured(event: gr.EventData) -> int:
    width = payload(event).get("width")
    return min(max(width, 240), 1400) if isinstance(width, int) else 480


def _layer_update(network: Network) -> Any:
    offered = choices(network)
    return gr.update(choices=offered, value=offered[0][1])
