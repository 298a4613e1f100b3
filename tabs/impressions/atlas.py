"""The atlas on the page: a layer's units on one sheet, each a link to its card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import Any

from explainers import Network, render
from explainers.api import question
from explainers.units import atlas, layer_of
from explainers.units.atlas import Sheet
from explainers.units.reference import references

from .. import subject
from ..activations import STRONGEST
from ..parts import html
from ..parts.fields import Choices
from ..parts.reference import asked_about
from ..parts.tab import Settings, Show
from ..subject import Asked

MOST = 12  # units that a class needs
PHOTOS = 6  # reference photos that are most of the class


def layers(network: Network) -> Choices:
    """Those with a sheet."""
    return [
        (f"{_short(network, each.layer)}, {each.units} units", each.layer)
        for each in atlas.of_network(network.key)
        if each.layer in network.maps
    ]


def _short(network: Network, layer: str) -> str:
    title = layer_of(network, layer).title.split(" · ")[0]
    return title if layer in title else f"{title} ({layer})"


def first(network: Network) -> str:
    """The deepest of them: there things have begun to show."""
    found = layers(network)
    return found[-1][1] if found else ""


def show(asked: Asked, settings: Settings, _data: Mapping[str, Any]) -> Iterator[Show | None]:
    """The layer's sheet; of a class, the units that it needs."""
    network = asked.network
    chosen = [each for each in atlas.of_network(network.key) if each.layer == settings["atlas"]]
    if not chosen:
        return Show({"atlas": ""})
    (sheet,) = chosen
    whole = Show({"atlas": _whole(sheet)})
    if not settings["needed"]:
        return whole
    (target,) = subject.classes(network, [settings["needed"]])
    yield replace(whole, done=0.05, words="Looking at the reference photos …")
    found = yield from asked_about(STRONGEST, network, 0.9)
    best = found.logits[:, target].topk(min(PHOTOS, len(found.seen))).indices.tolist()
    questions = []
    for each in best:
        photo = references()[found.seen[each]].photo
        questions.append(question(network, photo, [target], layer=sheet.layer))
        yield None
    units = atlas.needed(questions)[:MOST]
    return Show({"atlas": _whole(sheet, network.labels[target], units)})


def _whole(sheet: Sheet, name: str = "", units: Sequence[int] = ()) -> str:
    """The sheet; of a class, by its name, the units that it needs stand out."""
    tiles = "".join(
        _link(sheet, unit, 'role="option"' + ' class="needed"' * (unit in units))
        for unit in range(sheet.units)
    )
    url = html.data_url(sheet.file.read_bytes(), "webp")
    words = (
        "Each tile is what one unit answers to most, drawn from noise. "
        "Click one for its card: on which photos it fires, what it reads and what it feeds."
    )
    strip = ""
    if units:
        words = (
            f"The {len(units)} units that <b>{escape(name)}</b> needs most here, by what they add "
            f"to its {html.logit()} on the {PHOTOS} reference photos that are most like it. "
            '<button type="button" class="plain" data-all>Show all</button>'
        )
        strip = "".join(f"<li>{_tile(sheet, unit)}</li>" for unit in units)
        strip = f'<ul class="imp-needed" data-grid>{strip}</ul>'
    return (
        f'<p class="note">{words}</p>{strip}<div class="imp-sheet">'
        f'<div class="imp-tiles{" some" if units else ""}" data-grid role="listbox" '
        f'aria-label="Units of {escape(sheet.layer)}: the arrow keys walk, Enter opens a card" '
        f'style="--across:{sheet.columns};--down:{sheet.rows};background-image:url({url})">'
        f"{tiles}</div></div>"
    )


def _link(sheet: Sheet, unit: int, kind: str, inside: str = "") -> str:
    return html.card(sheet.network, sheet.layer, unit, inside, f'title="Unit {unit}" {kind}')


def _tile(sheet: Sheet, unit: int) -> str:
    url = html.data_url(render.jpeg(atlas.pixels(sheet.network, sheet.layer, unit), 90), "jpeg")
    return _link(sheet, unit, "", f'<img alt="" src="{url}"><span>{unit}</span>')
