"""Patches: which piece decides? An image as a bag of patches, lit by how much each counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from explainers import ExplainError, Photo, photo, render
from explainers.mil import AttentionMIL, attend, load_amil
from explainers.mil.patches import MAX_OVERLAP, cut
from explainers.mil.scores import patch_scores
from explainers.places import ASSETS
from explainers.recent import Recent
from explainers.zoo import BUNDLED

from ..parts import html
from ..parts.fields import Choice, Number
from ..parts.pace import Often, Pace
from ..parts.tab import Settings, Show, Tab
from ..subject import Asked
from . import lesson
from .readings import Read, Wish, photo_bag, tissue_bag

HERE = Path(__file__).parent
TISSUE = ASSETS / "tissue"
CANVASES = {
    "one-corner": ("A corner", "Drawn tissue with crowded nuclei in the lower right corner."),
    "half": ("One half", "Drawn tissue, half of it with crowded nuclei."),
    "malignant": ("Malignant", "Drawn tissue with crowded, uneven nuclei everywhere."),
    "benign": ("Benign", "Drawn tissue with orderly glands."),
}
AT_ONCE = {"photo": 160, "tissue": 400}  # patches: a few seconds; more are read on a button
OFTEN = 0.5  # seconds between pictures

FRONT = (
    Choice(
        key="source",
        label="What is cut into patches",
        choices=(
            ("My photo, through its own network", "photo"),
            ("Drawn colon tissue", "tissue"),
            ("My photo, which is colon tissue", "mine"),
        ),
        default="photo",
    ),
    Choice(
        key="tissue",
        label="The drawing",
        choices=[(title, name) for name, (title, _) in CANVASES.items()],
        default="one-corner",
    ),
)
FIELDS = (
    Number(key="large", label="Patch of a photo (px)", low=8, high=320, default=112),
    Number(key="small", label="Patch of tissue (px)", low=8, high=320, default=56),
    Number(key="overlap", label="Overlap", low=0, high=MAX_OVERLAP, step=0.05, default=0),
    Choice(
        key="pooling",
        label="Patches pooled by",
        choices=(("Maximum", "max"), ("Mean", "mean"), ("Log-sum-exp", "lse"),
                 ("Noisy-or", "noisy-or")),
        default="max",
        help="How the patches’ answers become the photo’s: the surest one, all alike, a soft "
        "maximum (log-sum-exp), or the chance that at least one is right (noisy-or).",
    ),
    Choice(
        key="light",
        label="Light",
        choices=(("Percentile", "percentile"), ("Raw weights", "raw"),
                 ("As the authors did", "author")),
        default="percentile",
        help="What full light stands for: the strongest twentieth of the patches, a weight of "
        "100 per cent, or the largest weight.",
    ),
    Number(key="floor", label="Brightness floor", low=0, high=0.6, step=0.05, default=0.25),
)  # fmt: skip

_read: Recent[tuple[Any, ...], Read] = Recent()


@cache
def _head() -> AttentionMIL:
    return load_amil()


@cache
def _canvas(name: str) -> Photo:
    return photo.read(TISSUE / f"{name}.jpg")


def _strip() -> str:
    """The drawn canvases as buttons."""
    buttons = ""
    for name, (title, alt) in CANVASES.items():
        url = html.data_url(photo.to_jpeg(render.shrink(_canvas(name), 160), 85), "jpeg")
        buttons += (
            f'<button type="button" data-tissue="{name}" title="{alt}" aria-pressed="false">'
            f'<img alt="{alt}" src="{url}"><span>{title}</span></button>'
        )
    return buttons


def wish(asked: Asked, settings: Settings) -> Wish:
    """What is to be read, and how it is to be lit."""
    source, seen = settings["source"], asked.photo
    if source == "mine" and seen is None:
        raise ExplainError("Drop a photo of tissue first, or choose the drawn tissue.")
    own = source == "photo" and seen is not None
    return Wish(  # tissue is read by the bundled network's features, whichever is chosen
        seen=_canvas(settings["tissue"]) if source == "tissue" or seen is None else seen,
        network=asked.network if own else asked.zoo.get(BUNDLED),
        question=asked.question() if own else None,
        patch=settings["large"] if own else settings["small"],
        overlap=settings["overlap"],
        pooling=settings["pooling"],
        rule=settings["light"],
        floor=settings["floor"],
    )


def draw(asked: Asked, settings: Settings) -> Iterator[Show | None]:
    """What is known, or a quick reading; a long one waits for a button."""
    wanted = wish(asked, settings)
    count = len(cut(wanted.seen.pixels, wanted.patch, wanted.overlap))
    known = _read.get(wanted.key)
    if (known and known.done >= 1) or count > AT_ONCE["photo" if wanted.question else "tissue"]:
        return _rest(asked, settings, wanted, known, count)
    return (yield from _grow(asked, settings, wanted))


def read(asked: Asked, settings: Settings, _data: Mapping[str, Any]) -> Iterator[Show | None]:
    """The button: all patches, however many."""
    return (yield from _grow(asked, settings, wish(asked, settings)))


def _reading(wanted: Wish) -> Iterator[Read]:
    pixels, patch, overlap = wanted.seen.pixels, wanted.patch, wanted.overlap
    if wanted.question:
        targets = wanted.question.targets
        found = patch_scores(wanted.network, pixels, targets, patch, overlap, wanted.pooling)
    else:
        found = attend(_head(), wanted.network, pixels, patch, overlap)
    for each in found:
        _read.keep(wanted.key, each, of=wanted.network)
        yield each


def _grow(asked: Asked, settings: Settings, wanted: Wish) -> Iterator[Show | None]:
    """The panel while the patches are read; what was read stays when it is left."""
    pace, due, found = Pace(), Often(OFTEN), None
    for found in _reading(wanted):
        left = pace.words(found.done)
        if found.done < 1 and due():
            words = f"{round(found.done * len(found.grid))} of {len(found.grid)} patches, {left}"
            places = {"say": _say(asked, settings, wanted), "bag": _panel(wanted, found), "go": ""}
            yield Show(places, done=found.done, words=words)
        else:
            yield None
    return _rest(asked, settings, wanted, found, len(found.grid))


def _rest(asked: Asked, settings: Settings, wanted: Wish, found: Read | None, count: int) -> Show:
    """What is known of this wish, and a button where the rest would take long."""
    go = ""
    if found is None or found.done < 1:
        words = f"This makes {count:,} patches, which takes a while."
        if found:
            words = f"{round(found.done * count):,} of {count:,} patches were read."
        button = f'<button type="button" class="main" data-read>Read {count:,} patches</button>'
        go = f"<p>{words} {button}</p>"
    bag = _panel(wanted, found) if found else ""
    return Show({"say": _say(asked, settings, wanted), "bag": bag, "go": go})


def _panel(wanted: Wish, found: Read) -> str:
    return (photo_bag if wanted.question else tissue_bag)(wanted, found).html()


def _say(asked: Asked, settings: Settings, wanted: Wish) -> str:
    """What one sees, and one thing to try."""
    if wanted.question:
        name = escape(asked.network.labels[asked.targets[0]])
        return (
            f"Cut into patches, read one by one: the bright ones say <b>{name}</b>. "
            "<em>Try: point at one, or take the best away.</em>"
        )
    whose = "Your photo, read as" if settings["source"] == "mine" else "Not your photo, but drawn"
    return (
        f"{whose} colon tissue, a <b>bag</b> of patches: the network looked at the bright ones. "
        "<em>Try: take the best away.</em>"
    )


MARKUP = (
    (HERE / "patches.html")
    .read_text("utf-8")
    .replace("<!--tissue-->", _strip())
    .replace("<!--lesson-->", lesson.markup())
)

TAB = Tab(
    key="patches",
    title="Patches",
    asks="Which piece decides?",
    draw=draw,
    markup=MARKUP,
    fields=FIELDS,
    front=FRONT,
    acts={"read": read, "learn": lesson.learn, "own": lesson.own},
    script=(HERE / "patches.js").read_text("utf-8"),
    lone=True,
)
