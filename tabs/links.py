"""Links: network, classes, tab, methods and settings in an address; never the photo itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import inf, isfinite
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from explainers import METHODS, ExplainError, Network, Photo, photo
from explainers.api import MOST_TARGETS
from explainers.methods.patches import SHARE

from .guard import guarded
from .subject import EXAMPLES, Desk, Subject, examples, ghosts, named

LONGEST = 300  # characters of a value
PLAIN = re.compile(r"[\w .,+'’()/-]*")
COPY_JS = """(query) => {
  const url = location.origin + location.pathname + '?' + query;
  if (navigator.clipboard) navigator.clipboard.writeText(url).catch(() => {});
  return url;
}"""


def tab_of(subject: Subject, method: str) -> str | None:
    """The tab other than Compare that shows this method closely."""
    for tab, widgets in subject.settings.items():
        for name in ("methods", "method"):
            if tab != "compare" and method in _values(widgets.get(name)):
                return tab
    tab = METHODS[method].home
    return tab if tab in subject.titles else None


def options_of(method: str, seen: Photo | None) -> dict[str, Any]:
    """The options that the grid asks a method with, under the names of its own tab's settings."""
    options = dict(METHODS[method].defaults)
    if method == "rise":
        options["tolerance"] *= 100  # per cent there
    if method == "patches":  # there in pixels of the photo, here of the network's input
        side = min(seen.width, seen.height) if seen else 0
        options |= {"source": "photo", "large": min(max(round(side * SHARE), 8), 320)}
    return options


def _values(widget: Any) -> list[Any]:
    return [value for _, value in getattr(widget, "choices", None) or []]


def known_examples() -> dict[str, str]:
    """Digest -> file name of the example photos."""
    if not _digests:
        _digests.update((photo.read(EXAMPLES / name).digest, name) for name in examples())
    return _digests


_digests: dict[str, str] = {}


def write(subject: Subject, tab: str, shared: tuple[Any, ...], values: list[Any]) -> str:
    """The query of a link; settings that are as they were at first are left out."""
    seen, key, targets, against, framing = shared
    network = subject.zoo.get(key)
    query: dict[str, str] = {"model": network.key, "tab": tab}
    if targets:
        query["target"] = ",".join(str(network.resolve(target)) for target in targets)
    if against:
        query["against"] = str(network.resolve(against))
    if framing == "crop":
        query["framing"] = framing
    if seen is not None and (name := known_examples().get(seen.digest)):
        query["example"] = name
    for (name, widget), value in zip(_flat(subject), values, strict=True):
        if value not in (widget.value, None):
            query[name] = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return urlencode(query)


def _flat(subject: Subject) -> list[tuple[str, Any]]:
    return [
        (f"{tab}.{name}", widget)
        for tab, widgets in subject.settings.items()
        for name, widget in widgets.items()
    ]


def checked(widget: Any, text: str) -> Any:
    """A value for that widget from a link; raises ExplainError for what it can't have."""
    problem = ExplainError("Part of the link is not understood here, and was left out.")
    if len(text) > LONGEST:
        raise problem
    values = _values(widget)
    if isinstance(widget, gr.CheckboxGroup):
        chosen = [each for each in text.split(",") if each]
        if not set(chosen) <= set(values):
            raise problem
        return [value for value in values if value in chosen]
    if isinstance(widget, gr.Checkbox) and text in ("True", "False"):
        return text == "True"
    if isinstance(widget, gr.Slider | gr.Number):
        try:
            number = float(text)
        except ValueError:
            raise problem from None
        low, high = (-inf if widget.minimum is None else widget.minimum,
                     inf if widget.maximum is None else widget.maximum)  # fmt: skip
        if not isfinite(number) or not low <= number <= high:
            raise problem
        return number
    if text in values or (getattr(widget, "allow_custom_value", False) and PLAIN.fullmatch(text)):
        return text
    raise problem


class Links:
    """The handlers: restore what a link says, follow `wanted`, write a link."""

    def __init__(self, subject: Subject) -> None:
        self.subject, self.desk = subject, Desk(subject.zoo)

    def restore(self, request: gr.Request) -> list[Any]:
        """At page load: the outputs listed in `build`."""
        return self.open(dict(request.query_params))

    def open(self, query: Mapping[str, str]) -> list[Any]:
        """What a link's query says, for the outputs listed in `build`."""
        kept = [gr.skip()] * (4 + 7 + 2 + len(_flat(self.subject)))
        if not query.keys() & {"model", "tab", "target", "example", "framing"}:
            return kept
        network, wanted = self._network(query.get("model"))
        framing = "crop" if query.get("framing") == "crop" else "whole"
        kept[:2] = network.key, wanted
        if "model" in query:  # its state and remark, and it is put to use when it is there
            kept[2] = gr.Timer(active=True)
        kept[3] = framing
        seen = self._example(query.get("example"))
        if seen is not None:
            kept[4:11] = self._look(seen, network, framing, query)
        else:  # impressions are drawn without a photo
            targets = _classes(network, query.get("target", ""))[:MOST_TARGETS]
            kept[7] = ghosts(network)
            kept[8] = gr.update(value=targets, choices=named(network))
        if (tab := query.get("tab")) in self.subject.titles:
            kept[11:13] = gr.Tabs(selected=tab), tab
        return kept[:13] + self._settings(query)

    def _network(self, key: str | None) -> tuple[Network, str]:
        """The network to use now, and the key of the one to use when it is there."""
        zoo = self.subject.zoo
        state = {each.key: each.state for each in zoo.status()}.get(key)
        if state == "ready":
            return zoo.get(key), key
        if state is None:
            if key:
                gr.Warning("The link names a network that is not known here.", title="")
            return zoo.get(), zoo.get().key
        zoo.request(key)
        return zoo.get(), key

    @staticmethod
    def _example(name: str | None) -> Photo | None:
        return photo.read(EXAMPLES / name) if name in examples() else None

    def _look(self, seen: Photo, network: Network, framing: str, query: Mapping[str, str]):
        """As if the example had been clicked, with the link's classes."""
        values = list(self.desk.look(seen, network.key, framing))
        targets = _classes(network, query.get("target", ""))[:MOST_TARGETS]
        against = [c for c in _classes(network, query.get("against", "")) if c not in targets][:1]
        if against:
            values[5]["value"] = network.labels[against[0]]
        if targets:
            values[4]["value"] = targets
        else:
            targets = values[4]["value"]
        other = network.labels[against[0]] if against else None
        values[6] = Desk.fingerprint(seen, network.key, targets, other, framing)
        return values

    def _settings(self, query: Mapping[str, str]) -> list[Any]:
        values: list[Any] = []
        for name, widget in _flat(self.subject):
            try:
                values.append(checked(widget, query[name]) if name in query else gr.skip())
            except ExplainError as error:
                gr.Warning(str(error), title="")
                values.append(gr.skip())
        return values

    def follow(self, wanted: Any) -> list[Any]:
        """Another tab, with settings."""
        flat = _flat(self.subject)
        if not isinstance(wanted, dict) or wanted.get("tab") not in self.subject.titles:
            return [gr.skip()] * (2 + len(flat))
        tab, settings = wanted["tab"], wanted["settings"]
        values = []
        for name, widget in flat:
            place, _, what = name.partition(".")
            value = settings.get(what) if place == tab else None
            text = ",".join(value) if isinstance(value, list) else str(value)
            values.append(gr.skip() if value is None else checked(widget, text))
        return [gr.Tabs(selected=tab), tab, *values]


def _classes(network: Network, text: str) -> list[int]:
    found = [int(each) for each in text[:LONGEST].split(",") if each.isdecimal()]
    return [each for each in dict.fromkeys(found) if each < len(network.labels)]


def build(subject: Subject, page: gr.Blocks, tabs: gr.Tabs) -> tuple[Links, list[Any]]:
    """After all tabs: the button, and what happens at page load. Returns what opens a link, and
    the outputs that it sets."""
    links = Links(subject)
    widgets = [widget for _, widget in _flat(subject)]
    picker, timer, looked = (subject.parts[name] for name in ("picker", "timer", "looked"))
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    with gr.Row(elem_classes="link-row"):
        button = gr.Button("Copy a link to this view", size="sm", scale=0, min_width=200)
        link = gr.Textbox(
            label="The link (copied): network, classes, tab and settings, not your photo",
            visible=False,
            buttons=["copy"],
            elem_id="link",
        )
    outputs = [
        subject.network,
        picker,
        timer,
        subject.framing,
        *looked,
        tabs,
        subject.tab,
        *widgets,
    ]
    page.load(guarded(links.restore), None, outputs, **quiet)
    subject.wanted.change(
        guarded(links.follow), subject.wanted, [tabs, subject.tab, *widgets], **quiet
    )

    def copy(tab: str, *values: Any) -> Any:
        query = write(subject, tab, values[:5], list(values[5:]))
        return gr.Textbox(value=query, visible=True)

    button.click(guarded(copy), [subject.tab, *subject.inputs, *widgets], link, **quiet).success(
        None, link, link, js=COPY_JS
    )
    return links, outputs
