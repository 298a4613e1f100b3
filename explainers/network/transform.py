"""Somebody's own way from a photo to a network's input, and the way back to the photo.

What a transform does is not looked up but tried: pictures whose every pixel says where it is come
out as the part of the photo that the input covers; black, white and grey say how it normalises.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import ModelError, reason, sized
from .frame import Frame, in_input, seen, upright
from .located import inside, located

if TYPE_CHECKING:
    from ..photo import Photo

TRIED = 512  # pixels of the side of the square on which its output's shape is tried
PHOTOS = 100  # that are remembered, and sizes of them
TIMES_DRAWN = 64  # that a transform is tried which draws random numbers: it may turn 1 in 10
LONG = 2  # times as long as wide
MARKS = ((0.3, 0.35), (0.7, 0.6))  # of what is seen; mirrored or turned, neither is where one was
MARK = 0.15  # of its side
CLEARER = 4  # times as much as elsewhere the input changes where a photo was marked
ROUNDING = 0.01  # of the range from black to white
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's greys


class Transform:
    """A function from a PIL image to a tensor (C, H, W), such as torchvision's or timm's.

    grey: hand it greys ("L"), not colours ("RGB"). shape: (height, width) of what it makes of a
    square photo. channels: C. plain: does it normalise each colour, or the luminance, of what the
    photo has of the input by mean and std (of pixels in 0..1), and nothing else? upright: is that
    so, and nothing mirrored? Raises ModelError with one sentence for a
    function that can't prepare a photo.
    """

    def __init__(
        self, function: Callable[[Image.Image], Tensor], title: str, *, grey: bool = False
    ) -> None:
        self._function, self._title, self._mode = function, title, "L" if grey else "RGB"
        self._frames: dict[tuple[int, int], Frame | None] = {}  # by the photo's size
        self._placed: dict[str, bool] = {}  # is it that one, for this photo?
        noise = np.random.default_rng(0).integers(0, 256, (TRIED, TRIED, 3), np.uint8)
        before = _random_states()
        tried = self._finite(self._tensor(Image.fromarray(noise)))
        drawn = _random_states() != before
        again = (self._tensor(Image.fromarray(noise)) for _ in range(TIMES_DRAWN if drawn else 2))
        if not all(tried.shape == each.shape and torch.equal(tried, each) for each in again):
            raise ModelError(
                f"The transform of {title} makes another input of the same photo each time, as "
                "training’s do: give the one that it is evaluated with."
            )
        self.channels, *shape = tried.shape
        self.shape: tuple[int, int] = (shape[0], shape[1])
        black, grey, white = (self._plain(level) for level in (0, 51, 255))
        if torch.equal(black, white) and torch.equal(black, tried):
            raise ModelError(
                f"The transform of {title} makes the same input of every photo: let it use the "
                "image that it is given."
            )
        frame = self._found(TRIED, TRIED)
        rows, columns = inside(frame, *self.shape) if frame else (slice(None), slice(None))
        black, grey, white = (each[:, rows, columns] for each in (black, grey, white))
        span = white - black
        levels = torch.stack([black, white]).flatten(2)
        even = bool((levels.amax(2) - levels.amin(2) <= ROUNDING * span.abs().amax()).all())
        straight = (grey - black - 0.2 * span).abs().amax() <= ROUNDING * span.abs().amax()
        self.plain = even and bool(straight) and bool((span > 0).all())
        self.plain = self.plain and self._keeps_colours(black, span, rows, columns)
        self.upright = self.plain and (frame is None or upright(frame) == (1, 1))
        low, range_ = black.mean((1, 2)), span.mean((1, 2))
        self.mean = (-low / range_ if self.plain else torch.full_like(low, 0.5)).tolist()
        self.std = (1 / range_ if self.plain else torch.full_like(low, 0.25)).tolist()

    def __call__(self, photo: Photo) -> tuple[Tensor, Frame | None]:
        """The input (1, C, H, W) and which part of the photo it covers, None if that is not to be
        found; greys are handed over as three equal colours."""
        made = self._finite(self._tensor(Image.fromarray(photo.pixels)))
        tensor = made.expand(3, -1, -1) if self.channels == 1 else made
        size = photo.width, photo.height
        if size not in self._frames:
            self._frames = _kept(self._frames) | {size: self._found(*size)}
        frame = self._frames[size]
        if frame is not None and photo.digest not in self._placed:
            lies = self._lies(photo.pixels, made, frame)
            self._placed = _kept(self._placed) | {photo.digest: lies}
        return tensor.unsqueeze(0), frame if frame and self._placed[photo.digest] else None

    def _lies(self, pixels: np.ndarray, made: Tensor, frame: Frame) -> bool:
        """Does a mark on this very photo (H, W, 3) show where that frame has it? What a transform
        does may hang on what is in the photo, as cutting off a white border does."""
        marked, there = pixels.copy(), torch.zeros(made.shape[1:], dtype=torch.bool, device="cpu")
        left, top, right, bottom = seen(frame)
        for x, y in MARKS:
            x, y = left + x * (right - left), top + y * (bottom - top)
            wide, high = MARK / 2 * (right - left), MARK / 2 * (bottom - top)
            box = x - wide, y - high, x + wide, y + high
            _part(there, in_input(box, frame))[:] = True
            part = _part(marked, box)
            part[:] = np.where(part < 128, 255, 0)
        after = self._tensor(Image.fromarray(marked))
        if after.shape != made.shape:
            return False
        change = (after - made).abs().mean(0)
        return bool(change[there].mean() > CLEARER * change[~there].mean())

    def _keeps_colours(self, black: Tensor, span: Tensor, rows: slice, columns: slice) -> bool:
        """Are the channels red, green and blue in that order, or the luminance alone?"""
        if self.channels not in (1, 3):
            return False
        each = torch.eye(3, device="cpu")
        shares = each if self.channels == 3 else torch.tensor(LUMINANCE, device="cpu")[:, None]
        for colour, share in zip(each.mul(255).int().tolist(), shares, strict=True):
            made = self._tensor(Image.new("RGB", (TRIED, TRIED), tuple(colour)))
            gap = made[:, rows, columns] - black - share.reshape(-1, 1, 1) * span
            if not gap.abs().amax() <= ROUNDING * span.abs().amax():
                return False
        return True

    def _plain(self, level: int) -> Tensor:
        return self._tensor(Image.new("RGB", (TRIED, TRIED), (level,) * 3))

    def _tensor(self, image: Image.Image) -> Tensor:
        try:
            with torch.no_grad():
                made: Any = self._function(image.convert(self._mode))
        except Exception as error:
            raise ModelError(
                f"The transform of {self._title} fails on a photo ({reason(error)}): give a "
                "function from a PIL image to a tensor."
            ) from error
        if not isinstance(made, Tensor):
            raise ModelError(
                f"The transform of {self._title} makes a {type(made).__name__} of a photo: let it "
                "end in a tensor of channels × height × width."
            )
        made = made[0] if made.ndim == 4 and len(made) == 1 else made
        if made.ndim == 3 and made.shape[2] in (1, 3, 4) and min(made.shape[:2]) > 4:
            raise ModelError(
                f"The transform of {self._title} makes height × width × channels of a photo: let "
                "it end in channels × height × width, as ToTensor does."
            )
        if made.ndim != 3 or not made.is_floating_point():
            kind = f"{sized(made.shape)} of {str(made.dtype).removeprefix('torch.')}"
            raise ModelError(
                f"The transform of {self._title} makes {kind} of a photo: let it end in floats "
                "of channels × height × width."
            )
        return made.detach().as_subclass(Tensor).float().cpu()

    def _finite(self, made: Tensor) -> Tensor:
        if not made.isfinite().all():
            raise ModelError(
                f"The transform of {self._title} makes NaN or infinite values of a photo: see "
                "whether it divides by the photo’s own range."
            )
        return made

    def _found(self, width: int, height: int) -> Frame | None:
        """Where in a photo of that size the input's pixels lie."""
        like = None
        if max(width, height) >= LONG * min(width, height):  # padding may hold all of it once more
            least = round(max(width, height) / LONG * 1.3)
            with suppress(ModelError):
                like = self._tried(max(width, least), max(height, least))
        return self._tried(width, height, like)

    def _tried(self, width: int, height: int, like: Frame | None = None) -> Frame | None:
        ramps = np.broadcast_to(_ramp(width), (height, width)), _ramp(height)[:, None]
        made = [
            self._tensor(Image.fromarray(np.broadcast_to(each, (height, width)).astype(np.uint8)))
            for each in (*ramps, np.uint8(0), np.uint8(255))
        ]
        if len({each.shape for each in made}) > 1:
            return None
        black, span = made[2], made[3] - made[2]
        return located(*((ramp - black) / span for ramp in made[:2]), like)


def _part(of: Any, box: Frame) -> Any:
    """That part of a picture (H, W, …), at least a pixel of it."""
    height, width = of.shape[:2]
    left, top, right, bottom = (round(a * s) for a, s in zip(box, (width, height) * 2, strict=True))
    return of[top : max(bottom, top + 1), left : max(right, left + 1)]


def _kept(known: dict) -> dict:
    """The latest of what is known; a dictionary of its own, since others may read the old one."""
    return dict(list(known.items())[-PHOTOS:])


def _random_states() -> tuple[Any, ...]:
    """Of the generators that transforms draw from."""
    _, keys, at, *_ = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), keys.tobytes(), at


def _ramp(length: int) -> np.ndarray:
    """(length,) uint8: how far along the side each pixel's centre is, from 0 to 255."""
    return np.rint(255 * (np.arange(length) + 0.5) / length).astype(np.uint8)
