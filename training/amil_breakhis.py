"""A-MIL on BreakHis, for who has it: python -m training.amil_breakhis --data DIR

BreakHis (Spanhol et al. 2016) is breast tissue at four magnifications, 700 x 460 px PNGs named
like SOB_M_DC-14-2523-100-001.png: benign or malignant, kind of tumour, year and slide of the
patient, magnification, number. One head is trained for each magnification, and no patient is on two
sides of a split. The data set is not shipped, and neither are heads trained on it.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from explainers import zoo
from explainers.errors import OptionError
from explainers.network import Network

from .amil import evaluate, features, fit_head, save_head
from .amil_colon import arguments
from .bags import Bank, hold_out

GRID = (8, 12)  # patches of 57 x 58 px
NAME = re.compile(
    r"SOB_(?P<label>[BM])_[A-Z]+-(?P<patient>\d+-[0-9A-Z]+)-(?P<zoom>40|100|200|400)-\d+\.png"
)


@dataclass(frozen=True)
class Slides:
    """The images of one magnification: paths, labels (malignant), patients."""

    paths: list[Path]
    labels: np.ndarray
    patients: np.ndarray


def find(folder: Path, zoom: int) -> Slides:
    """Every image of that magnification under `folder`; raises OptionError if a class is absent."""
    named = ((path, NAME.fullmatch(path.name)) for path in sorted(folder.rglob("SOB_*.png")))
    found = [(path, name) for path, name in named if name and int(name["zoom"]) == zoom]
    labels = np.array([name["label"] == "M" for _, name in found], dtype=bool)
    if not 0 < labels.sum() < len(labels):
        raise OptionError(
            f"There are no benign and malignant BreakHis images at {zoom}x there: name its folder."
        )
    return Slides([path for path, _ in found], labels, np.array([n["patient"] for _, n in found]))


def set_aside(slides: Slides, among: np.ndarray, seed: int) -> np.ndarray:
    """(images,) bool: all images of a fifth of the patients of each class in `among`."""
    patients: set[str] = set()
    for kind in (False, True):
        of_kind = slides.patients[among & (slides.labels == kind)]
        patients |= set(of_kind[hold_out(of_kind, 0.2, seed)])
    return among & np.isin(slides.patients, sorted(patients))


def train(slides: Slides, zoom: int, network: Network, args: argparse.Namespace) -> dict:
    """Train and save the head of one magnification; returns its figures on held-out patients."""
    cache = args.cache / f"{zoom}x" if args.cache else None
    copies = range(args.copies + 1)
    patches = np.stack([features(network, slides.paths, n, GRID, cache) for n in copies])
    bank = Bank(patches, slides.labels, slides.patients)
    test = set_aside(slides, np.ones(len(slides.labels), dtype=bool), args.seed)
    head, held_out = fit_head(bank.take(~test), args, f"breakhis-{zoom}"), bank.take(test)
    figures = evaluate(head, held_out.patches[0], held_out.labels)
    patients = sorted(set(slides.patients[test].tolist()))
    about = {"magnification": zoom, "test_patients": patients, "figures": figures}
    save_head(head, args.out / f"{zoom}x", 57, **about)
    return figures


def main(given: list[str] | None = None) -> None:
    parser = arguments(__doc__.splitlines()[0], Path("weights/amil-breakhis"))
    parser.add_argument("--zoom", type=int, nargs="+", choices=(40, 100, 200, 400))
    args = parser.parse_args(given)
    network = zoo.load("lite0")
    for zoom in args.zoom or (40, 100, 200, 400):
        print(f"{zoom}x", train(find(args.data, zoom), zoom, network, args))


if __name__ == "__main__":
    main()
