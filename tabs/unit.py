"""One channel on the page: over the photo, its field, pixels, classes and best examples."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from explainers import Network, Photo, Question, photo, render
from explainers.network import Frame
from explainers.units import Feeds, Unit, activation, feeds, layer_of
from explainers.units.receptive import field, on_photo
from explainers.units.strongest import Peaks

from . import html

LARGE, SMALL = 448, 160
NEARLY_ALL = 0.8  # a receptive field that covers more of the photo than this says little


def figure(picture: np.ndarray, alt: str, title: str, words: str = "", boxes: str = "") -> str:
    """A picture with its caption; `boxes` are outlines laid over it."""
    url = html.data_url(render.jpeg(picture), "jpeg")
    more = f"<p>{escape(words)}</p>" if words else ""
    return (
        f'<figure class="unit-figure"><div class="unit-picture"><img alt="{escape(alt)}" '
        f'src="{url}">{boxes}</div><figcaption><b>{escape(title)}</b>{more}</figcaption></figure>'
    )


def outline(box: Frame, kind: str) -> str:
    """An outline over a picture of the whole photo."""
    left, top, right, bottom = (100 * min(max(share, 0), 1) for share in box)
    return (
        f'<span class="unit-box {kind}" style="left:{left:.2f}%;top:{top:.2f}%;'
        f'width:{right - left:.2f}%;height:{bottom - top:.2f}%"></span>'
    )


def name(network: Network, layer: str, channel: int) -> str:
    """Such as “Channel 49 · Stage 5, inside”."""
    return f"Channel {channel} · {layer_of(network, layer).title.split(' · ')[0]}"


def over_photo(question: Question, seen: Photo, channel: int, size: int, top: float) -> np.ndarray:
    """The photo with one channel glowing over it; `top` is full strength."""
    values = activation(question)[channel].cpu().numpy()
    return render.glow(render.shrink(seen, size), values, question.view.frame, top)


def card(question: Question, seen: Photo, found: Unit) -> str:
    """Overlay, the place where it fires most, and the pixels behind it."""
    title = name(question.network, question.layer, found.channel)
    where = html.place(*found.place)
    silent = found.peak <= 0
    large = figure(
        over_photo(question, seen, found.channel, LARGE, found.peak),
        f"{title}: strongest at the {where}" if not silent else f"{title} is silent",
        title,
        "It does not fire on this photo." if silent else f"Fires most at the {where}.",
        "" if silent else outline(found.field, "field") + outline(found.core, "core"),
    )
    width, height = found.field_pixels
    covers = (found.field[2] - found.field[0]) * (found.field[3] - found.field[1])
    words = f"All it can see there: {width} × {height} pixels of the network’s input"
    words += ", (nearly) the whole photo." if covers > NEARLY_ALL else "."
    crop = figure(
        render.crop(seen, found.field, 300), f"The {where} of the photo", "Receptive field", words
    )
    closer = figure(
        render.crop(seen, found.core, 300),
        f"The part of the {where} that counts most",
        "What counts",
        "The part of it that most of the gradient comes from (dashed above).",
    )
    kind = "Guided backprop" if found.guided else "Gradient"
    how = "The pixels that make its strongest place fire."
    pixels = figure(
        render.relief(found.pixels[0].numpy()),
        f"{kind} of channel {found.channel} to pixels",
        kind,
        how if found.guided else f"{how} Plain, since this network has no ReLUs to guide.",
    )
    numbers = (
        f'<dl class="unit-numbers"><div><dt>Mean</dt><dd>{found.mean:.3g}</dd></div>'
        f"<div><dt>Maximum</dt><dd>{found.peak:.3g}</dd></div></dl>"
    )
    return f'<div class="unit-grid">{large}{crop}{closer}{pixels}</div>{numbers}'


def classes(question: Question, channel: int) -> str:
    """The classes that the channel feeds most, with their bars."""
    found: Feeds = feeds(question, channel)
    labels = question.network.labels
    top = max(*found.values, 1e-9) if len(found.values) > 1 else max(found.values[0], 1e-9)
    title = "Feeds these classes most"
    how = (
        "Exact: the weights of the final layer."
        if found.exact
        else "How much each score falls on this photo when the channel is switched off."
    )
    rows = [(labels[c], v, v / top) for c, v in zip(found.classes, found.values, strict=True)]
    return f"<h4>{title}</h4><p>{how}</p>{bars(rows)}"


def bars(rows: Sequence[tuple[str, float, float]]) -> str:
    """A list of (name, value, length in 0..1) as bars."""
    items = "".join(
        f'<li><span class="bar" style="width:{100 * min(max(length, 0), 1):.1f}%"></span>'
        f'<span class="bar-name">{escape(label)}</span><span class="bar-value">{value:.3g}</span>'
        "</li>"
        for label, value, length in rows
    )
    return f'<ol class="bars">{items}</ol>'


def best_examples(
    network: Network,
    layer: str,
    channel: int,
    found: Peaks,
    photos: Sequence[tuple[str, Photo]],
    count: int = 4,
) -> str:
    """Crops of the example photos on which the channel fires most."""
    items = []
    for row, value, (y, x) in found.best(channel, count):
        alt, seen = photos[row]
        view = network.prepare(seen)
        height, width = view.tensor.shape[2:]
        box = on_photo(field(network, layer, height, width).box(y, x), (width, height), view.frame)
        small = render.shrink(seen, SMALL * 2)
        url = html.data_url(photo.to_jpeg(small, 80), "jpeg")
        rows, columns = found.sizes[row]
        dot = f"left:{100 * (x + 0.5) / columns:.1f}%;top:{100 * (y + 0.5) / rows:.1f}%"
        items.append(
            f'<figure><div class="unit-picture"><img alt="{escape(alt)}" src="{url}">'
            f'{outline(box, "field")}<span class="unit-dot" style="{dot}"></span></div>'
            f"<figcaption>{value:.3g}</figcaption></figure>"
        )
    return (
        "<h4>Example photos on which it fires most</h4><p>Maximum on each; the dot is the place, "
        f'the outline its receptive field.</p><div class="unit-examples">{"".join(items)}</div>'
    )


def strongest_units(
    question: Question, values: Sequence[float], ranked: Sequence[int], chosen: int
) -> str:
    """A fully connected layer's strongest units as bars that can be clicked."""
    shown = list(ranked)[:24]
    top = max(max(abs(values[each]) for each in shown), 1e-9)
    final = (
        len(values) == len(question.network.labels)
        and question.layer in list(question.network.flat)[-1:]
    )
    items = "".join(
        f'<li><button type="button" data-channel="{each}" aria-pressed="'
        f'{str(each == chosen).lower()}"><span class="bar" style="width:'
        f'{100 * min(abs(values[each]) / top, 1):.1f}%"></span><span class="bar-name">'
        f"{escape(question.network.labels[each]) if final else f'Unit {each}'}</span>"
        f'<span class="bar-value">{values[each]:.3g}</span></button></li>'
        for each in shown
    )
    return (
        '<p class="notice">A fully connected layer has no geometry: its units don’t know '
        "where on the photo something is, so there is no map to show. These are its strongest "
        f'units.</p><ol class="bars">{items}</ol>'
    )
