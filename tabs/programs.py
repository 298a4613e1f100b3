"""What other programs may ask about photos; `endpoints.py` is its face."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from explainers import METHODS, explain, notes, render
from explainers.zoo import Zoo

from .parts.guard import sentence
from .parts.lanes import Busy, Lanes

MOST = 20  # classes listed
WAIT = 60.0  # seconds that a program waits for its turn

Given = Mapping[str, Any]


class Programs:
    """Answers to programs; a `problem` is a sentence, and nothing is raised."""

    answers = ("classify", "explain", "networks", "well")

    def __init__(self, zoo: Zoo, lanes: Lanes) -> None:
        self.zoo, self.lanes = zoo, lanes

    def classify(self, given: Given) -> dict[str, Any]:
        """photo, network, count -> found: the likeliest classes."""
        return _answer(self.lanes, False, self._classify, given)

    def explain(self, given: Given) -> dict[str, Any]:
        """photo, network, target, method, against -> picture: (H, W, 3) uint8; about."""
        method = METHODS.get(str(given["method"]))
        slow = method is not None and method.slow
        return _answer(self.lanes, slow, self._explain, given)

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
            return {"well": False, "problem": sentence(error)}

    def _classify(self, given: Given) -> dict[str, Any]:
        chosen = self.zoo.get(given["network"])
        view = chosen.prepare(given["photo"])
        chances = chosen.probabilities(chosen.logits(view.tensor))[0]
        best = chances.topk(max(1, min(MOST, int(given["count"] or 5))))
        return {
            "found": [
                {"class": chosen.labels[int(i)], "index": int(i), "probability": float(chances[i])}
                for i in best.indices
            ]
        }

    def _explain(self, given: Given) -> dict[str, Any]:
        seen, chosen = given["photo"], self.zoo.get(given["network"])
        target, method = given["target"] or None, given["method"] or "gradcam"
        found = explain(chosen, seen, target, method, against=given["against"] or None)
        index = found.targets[0]
        x, y = found.peak()
        about = {
            "class": chosen.labels[index],
            "probability": float(found.probabilities[index]),
            "method": METHODS[found.method].title,
            "what_to_look_for": METHODS[found.method].caption,
            "peak": {"x": round(x, 3), "y": round(y, 3)},
            "notes": notes.sentences(found),
        }
        return {"picture": render.overlay(seen, found), "about": about}


def _answer(
    lanes: Lanes, slow: bool, work: Callable[[Given], dict[str, Any]], given: Given
) -> dict[str, Any]:
    lane = lanes.slow if slow else lanes.quick
    try:
        with lane.turn(object(), WAIT, slow=lambda: slow) as place:
            if place:
                raise Busy(round(WAIT))
            return work(given)
    except Exception as error:
        return {"problem": sentence(error)}
