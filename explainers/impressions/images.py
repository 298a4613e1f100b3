"""Pictures as something to optimise: pixels, Fourier coefficients, phases alone.

Each holds the parameters of N square pictures (N, 3, S, S) with values in 0..1, which start alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

# How the three colours of natural pictures go together: brightness, blue to yellow, green to red
# (Olah, Mordvintsev and Schubert 2017, “Feature Visualization”, appendix on decorrelation).
_COLOURS = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
_SPREAD = 0.01  # of the first coefficients: the picture starts as faint noise on grey
_GAIN = 0.25  # keeps the sigmoid away from its flat ends
_CHROMA = 1.7  # how much faster colours may move than light: by itself the mix looks greyish
_SLOPE = 0.88  # of the fall with frequency; at 1, light and dark patches run away
_DARKEST = 0.01  # of a photo to draw on: a sigmoid reaches neither black nor white
_CONTRAST = 1.2  # of a picture whose magnitudes are given, before the sigmoid


class Canvas(Protocol):
    """parameters: leaf tensors. picture(): (N, 3, S, S) in 0..1 with a graph to them."""

    size: int
    parameters: list[Tensor]

    def picture(self) -> Tensor: ...

    def settle(self) -> None:
        """After a step: bring the parameters back to where they are allowed."""

    def grown(self, size: int) -> Canvas:
        """The same picture with more pixels."""


class Pixels:
    """The pixels themselves: every frequency moves equally fast, so fine noise comes first."""

    def __init__(self, values: Tensor) -> None:
        """values: (N, 3, S, S)."""
        self.size = values.shape[-1]
        self.parameters = [values.requires_grad_()]

    @classmethod
    def begun(cls, size: int, generator: Generator, device: torch.device, count: int = 1) -> Pixels:
        noise = torch.randn(1, 3, size, size, generator=generator, dtype=torch.float32)
        return cls((0.5 + 0.02 * noise).to(device).repeat(count, 1, 1, 1))

    def picture(self) -> Tensor:
        return self.parameters[0] * 1.0

    @torch.no_grad()
    def settle(self) -> None:
        self.parameters[0].clamp_(0, 1)

    def grown(self, size: int) -> Pixels:
        before = self.parameters[0].detach()
        return Pixels(F.interpolate(before, size=(size, size), mode="bicubic").clamp(0, 1))


class Fourier:
    """Coefficients of a real Fourier transform, each scaled by about 1 / frequency as in natural
    pictures, of three decorrelated colours (Olah et al. 2017)."""

    def __init__(self, values: Tensor, kept: tuple[Tensor, Tensor] | None = None) -> None:
        """values: (N, 3, S, S // 2 + 1, 2), before they are scaled. kept: which of them never
        change, and what they are."""
        self.size = values.shape[2]
        self.parameters = [values.requires_grad_()]
        self._scale = falloff(self.size, _SLOPE).to(values.device)[..., None]
        self._kept = kept

    @classmethod
    def begun(
        cls, size: int, generator: Generator, device: torch.device, count: int = 1
    ) -> Fourier:
        noise = torch.randn(3, size, size // 2 + 1, 2, generator=generator, dtype=torch.float32)
        return cls((_SPREAD * noise).to(device).repeat(count, 1, 1, 1, 1))

    @classmethod
    def of(cls, picture: Tensor, coarse: float) -> Fourier:
        """A picture (1, 3, S, S) in 0..1 to draw on; what it is made of below so many cycles a
        side never changes."""
        planes = decoloured(torch.logit(picture, _DARKEST)) / _GAIN
        spectrum = torch.view_as_real(torch.fft.rfft2(planes, norm="ortho"))
        size = picture.shape[-1]
        values = (spectrum / falloff(size, _SLOPE).to(picture)[..., None]).contiguous()
        low = falloff(size).to(picture)[..., None] > size / coarse
        return cls(values, (low, values.clone()))

    def picture(self) -> Tensor:
        spectrum = torch.view_as_complex(self.parameters[0] * self._scale)
        planes = torch.fft.irfft2(spectrum, s=(self.size, self.size), norm="ortho") * _GAIN
        return torch.sigmoid(coloured(planes))

    @torch.no_grad()
    def settle(self) -> None:
        if self._kept is not None:
            low, first = self._kept
            self.parameters[0].copy_(torch.where(low, first, self.parameters[0]))

    def grown(self, size: int) -> Fourier:
        before = self.parameters[0].detach()
        large = torch.zeros(len(before), 3, size, size // 2 + 1, 2, device=before.device)
        return Fourier(widened(before, large))


class Phases:
    """Phases alone; magnitudes are those of natural pictures (MACO: Fel et al. 2023).

    The paper takes the magnitudes from the mean spectrum of ImageNet; ours are 1 / frequency.
    """

    def __init__(self, values: Tensor, generator: Generator) -> None:
        """values: (N, 3, S, S // 2 + 1), radians; generator: of those that are added."""
        self._generator = generator
        self.size = values.shape[2]
        self.parameters = [values.requires_grad_()]
        magnitude = falloff(self.size)
        magnitude[0, 0] = 0
        self._magnitude = magnitude.to(values.device)

    @classmethod
    def begun(cls, size: int, generator: Generator, device: torch.device, count: int = 1) -> Phases:
        values = _phases(size, generator).to(device).repeat(count, 1, 1, 1)
        return cls(values, generator)

    def picture(self) -> Tensor:
        spectrum = torch.polar(self._magnitude.expand_as(self.parameters[0]), self.parameters[0])
        planes = torch.fft.irfft2(spectrum, s=(self.size, self.size), norm="ortho")
        planes = planes / planes.std((1, 2, 3), keepdim=True) * _CONTRAST
        return torch.sigmoid(coloured(planes))

    def settle(self) -> None:
        """Every value is allowed."""

    def grown(self, size: int) -> Phases:
        before = self.parameters[0].detach()
        large = _phases(size, self._generator).to(before.device).repeat(len(before), 1, 1, 1)
        return Phases(widened(before, large), self._generator)


#: By name, what begins so many pictures of a size, from noise.
CANVASES: dict[str, Callable[..., Canvas]] = {
    "fourier": Fourier.begun,
    "pixels": Pixels.begun,
    "maco": Phases.begun,
}


def falloff(size: int, slope: float = 1.0) -> Tensor:
    """(S, S // 2 + 1): size / frequency ** slope, in cycles per picture and at least 1."""
    rows = torch.fft.fftfreq(size, 1 / size)[:, None]
    columns = torch.fft.rfftfreq(size, 1 / size)[None]
    return size / torch.hypot(rows, columns).clamp(min=1) ** slope


def coloured(planes: Tensor) -> Tensor:
    """Decorrelated planes (N, 3, H, W) as red, green and blue, of about the same strength."""
    return torch.einsum("rc,nchw->nrhw", _mix().to(planes), planes)


def decoloured(rgb: Tensor) -> Tensor:
    """`coloured`, the other way round: (N, 3, H, W)."""
    return torch.einsum("rc,nchw->nrhw", _mix().inverse().to(rgb), rgb)


def _mix() -> Tensor:
    return _COLOURS / _COLOURS.norm(dim=0).max() * torch.tensor([1.0, _CHROMA, _CHROMA])


def widened(small: Tensor, large: Tensor) -> Tensor:
    """Coefficients (N, 3, S, S // 2 + 1, ...) of small pictures put among those of larger ones."""
    half = small.shape[2] // 2  # the small picture's highest frequency has no sign: left out
    large[:, :, :half, :half] = small[:, :, :half, :half]
    large[:, :, 1 - half :, :half] = small[:, :, 1 - half :, :half]
    return large


def _phases(size: int, generator: Generator) -> Tensor:
    drawn = torch.rand(3, size, size // 2 + 1, generator=generator, dtype=torch.float32)
    return (drawn * 2 - 1) * torch.pi
