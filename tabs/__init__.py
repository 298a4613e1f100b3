"""The page: widgets and wiring; what it shows is computed in `explainers`."""

import os

from .allocator import few_arenas, few_prepared, hold_some

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported
if "SPACE_ID" in os.environ:  # a Space's proxy tells who is asking
    os.environ.setdefault("FORWARDED_ALLOW_IPS", "*")
few_prepared()
hold_some()
few_arenas()  # before torch and numpy start their threads
