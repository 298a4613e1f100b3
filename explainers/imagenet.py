"""The class names of ImageNet-1k."""

from __future__ import annotations

from functools import cache

from timm.data import ImageNetInfo

# ImageNet's first names are unique but for these.
_TELL_APART = {
    134: "crane (bird)",
    517: "crane (machine)",
    264: "Cardigan Welsh corgi",
    638: "maillot (tights)",
    639: "maillot (swimsuit)",
}


@cache
def imagenet_labels() -> tuple[str, ...]:
    """The 1000 class names of ImageNet-1k in order: the first synonym of each, all different."""
    info = ImageNetInfo()
    names = (info.index_to_description(i, detailed=False).split(",")[0] for i in range(1000))
    return tuple(_TELL_APART.get(index, name.strip()) for index, name in enumerate(names))
