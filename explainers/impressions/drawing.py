"""One impression in the making: a canvas, a goal, an optimiser, a step at a time."""

from __future__ import annotations

import math
from contextlib import nullcontext

import cv2
import numpy as np
import torch
from torch import Tensor

from ..network import Network
from ..network.folding import folded
from ..photo import Photo
from . import masks, shaking
from .goals import Classes, Goal, Units, check_colours
from .images import CANVASES, Canvas, Fourier
from .knobs import Knobs
from .priors import BatchNormPrior, total_variation

WARM_UP = 0.3  # of the steps: a saliency-driven impression starts as a plain one
EVERY = 8  # steps between looks at where the object is
MEMORY = 0.9  # of the running mean of saliency
PULL = 2.0  # outside of the mask, times the distance from grey or the photo


COARSE = 6.0  # cycles a side: what a photo is made of below stays
NEAR = 20.0  # the pull to the photo, half-way


class Drawing:
    """Draws one goal, or many units at once, a picture each. Nothing of the network is changed,
    and nothing is held between steps but the pictures, the optimiser's moments and a saliency map.

    photo: to start from, in place of noise; its middle square is drawn on, and what else pulls to
    grey pulls back to it (feature accentuation: Hamblin et al. 2024). home: (1, 3, S, S), that
    square.
    mask: (S, S) in 0..1 once a saliency-driven drawing has found its object, else None.
    """

    def __init__(
        self,
        network: Network,
        goal: Goal,
        knobs: Knobs,
        *,
        driven: bool = False,
        photo: Photo | None = None,
    ) -> None:
        check_colours(network)
        self.network, self.goal, self.knobs, self.driven = network, goal, knobs, driven
        self.generator = torch.Generator().manual_seed(knobs.seed)
        self.sizes = knobs.sizes(network)
        count = len(goal.channels) if isinstance(goal, Units) else 1
        self.home: Tensor | None = None
        self.canvas: Canvas
        if photo is None:
            self.canvas = CANVASES[knobs.canvas](
                self.sizes[0], self.generator, network.device, count
            )
        else:
            self.home = fitted(photo, self.sizes[0]).to(network.device)
            self.canvas = Fourier.of(self.home, COARSE)
        self.taken = 0
        self.mask: np.ndarray | None = None
        self._saliency: np.ndarray | None = None
        self._optimiser = self._fresh()

    def _fresh(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            self.canvas.parameters, lr=self.knobs.rate, betas=(0.9, 0.99), fused=True
        )

    @torch.no_grad()
    def picture(self) -> Tensor:
        """(N, 3, S, S) in 0..1."""
        return self.canvas.picture().clamp(0, 1)

    def size(self) -> int:
        """Pixels of the side at this point of the way."""
        return self.knobs.side(self.sizes, self.taken)

    def step(self) -> None:
        """One step up."""
        knobs, size = self.knobs, self.size()
        if size != self.canvas.size:
            self.canvas = self.canvas.grown(size)
            self._optimiser = self._fresh()
        with torch.enable_grad():
            picture = self.canvas.picture()
            gradient = self._gradient(picture.detach().requires_grad_())
            found = torch.autograd.grad(picture, self.canvas.parameters, gradient)
        for parameter, each in zip(self.canvas.parameters, found, strict=True):
            parameter.grad = each.contiguous()  # fused Adam takes other strides for the same
        for group in self._optimiser.param_groups:
            group["lr"] = knobs.rate * self._pace() * (1.0 if self.home is None else knobs.far)
        self._optimiser.step()
        self.canvas.settle()
        self.taken += 1

    def _pace(self) -> float:
        """The share of the learning rate at this point: a short rise, then half a cosine."""
        done = self.taken / max(self.knobs.steps, 1)
        return min(1.0, (self.taken + 1) / 8) * (0.08 + 0.92 * (1 + math.cos(math.pi * done)) / 2)

    def _gradient(self, pixels: Tensor) -> Tensor:
        """Which way down the loss is for each pixel, (N, 3, S, S)."""
        knobs, size = self.knobs, pixels.shape[-1]
        shake = shaking.draw(knobs.ranges(), knobs.crops, size, self.generator)
        shaken = shaking.apply(pixels, shake, size)
        inputs = self._uphill(self.network.normalised(shaken))
        gradient = torch.autograd.grad(shaken, pixels, inputs)[0]
        if self.driven:
            gradient = self._inside(pixels, gradient)
        away = self._away(pixels)
        rough = total_variation(away).sum() * (knobs.tv * pixels[0].numel())
        pull = knobs.grey if self.home is None else NEAR * (1 - knobs.far) / knobs.far
        return gradient + torch.autograd.grad(rough, pixels)[0] + away.detach() * pull

    def _away(self, pixels: Tensor) -> Tensor:
        """How far each pixel is from where nothing drives it: from grey, or the photo."""
        return pixels - (0.5 if self.home is None else self.home)

    def _uphill(self, x: Tensor) -> Tensor:
        """The gradient of the loss at the shaken copies, of mean size one for each picture."""
        knobs, inputs = self.knobs, x.detach().requires_grad_()
        if isinstance(self.goal, Classes) and not knobs.statistics:
            module = folded(self.network.module, self.network.size)
            loss = -self.goal.score(module(inputs.clone())).mean()
        else:
            prior = BatchNormPrior(knobs.every, self.taken % knobs.every)
            with prior if knobs.statistics else nullcontext():
                score, recording = self.goal.reach(self.network, x, inputs=True)
            loss, inputs = -score.mean(), recording.inputs
            if (apart := prior.value()) is not None:
                loss = loss + knobs.statistics * apart
        gradient = torch.autograd.grad(loss, inputs)[0]
        strength = gradient.unflatten(0, (knobs.crops, -1)).abs().mean((0, 2, 3, 4))
        strength = strength.clamp(min=1e-12).repeat(knobs.crops)[:, None, None, None]
        return gradient / strength / knobs.crops

    def _inside(self, pixels: Tensor, gradient: Tensor) -> Tensor:
        """Saliency-driven: the logit where the object is; elsewhere a pull home."""
        strength = gradient[0].abs().amax(0).cpu().numpy()
        before = self._saliency
        if before is None:
            self._saliency = strength
        else:
            if before.shape != strength.shape:
                before = cv2.resize(before, strength.shape[::-1], interpolation=cv2.INTER_LINEAR)
            self._saliency = MEMORY * before + (1 - MEMORY) * strength
        if self.taken < WARM_UP * self.knobs.steps:
            return gradient
        if self.mask is None or self.taken % EVERY == 0 or self.mask.shape != strength.shape:
            self.mask = masks.soft(self._saliency)
        inside = torch.from_numpy(self.mask).to(pixels)
        return inside * gradient + (1 - inside) * self._away(pixels.detach()) * PULL


def fitted(photo: Photo, size: int) -> Tensor:
    """(1, 3, size, size) in 0..1: the middle square of a photo."""
    height, width = photo.pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = photo.pixels[top : top + side, left : left + side]
    how = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    small = cv2.resize(square, (size, size), interpolation=how)
    return torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255
