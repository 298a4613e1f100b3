"""Ask networks about all reference photos, and keep what they answer beside these.

    python -m assets.make_answers alexnet lite0

For other networks the page asks when that is wanted. To be run anew when photos or weights change.
"""

from __future__ import annotations

import argparse

from explainers import load
from explainers.units.reference import FOLDER, references
from explainers.units.shipped import save
from explainers.units.strongest import Survey


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="+", help="keys, such as lite0")
    for key in parser.parse_args().networks:
        network, survey = load(key), Survey(references(), budget=float("inf"))
        while not survey.over:
            survey.step(network)
        path = FOLDER / f"{key}.npz"
        save(survey.answers(), path)
        took = f"{survey.seconds:.0f} s, {path.stat().st_size:,} bytes"
        print(f"{key}: {survey.asked} photos, {len(survey.values)} layers, {took}")


if __name__ == "__main__":
    main()
