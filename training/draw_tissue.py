"""Draw tissue to try the Patches tab on: python -m training.draw_tissue --out assets/tissue

No patient's tissue is in it: glands, nuclei and fibres are ellipses and noise, mixed from the two
stains as light goes through them. Orderly glands with goblet cells stand for benign colon, crowded
nuclei of many sizes for malignant. The drawings are the project's own, free to use.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from explainers.render import jpeg

from .stain import HED

Pair = tuple[float, float] | np.ndarray

SIDE = 448  # pixels: 64 patches of 56
QUALITY = 96  # JPEG artefacts move the head: benign reads 0.66 at 90
EXAMPLES = {"benign": (8, 0.0), "one-corner": (2, 0.14), "half": (3, 0.5), "malignant": (4, 1.0)}


def draw(seed: int, share: float, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """A canvas (side, side, 3) uint8 and where it is malignant, (side, side) bool.

    share: how much of it is malignant, 0 to 1, a blob that grows out of the lower right.
    """
    rng = np.random.default_rng(seed)
    benign, malignant = _benign(rng, side), _malignant(rng, side)
    y, x = np.mgrid[:side, :side] / side
    wavy = np.hypot(1.05 - x, 1.05 - y) + 0.12 * _noise(rng, side, 60)
    where = wavy <= np.quantile(wavy, share) if share > 0 else np.zeros_like(wavy, dtype=bool)
    soft = cv2.GaussianBlur(where.astype(np.float32), (0, 0), 2)[..., None]
    stains = benign * (1 - soft) + malignant * soft
    stains = cv2.GaussianBlur(stains, (0, 0), 0.9)
    light = np.exp(-(stains @ HED[:2])) * 255
    return np.clip(light, 0, 255).astype(np.uint8), where


def _noise(rng: np.random.Generator, side: int, grain: float) -> np.ndarray:
    """Smooth noise (side, side), mean 0 and spread 1, blobs of about `grain` px."""
    field = cv2.GaussianBlur(rng.normal(size=(side, side)).astype(np.float32), (0, 0), grain)
    return (field - field.mean()) / field.std()


def _ellipse(stains: np.ndarray, centre: Pair, axes: Pair, turn: float, amounts: Pair) -> None:
    """One filled ellipse; turn in radians, amounts of haematoxylin and eosin."""
    where, size = (tuple(int(v * 16) for v in pair) for pair in (centre, axes))  # sixteenths
    cv2.ellipse(stains, where, size, np.degrees(turn), 0, 360, amounts, -1, cv2.LINE_8, 4)


def _benign(rng: np.random.Generator, side: int) -> np.ndarray:
    """Round glands in loose tissue: (side, side, 2) amounts of haematoxylin and eosin."""
    fibres = np.clip(_noise(rng, side, 3) * 0.5 + _noise(rng, side, 8) * 0.5, -1, 2)
    stains = np.dstack([0.12 + 0.05 * fibres, 0.3 + 0.35 * fibres]).astype(np.float32)
    stains = np.clip(stains, 0.02, None)
    for _ in range(side * side // 140):  # small round cells and spindles between the glands
        axes = (rng.uniform(1.4, 2.4), rng.uniform(2.2, 5.5))
        amounts = (rng.uniform(0.9, 1.4), 0.3)
        _ellipse(stains, rng.uniform(0, side, 2), axes, rng.uniform(0, np.pi), amounts)
    step = 112
    for row, y in enumerate(np.arange(20, side + step, step * 0.87)):
        for x in np.arange(10 + (row % 2) * step / 2, side + step, step):
            _gland(stains, np.array([x, y]) + rng.normal(0, 5, 2), rng.uniform(43, 52), rng)
    return stains


def _gland(stains: np.ndarray, centre: np.ndarray, radius: float, rng: np.random.Generator) -> None:
    """A crypt cut across: nuclei at the rim, goblet cells full of pale mucus, a narrow lumen."""
    squeeze, turn = rng.uniform(0.82, 1.0), rng.uniform(0, np.pi)
    axes = np.array([radius, radius * squeeze])

    def at(share: float, angle: float) -> np.ndarray:
        x, y = axes * share * (np.cos(angle), np.sin(angle))
        turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        return centre + turned @ (x, y)

    _ellipse(stains, centre, axes + 3, turn, (0.05, 0.18))
    _ellipse(stains, centre, axes, turn, (0.22, 0.16))
    count = int(radius * 0.75)
    for angle in np.arange(count) * 2 * np.pi / count + rng.normal(0, 0.04, count):
        amounts = (rng.uniform(1.0, 1.5), 0.3)
        _ellipse(stains, at(0.93, angle), (4.2, 1.4), angle + turn, amounts)
    for share, cells, size in ((0.66, 14, (10, 6.5)), (0.36, 9, (7, 5))):
        for angle in np.arange(cells) * 2 * np.pi / cells + rng.normal(0, 0.06, cells):
            mucus = (rng.uniform(0.03, 0.1), rng.uniform(0.02, 0.08))
            _ellipse(stains, at(share, angle), size, angle + turn, mucus)
    _ellipse(stains, centre, (radius * 0.12, radius * 0.07), turn, (0.02, 0.02))


def _malignant(rng: np.random.Generator, side: int) -> np.ndarray:
    """Crowded, large, uneven nuclei in sheets, with ragged gaps."""
    ground = _noise(rng, side, 6)
    stains = np.dstack([0.3 + 0.08 * ground, 0.3 + 0.08 * _noise(rng, side, 10)])
    stains = stains.astype(np.float32)
    points = rng.uniform(-5, side + 5, (side * side // 90, 2))
    for centre in points:
        long = rng.uniform(4, 7.5)
        short, turn = long * rng.uniform(0.55, 0.9), rng.uniform(0, np.pi)
        rim, inside = rng.uniform(0.75, 1.1), rng.uniform(0.4, 0.8)
        _ellipse(stains, centre, (long, short), turn, (rim, 0.35))
        _ellipse(stains, centre, (long - 1.3, short - 1.3), turn, (inside, 0.32))
        for _ in range(rng.integers(1, 3)):
            spot = centre + rng.normal(0, long * 0.25, 2)
            _ellipse(stains, spot, (1.2, 1.2), 0, (1.4, 0.4))
    gaps = _noise(rng, side, 9) > 1.9
    stains[gaps] = (0.03, 0.03)
    return stains


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, (seed, share) in EXAMPLES.items():
        (args.out / f"{name}.jpg").write_bytes(jpeg(draw(seed, share)[0], QUALITY))


if __name__ == "__main__":
    main()
