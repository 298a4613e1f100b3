"""The network picker: what is ready, what is on its way, and why one can't be had."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gradio as gr

from explainers.zoo import Status, Zoo

from . import html
from .guard import guarded

if TYPE_CHECKING:
    from .subject import Subject

EVERY = 1.5  # seconds between looks at what is loading


def _label(status: Status) -> str:
    size = f" ({status.entry.megabytes:.0f} MB)" if status.entry.megabytes else ""
    more = {
        "ready": "",
        "loading": f" · loading {status.progress:.0%}",
        "on demand": f" · loads when chosen{size}",
        "failed": " · can’t be had now",
    }
    return f"{status.title}{more[status.state]}"


def choices(zoo: Zoo) -> list[tuple[str, str]]:
    """What the picker offers."""
    return [(_label(status), status.key) for status in zoo.status()]


def news(zoo: Zoo, wanted: str) -> str:
    """Progress of what loads, and the reason where a network can't be had."""
    lines, failed = [], []
    for status in zoo.status():
        if status.state == "loading":
            lines.append(html.progress(status.progress, f"{status.title} is loading"))
        elif status.state == "failed" and status.key == wanted:
            lines.append(html.notice(status.message, "problem"))
        elif status.state == "failed":
            failed.append(status)
        elif status.key == wanted and status.entry.remark:
            lines.insert(0, html.notice(status.entry.remark))
    if failed:
        names = " and ".join(status.title for status in failed)
        reasons = "".join(html.notice(status.message) for status in failed)
        lines.append(html.details(f"{names} can’t be had now: why?", reasons))
    return "".join(lines)


def _ready(zoo: Zoo, key: str) -> bool:
    return any(status.key == key and status.state == "ready" for status in zoo.status())


def _busy(zoo: Zoo) -> bool:
    return any(status.state == "loading" for status in zoo.status())


def build(
    subject: Subject, switch: Callable[..., Any], switched: list[Any]
) -> tuple[gr.Dropdown, gr.Timer]:
    """Lay out the picker. `switch(photo, key, old key, targets, framing)` makes a network the
    one in use and returns the new values of `switched`. Returns what chooses a network and what
    puts it to use when it is there."""
    zoo = subject.zoo
    first = zoo.get().key
    picker = gr.Dropdown(choices(zoo), value=first, label="Network", elem_id="model")
    status = gr.HTML(news(zoo, first), elem_id="model-news")
    timer = gr.Timer(EVERY)
    stay = (gr.skip(),) * len(switched)

    def tick(wanted: str, seen, key: str, targets, framing: str):
        """What is new; and the wanted network is put to use as soon as it is there."""
        swap = wanted != key and _ready(zoo, wanted)
        values = switch(seen, wanted, key, targets, framing) if swap else stay
        waits = _busy(zoo)
        return gr.update(choices=choices(zoo)), news(zoo, wanted), gr.Timer(active=waits), *values

    def choose(wanted: str, seen, key: str, targets, framing: str):
        """Use a network that is ready now; have any other loaded meanwhile."""
        if not _ready(zoo, wanted):
            zoo.request(wanted)
        shown, text, _, *values = tick(wanted, seen, key, targets, framing)
        return shown, text, gr.Timer(active=True), *values

    inputs = [picker, subject.photo, subject.network, subject.targets, subject.framing]
    outputs = [picker, status, timer, *switched]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    timer.tick(guarded(tick), inputs, outputs, trigger_mode="once", **quiet)
    picker.input(guarded(choose), inputs, outputs, trigger_mode="always_last", **quiet)
    if not zoo.settings.hub_ids:
        return picker, timer

    def add(text: str):
        """Another timm network, by its Hub id."""
        key = zoo.add(text)
        return gr.update(choices=choices(zoo), value=key), news(zoo, key), gr.Timer(active=True)

    with gr.Row():
        hub_id = gr.Textbox(
            label="Another convolutional network from the Hub",
            info="A timm classifier with safetensors weights of at most "
            f"{zoo.settings.hub_file_mb} MB.",
            placeholder="timm/regnety_002.pycls_in1k",
            max_length=100,
            elem_id="hub-id",
        )
        button = gr.Button("Load it", scale=0, min_width=110)
    gr.on([button.click, hub_id.submit], guarded(add), hub_id, [picker, status, timer], **quiet)
    return picker, timer
