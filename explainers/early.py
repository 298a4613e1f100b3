"""timm, imported first and without torch's compiler, which nothing here needs.

Of timm and torchvision one line each brings the compiler along, and with it a symbolic algebra and
Triton: as long again as torch itself takes to import.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch._compile import _disable_dynamo
from torch.utils._python_dispatch import TorchDispatchMode

COMPILER = "torch._dynamo"


class Uncompiled(TorchDispatchMode):
    """A mode that does not bring the compiler along at its first operation."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else what it dispatches is wrapped by the compiler, which is imported for it


@contextmanager
def uncompiled() -> Iterator[None]:
    """What is imported in the block asks for the compiler only when it is called."""
    if COMPILER in sys.modules:
        yield
        return

    def supported(device: Any) -> Any:
        from torch._dynamo.utils import is_compile_supported

        return is_compile_supported(device)

    def disable(fn: Any = None, recursive: bool = True, **_reason: Any) -> Any:
        return _disable_dynamo(fn, recursive)  # torch's own way to put it off

    package, utils = ModuleType(COMPILER), ModuleType(f"{COMPILER}.utils")
    utils.is_compile_supported = supported
    at_once, torch.compiler.disable = torch.compiler.disable, disable
    sys.modules |= {each.__name__: each for each in (package, utils)}
    try:
        yield
    finally:
        torch.compiler.disable = at_once
        del sys.modules[package.__name__], sys.modules[utils.__name__]


try:
    with uncompiled():
        import timm
except (ImportError, AttributeError):  # a version of it that needs more of the compiler at once
    import timm  # noqa: F401
