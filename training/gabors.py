"""Measures the first layers that come with this repository, so that the Filters tab need not.

    python -m training.gabors

Fits Gabors to the filters, to random and to shuffled ones, and writes `assets/filters/`.
"""

from __future__ import annotations

import time

from explainers import filters, load
from explainers.filters import gabor, measured
from explainers.zoo.first import first_kernels
from training.progress import progress

SHIPPED = ("alexnet", "vgg16-coco")
BUNDLED = ("lite0",)


def main() -> None:
    layers = {key: first_kernels(key) for key in SHIPPED}
    for key in BUNDLED:
        network = load(key)
        layers[key] = filters.weights(network, next(iter(filters.convolutions(network)))).numpy()
    found = {}
    for key, kernels in layers.items():
        start = time.perf_counter()
        for step in gabor.measure(kernels):
            if isinstance(step, gabor.Compared):
                found[gabor.digest(kernels)] = gabor.packed(step)
                result = gabor.verdict(step.fits, step.null, kernels.shape[-1], step.shuffled)
                print(f"{key}: {result}")
            else:
                progress(key, step, start)
    measured.write(found)


if __name__ == "__main__":
    main()
