"""Seeing Why: builds the page and launches it. Run `python app.py` and open the address it prints.

Settings are environment variables, listed in `explainers/settings.py` and in the README.
"""

from __future__ import annotations

from tabs.command import process

if __name__ == "__main__":
    process()
