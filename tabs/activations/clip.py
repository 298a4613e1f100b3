"""A clip: photo, chosen channel and Grad-CAM side by side, as a video to play and to keep."""

from __future__ import annotations

import base64
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from explainers import photo
from explainers.units.video import Look, side_by_side

from ..parts import html
from ..parts.pace import Often, Pace
from ..parts.tab import Show
from ..parts.uploads import uploaded

OFTEN = 0.4  # seconds between pictures of a video that grows
MISSING = "The clip did not arrive: please choose it again."


def make(file: Any, look: Look) -> Iterator[Show | None]:
    """The video, growing, then whole; upload and video are deleted, however it ends."""
    upload, pace, due = uploaded(file, MISSING), Pace(), Often(OFTEN)
    with tempfile.TemporaryDirectory(prefix="seeing-why-") as folder:
        # the same clip handed in again has the same path: that one isn't ours to delete
        clip = shutil.move(upload, Path(folder) / f"clip{upload.suffix}")
        with closing(side_by_side(clip, Path(folder) / "seeing-why.mp4", look)) as steps:
            for step in steps:
                if step.path is not None:
                    video = base64.b64encode(step.path.read_bytes()).decode()
                    about = {"frames": step.frames, "note": step.note}
                    return Show(data={"video": video, **about})
                words = f"Frame {step.frames}: {pace.words(step.done)}"
                if not due():
                    yield None
                    continue
                url = html.data_url(photo.to_jpeg(step.preview, 80), "jpeg")
                alt = f"Frame {step.frames}: photo, channel {look.channel} and Grad-CAM"
                yield Show({"clip": f'<img alt="{alt}" src="{url}">'}, done=step.done, words=words)
    return None
