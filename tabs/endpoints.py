"""The programming interface: what other programs and MCP clients may ask of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from explainers import METHODS, ExplainError, Photo, photo

from .parts.engine import Engine
from .parts.guard import sentence


def _read(file: dict[str, Any] | None) -> Photo:
    if not file or not file.get("path"):
        raise ExplainError("A photo is missing: send one as an image file.")
    return photo.read(Path(file["path"]))


class Endpoints:
    """Functions with the names under which they can be called."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def _ask(self, what: str, image: Any = None, **given: Any) -> dict[str, Any]:
        try:
            if what != "networks":
                given["photo"] = _read(image)
            found = self.engine.answer("programs", what, given)
        except Exception as error:
            found = {"problem": sentence(error)}
        if "problem" in found:
            raise gr.Error(found["problem"], print_exception=False) from None
        return found

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
            target: The class to explain, by its ImageNet name; empty for the first guess.
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
    """Endpoints need widgets for their types; these are never shown."""
    ends = Endpoints(engine)
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
