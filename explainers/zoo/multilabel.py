"""Networks with one sigmoid per class, for the 80 classes of COCO: what timm does not build.

Each hands over logits (N, 80) for inputs (N, 3, H, W) whose sides are multiples of 32.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..network.heads import SpatialHead
from .classics import VGG16, AlexNet
from .coco_labels import COCO_LABELS
from .nano import Nano

CLASSES = len(COCO_LABELS)


class SpatialLite(nn.Module):
    """EfficientNet-Lite2's trunk under a `SpatialHead`: ReLU6 only, so guided backprop holds."""

    last_map = "trunk.bn2"

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.trunk = timm.create_model("tf_efficientnet_lite2", num_classes=0, global_pool="")
        self.head = SpatialHead(self.trunk.num_features, classes)
        stages = self.trunk.feature_info
        self.feature_info = [{"module": f"trunk.{stage['module']}"} for stage in stages]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))


class LiteWithDetector(SpatialLite):
    """The same trunk beside a small detector, which saw many more photos of these classes than the
    trunk did, under one head: it reads the trunk's maps and how sure the detector is of each class.
    """

    last_map = "both"

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__(classes)
        self.detector = Nano(classes)
        self.both = nn.Identity()  # a name for the last map
        self.head = SpatialHead(self.trunk.num_features + classes, classes)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.trunk(x)
        return self.head(self.both(torch.cat([maps, self.detector(x, maps.shape[2:])], 1)))


class MaxPooledVGG(nn.Module):
    """The survey author's network: VGG-16's first four blocks, a 3 x 3 convolution to 512 channels,
    global max pooling and one linear layer; 448 x 448 input."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        widths = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0)
        layers: list[nn.Module] = []
        channels = 3
        for width in widths:
            if width:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.feature_info = [{"module": f"features.{n}"} for n in (3, 8, 15, 22)]
        self.conv = nn.Conv2d(512, 512, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.classifier = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.act(self.conv(self.features(x))).amax((2, 3)))


def _leaky(inputs: int, outputs: int, size: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, size, padding=size // 2)
    return nn.Sequential(conv, nn.LeakyReLU(0.1))


class YoloTiny(nn.Module):
    """Darknet's YOLOv3-tiny (Redmon and Farhadi 2018), BatchNorm folded into the convolutions.

    Both heads read `neck`: the coarse one alone, the fine one beside an earlier map. A class's
    logit is that of its best cell: probability = objectness x class probability there.
    Pixels are RGB in 0..1.
    """

    last_map = "neck"

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.classes = classes
        widths = (3, 16, 32, 64, 128, 256, 512, 1024)
        self.trunk = nn.ModuleList(_leaky(a, b, 3) for a, b in pairwise(widths))
        self.halve, self.slide = nn.MaxPool2d(2), nn.MaxPool2d(2, 1)
        self.neck = _leaky(1024, 256, 1)
        self.coarse = nn.Sequential(*_leaky(256, 512, 3), nn.Conv2d(512, 3 * (classes + 5), 1))
        self.lift = _leaky(256, 128, 1)
        self.fine = nn.Sequential(*_leaky(384, 256, 3), nn.Conv2d(256, 3 * (classes + 5), 1))
        self.feature_info = [{"module": f"trunk.{n}"} for n in range(len(self.trunk))]

    def heads(self, x: Tensor) -> dict[int, Tensor]:
        """x (N, 3, H, W) -> stride -> raw predictions (N, 3 anchors, classes + 5, h, w)."""
        route = x
        for number, layer in enumerate(self.trunk):
            x = layer(x)
            if number == 4:
                route = x
            if number < 5:
                x = self.halve(x)
            elif number == 5:  # stride 1: padded below and to the right, as Darknet does
                x = self.slide(F.pad(x, (0, 1, 0, 1), value=float("-inf")))
        x = self.neck(x)
        up = F.interpolate(self.lift(x), scale_factor=2.0, mode="nearest")
        found = {32: self.coarse(x), 16: self.fine(torch.cat([up, route], 1))}
        return {stride: raw.unflatten(1, (3, -1)) for stride, raw in found.items()}

    @staticmethod
    def scores(raw: Tensor) -> Tensor:
        """Raw predictions -> logits of objectness x class, (N, anchors, classes, h, w).

        1/p - 1 = e^-o + e^-c + e^-(o+c) for p = sigmoid(o) sigmoid(c): no rounding to 0 or 1.
        """
        objectness, classes = raw[:, :, 4:5], raw[:, :, 5:]
        parts = torch.stack([-objectness.expand_as(classes), -classes, -objectness - classes])
        return -parts.logsumexp(0)

    def forward(self, x: Tensor) -> Tensor:
        best = [self.scores(raw).amax((1, 3, 4)) for raw in self.heads(x).values()]
        return torch.stack(best).amax(0)


BUILDERS: dict[str, Callable[[int], nn.Module]] = {
    "coco80_lite2": LiteWithDetector,
    "yolov3_tiny": YoloTiny,
    "coco80_alexnet": AlexNet,
    "coco80_vgg16": VGG16,
    "vgg16_gmp": MaxPooledVGG,
}
