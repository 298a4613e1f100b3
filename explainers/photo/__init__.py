"""Whatever is handed over as a photo: read, or told in one sentence why it can't be.

`reading` decodes; the others each know one thing: where bytes come from (`source`), what they are
(`sniff`), what a format hides (`png`, `jpeg`, `tiff`), deep and dark values (`depth`), colours
(`profile`), arrays from anywhere (`arrays`), and those of other than three channels (`bands`).
"""

from .reading import MAX_SIDE, Photo, read, to_jpeg

__all__ = ["MAX_SIDE", "Photo", "read", "to_jpeg"]
