"""Make `assets/examples/`: the photos, `examples.json` and `CREDITS.md`, all from one list.

    python assets/make_examples.py --source DIR

scikit-image's photos come from the installed wheel. The others lie in Debian packages (named with
their versions below): fetch each with `apt-get download PACKAGE` and unpack all of them into one
folder with `dpkg -x PACKAGE.deb DIR`. Every licence here was read in the package itself.
"""

from __future__ import annotations

import argparse
import io
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

OUT = Path(__file__).parent / "examples"
MAX_SIDE, MAX_KB = 1024, 150
SKIMAGE = "scikit-image 0.26.0 (wheel), skimage/data/"
PALAPELI = "palapeli-data 4:22.12.3-1 (Debian), usr/share/palapeli/collection/"
LOMIRI = "lomiri-wallpapers-16.04 20.04.0-2 (Debian), usr/share/backgrounds/"
TAQUIN = "gnome-taquin 3.38.1-2 (Debian), usr/share/gnome-taquin/themes/cats/"
CC0 = "[CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/)"
BY4 = "[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/)"
PUBLIC = "Public domain"


@dataclass(frozen=True)
class Source:
    """One photo as it lies in a package; `box` is the part that is used, in its pixels."""

    title: str
    author: str
    package: str
    name: str
    licence: str
    box: tuple[int, int, int, int] | None = None

    def open(self, unpacked: Path | None) -> Image.Image:
        folder = self.package.split(", ")[1]
        if self.package == SKIMAGE:
            content = files("skimage").joinpath("data", self.name).read_bytes()
        elif unpacked is None:
            raise SystemExit(f"{self.package.split(', ')[0]} is needed; unpack it, see --help.")
        else:
            content = (unpacked / folder / self.name).read_bytes()
        image = Image.open(io.BytesIO(content)).convert("RGB")
        return image.crop(self.box) if self.box else image


SOURCES = {
    "cat": Source(
        "Chelsea the cat", "Stéfan van der Walt", SKIMAGE, "chelsea.png", CC0
    ),
    "espresso": Source(
        "Coffee cup, Pikolo Espresso Bar", "Rachel Michetti", SKIMAGE, "coffee.png", CC0
    ),
    "camera": Source("Camera", "Lav Varshney", SKIMAGE, "camera.png", CC0),
    "rocket": Source(
        "Falcon 9 carrying DSCOVR", "SpaceX", SKIMAGE, "rocket.jpg", PUBLIC, (120, 0, 500, 427)
    ),
    "astronaut": Source("Astronaut Eileen Collins", "NASA", SKIMAGE, "astronaut.png", PUBLIC),
    "bee": Source(
        "European honey bee", "John Severns", PALAPELI, "european-honey-bee.jpg", PUBLIC
    ),
    "citrus": Source(
        "Citrus fruits", "US Department of Agriculture", PALAPELI, "citrus-fruits.jpg", PUBLIC
    ),
    "bridge": Source(
        "Roebling Suspension Bridge in Cincinnati", "Derek Jensen",
        PALAPELI, "cincinnati-bridge.jpg", PUBLIC,
    ),
    "tortoiseshell": Source(
        "Tortoiseshell cat", "Toyah (Wikimedia Commons)", TAQUIN, "1-Tortoiseshell.jpg", PUBLIC
    ),
    "spaniels": Source(
        "Friends", "Aitzol Berasategi", LOMIRI, "friends_by_Aitzol_Berasategi.jpg", BY4,
        (420, 600, 1480, 2060),
    ),
    "spaniels in a square": Source(
        "Friends", "Aitzol Berasategi", LOMIRI, "friends_by_Aitzol_Berasategi.jpg", BY4,
        (300, 640, 1720, 2060),
    ),
    "mountains": Source(
        "Aitzgorri", "Aitzol Berasategi", LOMIRI, "aitzgorri_by_Aitzol_Berasategi.jpg", BY4
    ),
    "brushes": Source(
        "Picture 1A", "Trevor “Freespace”", LOMIRI, "Picture_1A_by_freespace.jpg", BY4
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Example:
    """One file to make: a single source, two beside or above each other, or a 2 x 2 grid."""

    file: str
    title: str
    alt: str
    targets: tuple[str, ...]
    sources: tuple[str, ...]
    stacked: bool = False


EXAMPLES = (
    Example(
        "honey-bee.jpg", "Honey bee",
        "A honey bee drinks from the yellow heart of a purple aster.",
        ("bee",), ("bee",),
    ),
    Example(
        "espresso.jpg", "Espresso",
        "An espresso in a red cup with saucer and spoon on a wooden table.",
        ("espresso", "cup"), ("espresso",),
    ),
    Example(
        "two-spaniels.jpg", "Two spaniels",
        "Two brown cocker spaniels look out of a window, one above the other.",
        ("cocker spaniel, English cocker spaniel, cocker", "Sussex spaniel"), ("spaniels",),
    ),
    Example(
        "cat.jpg", "Cat",
        "The face of a ginger tabby cat with green eyes, close up.",
        ("Egyptian cat", "tiger cat", "tabby, tabby cat"), ("cat",),
    ),
    Example(
        "tripod.jpg", "Camera on a tripod",
        "A man in a dark coat looks through a camera on a tripod, in black and white.",
        ("tripod",), ("camera",),
    ),
    Example(
        "paintbrushes.jpg", "Paintbrushes",
        "Paintbrushes with bright blue, pink and green bristles stand close together.",
        ("paintbrush",), ("brushes",),
    ),
    Example(
        "citrus.jpg", "Slices of citrus",
        "Glowing slices of oranges, lemons and limes lie on a white light table.",
        ("orange", "lemon"), ("citrus",),
    ),
    Example(
        "bridge.jpg", "Bridge at night",
        "A lit stone tower carries a suspension bridge over a river at night.",
        ("suspension bridge", "pier"), ("bridge",),
    ),
    Example(
        "mountains.jpg", "Mountains",
        "A grey mountain ridge rises behind autumn woods and a green meadow.",
        ("alp", "valley, vale"), ("mountains",),
    ),
    Example(
        "rocket.jpg", "Rocket",
        "A white rocket stands on its launch pad at dusk between lattice masts.",
        ("missile", "projectile, missile"), ("rocket",),
    ),
    Example(
        "tortoiseshell-cat.jpg", "Tortoiseshell cat",
        "A young white, grey and ginger cat steps towards the camera.",
        ("Egyptian cat", "tiger cat", "tabby, tabby cat"), ("tortoiseshell",),
    ),
    Example(
        "astronaut.jpg", "Astronaut",
        "The astronaut Eileen Collins smiles in an orange space suit, her helmet before her.",
        ("football helmet", "crash helmet"), ("astronaut",),
    ),
    Example(
        "cat-and-dogs.jpg", "Cat and dogs",
        "A tortoiseshell cat is on the left and two cocker spaniels are on the right.",
        ("Egyptian cat", "cocker spaniel, English cocker spaniel, cocker"),
        ("tortoiseshell", "spaniels"),
    ),
    Example(
        "cat-and-espresso.jpg", "Cat and espresso",
        "The face of a ginger tabby cat is above an espresso in a red cup.",
        ("Egyptian cat", "espresso"), ("cat", "espresso"), stacked=True,
    ),
    Example(
        "bee-and-brushes.jpg", "Bee and brushes",
        "A honey bee on an aster is on the left and bright paintbrushes are on the right.",
        ("bee", "paintbrush"), ("bee", "brushes"),
    ),
    Example(
        "four-things.jpg", "Four things",
        "A grid of four photos: a honey bee, an espresso, paintbrushes and two spaniels.",
        ("bee", "espresso", "paintbrush", "cocker spaniel, English cocker spaniel, cocker"),
        ("bee", "espresso", "brushes", "spaniels in a square"),
    ),
)  # fmt: skip


def fitted(image: Image.Image, side: int) -> Image.Image:
    """At most `side` pixels on the longer side; never enlarged."""
    scale = min(1.0, side / max(image.size))
    size = tuple(round(length * scale) for length in image.size)
    return image.resize(size, Image.Resampling.LANCZOS)


def filled(image: Image.Image, width: int, height: int) -> np.ndarray:
    """The middle of the image, cropped to the shape and scaled to it: (height, width, 3) floats."""
    scale = max(width / image.width, height / image.height)
    crop_width, crop_height = width / scale, height / scale
    left, top = (image.width - crop_width) / 2, (image.height - crop_height) / 2
    box = (left, top, left + crop_width, top + crop_height)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, box)).astype(float)


def blended(first: Image.Image, second: Image.Image, stacked: bool) -> Image.Image:
    """Two panels of 480 x 640 (stacked: 640 x 480) that melt into each other over 64 pixels."""
    overlap, size = 64, (640, 480) if stacked else (480, 640)
    panels = [filled(image, *size) for image in (first, second)]
    if stacked:
        panels = [panel.swapaxes(0, 1) for panel in panels]
    left, right = panels
    fade = np.linspace(0, 1, overlap)[None, :, None]
    seam = left[:, -overlap:] * (1 - fade) + right[:, :overlap] * fade
    whole = np.concatenate([left[:, :-overlap], seam, right[:, overlap:]], axis=1)
    whole = whole.swapaxes(0, 1) if stacked else whole
    return Image.fromarray(np.rint(whole).astype(np.uint8))


def grid(images: list[Image.Image]) -> Image.Image:
    """Four squares of 400 pixels, row by row: 800 x 800."""
    cells = [filled(image, 400, 400) for image in images]
    rows = [np.concatenate(cells[:2], axis=1), np.concatenate(cells[2:], axis=1)]
    return Image.fromarray(np.rint(np.concatenate(rows)).clip(0, 255).astype(np.uint8))


def composed(images: list[Image.Image], stacked: bool) -> Image.Image:
    if len(images) == 1:
        return fitted(images[0], MAX_SIDE)
    return blended(*images, stacked) if len(images) == 2 else grid(images)


def encoded(image: Image.Image) -> bytes:
    """A JPEG of quality 88 without metadata; scaled down until it is light enough."""
    side = MAX_SIDE
    while True:
        stream = io.BytesIO()
        pixels = Image.fromarray(np.asarray(fitted(image, side)))  # leaves EXIF and ICC behind
        pixels.save(stream, "JPEG", quality=88, optimize=True, progressive=True)
        if stream.tell() <= MAX_KB * 1000:
            return stream.getvalue()
        side = side * 15 // 16


def change(example: Example) -> str:
    parts = ["cropped"] if any(SOURCES[name].box for name in example.sources) else []
    if len(example.sources) == 2:
        place = "above" if example.stacked else "beside"
        parts = [f"cropped, put {place} each other with a soft seam"]
    if len(example.sources) == 4:
        parts = ["cropped to squares, put in a 2 × 2 grid"]
    return ", ".join([*parts, "scaled and saved as JPEG"])


def credits() -> str:
    lines = [
        "# Credits of the example photos",
        "",
        "Made by `assets/make_examples.py` from the sources below; thanks to all who took them.",
        "A composed picture carries the licence of every photo in it.",
        "",
        "| file | photo | author | source | licence | changes |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for example in EXAMPLES:
        for name in example.sources:
            source = SOURCES[name]
            origin = f"{source.package}{source.name}"
            cells = (f"`{example.file}`", source.title, source.author, origin, source.licence)
            lines.append("| " + " | ".join((*cells, change(example))) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, help="folder with the Debian packages unpacked")
    unpacked = parser.parse_args().source
    OUT.mkdir(exist_ok=True)
    for example in EXAMPLES:
        image = composed(
            [SOURCES[name].open(unpacked) for name in example.sources], example.stacked
        )
        (OUT / example.file).write_bytes(encoded(image))
    listed = [
        {"file": e.file, "title": e.title, "alt": e.alt, "targets": list(e.targets)}
        for e in EXAMPLES
    ]
    text = json.dumps(listed, indent=2, ensure_ascii=False) + "\n"
    (OUT / "examples.json").write_text(text, encoding="utf-8")
    (OUT / "CREDITS.md").write_text(credits(), encoding="utf-8")


if __name__ == "__main__":
    main()
