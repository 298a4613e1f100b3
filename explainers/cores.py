"""How the processor's cores are shared among requests."""

from __future__ import annotations

import os

import torch

from .settings import Settings


def share(settings: Settings) -> int:
    """Set how many threads one request computes on, and return it.

    Half of the cores, unless the settings say otherwise: two requests at once are then as quick as
    one, where threads that wait for each other would make both slow.
    """
    threads = settings.threads or max(1, (os.cpu_count() or 1) // 2)
    torch.set_num_threads(threads)
    return threads
