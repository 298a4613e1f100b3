"""Which of ImageNet's classes are kin to which of COCO's: where a head for COCO starts from."""

from __future__ import annotations

from collections.abc import Sequence

# The same thing, a kind of it, or what it is mostly seen with, by ImageNet's own names.
KIN: dict[str, str] = {
    "bicycle": "bicycle-built-for-two, mountain bike, tricycle, unicycle",
    "car": "beach wagon, cab, convertible, limousine, minivan, Model T, pickup, racer, sports car, "
    "jeep, car mirror, car wheel, grille",
    "motorcycle": "moped, motor scooter",
    "airplane": "airliner, warplane, wing",
    "bus": "minibus, school bus, trolleybus",
    "train": "bullet train, electric locomotive, steam locomotive, passenger car, freight car, "
    "streetcar",
    "truck": "fire engine, garbage truck, pickup, tow truck, trailer truck, moving van",
    "boat": "boathouse, canoe, catamaran, container ship, fireboat, gondola, lifeboat, liner, "
    "speedboat, trimaran, yawl, schooner",
    "traffic light": "traffic light",
    "stop sign": "street sign",
    "parking meter": "parking meter",
    "bench": "park bench",
    "horse": "sorrel, horse cart",
    "sheep": "ram, bighorn",
    "cow": "ox, oxcart",
    "zebra": "zebra",
    "backpack": "backpack",
    "umbrella": "umbrella",
    "handbag": "purse, mailbag, wallet",
    "tie": "bow tie, Windsor tie",
    "skis": "ski",
    "sports ball": "baseball, basketball, croquet ball, golf ball, ping-pong ball, rugby ball, "
    "soccer ball, tennis ball, volleyball",
    "baseball bat": "ballplayer",
    "baseball glove": "ballplayer",
    "tennis racket": "racket",
    "bottle": "beer bottle, pill bottle, pop bottle, water bottle, wine bottle",
    "wine glass": "goblet, red wine, beer glass",
    "cup": "coffee mug, cup, measuring cup, espresso",
    "knife": "cleaver, letter opener",
    "spoon": "wooden spoon",
    "bowl": "mixing bowl, soup bowl",
    "banana": "banana",
    "apple": "Granny Smith",
    "sandwich": "cheeseburger",
    "orange": "orange, lemon",
    "broccoli": "broccoli, cauliflower",
    "hot dog": "hotdog",
    "pizza": "pizza",
    "donut": "bagel",
    "cake": "trifle",
    "chair": "folding chair, rocking chair, barber chair, throne",
    "couch": "studio couch",
    "potted plant": "pot",
    "bed": "four-poster, quilt, cradle",
    "dining table": "dining table, restaurant",
    "toilet": "toilet seat",
    "tv": "television, monitor, entertainment center, home theater",
    "laptop": "laptop, notebook",
    "mouse": "mouse",
    "remote": "remote control",
    "keyboard": "computer keyboard, typewriter keyboard, space bar",
    "cell phone": "cellular telephone, hand-held computer, iPod",
    "microwave": "microwave",
    "oven": "stove, rotisserie, Dutch oven",
    "toaster": "toaster",
    "sink": "washbasin",
    "refrigerator": "refrigerator",
    "book": "bookshop, book jacket, comic book, library, bookcase",
    "clock": "analog clock, digital clock, wall clock",
    "vase": "vase",
    "teddy bear": "teddy",
    "hair drier": "hand blower",
}
# Kinds that lie together in ImageNet's order: (first, last) by name.
RUNS: dict[str, tuple[tuple[str, str], ...]] = {
    "bird": (
        ("cock", "great grey owl"),
        ("black grouse", "black swan"),
        ("white stork", "albatross"),
    ),
    "cat": (("tabby", "Egyptian cat"),),
    "dog": (("Chihuahua", "Mexican hairless"),),
    "elephant": (("Indian elephant", "African elephant"),),
    "bear": (("brown bear", "sloth bear"),),
}


def kin(name: str, imagenet: Sequence[str]) -> list[int]:
    """The numbers of ImageNet's classes kin to a COCO class; none for some.

    imagenet: the names of its 1,000 classes, in order.
    """
    place = {label: number for number, label in enumerate(imagenet)}
    found = [place[label] for label in KIN.get(name, "").split(", ") if label]
    for first, last in RUNS.get(name, ()):
        found += range(place[first], place[last] + 1)
    return found
