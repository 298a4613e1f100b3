"""The classics, AlexNet and VGG-16, under a head of their own for the 80 classes of COCO.

AlexNet: Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", as
torchvision has it; VGG-16: Simonyan and Zisserman 2015. Their convolutions learned from ImageNet;
in place of the fully connected layers stand convolutions that keep the places. Each layer goes by
its name in the literature (`conv5`, `conv5_3`) and hands out what comes behind its ReLU.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from ..network.heads import ContextHead, SpatialHead
from .coco_labels import COCO_LABELS

CLASSES = len(COCO_LABELS)
AVERAGE = 0.25  # its share of what the head pools


class Classic(nn.Module):
    """Layers that follow each other, by name, and a `SpatialHead` behind the last.

    Pixels (N, 3, H, W) -> logits (N, classes). trunk: names of the layers that came from ImageNet.
    context: a layer whose average the head reads, too.
    """

    trunk: tuple[str, ...]
    context = ""
    last_map: str

    def __init__(self, layers: dict[str, nn.Module], classes: int) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.order = tuple(layers)
        shown = [name for name in layers if name.startswith("conv")]
        self.last_map = shown[-1]
        self.feature_info = [{"module": name} for name in shown]
        channels = _channels(layers[self.last_map])
        if self.context:
            around = _channels(layers[self.context])
            self.both = nn.Identity()  # a name for the last map
            self.last_map = "both"
            self.head = ContextHead(around, channels, classes, average=AVERAGE)
        else:
            self.head = SpatialHead(channels, classes, average=AVERAGE)

    def maps(self, x: Tensor) -> Tensor:
        """What the head reads."""
        context = None
        for name in self.order:
            x = getattr(self, name)(x)
            if name == self.context:
                context = x
        return x if context is None else self.both(torch.cat([context, x], 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x))


class AlexNet(Classic):
    """64 filters of 11 x 11, five layers; 224 x 224 pixels make 13 x 13 places of `conv5`."""

    trunk = ("conv1", "conv2", "conv3", "conv4", "conv5")
    context = "conv5"

    def __init__(self, classes: int = CLASSES) -> None:
        layers = {
            "conv1": _rectified(nn.Conv2d(3, 64, 11, stride=4, padding=2)),
            "pool1": nn.MaxPool2d(3, 2),
            "conv2": _rectified(nn.Conv2d(64, 192, 5, padding=2)),
            "pool2": nn.MaxPool2d(3, 2),
            "conv3": _rectified(nn.Conv2d(192, 384, 3, padding=1)),
            "conv4": _rectified(nn.Conv2d(384, 256, 3, padding=1)),
            "conv5": _rectified(nn.Conv2d(256, 256, 3, padding=1)),
            "conv6": _rectified(nn.Conv2d(256, 512, 3, padding=2, dilation=2)),
            "conv7": _rectified(nn.Conv2d(512, 384, 3, padding=1)),
        }
        super().__init__(layers, classes)


class VGG16(Classic):
    """Thirteen layers of 3 x 3 in five blocks, and one more to 512 channels in two factors, which
    keeps it small. The last pool is left out, as Zhou et al. 2016 left it out for CAM: 28 x 28
    places for 448 x 448 pixels."""

    trunk = tuple(f"conv{block}_{n}" for block in range(1, 6) for n in range(1, 3 + (block > 2)))

    def __init__(self, classes: int = CLASSES) -> None:
        layers: dict[str, nn.Module] = {}
        for block, (before, width) in enumerate(pairwise((3, 64, 128, 256, 512, 512)), 1):
            names = [name for name in self.trunk if name.startswith(f"conv{block}_")]
            for name in names:
                layers[name] = _rectified(nn.Conv2d(before, width, 3, padding=1))
                before = width
            layers[f"pool{block}"] = nn.MaxPool2d(2)
        del layers["pool5"]
        layers["squeeze"] = nn.Conv2d(512, 192, 1)
        layers["conv6"] = _rectified(nn.Conv2d(192, 512, 3, padding=2, dilation=2))
        super().__init__(layers, classes)


def _rectified(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.ReLU())


def _channels(layer: nn.Sequential) -> int:
    return layer[0].out_channels
