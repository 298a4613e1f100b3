"""The page as a whole: header, shared widgets, a tab for each idea, the programming interface."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import gradio as gr

from explainers.settings import from_environment
from explainers.zoo import Zoo

from . import (
    activations,
    compare,
    endpoints,
    filters,
    impressions,
    links,
    maps,
    muting,
    patches,
    subject,
    tour,
)

HERE = Path(__file__).parent
HOUR = 3600
UPLOAD = "110mb"  # a little more than a clip may have, so that our own sentence explains the limit
VISITORS = 200  # sessions in memory: each holds at most one photo of a few MB

HEADER = """<header class="hero"><h1>Seeing Why</h1>
<p>Drop a photo, pick a class, and see <em>why</em> a convolutional network said so: every method
side by side, on the same photo.</p></header>"""

TABS = {
    "maps": ("Maps", maps),
    "activations": ("Activations", activations),
    "filters": ("Filters", filters),
    "muting": ("Muting", muting),
    "compare": ("Compare", compare),
    "patches": ("Patches", patches),
    "impressions": ("Impressions", impressions),
}

THEME = gr.themes.Default(
    primary_hue="indigo",
    neutral_hue="zinc",
    font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"],
    font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
).set(  # the usual subdued grey is too faint to read
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    block_label_text_color="*neutral_700",
    block_title_text_color="*neutral_700",
    color_accent="*primary_600",
    button_primary_background_fill="*primary_600",  # white on the usual 500 is too faint as well
    button_primary_background_fill_hover="*primary_700",
    link_text_color_active="*primary_700",
)


def build(zoo: Zoo) -> gr.Blocks:
    """The page; `zoo` holds the networks that all visitors share."""
    with gr.Blocks(
        title="Seeing Why", analytics_enabled=False, delete_cache=(600, HOUR), fill_width=False
    ) as page:
        gr.HTML(HEADER)
        place = gr.Accordion("New here? Take the tour: six findings, a click each", open=False)
        shared = subject.build(zoo)
        shared.titles.update((name, title) for name, (title, _) in TABS.items())
        with gr.Tabs(elem_id="tabs") as tabs:
            for name, (title, module) in TABS.items():
                with gr.Tab(title, id=name):
                    module.build(shared)
        # One listener for all: with one each, answers to a quick first click came out of order.
        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        tabs.select(_shown, None, shared.tab, trigger_mode="always_last", **quiet)
        opens, outputs = links.build(shared, page, tabs)
        with place:
            tour.build(shared, opens, outputs)
        endpoints.build(zoo)
    return page.queue(default_concurrency_limit=2, max_size=64)


def _shown(event: gr.SelectData) -> Any:
    """The name of the tab that the visitor looks at now."""
    names = {title: name for name, (title, _) in TABS.items()}
    return names.get(event.value, gr.skip())


def launch(**options: object) -> None:
    """Start: the page is up with the bundled network; the others follow in the background."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    zoo = Zoo(from_environment())
    zoo.get()
    zoo.start()
    build(zoo).launch(
        theme=THEME,
        css_paths=sorted(HERE.glob("*.css")),
        footer_links=["api", "settings"],
        max_file_size=UPLOAD,
        state_session_capacity=VISITORS,
        mcp_server=True,
        show_error=False,
        ssr_mode=False,
        **options,
    )
