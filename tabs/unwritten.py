"""Gradio without the files that it writes for editors."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

WRITER = "gradio.component_meta"


class Unwritten(PathFinder):
    """Finds Gradio's module that writes an interface beside each of its components, and parses them
    for it, whenever it is imported: a tenth of the time to start, for nobody."""

    @classmethod
    def find_spec(cls, name: str, *where: Any) -> ModuleSpec | None:
        """Of that module alone; all others are found as ever."""
        spec = super().find_spec(name, *where) if name == WRITER else None
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def without(module: ModuleType) -> None:
            run(module)
            module.create_or_modify_pyi = lambda *_: None

        spec.loader.exec_module = without
        return spec


def unwritten() -> None:
    """To be called before Gradio is imported."""
    sys.meta_path.insert(0, Unwritten)
