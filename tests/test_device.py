"""Maps of networks on another device than the processor, which is one in name only."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_networks_on_another_device_are_explained_as_those_on_the_processor():
    # By itself: torch takes up a device once, for the whole process, before any gradient.
    how = ("-q", "-n", "0", "-p", "no:cacheprovider", "--noconftest", "tests/on_device.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *how],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
