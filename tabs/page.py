"""The page as a whole: the bar, the rail, a tab for each idea, the programming interface."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import gradio as gr

from explainers import cores
from explainers.recent import memory
from explainers.settings import Settings, from_environment
from explainers.zoo import Zoo, bring
from explainers.zoo.brought import Brought

from . import bar, endpoints, look, rail, tour
from .allocator import Trim, lasting, unread
from .here import Here
from .order import TABS
from .parts import tab as parts
from .parts import uploads
from .parts.engine import Engine
from .parts.lanes import Lanes
from .parts.work import Jobs
from .server import logs, running
from .server import options as server_options
from .server.limits import Rate
from .server.options import Options
from .subject import examples

HOUR = 3600
UPLOAD = "110mb"  # a little more than a clip may have, so that our own sentence explains the limit
POLL = 0.05  # seconds between Gradio's looks at its queue: a thousand a second hold up every map
ASIDE = 40  # threads beside those of visitors who wait for their turn

SIZES = [f"{size / 16}rem" for size in (9, 10, 12, 14, 16, 22, 26)]  # as large as the browser's own
THEME = gr.themes.Default(
    text_size=gr.themes.Size(*SIZES),
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


def start(zoo: Zoo) -> dict[str, Any]:
    """What is asked when an address says nothing: the first example, explained already."""
    return {
        "photo": {"example": next(iter(examples()))},
        "network": zoo.get().key,
        "targets": None,
        "tab": TABS[0].key,
        "tabs": [tab.key for tab in TABS],
        "examples": list(examples()),
    }


def build(engine: Engine) -> gr.Blocks:
    """The page; all that its visitors ask is answered by `engine`."""
    begin = start(engine.subject.zoo)
    with gr.Blocks(
        title="Seeing Why", analytics_enabled=False, delete_cache=(600, HOUR), fill_width=True
    ) as page:
        gr.HTML(**bar.widget(engine, begin))
        with gr.Row(elem_id="main"):
            with gr.Column(elem_id="rail-side", min_width=0):
                gr.HTML(**rail.widget(engine))
            with gr.Column(elem_id="stage-side", min_width=0):
                gr.HTML(**tour.widget())
                with gr.Tabs(elem_id="tabs", overflow_behavior="wrap"):
                    for tab in TABS:
                        with gr.Tab(tab.title, id=tab.key, elem_id=f"tab-{tab.key}"):
                            first = begin if tab is TABS[0] else None
                            gr.HTML(**parts.widget(tab, engine, first))
        gr.HTML(**bar.dock())
        endpoints.build(engine)
    page.queue(default_concurrency_limit=cores.shared.cores, max_size=64)
    page._queue.sleep_when_free = page._queue.progress_update_sleep_when_free = POLL
    return page


def answering(settings: Settings, options: Options, networks: tuple[Brought, ...] = ()) -> Engine:
    """Who answers the page: this process, or the cluster that the options name."""
    zoo = Zoo(settings, own=bring([*networks, *settings.networks]))
    zoo.get()
    if options.cluster:
        from .cluster.joining import join  # Ray, which nothing else needs

        Trim().keep()
        return join(zoo, options, networks)
    jobs = Jobs(Lanes(options.waiting), options.work_seconds, Rate(options.rate))
    Trim(tidy=jobs.tidy, lull=cores.shared.lull, spare=memory.spare).keep()
    zoo.start()
    return Here(zoo, TABS, jobs)


def several(networks: Iterable[Brought] | Brought) -> tuple[Brought, ...]:
    """The networks handed over, of which one alone may be a text or a module that has parts."""
    return (networks,) if isinstance(networks, Brought) else tuple(networks)


def launch(networks: Iterable[Brought] | Brought = (), **more: Any) -> None:
    """Start the page: it is up with its first network; the others follow in the background.

    networks: your own, which stand first: `Network`s as `wrap` and `load` make them, modules, or
    what `load` takes, several or one. What the settings name comes behind them. more: options of
    Gradio's `launch`. Returns when it has been told to stop; in a notebook at once.
    Raises ModelError or OptionError with one sentence where a network can't be had.
    """
    settings, options = from_environment(), server_options.from_environment()
    logs.start(options.log)
    uploads.own_folder(os.environ)
    cores.share(settings)
    with lasting():
        engine = answering(settings, options, several(networks))
        page = build(engine)
    unread()
    server = running.Running(engine, options)
    server.run(
        page,
        theme=THEME,
        head=look.head(TABS),
        footer_links=["api", "settings"],
        max_file_size=UPLOAD,
        max_threads=2 * options.waiting + ASIDE,
        state_session_capacity=options.sessions,
        app_kwargs={"middleware": server.middleware, "openapi_url": None},
        mcp_server=True,
        show_error=False,
        ssr_mode=False,
        **more,
    )
