"""How long does a visitor's server take to be ready, without a network, from a warm disk?

    python benchmarks/start.py [--starts 5]

From `python app.py` to a page that answers, beside a bare import of torch, timm and gradio, turn
and turn about; the first pair warms the disk and does not count. Ends with a line of JSON: the
medians in seconds, and the median over the pairs of the ratio start / import.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.browser import serving  # noqa: E402


def start() -> float:
    """Seconds until the page answers."""
    with serving() as server:
        return server.seconds


def bare() -> float:
    """Seconds that the libraries take to import."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch, timm, gradio"], check=True)
    return time.perf_counter() - begun


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--starts", type=int, default=5)
    chosen = options.parse_args()
    pairs = [(start(), bare()) for _ in range(chosen.starts + 1)][1:]
    found = {
        "start_s": round(median(page for page, _ in pairs), 2),
        "import_s": round(median(libraries for _, libraries in pairs), 2),
        "ratio": round(median(page / libraries for page, libraries in pairs), 2),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
