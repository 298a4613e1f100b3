"""The Activations tab: all channels of a layer, one of them closely, on a photo, camera or clip."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from functools import cache
from html import escape
from typing import Any

import gradio as gr

from explainers import ExplainError, Network, Photo, Question, photo, render
from explainers import units as acts
from explainers.units.mosaic import mosaic
from explainers.units.strongest import Strongest

from . import clip, finder, html, impressions, live, tiles, unit
from .guard import guarded
from .subject import EXAMPLES, GONE, Subject, examples

MOST_PINS = 4
WIDTH = 640  # of the mosaic until the browser says how much room there is
PATIENCE = 30.0  # seconds to wait for the example photos
PICK_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-channel]');
  if (!button) return;
  const {channel, layer} = button.dataset;
  trigger(button.dataset.drop ? 'drop' : 'pick', {channel: +channel, layer});
});
"""
BARS_JS = (
    tiles.JS
    + """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-channel]');
  if (button) trigger('pick', {channel: +button.dataset.channel});
});
"""
)
EMPTY = (
    '<div class="maps-empty"><p><b>The channels appear here.</b> Each tile is one channel of a '
    "layer: where it glows, that channel has found what it looks for in your photo.</p></div>"
)


@cache
def _photos() -> list[tuple[str, Photo]]:
    return [(about["alt"], photo.read(EXAMPLES / name)) for name, about in examples().items()]


strongest = Strongest(lambda: [seen for _, seen in _photos()])


def layers(network: Network) -> list[tuple[str, str]]:
    """All layers to choose from, input to output."""
    return [(each.title, name) for name, each in (network.maps | network.flat).items()]


def payload(event: gr.EventData) -> dict[str, Any]:
    """What the browser sent with a click; anything is possible."""
    return event._data if isinstance(event._data, dict) else {}


class Activations:
    """The handlers of the tab. `given` are the values of `inputs` below, in that order."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def question(self, seen, key, targets, against, framing, layer: str) -> Question | None:
        """What is asked, at any of the tab's layers; None while there is no photo."""
        asked = self.subject.question(seen, key, targets, against, framing)
        if asked is None:
            return None
        known = asked.network.maps.keys() | asked.network.flat.keys()
        chosen = layer if layer in known else acts.default_layer(asked.network)
        return dataclasses.replace(asked, layer=chosen)

    def draw(self, *given: Any) -> Iterator[tuple[Any, ...]]:
        """Mosaic, chosen channel, pins and finder: outputs in the order of `build`."""
        *shared, layer, by, per, gain, gamma, width, chosen, pins = given
        asked = self.question(*shared, layer)
        if asked is None:
            yield EMPTY, gr.skip(), "", gr.skip(), "", finder.EMPTY, ""
            return
        ranked = acts.order(asked, by)
        channel = self.kept(asked, chosen)
        if channel is None:
            channel = ranked[0] if by != "index" else acts.order(asked, "mean")[0]
        most = acts.layer_of(asked.network, asked.layer).channels - 1
        number = gr.update(value=channel, maximum=most, label=f"Channel (0 to {most})")
        sheet = self.sheet(asked, ranked, channel, width, per, gain, gamma)
        state = self.state(asked, channel)
        yield sheet, number, gr.skip(), state, gr.skip(), gr.skip(), gr.skip()
        pinned = self.pinned(shared, asked, pins)
        yield *(gr.skip(),) * 4, pinned, finder.picture(shared[0]), ""
        for panel in self.panel(asked, shared[0], channel):
            yield gr.skip(), gr.skip(), panel, *(gr.skip(),) * 4

    @staticmethod
    def kept(asked: Question, chosen: Any) -> int | None:
        """The channel that was chosen before, if it is one of this layer."""
        if isinstance(chosen, dict) and (chosen.get("network"), chosen.get("layer")) == (
            asked.network.key,
            asked.layer,
        ):
            return acts.check(asked.network, asked.layer, chosen["channel"])
        return None

    @staticmethod
    def state(asked: Question, channel: int) -> dict[str, Any]:
        return {"network": asked.network.key, "layer": asked.layer, "channel": channel}

    @staticmethod
    def sheet(asked: Question, ranked, channel: int, width, per, gain, gamma) -> str:
        """The mosaic, or bars where there is no geometry."""
        values = acts.activation(asked).cpu().numpy()
        if asked.layer in asked.network.flat:
            return unit.strongest_units(asked, values[:, 0, 0].tolist(), ranked, channel)
        room = min(max(int(width or WIDTH), 240), 1400)
        made = mosaic(values, ranked, room, per=per, gain=gain, gamma=gamma)
        title = acts.layer_of(asked.network, asked.layer).title
        alt = f"All {len(ranked)} channels of {title}, the first being channel {ranked[0]}."
        return tiles.tiles(made, "channel", alt, channel, close="#channel")

    def panel(self, asked: Question, seen: Photo, channel: int) -> Iterator[str]:
        """The chosen channel closely; its examples follow when they are known."""
        network, layer = asked.network, asked.layer
        if layer in network.flat:
            yield f'<div class="unit">{unit.classes(asked, channel)}</div>'
            return
        known = strongest.ask(network)
        first = unit.card(asked, seen, acts.unit(asked, channel))
        first += f'<div class="unit-more"><div>{unit.classes(asked, channel)}</div><div>'
        since = time.monotonic()
        if known is None:
            yield f'<div class="unit">{first}{html.notice("Looking at the examples …")}</div></div>'
        while known is None and time.monotonic() - since < PATIENCE:
            time.sleep(0.2)
            known = strongest.ask(network)
        if known is None:
            rest = html.notice("The examples are still being looked at: choose a channel again.")
        else:
            rest = unit.best_examples(network, layer, channel, known[layer], _photos())
        yield f'<div class="unit">{first}{rest}</div></div></div>'

    def show(self, event: gr.EventData, *given: Any) -> Iterator[tuple[Any, ...]]:
        """A click on a tile, bar, or found channel."""
        yield from self._show(payload(event).get("channel"), given)

    def typed(self, channel: Any, *given: Any) -> Iterator[tuple[Any, ...]]:
        """A channel's number."""
        yield from self._show(channel, given)

    def _show(self, channel: Any, given: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        asked = self.question(*given)
        if asked is None:
            raise ExplainError(GONE if given[2] else "Drop a photo first, or take an example.")
        channel = acts.check(asked.network, asked.layer, channel)
        yield channel, gr.skip(), self.state(asked, channel)
        for panel in self.panel(asked, given[0], channel):
            yield gr.skip(), panel, gr.skip()

    def pin(self, chosen: Any, pins: list[Any] | None, *shared: Any) -> tuple[Any, str]:
        """Keep the chosen channel in view."""
        asked = self.question(*shared, "")
        if asked is None or not isinstance(chosen, dict):
            raise ExplainError("Choose a channel first.")
        if chosen["network"] != asked.network.key:
            raise ExplainError("Choose a channel of this network first.")
        kept = [each for each in pins or [] if each != chosen]
        mine = [each for each in kept if each["network"] == asked.network.key]
        if len(mine) >= MOST_PINS:
            raise ExplainError(f"{MOST_PINS} channels are pinned: remove one of them first.")
        kept = [*kept, chosen][-5 * MOST_PINS :]
        return kept, self.pinned(shared, asked, kept)

    def drop(self, event: gr.EventData, pins: list[Any] | None, *shared: Any) -> tuple[Any, str]:
        """Remove a pin."""
        asked = self.question(*shared, "")
        gone = payload(event)
        left = [
            each
            for each in pins or []
            if (each["layer"], each["channel"]) != (gone.get("layer"), gone.get("channel"))
            or (asked and each["network"] != asked.network.key)
        ]
        return left, self.pinned(shared, asked, left) if asked else ""

    def jump(self, event: gr.EventData, *given: Any) -> Iterator[tuple[Any, ...]]:
        """A click on a pin: its layer, and the channel closely."""
        *shared, _layer = given
        wanted = payload(event)
        asked = self.question(*shared, str(wanted.get("layer")))
        if asked is None or asked.layer != wanted.get("layer"):
            raise ExplainError("That channel belongs to another network: choose its network first.")
        for values in self._show(wanted.get("channel"), (*shared, asked.layer)):
            yield asked.layer, *values

    def pinned(self, shared: Any, asked: Question, pins: list[Any] | None) -> str:
        """The pinned channels of this network over the photo."""
        mine = [each for each in pins or [] if each["network"] == asked.network.key]
        shown = "".join(self._pin(shared[0], asked, each) for each in mine)
        return shown and f'<div class="pins" role="group" aria-label="Pinned">{shown}</div>'

    @staticmethod
    def _pin(seen: Photo, asked: Question, pin: dict[str, Any]) -> str:
        network, layer, channel = asked.network, pin["layer"], pin["channel"]
        asked = dataclasses.replace(asked, layer=layer)
        peak, known = acts.peak(asked, channel), strongest.ask(network)
        usual = known[layer].top(channel) if known else 0.0
        picture = unit.over_photo(asked, seen, channel, 256, usual if usual > 0 else peak)
        title = escape(unit.name(network, layer, channel))
        share = f" · {peak / usual:.0%} of its maximum on the examples" if usual > 0 else ""
        url = html.data_url(render.jpeg(picture), "jpeg")
        return (
            f'<figure class="pin"><button type="button" class="pin-show" data-channel="{channel}" '
            f'data-layer="{escape(layer)}" title="Look at it closely"><img alt="{title} over the '
            f'photo" src="{url}"></button><figcaption><b>{title}</b><small>maximum '
            f'{peak:.3g}{share}</small></figcaption><button type="button" class="pin-drop" '
            f'data-channel="{channel}" data-layer="{escape(layer)}" data-drop="1" '
            f'aria-label="Unpin {title}">×</button></figure>'
        )

    def find(self, event: gr.EventData, *given: Any) -> str:
        """A box was dragged on the photo: which channels fire inside it?"""
        asked = self.question(*given)
        if asked is None:
            raise ExplainError(GONE if given[2] else "Drop a photo first, or take an example.")
        box = finder.box(payload(event))
        return finder.found(asked, given[0], box)


def build(subject: Subject) -> None:
    """Lay out the tab and wire it."""
    tab = Activations(subject)
    first = subject.zoo.get()
    strongest.ask(first)
    pins, width, chosen = gr.State([]), gr.State(WIDTH), subject.unit
    with gr.Row(equal_height=True):
        layer = gr.Dropdown(
            layers(first),
            value=acts.default_layer(first),
            label="Layer",
            allow_custom_value=True,  # another network's may be asked for before it is listed
            elem_id="unit-layer",
            min_width=280,
        )
        by = gr.Radio(
            [("Contribution to the class", "contribution"), ("Mean", "mean"), ("Index", "index")],
            value="contribution",
            label="Sorted by",
            elem_id="unit-sort",
            min_width=280,
        )
    with gr.Accordion("Brightness", open=False), gr.Row():
        per = gr.Radio(
            [("The layer", "layer"), ("Each channel", "channel")], value="layer", label="Scaled by"
        )
        gain = gr.Slider(0.25, 8, 1, step=0.25, label="Gain", min_width=160)
        gamma = gr.Slider(0.25, 3, 1, step=0.05, label="Gamma", min_width=160)
    pinned = gr.HTML("", js_on_load=PICK_JS, elem_id="pins")
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            sheet = gr.HTML(EMPTY, js_on_load=BARS_JS, elem_id="mosaic", min_height=200)
            gr.HTML(finder.HEAD)
            picture = gr.HTML(finder.EMPTY, js_on_load=finder.JS, elem_id="finder")
            results = gr.HTML("", js_on_load=PICK_JS, elem_id="found")
        with gr.Column(scale=1, min_width=300):
            with gr.Row(equal_height=True):
                channel = gr.Number(
                    0, label="Channel", precision=0, minimum=0, elem_id="channel", min_width=120
                )
                pin = gr.Button("Pin this channel", min_width=120, elem_id="pin")
            panel = gr.HTML("", elem_id="unit")
            impressions.offer(subject, "unit-draw")
    subject.settings["activations"] = {"layer": layer, "sort": by}
    wire(subject, tab, locals())
    live.build(subject, strongest, layer, pins, per, gain, gamma)
    clip.build(subject, layer, channel)


def wire(subject: Subject, tab: Activations, parts: dict[str, Any]) -> None:
    """Connect the widgets that `build` made."""
    layer, by, per, gain, gamma = (parts[k] for k in ("layer", "by", "per", "gain", "gamma"))
    pins, width, chosen, pinned = (parts[k] for k in ("pins", "width", "chosen", "pinned"))
    sheet, channel, panel, results = (parts[k] for k in ("sheet", "channel", "panel", "results"))
    picture = parts["picture"]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    one = [*subject.inputs, layer]
    subject.live(
        "activations",
        tab.draw,
        [*one, by, per, gain, gamma, width, chosen, pins],
        [sheet, channel, panel, chosen, pinned, picture, results],
        also=[each.change for each in (layer, by, per, gain, gamma, width)],
        show_progress="minimal",
        show_progress_on=sheet,
    )
    shown = [channel, panel, chosen]
    for source in (sheet, results):
        source.pick(guarded(tab.show), one, shown, trigger_mode="always_last", **quiet)
    channel.input(guarded(tab.typed), [channel, *one], shown, trigger_mode="always_last", **quiet)
    channel.change(None, channel, None, js=tiles.chosen_js("#channel"))
    sheet.measure(guarded(_measured), None, width, **quiet)
    parts["pin"].click(guarded(tab.pin), [chosen, pins, *subject.inputs], [pins, pinned], **quiet)
    pinned.drop(guarded(tab.drop), [pins, *subject.inputs], [pins, pinned], **quiet)
    pinned.pick(guarded(tab.jump), one, [layer, *shown], **quiet)
    picture.box(guarded(tab.find), one, results, trigger_mode="always_last", **quiet)
    subject.network.change(
        guarded(lambda key: _layer_update(subject.zoo.get(key))), subject.network, layer, **quiet
    )


def _measured(event: gr.EventData) -> int:
    width = payload(event).get("width")
    return min(max(width, 240), 1400) if isinstance(width, int) else WIDTH


def _layer_update(network: Network) -> Any:
    strongest.ask(network)  # begins to look at the examples
    return gr.update(choices=layers(network), value=acts.default_layer(network))
