"""Seeing Why: builds the page and launches it. Run `python app.py` and open the address it prints.

Settings are environment variables, listed in `explainers/settings.py` and in the README.
"""

from __future__ import annotations

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported

from tabs.allocator import Trim, few_arenas

few_arenas()  # before torch and numpy start their threads

from tabs.page import launch  # noqa: E402

if __name__ == "__main__":
    Trim().keep()
    launch()
