"""ImageNet's classes in COCO's words: which mean the same, and which are kin.

What means the same is what a photo of ImageNet's class shows, by COCO's name (`benchmarks`); with
what is kin, a class's own kinds and what it is mostly seen with, a head for COCO starts (`probe`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RUN = " … "  # between the first and the last of kinds that lie together in ImageNet's order

# By ImageNet's own names. COCO's classes without a clear counterpart are left out.
SAME: dict[str, str] = {
    "airplane": "airliner, warplane",
    "banana": "banana",
    "bear": "brown bear … sloth bear",
    "bicycle": "mountain bike, bicycle-built-for-two",
    "bird": "robin, jay, magpie, goldfinch, house finch, junco, indigo bunting, bald eagle, kite, "
    "vulture, peacock, ostrich, hen, cock, drake, goose, black swan, pelican, king penguin, "
    "flamingo, macaw, lorikeet, hornbill, hummingbird, toucan, white stork, black stork, "
    "little blue heron, American egret, albatross, redshank, ruddy turnstone, oystercatcher",
    "boat": "speedboat, lifeboat, canoe, catamaran, trimaran, gondola, fireboat, yawl",
    "broccoli": "broccoli",
    "bus": "school bus, trolleybus, minibus",
    "car": "sports car, convertible, cab, limousine, beach wagon, racer, minivan, jeep, Model T",
    "cat": "tabby … Egyptian cat",
    "cell phone": "cellular telephone",
    "clock": "analog clock, digital clock, wall clock",
    "cow": "ox",
    "cup": "cup, coffee mug, espresso",
    "dining table": "dining table",
    "dog": "Chihuahua … Mexican hairless",
    "elephant": "African elephant, Indian elephant, tusker",
    "horse": "sorrel, horse cart",
    "hot dog": "hotdog",
    "keyboard": "computer keyboard",
    "laptop": "laptop, notebook",
    "microwave": "microwave",
    "motorcycle": "moped, motor scooter",
    "mouse": "mouse",
    "orange": "orange",
    "parking meter": "parking meter",
    "pizza": "pizza",
    "refrigerator": "refrigerator",
    "remote": "remote control",
    "sheep": "ram, bighorn",
    "sports ball": "soccer ball, basketball, tennis ball, baseball, volleyball, rugby ball",
    "stop sign": "street sign",
    "teddy bear": "teddy",
    "tennis racket": "racket",
    "tie": "Windsor tie, bow tie",
    "toaster": "toaster",
    "toilet": "toilet seat",
    "traffic light": "traffic light",
    "train": "bullet train, electric locomotive, steam locomotive, passenger car",
    "tv": "television, screen, monitor",
    "umbrella": "umbrella",
    "vase": "vase",
    "zebra": "zebra",
}
# Kin besides: another kind of it, a part, or what it is mostly seen with.
MORE: dict[str, str] = {
    "airplane": "wing",
    "apple": "Granny Smith",
    "backpack": "backpack",
    "baseball bat": "ballplayer",
    "baseball glove": "ballplayer",
    "bed": "four-poster, quilt, cradle",
    "bench": "park bench",
    "bicycle": "tricycle, unicycle",
    "bird": "cock … great grey owl, black grouse … black swan, white stork … albatross",
    "boat": "boathouse, container ship, liner, schooner",
    "book": "bookshop, book jacket, comic book, library, bookcase",
    "bottle": "beer bottle, pill bottle, pop bottle, water bottle, wine bottle",
    "bowl": "mixing bowl, soup bowl",
    "broccoli": "cauliflower",
    "cake": "trifle",
    "car": "pickup, car mirror, car wheel, grille",
    "cell phone": "hand-held computer, iPod",
    "chair": "folding chair, rocking chair, barber chair, throne",
    "couch": "studio couch",
    "cow": "oxcart",
    "cup": "measuring cup",
    "dining table": "restaurant",
    "donut": "bagel",
    "hair drier": "hand blower",
    "handbag": "purse, mailbag, wallet",
    "keyboard": "typewriter keyboard, space bar",
    "knife": "cleaver, letter opener",
    "orange": "lemon",
    "oven": "stove, rotisserie, Dutch oven",
    "potted plant": "pot",
    "sandwich": "cheeseburger",
    "sink": "washbasin",
    "skis": "ski",
    "spoon": "wooden spoon",
    "sports ball": "croquet ball, golf ball, ping-pong ball",
    "train": "freight car, streetcar",
    "truck": "fire engine, garbage truck, pickup, tow truck, trailer truck, moving van",
    "tv": "entertainment center, home theater",
    "wine glass": "goblet, red wine, beer glass",
}


def same(name: str, imagenet: Sequence[str]) -> list[int]:
    """The numbers of ImageNet's classes that mean the same as a COCO class; none for some.

    imagenet: the names of its 1,000 classes, in order.
    """
    return _numbers(SAME, name, imagenet)


def kin(name: str, imagenet: Sequence[str]) -> list[int]:
    """Those that mean the same, and their kin."""
    return sorted({*same(name, imagenet), *_numbers(MORE, name, imagenet)})


def _numbers(table: Mapping[str, str], name: str, imagenet: Sequence[str]) -> list[int]:
    found: list[int] = []
    for kind in filter(None, table.get(name, "").split(", ")):
        first, _, last = kind.partition(RUN)
        start = imagenet.index(first)
        found += range(start, imagenet.index(last or first, start) + 1)
    return found
