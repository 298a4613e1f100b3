"""The programming interface: what other programs and MCP clients may ask of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from explainers import METHODS, ExplainError, Photo, explain, notes, photo, render
from explainers.zoo import Zoo

from .parts.guard import sentence
from .parts.lanes import Busy, Lane, Lanes

MOST = 20  # classes listed
WAIT = 60.0  # seconds that a program waits for its turn


def _read(file: dict[str, Any] | None) -> Photo:
    if not file or not file.get("path"):
        raise ExplainError("A photo is missing: send one as an image file.")
    return photo.read(Path(file["path"]))


def _answer(lane: Lane, work: Any, *inputs: Any) -> Any:
    try:
        with lane.turn(object(), WAIT) as place:
            if place:
                raise Busy(round(WAIT))
            return work(*inputs)
    except Exception as error:
        raise gr.Error(sentence(error), print_exception=False) from None


class Endpoints:
    """Functions with the names under which they can be called."""

    def __init__(self, zoo: Zoo, lanes: Lanes) -> None:
        self.zoo, self.lanes = zoo, lanes

    def classify(self, image: dict[str, Any], network: str, count: float) -> Any:
        """Name what a convolutional network sees in a photo.

        Args:
            image: The photo, as an image file.
            network: The key of a network, such as "lite0"; `networks` lists them.
            count: How many classes to return, likeliest first (1 to 20).

        Returns:
            The likeliest classes, each with its probability.
        """
        return _answer(self.lanes.quick, self._classify, image, network, count)

    def _classify(self, image: dict[str, Any], network: str, count: float) -> Any:
        chosen = self.zoo.get(network)
        view = chosen.prepare(_read(image))
        chances = chosen.probabilities(chosen.logits(view.tensor))[0]
        best = chances.topk(max(1, min(MOST, int(count or 5))))
        return [
            {"class": chosen.labels[int(i)], "index": int(i), "probability": float(chances[i])}
            for i in best.indices
        ]

    def explain_photo(
        self, image: dict[str, Any], target: str, method: str, network: str, against: str
    ) -> Any:
        """Show where in a photo a convolutional network finds evidence for a class.

        Args:
            image: The photo, as an image file.
            target: The class to explain, by its ImageNet name; empty for the first guess.
            method: One of the methods that `methods` lists, such as "gradcam".
            network: The key of a network, such as "lite0"; `networks` lists them.
            against: A second class, to see why the target and not this one; empty for none.

        Returns:
            The photo with the heat map over it, and what it shows in words.
        """
        slow = method in METHODS and METHODS[method].slow
        lane = self.lanes.slow if slow else self.lanes.quick
        return _answer(lane, self._explain, image, target, method, network, against)

    def _explain(
        self, image: dict[str, Any], target: str, method: str, network: str, against: str
    ) -> Any:
        seen, chosen = _read(image), self.zoo.get(network)
        found = explain(chosen, seen, target or None, method or "gradcam", against=against or None)
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
        return render.overlay(seen, found), about

    def methods(self) -> Any:
        """List the ways to explain: key, title, what to look for and the paper of each."""
        return [
            {"key": key, "title": each.title, "shows": each.caption, "paper": each.paper}
            for key, each in METHODS.items()
        ]

    def networks(self) -> Any:
        """List the networks: key, title, and whether each is ready."""
        return [
            {"key": each.key, "title": each.title, "state": each.state, "message": each.message}
            for each in self.zoo.status()
        ]


def build(zoo: Zoo, lanes: Lanes) -> None:
    """Endpoints need widgets for their types; these are never shown."""
    ends = Endpoints(zoo, lanes)
    with gr.Row(visible=False):
        image = gr.Image(label="photo", format="jpeg")
        network = gr.Textbox("lite0", label="network")
        count = gr.Number(5, label="count")
        target, against = gr.Textbox("", label="target"), gr.Textbox("", label="against")
        method = gr.Textbox("gradcam", label="method")
        answer, about = gr.JSON(), gr.JSON()
        picture = gr.Image(label="map", format="jpeg")
        calls = [gr.Button() for _ in range(4)]
    calls[0].click(
        ends.classify, [image, network, count], answer, api_name="classify", preprocess=False
    )
    calls[1].click(
        ends.explain_photo,
        [image, target, method, network, against],
        [picture, about],
        api_name="explain",
        preprocess=False,
    )
    calls[2].click(ends.methods, None, answer, api_name="methods")
    calls[3].click(ends.networks, None, answer, api_name="networks")
