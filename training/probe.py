"""A head for the multi-label network in closed form, before anything is fine-tuned.

Fine-tuning under a random head spoils a good trunk (Kumar et al. 2022, "Fine-Tuning can Distort
Pretrained Features"), so the head comes first: ridge regression from the trunk's mean features in
windows of each photo to the logits believed of them, shrunk not towards zero but towards the
ImageNet classes that are kin to the class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from explainers import Network
from explainers.zoo.coco_labels import COCO_LABELS
from explainers.zoo.multilabel import SpatialLite
from training import coco
from training.coco_imagenet import kin
from training.progress import each
from training.views import STRIDE

MEAN, STD = 0.5, 0.5  # what the bundled trunk was trained with
SIDE = 384  # the shorter side at which the page shows photos; training views are smaller
RIDGE = 2.0  # penalty for each standardised feature and row
WINDOWS = ((1, 1.0), (2, 0.6), (3, 1 / 3))  # of a photo: so many each way, of this share each
LEVELLED = 200  # photos on which pooled logits are put level with what is believed


def fitted(pixels: np.ndarray) -> Tensor:
    """The whole photo (1, 3, H, W) with its shorter side at SIDE, as the page prepares it."""
    grow = SIDE / min(pixels.shape[:2])
    tall, wide = (max(round(side * grow / STRIDE), 1) * STRIDE for side in pixels.shape[:2])
    pixels = cv2.resize(pixels, (wide, tall), interpolation=cv2.INTER_AREA)
    return seen(torch.from_numpy(pixels)[None])


def seen(pixels: Tensor) -> Tensor:
    """Pixels (N, H, W, 3) in 0..255 as the trunk gets them: (N, 3, H, W)."""
    x = (pixels.permute(0, 3, 1, 2).float() / 255 - MEAN) / STD
    return x.contiguous(memory_format=torch.channels_last)


def regression(
    features: Tensor, wanted: Tensor, prior: Tensor, ridge: float = RIDGE
) -> tuple[Tensor, Tensor]:
    """Weights (classes, C) and biases for features (n, C) and logits (n, classes).

    prior (classes, C): a direction for each class, zeros for none; how far to go along it is fitted
    for each class alone, and what it leaves is fitted by ridge regression.
    """
    middle, spread = features.mean(0), features.std(0) + 1e-3
    x = (features - middle) / spread
    level = wanted.mean(0)
    rest = wanted - level
    start = prior.T * spread[:, None]
    along = x @ start
    gain = (rest * along).sum(0) / along.square().sum(0).clamp(min=1e-9)
    start = start * gain.clamp(min=0)
    square = x.T @ x + ridge * len(x) * torch.eye(x.shape[1])
    weights = start + torch.linalg.solve(square, x.T @ (rest - x @ start))
    weights = (weights / spread[:, None]).T
    return weights, level - weights @ middle


def kinship(imagenet: Network) -> Tensor:
    """(80, C): for each COCO class the mean weights of its kin in ImageNet's classifier, less the
    mean over all classes; zeros where there are none."""
    rows = imagenet.module.get_classifier().weight.detach()
    found = [kin(name, imagenet.labels) for name in COCO_LABELS]
    return torch.stack(
        [rows[ids].mean(0) - rows.mean(0) if ids else torch.zeros(rows.shape[1]) for ids in found]
    )


def windows(maps: Tensor, beliefs: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
    """The mean features (C,) of windows of a map (C, h, w), and the highest of the beliefs
    (80, H, W) in each (80,)."""
    tall, wide = maps.shape[1:]
    logits = F.adaptive_max_pool2d(torch.from_numpy(beliefs.astype(np.float32)), (tall, wide))
    for count, share in WINDOWS:
        starts = [number * (1 - share) / max(count - 1, 1) for number in range(count)]
        for top, left in product(starts, starts):
            cut = (slice(None), _cells(top, share, tall), _cells(left, share, wide))
            yield maps[cut].mean((1, 2)), logits[cut].amax((1, 2))


def _cells(start: float, share: float, count: int) -> slice:
    first = min(round(start * count), count - 1)
    return slice(first, max(round((start + share) * count), first + 1))


@torch.no_grad()
def fit(
    network: SpatialLite,
    items: Sequence[coco.Item],
    beliefs: Sequence[np.ndarray],
    prior: Tensor,
) -> None:
    """Fit the network's head to what is believed of the photos, (80, h, w) each; prior: see
    `regression`."""
    pairs = []
    for item, believed in each(list(zip(items, beliefs, strict=True)), "features"):
        pairs += windows(network.trunk(fitted(coco.read(item.path)))[0], believed)
    features, wanted = (torch.stack(column) for column in zip(*pairs, strict=True))
    weights, biases = regression(features, wanted, prior)
    network.head.cells.weight.copy_(weights[:, :, None, None])
    network.head.cells.bias.copy_(biases)


@torch.no_grad()
def level(
    bias: Tensor,
    items: Sequence[coco.Item],
    beliefs: Sequence[np.ndarray],
    answer: Callable[[np.ndarray], Tensor],
) -> None:
    """Shift the classes' bias so that their logits, (1, 80) that `answer` makes of a photo's
    pixels, are right on average over some photos."""
    some = range(0, len(items), max(len(items) // LEVELLED, 1))
    off = [
        answer(coco.read(items[n].path))[0].cpu()
        - torch.from_numpy(beliefs[n].max((1, 2)).astype(np.float32))
        for n in some
    ]
    bias.sub_(torch.stack(off).mean(0).to(bias.device))
