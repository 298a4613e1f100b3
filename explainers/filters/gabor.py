"""Do a network's first filters resemble Gabor filters? Measured against chance.

A Gabor plane is a wave under a Gaussian (Daugman 1985). Its phase is free: even and odd part are
fitted by least squares, for every orientation, wavelength, envelope and centre of a grid, and the
best of them is refined. So many forms fit small kernels well whatever they hold; hence two nulls:
filters of noise, and the layer's own with their pixels in another order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from ..errors import OptionError
from ..recent import Recent
from . import measured
from .kernels import separate

LEAST = 5  # pixels: below, chance alone fits too well for any claim
GOOD = 0.8  # of a filter's variance: from here on, it is called a Gabor filter
ANGLES = 24
STARTS, ROUNDS, TRIES, SHRINK = 4, 18, 48, 0.75  # of refinement
NULL = 200  # random filters, and as many shuffled ones
TOGETHER = 16  # planes whose neighbourhood is looked for at a time

_known: Recent[tuple, Any] = Recent()

# theta (radians), wavelength, sigma along the wave, sigma across it, x and y of the centre (pixels)
Params = np.ndarray


@dataclass(frozen=True)
class Fit:
    """The best Gabor of a plane.

    r2: share of the plane's variance that it explains. orientation: degrees across the stripes,
    0 to 180, counterclockwise from the x axis. wavelength, sigmas: pixels; phase: degrees, 0 even
    and 90 odd. plane: the fitted Gabor (h, w).
    """

    r2: float
    orientation: float
    wavelength: float
    sigmas: tuple[float, float]
    phase: float
    plane: np.ndarray


def waves(params: Params, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Even and odd Gabor planes (n, size * size) for parameters (n, 6)."""
    theta, wavelength, along, across, x, y = params.T[:, :, None]
    rows, columns = (np.mgrid[:size, :size].reshape(2, 1, -1) - (size - 1) / 2).astype(params.dtype)
    dx, dy = columns - x, -rows - y  # y upwards
    u = dx * np.cos(theta) + dy * np.sin(theta)
    v = dy * np.cos(theta) - dx * np.sin(theta)
    envelope = np.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2))
    phase = 2 * np.pi * u / wavelength
    return envelope * np.cos(phase), envelope * np.sin(phase)


def _grid(size: int) -> Params:
    theta = np.arange(ANGLES) * np.pi / ANGLES
    wavelength = np.geomspace(2, 2 * size, 7)
    sigma = np.geomspace(size / 7, size / 2, 3)
    centre = np.linspace(-size / 4, size / 4, 3)
    axes = np.meshgrid(theta, wavelength, sigma, sigma, centre, centre, indexing="ij")
    return np.stack([axis.ravel() for axis in axes], 1)


def _basis(params: Params, size: int) -> tuple[np.ndarray, np.ndarray]:
    """An orthonormal basis (n, size * size) twice of each even and odd pair's span."""
    even, odd = waves(params, size)
    first = even / np.maximum(np.linalg.norm(even, axis=1, keepdims=True), 1e-12)
    rest = odd - (odd * first).sum(1, keepdims=True) * first
    length = np.linalg.norm(rest, axis=1, keepdims=True)
    return first, np.where(length > 1e-6, rest / np.maximum(length, 1e-12), 0)


def _atoms(size: int) -> tuple[Params, np.ndarray, np.ndarray]:
    return _known.found(("atoms", size), lambda: _prepared(size))


def _prepared(size: int) -> tuple[Params, np.ndarray, np.ndarray]:
    params = _grid(size)
    first, second = _basis(params, size)
    return params.astype(np.float32), first.astype(np.float32), second.astype(np.float32)


def fit(planes: np.ndarray, seed: int = 0) -> list[Fit]:
    """The best Gabor of each plane (n, size, size); raises OptionError if it is not square.

    The grid finds the neighbourhood, seeded random steps that shrink find the place in it.
    """
    return list(_fits(planes, seed))


def _fits(planes: np.ndarray, seed: int) -> Iterator[Fit]:
    count, size, width = planes.shape
    if size != width:
        raise OptionError("Gabors are fitted to square kernels only: choose another layer.")
    wanted = planes.reshape(count, -1).astype(np.float64)
    params, first, second = _atoms(size)
    random = np.random.default_rng(seed)
    for begin in range(0, count, TOGETHER):
        small = wanted[begin : begin + TOGETHER].astype(np.float32).T
        kept = (first @ small) ** 2 + (second @ small) ** 2  # energy in each atom's span
        starts = np.argpartition(-kept, STARTS, axis=0)[:STARTS]  # (STARTS, planes)
        best, energy = params[starts], np.take_along_axis(kept, starts, 0)
        for i, plane in enumerate(wanted[begin : begin + TOGETHER]):
            at = _refined(small[:, i], best[:, i], energy[:, i], size, random)
            yield _answer(plane, at, size)


def _refined(
    plane: np.ndarray, best: Params, energy: np.ndarray, size: int, random: np.random.Generator
) -> np.ndarray:
    """The best parameters (6,) near some starts (STARTS, 6) of that energy, by random steps.

    Plane by plane and in single precision, since the work then stays in the processor's cache.
    """
    steps = np.array([np.pi / ANGLES, 0.25, 0.3, 0.3, size / 8, size / 8], np.float32)
    every = np.arange(len(best))
    for round_ in range(ROUNDS):
        moves = random.standard_normal((len(best), TRIES, 6), np.float32)
        moves *= random.random(moves.shape, np.float32) < 0.5  # a few parameters at a time
        tried = _moved(best[:, None], moves * (steps * np.float32(SHRINK**round_)), size)
        each = _energy(tried.reshape(-1, 6), plane, size).reshape(len(best), TRIES)
        row = each.argmax(1)
        better = each[every, row] > energy
        energy = np.where(better, each[every, row], energy)
        best = np.where(better[:, None], tried[every, row], best)
    return best[energy.argmax()].astype(np.float64)


def _energy(params: Params, plane: np.ndarray, size: int) -> np.ndarray:
    """Energy (n,) of a plane (size * size,) in the span of each even and odd pair."""
    even, odd = waves(params, size)
    a, b = even @ plane, odd @ plane
    ee, oo, eo = (np.einsum("np,np->n", *pair) for pair in ((even, even), (odd, odd), (even, odd)))
    apart = ee * oo - eo * eo
    safe = apart > 1e-4 * ee * oo  # else the two say the same, and the first is enough
    both = (a * a * oo - 2 * a * b * eo + b * b * ee) / np.where(safe, apart, 1)
    return np.where(safe, both, a * a / np.maximum(ee, 1e-12))


def _moved(best: Params, moves: np.ndarray, size: int) -> Params:
    """Parameters a step away: lengths by a factor, the rest by a sum, all kept in range."""
    tried = np.broadcast_to(best, moves.shape).copy()
    tried[..., 0] += moves[..., 0]
    tried[..., 1:4] *= np.exp(moves[..., 1:4])
    tried[..., 4:] += moves[..., 4:]
    tried[..., 1] = tried[..., 1].clip(2, 3 * size)
    tried[..., 2:4] = tried[..., 2:4].clip(0.4, size)
    tried[..., 4:] = tried[..., 4:].clip(-size / 2, size / 2)
    return tried


def _answer(plane: np.ndarray, at: Params, size: int) -> Fit:
    even, odd = (wave[0] for wave in waves(at[None], size))
    parts = np.linalg.lstsq(np.stack([even, odd], 1), plane, rcond=None)[0]
    fitted = parts[0] * even + parts[1] * odd
    spread = float(((plane - plane.mean()) ** 2).sum())
    r2 = 1 - float(((plane - fitted) ** 2).sum()) / spread if spread > 0 else 0.0
    theta, wavelength, along, across = at[:4]
    phase = np.degrees(np.arctan2(abs(parts[1]), abs(parts[0])))
    return Fit(
        r2=r2,
        orientation=float(np.degrees(theta) % 180),
        wavelength=float(wavelength),
        sigmas=(float(along), float(across)),
        phase=float(phase),
        plane=fitted.reshape(size, size),
    )


def scores(kernels: np.ndarray, seed: int = 0) -> list[Fit]:
    """The fits of filters (F, channels, size, size), each by the plane that is left of its
    colour."""
    return list(_scores(kernels, seed))


def _scores(kernels: np.ndarray, seed: int) -> Iterator[Fit]:
    return _fits(np.stack([separate(kernel).plane for kernel in kernels]), seed)


def noise(size: int, channels: int = 3, count: int = NULL, seed: int = 0) -> np.ndarray:
    """That many filters (count, channels, size, size) of normal noise."""
    return np.random.default_rng(seed).normal(size=(count, channels, size, size))


def shuffled(kernels: np.ndarray, count: int = NULL, seed: int = 0) -> np.ndarray:
    """That many of the filters (F, channels, h, w) in turn, each with its pixels in another order:
    their values and colours stay, their shapes go."""
    filters, channels, height, width = kernels.shape
    random = np.random.default_rng(seed)
    flat = kernels.reshape(filters, channels, -1)
    drawn = [flat[i % filters][:, random.permutation(height * width)] for i in range(count)]
    return np.stack(drawn).reshape(count, channels, height, width)


@dataclass(frozen=True)
class Compared:
    """Fits of a layer's filters, in their order; of random and of shuffled ones, sorted R squared
    (n,)."""

    fits: tuple[Fit, ...]
    null: np.ndarray
    shuffled: np.ndarray

    def shares(self, bins: int) -> list[np.ndarray]:
        """(bins,) of each of the three: the share of its filters by R squared, 0 to 1."""
        found = np.array([each.r2 for each in self.fits]), self.null, self.shuffled
        edges = np.linspace(0, 1, bins + 1)
        return [np.histogram(each.clip(0, 1), edges)[0] / len(each) for each in found]


def compare(kernels: np.ndarray, count: int = NULL, seed: int = 0) -> Iterator[float | Compared]:
    """Fit filters (F, channels, size, size), `count` random and as many shuffled ones, a step at a
    time: the share that is done, and at the end what was found. Raises OptionError.

    What was found before comes at once.
    """
    given = digest(kernels)
    key = ("compared", kernels.shape, given, count, seed)
    if (known := _known.get(key)) is not None:
        yield known
        return
    if (count, seed) == (NULL, 0) and (shipped := measured.read(given)) is not None:
        yield _known.keep(key, unpacked(shipped))
        return
    for step in measure(kernels, count, seed):
        yield _known.keep(key, step) if isinstance(step, Compared) else step


def measure(kernels: np.ndarray, count: int = NULL, seed: int = 0) -> Iterator[float | Compared]:
    """The work of `compare` on filters (F, channels, size, size), whatever was found before."""
    _, channels, size, _ = kernels.shape
    drawn = ("null", size, channels, count, seed)
    chance = _known.get(drawn)
    work = [kernels, shuffled(kernels, count, seed)]
    if chance is None:
        work.append(noise(size, channels, count, seed))
    done, whole, found = 0, sum(map(len, work)), []
    for some in work:
        found.append([])
        for fit_ in _scores(some, seed):
            done += 1
            found[-1].append(fit_)
            yield done / whole
    fits, others = found[0], [np.sort([each.r2 for each in some]) for some in found[1:]]
    if chance is None:
        chance = _known.keep(drawn, others[1])
    yield Compared(tuple(fits), chance, others[0])


def digest(kernels: np.ndarray) -> str:
    """Of a layer's kernels (F, channels, h, w), by which `measured` knows them."""
    return sha256(np.ascontiguousarray(kernels, np.float32).data).hexdigest()[:24]


def packed(found: Compared) -> measured.Arrays:
    """As arrays, for `measured`."""
    fits = found.fits
    rows = [(e.r2, e.orientation, e.wavelength, *e.sigmas, e.phase) for e in fits]
    planes = np.stack([each.plane for each in fits]).astype(np.float32)
    return {
        "fits": np.array(rows), "planes": planes, "null": found.null, "shuffled": found.shuffled
    }  # fmt: skip


def unpacked(arrays: measured.Arrays) -> Compared:
    """What `packed` gave."""
    fits = tuple(
        Fit(r2, orientation, wavelength, (along, across), phase, plane)
        for (r2, orientation, wavelength, along, across, phase), plane in zip(
            arrays["fits"].tolist(), arrays["planes"], strict=True
        )
    )
    return Compared(fits, arrays["null"], arrays["shuffled"])


@dataclass(frozen=True)
class Verdict:
    """median: R squared of a layer's filters; chance: the median of random ones; high: the 95th
    percentile of chance; above: how many filters beat it; good: how many are Gabor filters, R
    squared at least `GOOD`; lucky: how many of those of chance, of which `tried` were fitted, are
    as good; claim: whether kernels of this size allow any. Chance is random filters, and shuffled
    ones where these were fitted; for `high`, whichever do better."""

    median: float
    chance: float
    high: float
    above: int
    good: int
    lucky: int
    tried: int
    claim: bool


def verdict(
    fits: Sequence[Fit], null: np.ndarray, size: int, shuffled: np.ndarray | None = None
) -> Verdict:
    """How the fits of a layer's filters, `size` pixels wide, compare with R squared (n,) of random
    ones, and of shuffled ones."""
    found = np.array([each.r2 for each in fits])
    nulls = [null] if shuffled is None else [null, shuffled]
    high = max(float(np.percentile(each, 95)) for each in nulls)
    return Verdict(
        median=float(np.median(found)),
        chance=float(np.median(null)),
        high=high,
        above=int((found > high).sum()),
        good=int((found >= GOOD).sum()),
        lucky=sum(int((each >= GOOD).sum()) for each in nulls),
        tried=sum(map(len, nulls)),
        claim=size >= LEAST,
    )
