"""The brush: the visitor covers any part of the photo, and the answer stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from explainers import ExplainError, render
from explainers.muting.brush import score_mask, shown
from explainers.network.frame import seen

from ..parts import html
from ..parts.tab import Settings, Show
from ..subject import Asked
from . import told

MASK = 224  # pixels on the longer side of the mask that is sent


def facts(asked: Asked, settings: Settings) -> dict[str, Any]:
    """What the browser needs to paint with what the network gets, and the answer before that."""
    question = asked.question()
    fill = shown(asked.network, question.view, settings["baseline"], settings["seed"])
    chances = asked.network.probabilities(asked.logits().float().cpu())
    return {
        "fill": html.data_url(render.png(fill), "png"),
        "seen": list(seen(question.view.frame)),
        **told.unmuted(asked, chances),
    }


def paint(asked: Asked, settings: Settings, data: Mapping[str, Any]) -> Show:
    """Something was painted: what does the network say without it?"""
    painted, keep = mask(data), data.get("keep") is True
    change = score_mask(
        asked.network,
        asked.question().view,
        painted,
        settings["baseline"],
        keep=keep,
        seed=settings["seed"],
    )
    share = float(painted.mean())
    answer = {
        "turn": data.get("turn") if type(data.get("turn")) is int else 0,
        "share": 1 - share if keep else share,
    }
    return Show(data={"answer": answer | told.muted(asked, change)})


def mask(data: Mapping[str, Any]) -> np.ndarray:
    """bool (height, width) of the whole photo, from the runs that the browser sent; checked."""
    broken = ExplainError("The brush’s mask did not arrive whole: please paint once more.")
    sides, runs = (data.get("width"), data.get("height")), data.get("runs")
    if not all(type(side) is int and 1 <= side <= MASK for side in sides):
        raise broken
    pixels = sides[0] * sides[1]
    if not isinstance(runs, list) or len(runs) > pixels + 1:
        raise broken
    if not all(type(run) is int and 0 <= run <= pixels for run in runs) or sum(runs) != pixels:
        raise broken
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(sides[1], sides[0])
