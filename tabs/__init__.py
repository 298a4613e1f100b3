"""The page: widgets and wiring; what it shows is computed in `explainers`."""

import os

from .allocator import few_arenas, few_prepared, hold_some
from .unwritten import unwritten

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported
unwritten()
few_prepared()
hold_some()
few_arenas()  # before torch and numpy start their threads
