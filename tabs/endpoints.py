"""The programming interface: what other programs and MCP clients may ask of the page."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from anyio import from_thread
from gradio.context import LocalContext

from explainers import METHODS, ExplainError, Photo, photo

from .parts.engine import Engine
from .parts.guard import sentence

LEFT = "Nobody waits for this answer any more."
AT_ONCE = 16  # calls of one kind: the lanes say whose turn it is, so slow ones hold up no quick one


def _read(file: dict[str, Any] | None) -> Photo:
    if not file or not file.get("path"):
        raise ExplainError("A photo is missing: send one as an image file.")
    return photo.read(Path(file["path"]))


def waited_for() -> Callable[[], bool]:
    """Does the caller of this thread still wait for the answer? Gradio ends no function when its
    client goes away or cancels: it marks the event, or lets go of it."""
    page, name = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    if page is not None and name is not None:
        events = page._queue.event_ids_to_events
        return lambda: (event := events.get(name)) is not None and event.alive
    asked = LocalContext.request.get(None)
    if asked is not None and asked.request is not None:  # without a queue
        return lambda: not from_thread.run(asked.request.is_disconnected)
    return lambda: True


class Endpoints:
    """Functions with the names under which they can be called."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def _ask(self, what: str, image: Any = None, **given: Any) -> dict[str, Any]:
        try:
            if what != "networks":
                given["photo"] = _read(image)
            found = self._whole(self.engine.answer("programs", what, given))
        except Exception as error:
            found = {"problem": sentence(error)}
        if "problem" in found:
            raise gr.Error(found["problem"], print_exception=False) from None
        return found

    def _whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        """What an answer comes to, pulled a slice at a time while somebody waits for it."""
        waited, ticket = waited_for(), ""
        while "more" in answer or (ticket and "busy" in answer):
            if "busy" in answer:  # in its midst: it is still there
                time.sleep(answer["busy"])
            ticket = answer.get("more", ticket)
            if not waited():
                self.engine.answer("programs", "stop", ticket)
                raise ExplainError(LEFT)
            answer = self.engine.answer("programs", "more", ticket)
        return answer

    def classify(self, image: dict[str, Any], network: str, count: float) -> Any:
        """Name what a convolutional network sees in a photo.

        Args:
            image: The photo, as an image file.
            network: The key of a network, such as "lite0"; `networks` lists them.
            count: How many classes to return, likeliest first (1 to 20).

        Returns:
            The likeliest classes, each with its probability.
        """
        return self._ask("classify", image, network=network, count=count)["found"]

    def explain_photo(
        self, image: dict[str, Any], target: str, method: str, network: str, against: str
    ) -> Any:
        """Show where in a photo a convolutional network finds evidence for a class.

        Args:
            image: The photo, as an image file.
            target: The class to explain, as `classify` names it; empty for the first guess.
            method: One of the methods that `methods` lists, such as "gradcam".
            network: The key of a network, such as "lite0"; `networks` lists them.
            against: A second class, to see why the target and not this one; empty for none.

        Returns:
            The photo with the heat map over it, and what it shows in words.
        """
        asked = {"target": target, "method": method, "network": network, "against": against}
        found = self._ask("explain", image, **asked)
        return found["picture"], found["about"]

    def methods(self) -> Any:
        """List the ways to explain: key, title, what to look for and the paper of each."""
        return [
            {"key": key, "title": each.title, "shows": each.caption, "paper": each.paper}
            for key, each in METHODS.items()
        ]

    def networks(self) -> Any:
        """List the networks: key, title, and whether each is ready."""
        return self._ask("networks")["found"]


def build(engine: Engine) -> None:
    """Endpoints need widgets for their types; these are never shown. Each says so itself: of one in
    a part that is not shown, browsers would load the scripts all the same."""
    ends, unseen = Endpoints(engine), {"visible": False}
    image = gr.Image(label="photo", format="jpeg", **unseen)
    network = gr.Textbox("lite0", label="network", **unseen)
    count = gr.Number(5, label="count", **unseen)
    target = gr.Textbox("", label="target", **unseen)
    against = gr.Textbox("", label="against", **unseen)
    method = gr.Textbox("gradcam", label="method", **unseen)
    answer, about = gr.JSON(**unseen), gr.JSON(**unseen)
    picture = gr.Image(label="map", format="jpeg", **unseen)
    calls = [gr.Button(**unseen) for _ in range(4)]
    calls[0].click(
        ends.classify,
        [image, network, count],
        answer,
        api_name="classify",
        preprocess=False,
        concurrency_limit=AT_ONCE,
    )
    calls[1].click(
        ends.explain_photo,
        [image, target, method, network, against],
        [picture, about],
        api_name="explain",
        preprocess=False,
        concurrency_limit=AT_ONCE,
    )
    calls[2].click(ends.methods, None, answer, api_name="methods")
    calls[3].click(ends.networks, None, answer, api_name="networks")
