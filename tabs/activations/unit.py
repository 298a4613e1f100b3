"""One channel on the page: over the photo, its field, pixels, classes and best examples."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from explainers import Network, Photo, Question, notes, photo, render
from explainers.network import Frame
from explainers.network.frame import as_photo
from explainers.units import Feeds, Unit, activation, feeds, layer_of, peak
from explainers.units.receptive import field, on_photo
from explainers.units.reference import Reference
from explainers.units.strongest import Best, Peaks

from ..parts import html
from ..parts.figures import bars, figure, outline

LARGE, SMALL = 640, 320  # pixels on the longer side
NEARLY_ALL = 0.8  # a receptive field that covers more of the photo than this says little
SHOWN = 4  # reference photos
OF_ALL = "Of the reference photos, those on which it fires most"
FIELD = html.term(
    "receptive field",
    "All pixels that can have an influence on one place of this layer; what lies outside, it "
    "cannot know of.",
)


def name(network: Network, layer: str, channel: int) -> str:
    """Such as “Unit 49 · Stage 5, inside”."""
    return f"Unit {channel} · {layer_of(network, layer).title.split(' · ')[0]}"


def over_photo(question: Question, seen: Photo, channel: int, size: int, top: float) -> np.ndarray:
    """The photo with one channel glowing over it; `top` is full strength."""
    values = activation(question)[channel].cpu().numpy()
    return render.glow(render.shrink(seen, size), values, question.view.frame, top)


def glow(question: Question, seen: Photo, channel: int, found: Unit | None = None) -> str:
    """The channel over the photo, and where it fires most when that is known."""
    title = name(question.network, question.layer, channel)
    top = peak(question, channel)
    url = html.data_url(render.jpeg(over_photo(question, seen, channel, LARGE, top), 85), "jpeg")
    boxes = ""
    if found is not None and found.peak > 0:
        boxes = _field(found.field) + outline(found.core, "core")
    alt = f"{title} over the photo" if top > 0 else f"{title} is silent"
    return f'<img alt="{escape(alt)}" src="{url}" decoding="sync" draggable="false">{boxes}'


def _covers(box: Frame) -> bool:
    """Is it nearly the whole photo?"""
    left, top, right, bottom = (min(max(share, 0), 1) for share in box)
    return (right - left) * (bottom - top) > NEARLY_ALL


def _field(box: Frame) -> str:
    """The outline of a receptive field, unless that is nearly all."""
    return "" if _covers(box) else outline(box, "field")


def heading(
    question: Question, channel: int, found: Unit | None = None, *, linked: bool = False
) -> str:
    """The channel's name, its strength, and where it fires most when that is known.

    linked: does the name lead to the channel's card?
    """
    network, layer = question.network, question.layer
    title = f"<b>{escape(name(network, layer, channel))}</b>"
    if linked:
        title = html.card(network.key, layer, channel, title, 'title="Its card"')
    values = activation(question)[channel]
    top, mean = float(values.max()), float(values.mean())
    if top <= 0:
        where = "it does not fire on this photo"
    else:
        where = f"fires most at the {notes.place(*found.place)}" if found is not None else "fires"
    return f"{title} {where} <small>maximum {top:.3g}, mean {mean:.3g}</small>"


def crops(seen: Photo, found: Unit, frame: Frame) -> str:
    """The place where it fires most, and the pixels behind it."""
    where = notes.place(*found.place)
    width, height = found.field_pixels
    words = f"All it can see there: {width} × {height} pixels of the network’s input"
    words += ", (nearly) the whole photo." if _covers(found.field) else "."
    crop = figure(
        render.crop(seen, found.field, 300), f"The {where} of the photo", "It can see", words
    )
    closer = figure(
        render.crop(seen, found.core, 300),
        f"The part of the {where} that counts most",
        "It looks at",
        "The part of it that most of the gradient comes from (dashed on the photo).",
    )
    kind = "Guided backprop" if found.guided else "Gradient"
    how = "The pixels that make its strongest place fire."
    pixels = figure(
        render.relief(as_photo(found.pixels[0].numpy(), frame)),
        f"{kind} of unit {found.channel} to pixels",
        kind,
        how if found.guided else f"{how} Plain, since this network has no ReLUs to guide.",
    )
    return f'<div class="unit-crops">{crop}{closer}{pixels}</div>'


def classes(question: Question, channel: int) -> str:
    """The classes that the channel feeds most, with their bars."""
    found: Feeds = feeds(question, channel)
    labels = question.network.labels
    top = max(*found.values, 1e-9) if len(found.values) > 1 else max(found.values[0], 1e-9)
    how = (
        "Exact: the weights of the final layer."
        if found.exact
        else "How much each score falls on this photo when the unit is switched off."
    )
    rows = [(labels[c], v, v / top) for c, v in zip(found.classes, found.values, strict=True)]
    return f"<h3>Feeds these classes most</h3><p>{how}</p>{bars(rows)}"


def looking(count: int) -> str:
    """The place of the reference photos while the network is asked about them."""
    ghosts = '<figure class="ghost"></figure>' * min(count, SHOWN)
    return (
        f"<h3>{OF_ALL}</h3><p>This network is being asked about all {count} of them, for the first "
        f'time …</p><div class="unit-examples">{ghosts}</div>'
    )


def best_examples(
    network: Network, layer: str, channel: int, found: Peaks, photos: Sequence[Reference]
) -> str:
    """The reference photos on which the channel fires most, and where."""
    items = [
        example(network, layer, best, photos[best.photo]) for best in found.best(channel, SHOWN)
    ]
    bound = f" Ranked by what it was before its bound of {found.bound:g}." * (found.bound < 1e9)
    return (
        f"<h3>{OF_ALL}</h3><p>By its maximum; the dot is the place, an outline its {FIELD}.{bound}"
        f'</p><div class="unit-examples">{"".join(items)}</div>'
    )


def example(network: Network, layer: str, best: Best, reference: Reference) -> str:
    seen = reference.photo
    view = network.prepare(seen)
    height, width = view.tensor.shape[2:]
    box = field(network, layer, height, width).box(*best.cell)
    middle = (best.cell[1] + 0.5) / best.size[1], (best.cell[0] + 0.5) / best.size[0]
    x, y = on_photo((*middle, *middle), (1, 1), view.frame)[:2]
    marks = (
        f"{_field(on_photo(box, (width, height), view.frame))}"
        f'<span class="unit-dot" style="left:{100 * x:.1f}%;top:{100 * y:.1f}%"></span>'
    )
    return framed(reference, f"{best.peak:.3g} <small>mean {best.mean:.2g}</small>", marks)


def framed(reference: Reference, caption: str, marks: str = "") -> str:
    """A whole reference photo in a frame that has the shape of its neighbours’; the caption and the
    marks over the photo are HTML made here."""
    small = render.shrink(reference.photo, SMALL)
    url = html.data_url(photo.to_jpeg(small, 80), "jpeg")
    alt, ratio = escape(reference.title), small.shape[1] / small.shape[0]
    return (
        f'<figure title="{alt}" style="--ratio:{ratio:.3f}"><div class="shown-picture"><img '
        f'alt="{alt}" src="{url}">{marks}</div><figcaption>{caption}</figcaption></figure>'
    )


def strongest_units(question: Question, ranked: Sequence[int], chosen: int) -> str:
    """A fully connected layer's strongest units as bars that can be clicked."""
    values = activation(question)[:, 0, 0].tolist()
    network, shown = question.network, list(ranked)[:24]
    top = max(max(abs(values[each]) for each in shown), 1e-9)
    final = len(values) == len(network.labels) and question.layer in list(network.flat)[-1:]
    items = "".join(
        f'<li><button type="button" data-channel="{each}" aria-pressed="'
        f'{str(each == chosen).lower()}"><span class="bar-length" style="width:'
        f'{100 * min(abs(values[each]) / top, 1):.1f}%"></span><span class="bar-name">'
        f"{escape(network.labels[each]) if final else f'Unit {each}'}</span>"
        f'<span class="bar-value">{values[each]:.3g}</span></button></li>'
        for each in shown
    )
    return (
        '<p class="note">A fully connected layer has no geometry: its units don’t know where on '
        "the photo something is, so there is no map to show. These are its strongest units.</p>"
        f'<ol class="bars">{items}</ol>'
    )
