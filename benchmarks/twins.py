"""Are maps that are made at the same time those that are made alone, bit for bit?

    python benchmarks/twins.py [--maps 1000] [--threads 8]

Eight architectures with seeded random weights, photos of three shapes, every method of one pass,
networks, photos, methods and classes drawn at random. Ends with a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests import nets, twins  # noqa: E402
from training.progress import each  # noqa: E402

ARCHS = (
    "resnet18",
    "resnet50",
    "vgg16",
    "densenet121",
    "tf_efficientnet_lite0",
    "tf_efficientnet_lite2",
    "mobilenetv2_100",
    "regnetx_002",
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--maps", type=int, default=1000)
    options.add_argument("--threads", type=int, default=8)
    chosen = options.parse_args()
    networks = [nets.seeded(arch, size=96) for arch in each(ARCHS, "networks")]
    photos = [nets.noise(1, 3, 96, 96 + 32 * (seed % 3), seed=seed) for seed in range(9)]
    since = time.monotonic()
    wanted = twins.wishes(networks, len(photos), chosen.maps)
    wrong = twins.unequal(networks, photos, wanted, chosen.threads, each)
    for wish in wrong[:10]:
        print(ARCHS[wish.network], wish)
    answer = {"maps": len(wanted), "networks": len(ARCHS), "unequal": len(wrong)}
    print(json.dumps(answer | {"seconds": round(time.monotonic() - since)}))


if __name__ == "__main__":
    main()
