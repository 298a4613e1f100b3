"""Drawings as HTML: the pictures side by side, what networks say to them, the way there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from explainers import Network, impressions, render
from explainers.impressions import Check, Impression
from explainers.impressions.goals import Classes

from . import html
from .curve import curve

EMPTY = (
    '<div class="empty impressions-empty"><p>Press “Draw”: from faint noise, step by step, grows '
    "what makes the network say a class. No photo is needed.</p></div>"
)


def sheet(
    network: Network,
    drawn: Sequence[Impression],
    checks: Sequence[Check | None] | None = None,
    *,
    ended: bool = False,
) -> str:
    """All drawings side by side. ended: with everything to take away; checks: beside each."""
    checks = checks or [None] * len(drawn)
    cells = "".join(
        _cell(network, each, found, ended) for each, found in zip(drawn, checks, strict=True)
    )
    return f'<div class="impressions-row count-{min(len(drawn), 3)}">{cells}</div>'


def _cell(network: Network, drawn: Impression, found: Check | None, ended: bool) -> str:
    how = "saliency-driven" if drawn.driven else "plain"
    name = escape(drawn.title)
    pictures = _picture(drawn.pixels, f"Impression of {drawn.title}, {how}")
    if drawn.mask is not None:
        alt = "The same, dim outside of the mask: where the object is"
        pictures += _picture(impressions.with_mask(drawn), alt)
    words = _now(drawn) if found is None else _checked(drawn, found, network)
    more = _strip(drawn) + _curves(drawn) + _downloads(drawn) if ended else ""
    return (
        f'<figure class="impression"><div class="impression-pictures">{pictures}</div>'
        f'<div class="impression-about"><figcaption><b>{name}</b> '
        f'<span class="impression-how">{how}</span>{words}</figcaption>{more}</div></figure>'
    )


def _picture(pixels, alt: str) -> str:
    url = html.data_url(render.jpeg(pixels, 92), "jpeg")
    return f'<img alt="{escape(alt)}" src="{url}">'


def _now(drawn: Impression) -> str:
    point = drawn.points[-1]
    if point.probability is None:
        return f"<p>Activation {point.score:.2f}</p>"
    return f"<p>Logit {point.score:.1f}, probability {html.percent(point.probability)}</p>"


def _checked(drawn: Impression, found: Check, network: Network) -> str:
    """More than an adversarial pattern? The probability, shaken copies, another network."""
    goal = drawn.goal
    names = [network.labels[target] for target in goal.targets] if isinstance(goal, Classes) else []
    rows = ""
    for name, one, many in zip(names, found.probability, found.robust, strict=True):
        which = f" · {escape(name)}" if len(names) > 1 else ""
        rows += _row(f"Probability{which}", html.percent(one))
        rows += _row(f"Shaken {impressions.TRIES} ways{which}", html.percent(many))
    if found.second:
        place = {None: "", 0: ""}.get(found.rank, f", the class at place {(found.rank or 0) + 1}")
        sign = '<span class="impression-yes">✓</span> ' if found.rank == 0 else ""
        says = f"{sign}{escape(found.guess)} ({html.percent(found.chance)}){place}"
        rows += _row(f"{escape(found.second)} says", says)
    else:
        rows += _row("A second network", "none is loaded yet")
    return f'<dl class="impression-check">{rows}</dl>'


def _row(name: str, value: str) -> str:
    return f"<div><dt>{name}</dt><dd>{value}</dd></div>"


def _strip(drawn: Impression) -> str:
    items = "".join(
        f'<li><img alt="After {point.step} steps" src="{html.data_url(point.frame, "jpeg")}">'
        f"<span>{point.step}</span></li>"
        for point in drawn.strip
    )
    return f'<ol class="impression-strip" aria-label="The way there, by steps">{items}</ol>'


def _curves(drawn: Impression) -> str:
    steps = [point.step for point in drawn.points]
    if len(steps) < 2:
        return ""
    scores = [max(point.score, 0.0) for point in drawn.points]
    name = "Activation" if drawn.points[0].probability is None else "Logit"
    most, last = max(*scores, 1e-6), drawn.points[-1]
    lines = [(f"{name}: {last.score:.1f}", scores, most)]
    if last.probability is not None:
        chances = [min(point.probability or 0.0, 1.0) for point in drawn.points]
        lines.append((f"Probability: {html.percent(last.probability)}", chances, 1.0))
    drawings = "".join(
        f"<div><b>{title}</b>"
        + curve(steps, ys, label=f"{title} at the end", below="steps", most_x=steps[-1], most_y=top)
        + "</div>"
        for title, ys, top in lines
    )
    return f'<div class="impression-curves">{drawings}</div>'


def _downloads(drawn: Impression) -> str:
    stem = re.sub(r"[^a-z0-9]+", "-", drawn.title.lower()).strip("-")[:60]
    stem += f"{'-saliency-driven' if drawn.driven else ''}-seed-{drawn.knobs.seed}"
    still = html.data_url(render.png(drawn.pixels), "png")
    film = html.data_url(impressions.animation(drawn), "webp")
    links = "".join(
        f'<a class="impression-link" download="impression-{stem}.{kind}" href="{url}">{words}</a>'
        for kind, url, words in (("png", still, "Picture (PNG)"), ("webp", film, "Film (WebP)"))
    )
    shown = html.details("Watch it grow", f'<img alt="The drawing as it grew" src="{film}">')
    return f'<p class="impression-links">{links}</p>{shown}'
