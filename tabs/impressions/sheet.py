"""Drawings as HTML: the pictures side by side, what networks say to them, the way there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import Any

from explainers import Network, impressions, photo, render
from explainers.impressions import Check, Impression, Stayed
from explainers.impressions.goals import Classes
from explainers.places import ASSETS

from ..parts import html
from ..parts.curve import curve
from .settings import suggested, written

ASSET = ASSETS / "impressions" / "sheet.jpg"
# What is on it, in its order, and where: made by benchmarks/impressions.py --sheets.
BEFORE = (
    "goldfish, ostrich, bald eagle, peacock, flamingo, king penguin, tabby, lion, monarch, zebra, "
    "giant panda, acoustic guitar, airliner, jack-o'-lantern, school bus, teapot, strawberry, "
    "pineapple, pizza, volcano"
).split(", ")
SIDE, RIGHT, DOWN, ACROSS = 200, 206, 224, 5

ACTIVATION = html.term("Activation", "How strongly the unit answers to the picture.")
SHAKEN = html.term(
    f"Shaken {impressions.TRIES} ways",
    "The mean chance over copies that are moved, turned, zoomed and recoloured: a pattern that "
    "fools the network by single pixels does not survive that.",
)
STRUCTURE = html.term(
    "Coarse structure kept",
    "The structural similarity (SSIM) of both pictures, in greys and 56 by 56 pixels: 1 if nothing "
    "coarse has changed.",
)
# The class of the page, where nobody has drawn it; the script says which that is.
OFFER = (
    '<li data-offer><button type="button"><span class="imp-none">Draw it<small data-soon></small>'
    "</span><span data-offered></span></button></li>"
)
SECOND = "Another network, which took no part in the drawing: what it recognises is no mere trick."


@cache
def _before() -> dict[str, str]:
    """The shipped pictures by class name, as addresses."""
    pixels = photo.read(ASSET).pixels
    found = {}
    for place, name in enumerate(BEFORE):
        top, left = place // ACROSS * DOWN, place % ACROSS * RIGHT
        cut = pixels[top : top + SIDE, left : left + SIDE]
        found[name] = html.data_url(render.webp(cut), "webp")
    return found


def known(network: Network) -> bool:
    """Were some of its classes drawn before?"""
    return len({*network.labels}.intersection(BEFORE)) > 2


def wall(network: Network) -> str:
    """Impressions drawn before, each a button; names alone for a network of other classes."""
    if not known(network):
        items = "".join(_button(network, target) for target in suggested(network))
        words = '<p class="note">Begin with one of these:</p>'
        return f'{words}<ul class="imp-names" data-grid>{items}</ul>'
    items = OFFER + "".join(
        _button(network, network.labels.index(name), f'<img alt="" src="{url}">')
        for name, url in _before().items()
        if name in network.labels
    )
    own = f" Click one, and {escape(network.title)} draws its own."
    own = "" if network.key == "lite0" else own
    words = f"Drawn before by EfficientNet-Lite0, each from noise and without a photo.{own}"
    return f'<ul class="imp-wall" data-grid>{items}</ul><p class="note">{words}</p>'


def _button(network: Network, target: int, picture: str = "") -> str:
    name = escape(network.labels[target])
    value = escape(written(network, [target]))
    return (
        f'<li><button type="button" data-class="{value}" title="Draw “{name}”">{picture}'
        f"<span>{name}</span></button></li>"
    )


def sheet(drawn: Sequence[Impression], token: str) -> str:
    """Room for all drawings side by side, with their pictures as they are."""
    cells = "".join(_cell(each, index) for index, each in enumerate(drawn))
    return (
        f'<div class="imp-row{" one" if len(drawn) == 1 else ""}" data-drawing="{escape(token)}" '
        f'style="--columns:{_columns(drawn)}">{cells}</div>'
    )


def _columns(drawn: Sequence[Impression]) -> str:
    """Of the row: a saliency-driven drawing has two pictures, a plain one has one."""
    kinds = {each.driven for each in drawn}
    if kinds == {True, False}:
        return "1fr 2fr"
    return f"repeat({min(len(drawn), 2 if True in kinds else 3)},1fr)"


def _cell(drawn: Impression, index: int) -> str:
    how = "saliency-driven" if drawn.driven else "plain"
    now = panel(drawn)
    pictures = _picture(now["picture"], f"Impression of {drawn.title}, {how}", "picture")
    if drawn.photo is not None:
        before = _picture(_url(impressions.to_pixels(drawn.photo)), "Your photo, its middle square")
        pictures, how = before + pictures, f"{how}, from your photo (on the left)"
    if drawn.driven:
        alt = "The same, dim outside of the mask: where the object is"
        pictures += _picture(now["mask"], alt, "mask")
    return (
        f'<figure class="imp" data-panel="{index}"><div class="imp-pictures">{pictures}</div>'
        f'<div class="imp-about"><figcaption><b>{escape(drawn.title)}</b> '
        f'<span class="imp-how">{how}</span></figcaption>'
        f"<div data-now>{now['now']}</div><div data-more>{now['more']}</div></div></figure>"
    )


def _picture(url: str, alt: str, grows: str = "") -> str:
    """grows: which part of what `panel` gives replaces it."""
    grows = f' data-grows="{grows}"' if grows else ""
    return f'<img alt="{escape(alt)}" decoding="sync" src="{url}"{grows}>'


@dataclass(frozen=True)
class Found:
    """What a drawing was found to be at its end. check: None for a unit. stayed: None for what
    started from noise."""

    network: Network
    check: Check | None
    stayed: Stayed | None

    @classmethod
    def of(cls, network: Network, drawn: Impression, second: Network | None) -> Found:
        check = impressions.check(network, drawn, second) if drawn.photo is None else None
        return cls(network, check, impressions.stayed(drawn, second))


def panel(drawn: Impression, found: Found | None = None) -> dict:
    """What of a drawing changes as it grows, and what was found at its end."""
    more = ""
    if found is not None:
        more = _checked(drawn, found.check, found.network) if found.check else ""
        more += _stayed(found.stayed) if found.stayed else ""
        more += _strip(drawn) + TAKE
    mask = _url(impressions.with_mask(drawn)) if drawn.driven else ""
    now = _now(drawn) + _curves(drawn)
    return {"picture": _url(drawn.pixels), "mask": mask, "now": now, "more": more}


def _url(pixels: Any) -> str:
    return html.data_url(render.jpeg(pixels, 92), "jpeg")


def _now(drawn: Impression) -> str:
    point = drawn.points[-1]
    if point.probability is None:
        before = f", of the photo {drawn.points[0].score:.2f}" if drawn.photo is not None else ""
        return f"<p>{ACTIVATION} {point.score:.2f}{before}</p>"
    chance = html.percent(point.probability)
    return f"<p>{html.logit('Logit')} {point.score:.1f}, probability {chance}</p>"


def _checked(drawn: Impression, found: Check, network: Network) -> str:
    """More than an adversarial pattern? The probability, shaken copies, another network."""
    goal = drawn.goal
    names = [network.labels[target] for target in goal.targets] if isinstance(goal, Classes) else []
    rows = ""
    for name, one, many in zip(names, found.probability, found.robust, strict=True):
        which = f" · {escape(name)}" if len(names) > 1 else ""
        rows += _row(f"Probability{which}", html.percent(one))
        rows += _row(f"{SHAKEN}{which}", html.percent(many))
    if found.second:
        place = f", the class at place {found.rank + 1}" if found.rank else ""
        sign = '<span class="imp-yes">✓</span> ' if found.rank == 0 else ""
        says = f"{sign}{escape(found.guess)} ({html.percent(found.chance)}){place}"
        rows += _row(f"{html.term(found.second, SECOND)} says", says)
    else:
        rows += _row(html.term("A second network", SECOND), "none is loaded yet")
    return f'<dl class="imp-check">{rows}</dl>'


def _stayed(found: Stayed) -> str:
    """Is it still the photo? Its coarse structure, and another network's first guess."""
    rows = _row(STRUCTURE, f"{found.structure:.2f}")
    if found.second:
        same = found.before == found.after
        words = f"still {escape(found.before)}" if same else escape(found.after)
        words += "" if same else f", before: {escape(found.before)}"
        rows += _row(f"{html.term(found.second, SECOND)} says", words)
    return f'<dl class="imp-check">{rows}</dl>'


def _row(name: str, value: str) -> str:
    return f"<div><dt>{name}</dt><dd>{value}</dd></div>"


def _strip(drawn: Impression) -> str:
    items = "".join(
        f'<li><img alt="After {point.step} steps" src="{html.data_url(point.frame, "jpeg")}">'
        f"<span>{point.step}</span></li>"
        for point in drawn.strip
    )
    return f'<ol class="imp-strip" aria-label="The way there, by steps">{items}</ol>'


def _curves(drawn: Impression) -> str:
    steps = [point.step for point in drawn.points]
    scores = [point.score for point in drawn.points]
    name = "Activation" if drawn.points[0].probability is None else "Logit"
    lines = [(name, scores, max(*scores, 1e-6), min(*scores, 0.0))]
    if drawn.points[-1].probability is not None:
        chances = [min(point.probability or 0.0, 1.0) for point in drawn.points]
        lines.append(("Probability", chances, 1.0, 0.0))
    most = drawn.knobs.steps
    drawings = "".join(
        f"<div><b>{title}</b>"
        + curve(
            steps,
            ys,
            label=f"{title} by steps",
            below="steps",
            most_x=most,
            most_y=top,
            least_y=low,
        )
        + "</div>"
        for title, ys, top, low in lines
    )
    return f'<div class="imp-curves">{drawings}</div>'


TAKE = (
    '<p class="imp-take"><button type="button" class="plain" data-film>'
    'Watch it grow</button><button type="button" class="plain" data-take="png">Picture (PNG)'
    '</button><button type="button" class="plain" data-take="webp">Film (WebP)</button></p>'
)
