"""Losses on logits. Truth is soft in 0..1, or class ids; what is not known (negative, or 255) has no part in a loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = 255


def border_weights(truth: Tensor, extra: float = 3.0, radius: int = 3) -> Tensor:
    """1 everywhere, 1 + `extra` within `radius` pixels of the mask's border (after Ronneberger et al. 2015, equation 2)."""
    kernel = 2 * radius + 1
    grown = F.max_pool2d(truth, kernel, 1, radius)
    shrunk = -F.max_pool2d(-truth, kernel, 1, radius)
    return 1 + extra * (grown - shrunk)


def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross entropy, weighted towards the border. Both (n, 1, h, w); truth negative where it is not known."""
    known = truth >= 0
    truth = truth.clamp(min=0)
    weights = border_weights(truth) * known
    return F.binary_cross_entropy_with_logits(logits, truth, weights) * (weights.numel() / weights.sum().clamp(min=1))


def dice(logits: Tensor, truth: Tensor) -> Tensor:
    """1 - soft Dice, over the whole batch, so that a picture with nobody in it does no harm (Milletari et al. 2016).

    Both (n, 1, h, w); truth negative where it is not known.
    """
    known = truth >= 0
    truth = truth * known
    probability = logits.sigmoid() * known
    return 1 - (2 * (probability * truth).sum() + 1) / (probability.sum() + truth.sum() + 1)


def person_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """What the person models are trained with."""
    return cross_entropy(logits, truth) + 0.5 * dice(logits, truth)


def jaccard(logits: Tensor, ids: Tensor) -> Tensor:
    """1 - soft IoU, mean over the classes that the batch holds. logits (n, c, h, w), ids (n, h, w) with 255 for unknown."""
    known = (ids != IGNORE)[:, None]
    probability = logits.softmax(1) * known
    truth = F.one_hot(torch.where(ids == IGNORE, 0, ids), logits.shape[1]).permute(0, 3, 1, 2) * known
    hit, either = ((probability * truth).sum((0, 2, 3)), (probability + truth).sum((0, 2, 3)))
    present = truth.sum((0, 2, 3)) > 0
    return 1 - (hit / (either - hit).clamp(min=1e-6))[present].mean()


def class_loss(logits: Tensor, ids: Tensor) -> Tensor:
    """Cross entropy, and a surrogate of the mean IoU in which small classes count as much as large ones."""
    return F.cross_entropy(logits, ids, ignore_index=IGNORE) + 0.5 * jaccard(logits, ids)
