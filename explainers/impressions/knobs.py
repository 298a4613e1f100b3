"""What can be set of a drawing, with limits: every value may come from anyone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..errors import OptionError
from ..network import Network
from .images import CANVASES
from .shaking import Ranges

MOST_WORK = 12_000  # passes of 224 x 224 pixels: about half an hour with the bundled network
# name: (lowest, highest, whole number?, what a visitor calls it)
LIMITS: Mapping[str, tuple[float, float, bool, str]] = {
    "steps": (1, 3000, True, "number of steps"),
    "size": (0, 384, True, "size in pixels"),
    "start": (32, 384, True, "first size in pixels"),
    "rate": (0.001, 2, False, "learning rate"),
    "tv": (0, 10, False, "weight of the total variation"),
    "grey": (0, 10, False, "pull to grey"),
    "jitter": (0, 64, False, "jitter in pixels"),
    "rotation": (0, 180, False, "rotation in degrees"),
    "scale": (0, 1, False, "change of scale"),
    "colour": (0, 1, False, "RGB jitter"),
    "noise": (0, 0.5, False, "noise"),
    "crops": (1, 8, True, "number of copies a step"),
    "statistics": (0, 100, False, "weight of the BatchNorm statistics"),
    "every": (1, 64, True, "share of the BatchNorm layers"),
    "far": (0.05, 1, False, "way from the photo"),
    "seed": (0, 2**31 - 1, True, "seed"),
}


@dataclass(frozen=True)
class Knobs:
    """Settings of a drawing. Raises OptionError for what is out of its limits.

    steps. size: side in pixels, 0 for the network's own; start: the side it starts with, up to
    half-way. rate: of learning. tv: weight of the total variation; at 1 its pull on a pixel is as
    strong as the logit's on the average one. grey: weight of the pull to mid-grey (the L2 prior of
    Simonyan et al. 2014), without which light and dark run away. jitter: pixels of 224. rotation:
    degrees. scale: 0.25 is 1/1.25 to 1.25 times. colour: RGB jitter. noise: deviation, pixels being
    0..1. crops: shaken copies a step. statistics: weight of BatchNorm's statistics; every: a step
    looks at one of so many layers, in turn. far: how far from a photo that is drawn on. canvas: a
    key of CANVASES.
    """

    steps: int = 200
    size: int = 0
    start: int = 128
    rate: float = 0.07
    tv: float = 0.22
    grey: float = 0.15
    jitter: float = 16.0
    rotation: float = 10.0
    scale: float = 0.6
    colour: float = 0.2
    noise: float = 0.02
    crops: int = 1
    statistics: float = 0.0
    every: int = 1
    far: float = 0.3
    canvas: str = "fourier"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (low, high, whole, words) in LIMITS.items():
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or (whole and value != int(value)):
                kind = "a whole number" if whole else "a number"
                raise OptionError(f"The {words} must be {kind} from {low:g} to {high:g}.")
            if not low <= value <= high:
                raise OptionError(f"The {words} goes from {low:g} to {high:g}: choose in between.")
            object.__setattr__(self, name, int(value) if whole else float(value))
        if 0 < self.size < LIMITS["start"][0]:
            raise OptionError(f"The size in pixels is at least {LIMITS['start'][0]:g}.")
        if self.canvas not in CANVASES:
            raise OptionError(f"A picture can be made of {', '.join(CANVASES)}: choose one.")

    def sizes(self, network: Network) -> tuple[int, ...]:
        """Sides in pixels, one after the other, for equal shares of the steps: one alone for a
        network that takes no other. Raises OptionError where that one is no square, or another one
        was asked for."""
        if not network.any_size:
            height, width = network.shape
            if self.size not in (0, height) or height != width:
                raise OptionError(
                    f"{network.title} takes {width} by {height} pixels alone, and this would be a "
                    f"square of {self.size or height}: "
                    + ("leave the size at 0." if height == width else "choose another network.")
                )
            return (height,)
        size = min(self.size or network.size, int(LIMITS["size"][1]))
        return (self.start, size) if self.start < size else (size,)

    def on_photo(self) -> Knobs:
        """The same for a drawing on a photo, which is whole from the start."""
        return replace(self, start=int(LIMITS["start"][1]), canvas="fourier")

    def side(self, sizes: tuple[int, ...], taken: int) -> int:
        """Pixels of the side after so many steps, `sizes` being the ones to go through."""
        return sizes[min(taken * len(sizes) // max(self.steps, 1), len(sizes) - 1)]

    def ranges(self) -> Ranges:
        """How far the transformations between steps go."""
        return Ranges(self.jitter / 224, self.rotation, self.scale, self.colour, self.noise)

    def check_work(self, network: Network, pictures: int) -> None:
        """Raises OptionError for a drawing of so many pictures that would never end."""
        sizes = self.sizes(network)
        share = sum((size / 224) ** 2 for size in sizes) / len(sizes)
        if self.steps * self.crops * share * pictures > MOST_WORK:
            raise OptionError(
                "This would take too long here: choose fewer steps, copies or classes."
            )
