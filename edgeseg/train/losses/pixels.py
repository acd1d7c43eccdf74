"""Losses that judge each pixel by itself: cross entropy, plain or weighted, and the focal loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edgeseg.errors import UsageError
from edgeseg.train.distance import separation
from edgeseg.train.losses.batch import Batch

TINY = 1e-6


@dataclass(frozen=True)
class CrossEntropy:
    """Mean over the known pixels, weighted by the class weights.

    border  pixels near a border count more: 1 + `extra` within `radius` pixels of it, by pooling; quick
    unet    pixels between two things that lie close count more: 1 + `w0` exp(-(d1 + d2)^2 / 2 `sigma`^2), with the distances
            to both (Ronneberger et al. 2015, equation 2). A person alone has no such pixels; `border` is for that
    """

    border: bool = False
    unet: bool = False
    extra: float = 3.0
    radius: int = 3
    w0: float = 10.0
    sigma: float = 5.0

    def __post_init__(self) -> None:
        if self.sigma <= 0 or self.radius < 1:
            raise UsageError(f"ce needs sigma above 0 and radius of 1 or more, got {self.sigma:g} and {self.radius}")

    def __call__(self, batch: Batch) -> Tensor:
        weights = batch.weights
        if self.border:
            weights = weights * border_weights(batch, self.extra, self.radius)
        if self.unet:
            weights = weights * separation_weights(batch, self.w0, self.sigma)
        if batch.binary:
            each = F.binary_cross_entropy_with_logits(batch.logits, batch.truth.clamp(min=0), reduction="none")
        else:
            each = F.cross_entropy(batch.logits, batch.truth, ignore_index=255, reduction="none")[:, None]
        return (each * weights).sum() / weights.sum().clamp(min=TINY)


@dataclass(frozen=True)
class Focal:
    """(1 - p)^gamma times the cross entropy, p being the probability of what is true: pixels that are right already count
    little (Lin et al. 2017). Weighted by the class weights.

    alpha  weight of the positive class, 1 - alpha that of the background; two classes only. 0: both count 1
    """

    gamma: float = 2.0
    alpha: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < 1:
            raise UsageError(f"focal needs alpha from 0 to below 1, got {self.alpha:g}")

    def __call__(self, batch: Batch) -> Tensor:
        x, t = batch.logits, batch.target
        if batch.binary:
            yes, no = (self.alpha, 1 - self.alpha) if self.alpha else (1.0, 1.0)
            p = x.sigmoid()
            each = yes * t * self._ease(1 - p) * F.softplus(-x) + no * (1 - t) * self._ease(p) * F.softplus(x)
        elif self.alpha:
            raise UsageError("alpha of focal is for two classes; weigh several with --class-weights")
        else:
            log_p = (x.log_softmax(1) * t).sum(1, keepdim=True)  # of the true class; 0 where it is not known
            each = -self._ease(1 - log_p.exp()) * log_p
        return (each * batch.weights).sum() / batch.weights.sum().clamp(min=TINY)

    def _ease(self, miss: Tensor) -> Tensor:
        return miss.clamp(min=TINY) ** self.gamma  # x^gamma has no gradient at 0 if gamma is below 1


def border_weights(batch: Batch, extra: float = 3.0, radius: int = 3) -> Tensor:
    """(n, 1, h, w): 1 everywhere, 1 + `extra` within `radius` pixels of a border; in between where the truth is soft.

    What is not known counts as background of a person, and is looked across between classes.
    """
    if batch.binary:
        truth = batch.truth.clamp(min=0)
        grown, shrunk = _highest(truth, radius), -_highest(-truth, radius)
        return 1 + extra * (grown - shrunk)
    ids, c = batch.truth[:, None].float(), batch.logits.shape[1]
    highest = _highest(torch.where(batch.known, ids, -1.0), radius)
    lowest = -_highest(torch.where(batch.known, -ids, -float(c)), radius)
    return 1 + extra * ((highest > lowest) & (highest >= 0))


def _highest(x: Tensor, radius: int) -> Tensor:
    """x (n, c, h, w) -> the highest within `radius` rows and columns, of rows first: two passes of k values, not one of k^2."""
    rows = F.max_pool2d(x, (2 * radius + 1, 1), 1, (radius, 0))
    return F.max_pool2d(rows, (1, 2 * radius + 1), 1, (0, radius))


def separation_weights(batch: Batch, w0: float = 10.0, sigma: float = 5.0) -> Tensor:
    """(n, 1, h, w): 1 + `w0` times `separation`. Cells are the persons apart from each other; of classes, every region."""
    maps = [separation(ids, sigma, background=0 if batch.binary else None) for ids in batch.filled]
    return 1 + w0 * torch.from_numpy(np.stack(maps))[:, None].to(batch.logits.device)
