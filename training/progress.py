"""A line that says how far a long run is."""

from __future__ import annotations

import time


def progress(what: str, share: float, start: float, note: str = "") -> None:
    """Print a bar, the share done and the minutes left; start: `time.perf_counter()` then."""
    spent = time.perf_counter() - start
    bar = "#" * int(30 * share)
    left = spent / max(share, 1e-9) - spent
    print(f"\r{what} [{bar:<30}] {share:4.0%}, {left / 60:.1f} min left {note}", end="", flush=True)
