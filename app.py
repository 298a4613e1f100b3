"""Seeing Why: builds the page and launches it. Run `python app.py` and open the address it prints.

Settings are environment variables: the README lists them.
"""

from __future__ import annotations

from tabs.command import process

if __name__ == "__main__":
    process()
