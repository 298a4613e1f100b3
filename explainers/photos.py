"""Photos from wherever they come: one, or many from a list, a batch, a folder or a data set."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from .errors import OptionError, PhotoError
from .network import Framing, Network, View
from .photo import Photo, read
from .photo.arrays import is_array
from .photo.bands import bands
from .photo.source import is_file

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .webp .gif .bmp .dib .tif .tiff .heic .heif .hif .avif "
    ".jp2 .j2k .j2c .jpc .jpf .jpx .pbm .pgm .ppm .pnm .pfm".split()
)
# What data sets call them, and the parts of one that is not decoded.
PICTURES = ("image", "img", "pixel_values", "x", "bytes", "path")


def view_of(
    network: Network, source: Any, framing: Framing | None = None, *, prepared: bool = False
) -> tuple[View, Photo | None]:
    """What the network sees of one photo, and the photo (of what is shown beside the map).

    prepared: it is an input (C, H, W) or (1, C, H, W) that was normalised already. Raises
    PhotoError or OptionError.
    """
    source = _of_record(source)
    if isinstance(source, View):
        if not network.made(source):
            raise OptionError("This view was made for another network: make one with this one.")
        return source, None
    if prepared:
        view = network.view(_tensor(source))
        return view, seen(network, view)
    photo = source if isinstance(source, Photo) else photo_for(network, source)
    view = network.prepare(photo, framing)
    return view, photo if view.placed else seen(network, view)


def photo_for(network: Network, source: Any) -> Photo:
    """A photo of as many channels as the network takes, or of three, of which its transform makes
    them; raises PhotoError."""
    channels = len(network.mean) if network.transform is None else 3
    several = isinstance(source, Image.Image) and len(source.getbands()) == channels
    if channels != 3 and (several or is_array(source)):
        return bands(source, channels)
    return read(source)


def seen(network: Network, view: View) -> Photo:
    """What the network saw, as a photo."""
    pixels = network.pixels(view.tensor)[0]
    return bands(pixels, len(pixels)) if len(pixels) != 3 else read(pixels)


def _tensor(source: Any) -> Any:
    if not hasattr(source, "detach") or not source.is_floating_point():
        raise OptionError("A prepared input is a tensor of floats: channels × height × width.")
    return source.unsqueeze(0) if source.ndim == 3 else source


def several(source: Any) -> Iterator[Any] | None:
    """The photos one by one where it is more than one; else None.

    A folder (with all below it), a batch (N, C, H, W) or (N, H, W, C), or anything else that can be
    gone through: a list, a `Dataset`, a `DataLoader`. Of what a data set hands over, the first part
    or the one called image is the photo.
    """
    if isinstance(source, str | os.PathLike):
        return _in_folder(Path(source)) if _is_folder(source) else None
    if is_array(source):
        many = getattr(source, "ndim", 0) == 4 and len(source) != 1
        return iter(source) if many or _of_names(source) else None
    if isinstance(source, bytes | bytearray | memoryview | Photo | View | Image.Image | Mapping):
        return None
    if is_file(source):  # which hands over its lines
        return None
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        return _pictures(source[i] for i in range(len(source)))
    return _pictures(iter(source)) if hasattr(source, "__iter__") else None


def _pictures(items: Iterator[Any]) -> Iterator[Any]:
    for item in items:
        if isinstance(item, list | tuple) and item:
            item = item[0]
        item = _of_record(item)
        inner = several(item)
        if inner is None:
            yield item
        else:
            yield from inner


def _of_record(item: Any) -> Any:
    """The picture of a record, wherever in it; anything else as it is."""
    while isinstance(item, Mapping):
        found = [item[name] for name in PICTURES if item.get(name) is not None]
        if not found:
            break
        item = found[0]
    return item


def _of_names(source: Any) -> bool:
    """A column of a table, or an array, of paths."""
    kind = getattr(getattr(source, "dtype", None), "kind", None)
    return getattr(source, "ndim", 0) == 1 and kind in ("O", "U", "T")


def _is_folder(source: str | os.PathLike[str]) -> bool:
    try:
        return source != "" and Path(source).is_dir()  # an empty text is no folder
    except (OSError, ValueError):  # too long a name, a zero byte
        return False


def paths_in(folder: Path) -> list[Path]:
    """The photos of a folder and all below it, but for those that a system or a program hides."""
    return sorted(path for path in folder.rglob("*") if _is_photo(path, path.relative_to(folder)))


def _is_photo(path: Path, inside: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in inside.parts)
    return path.suffix.lower() in SUFFIXES and not hidden and not path.is_dir()


def _in_folder(folder: Path) -> Iterator[Photo]:
    paths = paths_in(folder)
    if not paths:
        raise PhotoError("There is no photo in this folder; choose another one.")
    for path in paths:
        try:
            yield read(path)
        except PhotoError as error:
            raise PhotoError(f"{path.name}: {error}") from error
