"""Draws every unit of a layer: the tiles of the atlas under `assets/atlas/`.

    python -m training.atlas alexnet conv1 conv2 conv3 conv4 conv5 [--device cuda] [--batch 128]
    python -m training.atlas alexnet conv5 --units 151,174       # a few of them, to look at

Each tile is the drawing that the page's “Draw” makes of a channel, many of them in one batch, from
the same noise and shaken alike: so a tile depends on its unit, the recipe and the seed alone.
RUN/NETWORK-LAYER.npy grows batch by batch (uint8, units x side x side x 3), and a run that was
stopped goes on where it was. `assets/make_atlas.py` makes the sheets of them.

--weights names a file with a network's tensors, where the network itself can't be had.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from explainers import Network
from explainers.impressions.drawing import Drawing
from explainers.impressions.goals import Units
from explainers.impressions.knobs import Knobs
from explainers.settings import Settings
from explainers.units.receptive import field
from explainers.zoo import Zoo
from explainers.zoo.assembly import assemble
from explainers.zoo.catalogue import CATALOGUE, recipe
from explainers.zoo.checkpoint import read
from training.progress import progress

SIDE = 64  # pixels of a tile
LEAST, MOST = 32, 96  # pixels of the canvas
STEPS = 100


def knobs(network: Network, layer: str, steps: int = 0) -> Knobs:
    """The recipe for a layer: its canvas is a little larger than what its units see, and the
    smaller it is, the less it is turned and zoomed: early units know widths and directions."""
    seen = field(network, layer, network.size, network.size).x.size
    size = int(np.clip(round(1.3 * seen / 16) * 16, LEAST, MOST))
    share = size / MOST
    return Knobs(
        steps=steps or STEPS,
        size=size,
        start=max(size * 2 // 3, LEAST),
        rate=0.1,
        tv=0.15 * share,
        grey=0.1 / share,
        jitter=min(16 / share, 64),
        rotation=10 * share**2,
        scale=0.6 * share**2,
    )


def tiles(network: Network, layer: str, channels: Sequence[int], made: Knobs) -> np.ndarray:
    """(len(channels), SIDE, SIDE, 3) uint8: drawings of these channels, all at once."""
    drawing = Drawing(network, Units(layer, tuple(channels)), made)
    for _ in range(made.steps):
        drawing.step()
    size = (SIDE, SIDE)
    small = F.interpolate(drawing.picture(), size=size, mode="bicubic", antialias=True)
    return (small.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def draw(network: Network, layer: str, out: Path, batch: int, steps: int, which: str) -> None:
    """All units of a layer, or those in `which`, into OUT; goes on where it was stopped."""
    units = range(network.maps[layer].channels)
    units = [int(each) for each in which.split(",")] if which else list(units)
    made, path = knobs(network, layer, steps), out / f"{network.key}-{layer}.npy"
    kept = np.load(path) if path.exists() else np.empty((0, SIDE, SIDE, 3), np.uint8)
    first, start = len(kept), time.perf_counter()
    for begin in range(first, len(units), batch):
        part = tiles(network, layer, units[begin : begin + batch], made)
        kept = np.concatenate([kept, part])
        fresh = path.with_suffix(".new.npy")
        np.save(fresh, kept)
        fresh.replace(path)
        pace = (len(kept) - first) / (time.perf_counter() - start)
        note = f"{pace:.2f} units/s"
        progress(f"{network.key} {layer}", len(kept) / len(units), start, note)
    about = {"network": network.key, "layer": layer, "units": len(units), "knobs": asdict(made)}
    path.with_suffix(".json").write_text(json.dumps(about) + "\n", "utf-8")


def opened(key: str, weights: Path | None, device: str) -> Network:
    """A network of the catalogue, with the tensors of a file where one is given."""
    if weights is None:
        return Zoo(Settings(device=device)).get(key)
    entry = next(each for each in CATALOGUE if each.key == key)
    module = assemble(recipe(entry), read(weights, entry.title), entry.title, in_order=True)
    return Network.from_recipe(module, recipe(entry), key=key, title=entry.title, device=device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network")
    parser.add_argument("layers", nargs="+")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/atlas"))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=0, help="0: the recipe's own")
    parser.add_argument("--units", default="", help="numbers with commas; all, unless said")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.backends.cudnn.benchmark = True
    network = opened(args.network, args.weights, args.device)
    for layer in args.layers:
        draw(network, layer, args.out, args.batch, args.steps, args.units)


if __name__ == "__main__":
    main()
