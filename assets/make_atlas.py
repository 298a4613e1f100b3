"""Makes the sheets of the atlas out of what `training/atlas.py` drew:

    python -m assets.make_atlas runs/atlas

Only layers that are finished get a sheet; `assets/atlas/index.json` lists them with their recipes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from explainers.units.atlas import FOLDER

COLUMNS = 16
QUALITY = 86


def sheet(tiles: np.ndarray, columns: int = COLUMNS) -> np.ndarray:
    """(N, S, S, 3) -> rows of tiles, grey where there are none left."""
    count, side = tiles.shape[:2]
    rows = -(-count // columns)
    whole = np.full((rows * columns, side, side, 3), 128, np.uint8)
    whole[:count] = tiles
    grid = whole.reshape(rows, columns, side, side, 3).swapaxes(1, 2)
    return grid.reshape(rows * side, columns * side, 3)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    index = FOLDER / "index.json"
    listed = json.loads(index.read_text("utf-8")) if index.exists() else []
    listed = {(each["network"], each["layer"]): each for each in listed}
    for about in sorted(Path(sys.argv[1]).glob("*.json")):  # written at a layer's end
        each, tiles = json.loads(about.read_text("utf-8")), np.load(about.with_suffix(".npy"))
        each |= {"columns": COLUMNS, "side": tiles.shape[1]}
        path = FOLDER / f"{each['network']}-{each['layer']}.webp"
        Image.fromarray(sheet(tiles)).save(path, quality=QUALITY, method=6)
        listed[each["network"], each["layer"]] = each
    lines = ",\n".join(json.dumps(listed[key]) for key in sorted(listed))
    index.write_text(f"[\n{lines}\n]\n", "utf-8")
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    units = sum(each["units"] for each in listed.values())
    print(f"{len(listed)} sheets of {units} units, {size / 1e6:.2f} MB in all")


if __name__ == "__main__":
    main()
