"""A clip: photo, chosen channel and Grad-CAM side by side, as a video to play and to keep."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from explainers import ExplainError, photo
from explainers import units as acts
from explainers.units.video import LONGEST, Look, side_by_side

from . import courier, html, kept
from .guard import guarded
from .subject import Subject

FIRST = f"A clip of up to {LONGEST} seconds (MP4 or WebM) becomes a video of three pictures."


class Clip:
    """The handlers."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def make(self, file: Any, key: str, targets: Any, layer: str, channel: Any) -> Iterator[Any]:
        """The video, growing: progress, then the file."""
        if not file:
            raise ExplainError("Choose a clip first: an MP4 or WebM file.")
        network = self.subject.zoo.get(key)
        layer = layer if layer in network.maps else acts.default_layer(network)
        channel = acts.check(network, layer, channel)
        target = network.resolve(targets[0]) if targets else None
        look = Look(network, layer, channel, target)
        path = kept.new_file("seeing-why.mp4")
        off, on = gr.Button(interactive=False), gr.Button(interactive=True)
        yield html.progress(0, "starting"), gr.skip(), off, on
        for step in side_by_side(Path(file), path, look):
            if step.preview is None:
                text = f"{step.frames} frames. The clip itself is kept for an hour at most."
                yield html.notice(text), gr.update(value=str(step.path), visible=True), on, off
                return
            url = html.data_url(photo.to_jpeg(step.preview, 80), "jpeg")
            bar = html.progress(step.done, html.left(step.seconds, step.done))
            alt = f"Frame {step.frames}: photo, channel {channel} and Grad-CAM"
            yield f'<img class="clip-preview" alt="{alt}" src="{url}">{bar}', gr.skip(), off, on


def build(subject: Subject, layer: gr.Dropdown, channel: gr.Number) -> None:
    """Lay out the part and wire it."""
    clip = Clip(subject)
    with gr.Accordion("Video: photo, channel and Grad-CAM side by side", open=False):
        with gr.Row():
            file = gr.File(
                label="A clip", file_types=[".mp4", ".webm"], height=120, elem_id="clip-file"
            )
            with gr.Column(min_width=160):
                go = gr.Button("Make the video", variant="primary", elem_id="clip-go")
                cancel = gr.Button("Cancel", interactive=False, elem_id="clip-cancel")
        status = gr.HTML(html.notice(FIRST), elem_id="clip-status")
        video = gr.Video(
            label="Photo, channel, Grad-CAM",
            interactive=False,
            visible=False,
            buttons=["download"],
            elem_id="clip-video",
        )
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    courier.waiting(go, status, cancel)
    making = go.click(
        guarded(_restored(clip.make)),
        [file, subject.network, subject.targets, layer, channel],
        [status, video, go, cancel],
        concurrency_limit=1,
        concurrency_id="slow",
        **quiet,
    )
    cancel.click(
        _cancelled,
        None,
        [status, go, cancel],
        cancels=[making],
        **quiet,
    )


def _cancelled() -> tuple[Any, ...]:
    on, off = gr.Button(interactive=True), gr.Button(interactive=False)
    return html.notice("Cancelled."), on, off


def _restored(make: Any) -> Any:
    """After an error the buttons work again, and the sentence stays on the page."""

    def handler(*given: Any) -> Iterator[Any]:
        try:
            yield from make(*given)
        except ExplainError as error:
            on, off = gr.Button(interactive=True), gr.Button(interactive=False)
            yield html.notice(str(error), "problem"), gr.skip(), on, off

    return handler
