"""Pictures with captions, outlines on them, and lists of bars."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from explainers import render
from explainers.network import Frame

from . import html


def figure(picture: np.ndarray, alt: str, title: str, words: str = "", boxes: str = "") -> str:
    """A picture with its caption; `boxes` are outlines laid over it, HTML made here."""
    url = html.data_url(render.jpeg(picture), "jpeg")
    more = f"<p>{escape(words)}</p>" if words else ""
    return (
        f'<figure class="shown"><div class="shown-picture"><img alt="{escape(alt)}" '
        f'src="{url}">{boxes}</div><figcaption><b>{escape(title)}</b>{more}</figcaption></figure>'
    )


def outline(box: Frame, kind: str) -> str:
    """An outline over a picture of the whole photo."""
    left, top, right, bottom = (100 * min(max(share, 0), 1) for share in box)
    return (
        f'<span class="outline {kind}" style="left:{left:.2f}%;top:{top:.2f}%;'
        f'width:{right - left:.2f}%;height:{bottom - top:.2f}%"></span>'
    )


def bars(rows: Sequence[tuple[str, float, float]]) -> str:
    """A list of (name, value, length in 0..1) as bars."""
    items = "".join(bar(label, f"{value:.3g}", length) for label, value, length in rows)
    return f'<ol class="bars">{items}</ol>'


def bar(label: str, value: str, length: float) -> str:
    """One of them; length in 0..1."""
    wide = 100 * min(max(length, 0), 1)
    return (
        f'<li><span class="bar-length" style="width:{wide:.1f}%"></span><span class="bar-name">'
        f'{escape(label)}</span><span class="bar-value">{value}</span></li>'
    )
