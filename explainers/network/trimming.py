"""What a module cuts off photos or puts round them itself, before it looks at them.

That is not looked up but tried, as a transform is: two pictures whose every pixel says where it is,
and black and white ones, go as far as the first convolution.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .frame import Frame, upright
from .located import located
from .recording import Enough

if TYPE_CHECKING:
    from .frozen import Network

HARDLY, PIXELS = 0.025, 2  # of a side, or as few pixels: what nobody sees on a map
LOST = 0.1  # of a side at each end: of what convolutions without padding lose, a little is usual
LARGEST = 2**20  # pixels of an input that is passed for its shape alone


def remark(network: Network) -> dict[str, str]:
    """What to say, by key, of every map of a layer where these show another part of the input."""
    frame = convolved(network)
    if frame is None:
        return {}
    left, top, right, bottom = frame
    does = ["mirrors"] * (upright(frame) != (1, 1))
    for low, high, side in ((left, right, network.shape[1]), (top, bottom, network.shape[0])):
        gaps, slack = (min(low, high), 1 - max(low, high)), max(HARDLY, PIXELS / side)
        does += ["cuts"] * (max(gaps) > slack) + ["pads"] * (min(gaps) < -slack)
    if not does:
        return {}
    return {
        "trimmed": f"{network.title} {' and '.join(dict.fromkeys(does))} photos itself before its "
        f"first convolution: maps of its layers are of what lies from {left:.0%} to {right:.0%} of "
        f"the width and from {top:.0%} to {bottom:.0%} of the height, and are laid over all of it; "
        "leave that to wrap(…, transform=…)."
    }


def bordered(network: Network) -> dict[str, str]:
    """What to say, by key, of a network that puts a border round its own maps, or cuts one off:
    one twice as large is not one of twice as many places then."""
    layer = network.places[network.last]
    cells, size = (layer.height, layer.width), tuple(2 * side for side in network.shape)
    if size[0] * size[1] > LARGEST:
        return {}
    try:
        x = torch.zeros(1, len(network.mean), *size, device="cpu")
        seen = network.record(x, (layer.name,), gradients=False, until=layer.name)
        twice = tuple(seen.activations[layer.name].shape[2:])
    except Exception:  # made for one size
        return {}
    spare = [2 * n - more if more > n else 0 for n, more in zip(cells, twice, strict=True)]
    ends = [abs(more) / 2 / (n + max(-more, 0)) for n, more in zip(cells, spare, strict=True)]
    pads = [more > 1 and end > HARDLY for more, end in zip(spare, ends, strict=True)]
    cuts = [more < -1 and end > LOST for more, end in zip(spare, ends, strict=True)]
    if not any(pads + cuts):
        return {}
    of = " × ".join(str(n - more) for n, more in zip(cells, spare, strict=True))
    does = "puts a border round its own maps, as by padding"
    if not any(pads):
        does = "loses the border of its own maps, as by a cut or by convolutions without padding"
    return {
        "bordered": f"{network.title} {does}: its last layer has {cells[0]} × {cells[1]} places "
        f"where all of the photo would be {of}, and its map is laid over all of the photo, so that "
        f"heat near its edges lies up to {max(ends):.0%} of a side aside, or twice that if all of "
        "this is at one edge."
    }


def convolved(network: Network) -> Frame | None:
    """The part of the input that the first convolution is given; None where that can't be told, or
    other layers come before it."""
    height, width = network.shape
    across, down = ((torch.arange(side, device="cpu") + 0.5) / side for side in (width, height))
    shape = 1, len(network.mean), height, width
    try:
        black, white, *ramps = (
            _first(network, each.expand(shape))
            for each in (*torch.arange(2.0, device="cpu"), across, down[:, None])
        )
        said = [((each.given - black.given) / (white.given - black.given))[0] for each in ramps]
        frame = located(said[0].cpu(), said[1].cpu())
    except Exception:  # a module may do anything, as divide by its photo's deviation
        return None
    if frame is None:
        return None
    spare = [lost / side for lost, side in zip(black.spare, network.shape, strict=True)]
    return tuple(_eased(at, by) for at, by in zip(frame, spare[::-1] * 2, strict=True))


def _eased(edge: float, by: float) -> float:
    """An edge without what a convolution needs as padding."""
    return min(edge + by, 0.0) if edge < 0 else max(edge - by, 1.0) if edge > 1 else edge


def _first(network: Network, x: Tensor) -> _First:
    """The first convolution's call for an input."""
    with torch.inference_mode(False), torch.no_grad(), _First() as first, suppress(Enough):
        network.module(x.to(network.device, copy=True))
    return first


class _First(TorchFunctionMode):
    """Stops at the first convolution. given: its input; spare: pixels of padding at each end of the
    height and width of that which its windows need to be as many as its strides."""

    given: Tensor
    spare: tuple[int, ...]

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.linear:
            raise LookupError("It reads no map of the photo.")
        if func is torch.conv2d:
            self.given, self.spare = _windows(*args, **(kwargs or {}))
            raise Enough
        return func(*args, **(kwargs or {}))


def _windows(
    input: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Tensor, tuple[int, ...]]:
    """A convolution's input, and what it lacks of padding."""
    if padding == "same":
        return input, (0, 0)
    ways = zip(weight.shape[2:], *map(_pair, (stride, padding, dilation)), strict=True)
    return input, tuple(max(((k - 1) * d - s + 2) // 2 - p, 0) for k, s, p, d in ways)


def _pair(given: Any) -> tuple[int, int]:
    given = 0 if given == "valid" else given
    return (given, given) if isinstance(given, int) else (given[0], given[-1])
