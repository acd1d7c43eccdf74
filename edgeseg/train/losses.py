"""Losses on logits. Each takes logits (n, 1, h, w) and truth (n, 1, h, w) in 0..1 and gives a scalar."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def border_weights(truth: Tensor, extra: float = 3.0, radius: int = 3) -> Tensor:
    """1 everywhere, 1 + `extra` within `radius` pixels of the mask's border (after Ronneberger et al. 2015, equation 2)."""
    kernel = 2 * radius + 1
    grown = F.max_pool2d(truth, kernel, 1, radius)
    shrunk = -F.max_pool2d(-truth, kernel, 1, radius)
    return 1 + extra * (grown - shrunk)


def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross entropy, weighted towards the border."""
    weights = border_weights(truth)
    return F.binary_cross_entropy_with_logits(logits, truth, weights) * (weights.numel() / weights.sum())


def dice(logits: Tensor, truth: Tensor) -> Tensor:
    """1 - soft Dice, over the whole batch, so that a picture with nobody in it does no harm (Milletari et al. 2016)."""
    probability = logits.sigmoid()
    return 1 - (2 * (probability * truth).sum() + 1) / (probability.sum() + truth.sum() + 1)


def person_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """What the person models are trained with."""
    return cross_entropy(logits, truth) + 0.5 * dice(logits, truth)
