"""What other programs may ask about photos; `endpoints.py` is its face.

A program's work is pulled a slice at a time, as a visitor's is: it waits in the same lanes, gives
way between two slices, and ends when nobody pulls it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from explainers import Network, ask, notes, render
from explainers.api import find, question
from explainers.zoo import Zoo

from .parts.tab import problem
from .parts.work import Jobs, Show, Work

MOST = 20  # classes listed

Given = Mapping[str, Any]


class Programs:
    """Answers to programs; a `problem` is a sentence, and nothing is raised. What is not whole yet
    names in `more` the ticket with which it is pulled on."""

    answers = ("classify", "explain", "more", "stop", "networks", "well")

    def __init__(self, zoo: Zoo, jobs: Jobs) -> None:
        self.zoo, self.jobs = zoo, jobs

    def classify(self, given: Given) -> dict[str, Any]:
        """photo, network, count -> found: the likeliest classes."""
        return self._begun(_classified, given)

    def explain(self, given: Given) -> dict[str, Any]:
        """photo, network, target, method, against -> picture: (H, W, 3) uint8; about."""
        return self._begun(_explained, given)

    def more(self, ticket: str) -> dict[str, Any]:
        """The next slice."""
        try:
            return _plain(*self.jobs.more(str(ticket)))
        except Exception as error:
            return problem(error)

    def stop(self, ticket: str) -> dict[str, Any]:
        """Nobody wants the rest."""
        self.jobs.stop(str(ticket))
        return {}

    def networks(self, _given: Given) -> dict[str, Any]:
        """found: how each network stands."""
        return {
            "found": [
                {"key": each.key, "title": each.title, "state": each.state, "message": each.message}
                for each in self.zoo.status()
            ]
        }

    def well(self, _given: Given) -> dict[str, Any]:
        """well: does the first network answer?"""
        try:
            network = self.zoo.get()
            logits = network.logits(network.mean.new_zeros(1, len(network.mean), *network.shape))
            return {"well": bool(logits.isfinite().all())}
        except Exception as error:
            return {"well": False} | problem(error)

    def _begun(self, work: Callable[[Network, Given], Work], given: Given) -> dict[str, Any]:
        try:
            network = self.zoo.get(given["network"])  # fetched, maybe: that takes nobody's turn
            caller = secrets.token_urlsafe(9)  # each call is its own, whoever makes it
            return _plain(*self.jobs.start((caller, "programs"), work(network, given)))
        except Exception as error:
            return problem(error)


def _classified(network: Network, given: Given) -> Work:
    yield from ()
    view = network.prepare(given["photo"])
    chances = network.probabilities(network.logits(view.tensor))[0]
    best = chances.topk(max(1, min(MOST, int(given["count"] or 5))))
    found = [
        {"class": network.labels[int(i)], "index": int(i), "probability": float(chances[i])}
        for i in best.indices
    ]
    return Show(data={"found": found})


def _explained(network: Network, given: Given) -> Work:
    seen, method = given["photo"], find(given["method"] or "gradcam")
    asked = question(network, seen, given["target"] or None, against=given["against"] or None)
    if method.slow:
        yield Show(done=0.0)  # what follows waits in the slow lane
    for found in ask(asked, method.key):
        if found.done < 1:
            yield Show(done=found.done)
    index = found.targets[0]
    x, y = found.peak()
    about = {
        "class": network.labels[index],
        "probability": float(found.probabilities[index]),
        "method": method.title,
        "what_to_look_for": method.caption,
        "peak": {"x": round(x, 3), "y": round(y, 3)},
        "notes": [*seen.notes, *notes.sentences(found)],
    }
    return Show(data={"picture": render.overlay(seen, found), "about": about})


def _plain(show: Show, ticket: str | None) -> dict[str, Any]:
    if ticket is None:
        return dict(show.data)
    return {"more": ticket, "work": {"done": show.done, "words": show.words}}
