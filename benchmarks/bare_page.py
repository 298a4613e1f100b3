"""A page of one event and one output that shows the maps of `explainers`, and nothing else.

It is what the page is measured against (`benchmarks/page.py`): all that Gradio needs to carry a
photo to the server and pictures back. Run: python benchmarks/bare_page.py PORT
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gradio as gr

from explainers import Photo, ask, cores, load, photo, render
from explainers.api import question
from explainers.settings import from_environment

MAPS = ("gradcam", "guided", "guided_gradcam")
CLICK = """element.addEventListener('click', (event) => {
  const chip = event.target.closest('[data-class]');
  if (chip) trigger('pick', {index: +chip.dataset.class});
});"""


def shown(seen: Photo, target: int | None, methods: tuple[str, ...]) -> str:
    """Chips and maps as one string of HTML."""
    network = load()
    logits = network.answer(network.prepare(seen))
    chances, best = network.probabilities(logits), network.ranked(logits, 5)
    asked = question(network, seen, [best[0] if target is None else target])
    chips = "".join(
        f'<button data-class="{i}">{network.labels[i]} {float(chances[i]):.0%}</button>'
        for i in best
    )
    pictures = []
    for method in methods:
        *_, found = ask(asked, method)
        data = base64.b64encode(photo.to_jpeg(render.overlay(seen, found), 80)).decode()
        pictures.append(f'<img class="heat" src="data:image/jpeg;base64,{data}">')
    return f'<div data-for="{asked.targets[0]}">{chips}</div>{"".join(pictures)}'


def drop(file: dict[str, Any]) -> Iterator[tuple[Any, str]]:
    seen = photo.read(Path(file["path"]))
    yield seen, shown(seen, None, MAPS[:1])
    yield gr.skip(), shown(seen, None, MAPS)


def pick(seen: Photo, event: gr.EventData) -> Iterator[str]:
    yield shown(seen, event._data["index"], MAPS[:1])
    yield shown(seen, event._data["index"], MAPS)


def build() -> gr.Blocks:
    with gr.Blocks() as page:
        seen = gr.State(None)
        upload = gr.Image(elem_id="photo", format="jpeg")
        answer = gr.HTML("", js_on_load=CLICK, elem_id="out")
        upload.upload(drop, upload, [seen, answer], preprocess=False, show_progress="hidden")
        answer.pick(pick, seen, answer, show_progress="hidden")
    return page.queue()


if __name__ == "__main__":
    load()
    cores.share(from_environment())
    build().launch(server_port=int(sys.argv[1]), ssr_mode=False)
