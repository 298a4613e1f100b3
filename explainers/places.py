"""Where the code lies, and the data that comes with it: beside it in the repository, inside it once
it is installed."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent
_ROOT = _HERE / "data" if (_HERE / "data").is_dir() else _HERE.parent

CODE = _HERE.parent  # what holds the packages
WEIGHTS = _ROOT / "weights"
ASSETS = _ROOT / "assets"
