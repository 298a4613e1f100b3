"""How photos become the inputs of a network, as views of it, and inputs pictures again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..errors import OptionError
from .frame import ALL
from .recipe import Recipe
from .transform import Transform
from .views import Framing, Size, View, framed, placed
from .weights import FollowedWeights, OwnWeights

if TYPE_CHECKING:
    from ..photo import Photo


class Inputs:
    """What a network sees: by its recipe, or by a transform of somebody's own."""

    title: str
    serial: str
    shape: Size
    recipe: Recipe
    mean: Tensor
    std: Tensor
    takes: int
    any_size: bool
    transform: Transform | None = None
    framing: Framing = "whole"
    program: Callable[..., Any] | None
    _weights: OwnWeights | FollowedWeights
    _aspect = ""

    @property
    def sees_colours(self) -> bool:
        """Are its inputs red, green and blue, each normalised by its mean and std?"""
        return len(self.mean) == 3 and (self.transform is None or self.transform.plain)

    def normalised(self, pixels: Tensor) -> Tensor:
        """Pixels (N, C, H, W) in 0..1 as inputs."""
        return (pixels - self.mean.to(pixels)) / self.std.to(pixels)

    def pixels(self, x: Tensor) -> Tensor:
        """Inputs (N, C, H, W) as pixels in 0..1, float32 on the CPU."""
        return (x.float().cpu() * self.std + self.mean).clamp(0, 1)

    def prepare(self, photo: Photo, framing: Framing | None = None) -> View:
        """The photo as this network's input.

        "whole" fits the shorter side to the network's size and keeps all of the photo (up to 4:1),
        squeezed to the network's own shape where it takes no other input; "crop" is the network's
        own evaluation transform: the centre, of the photo or (crop mode "squash") of the photo
        squeezed to a square, or ("border") with all of its longer side and the mean colour beside
        it. None: `framing`, "whole" unless the network has a transform of its own.
        """
        framing = self.framing if framing is None else framing
        if not isinstance(framing, str) or framing not in ("whole", "crop"):
            raise OptionError("The framing is either “whole” or “crop”.")
        if self.transform is not None and (framing == "crop" or not self.transform.upright):
            framing = "crop"
            tensor, frame = self.transform(photo)
        else:
            pixels, frame = framed(
                photo, self.recipe, self.shape, framing, self.any_size, self.title
            )
            tensor = self.normalised(pixels)
        key = f"{self._tag}:{self._age}:{framing}:{photo.digest}"
        return placed(tensor, frame, key, framing, (photo.height, photo.width))

    def view(self, tensor: Tensor) -> View:
        """A ready-made input (1, C, H, W), normalised for this network, as a view of itself."""
        channels = len(self.mean)
        if tensor.ndim != 4 or len(tensor) != 1 or tensor.shape[1] not in {channels, self.takes}:
            raise OptionError(
                f"A view is made of one input of shape (1, {self.takes}, height, width)."
            )
        tensor = tensor.detach().cpu().float()  # as those of photos lie
        tensor = tensor.expand(-1, channels, -1, -1) if self.takes == 1 else tensor
        digest = hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
        key = f"{self._tag}:{self._age}:tensor:{tuple(tensor.shape)}:{digest}"
        return View(tensor, ALL, key, photo_size=tuple(tensor.shape[2:]))

    def made(self, view: View) -> bool:
        """Is this view one of this network's own?"""
        return view.key.startswith(f"{self._tag}:")

    def taken(self, view: View) -> View:
        """The view of another aspect of this network (`scored`) as this one's."""
        return replace(view, key=f"{self._tag}:{view.key.partition(':')[2]}")

    @property
    def _age(self) -> int:
        """Changes when weights are written to, which nobody does who does not have the module."""
        return 0 if self.program else self._weights.age()

    @property
    def _tag(self) -> str:
        return f"{self.serial}{self._aspect}"
