"""3 x 3 convolutions with a quarter of the multiply-adds, for maps of many channels.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.2: the
minimal algorithm F(4 x 4, 3 x 3) computes tiles of 4 x 4 outputs as 36 products of matrices. It is
the same convolution up to rounding (about 1e-5 of the map's range).
"""

from __future__ import annotations

import weakref

import torch
import torch.nn.functional as F
from torch import Tensor

TILE = 4  # outputs a side of one tile
SIDE = TILE + 2  # inputs a side of it
WORTH = 256  # channels, in and out, from which on the transforms pay
AT_ONCE = 2**24  # bytes of tiles that are transformed together; a whole map's fit no cache

_INPUT = torch.tensor(
    [
        [4.0, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_KERNEL = (
    torch.tensor([[6.0, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]])
    / torch.tensor([24.0, 24, 24, 24, 24, 24])[:, None]
)
_OUTPUT = torch.tensor(
    [[1.0, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
)


class Kernel:
    """A weight (K, C, 3, 3), and the same transformed (36, C, K): four times the memory."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight  # whose address is its own as long as this lives
        made = torch.einsum("ai,bj,kcij->abck", _KERNEL, _KERNEL, weight)
        self.transformed = made.flatten(0, 1).contiguous()


_kernels: weakref.WeakValueDictionary[tuple, Kernel] = weakref.WeakValueDictionary()


def kernel(weight: Tensor) -> Kernel:
    """The transformed weight, shared by all inputs' shapes as long as any of them is in use."""
    age = 0 if weight.is_inference() else weight._version
    key = weight.data_ptr(), age, weight.shape, weight.stride()
    found = _kernels.get(key)
    return _kernels.setdefault(key, Kernel(weight)) if found is None else found


class Winograd:
    """For weight (K, C, 3, 3), a convolution without padding."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.kernel, self.bias = kernel(weight), bias
        self.before, self.after = torch.kron(_INPUT, _INPUT), torch.kron(_OUTPUT, _OUTPUT)

    def convolved(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) -> (N, K, H - 2, W - 2), in channels_last memory."""
        n, channels, height, width = x.shape
        wide = SIDE**2 * -(-(width - 2) // TILE)  # numbers of a channel in a row of tiles
        rows = TILE * max(1, AT_ONCE // (x.element_size() * n * channels * wide))
        if height - 2 <= rows:
            return self._band(x)
        size = n, len(self.kernel.weight), height - 2, width - 2
        y = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        for top in range(0, height - 2, rows):
            y[:, :, top : top + rows] = self._band(x[:, :, top : top + rows + 2])
        return y

    def _band(self, x: Tensor) -> Tensor:
        """The same of a part that is as high as can be had at once."""
        n, channels, height, width = x.shape
        down, across = -(-(height - 2) // TILE), -(-(width - 2) // TILE)
        x = x.permute(0, 2, 3, 1)
        x = F.pad(x, (0, 0, 0, across * TILE + 2 - width, 0, down * TILE + 2 - height))
        of_n, of_row, of_col, of_channel = x.stride()
        tiles = x.as_strided(
            (SIDE, SIDE, n, down, across, channels),
            (of_row, of_col, of_n, of_row * TILE, of_col * TILE, of_channel),
        )
        tiles = (self.before @ tiles.reshape(SIDE**2, -1)).view(SIDE**2, -1, channels)
        products = torch.bmm(tiles, self.kernel.transformed)
        tiles = (self.after @ products.flatten(1)).view(TILE, TILE, n, down, across, -1)
        y = tiles.permute(2, 3, 0, 4, 1, 5).reshape(n, down * TILE, across * TILE, -1)
        y = y[:, : height - 2, : width - 2]
        y = y.contiguous() if self.bias is None else y + self.bias
        return y.permute(0, 3, 1, 2)
