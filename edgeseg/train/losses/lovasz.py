"""The Lovasz extension of 1 - IoU (Berman, Rannen Triki & Blaschko 2018): convex in the errors, and equal to 1 - IoU where
every pixel is all right or all wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edgeseg.train.losses.batch import Batch


@dataclass(frozen=True)
class Lovasz:
    """Two classes: the hinge form, on logits against truth decided at 0.5. Several: the softmax form, mean over the classes
    that are there.

    per_image  the mean over the pictures, each by itself, instead of over all pixels of the batch
    """

    per_image: bool = False

    def __call__(self, batch: Batch) -> Tensor:
        n = len(batch.logits)
        parts = [slice(i, i + 1) for i in range(n)] if self.per_image else [slice(n)]
        losses = [_loss(batch.logits[part], batch.target[part], batch.known[part], batch.binary) for part in parts]
        return torch.stack(losses).mean()


def _loss(logits: Tensor, target: Tensor, known: Tensor, binary: bool) -> Tensor:
    at = known[:, 0]
    x, t = (values.movedim(1, 0)[:, at] for values in (logits, target))  # (k, known pixels)
    t = (t >= 0.5).float()
    if binary:
        errors = 1 - x * (2 * t - 1)  # of the hinge
        return (extension(errors, t)).mean() if t.numel() else x.sum()
    present = t.sum(1) > 0
    if not present.any():
        return x.sum() * 0
    return extension((t - x.softmax(0)).abs()[present], t[present]).mean()


def extension(errors: Tensor, truth: Tensor) -> Tensor:
    """(k,): the Lovasz extension of 1 - IoU at `errors` (k, pixels) for `truth` (k, pixels) of 0 and 1; negative errors
    count nothing.
    """
    ordered, order = errors.sort(dim=1, descending=True)
    truth = truth.gather(1, order)
    total = truth.sum(1, keepdim=True)
    # 1 - IoU if the so many pixels with the largest errors were wrong and no other
    loss = 1 - (total - truth.cumsum(1)) / (total + (1 - truth).cumsum(1))
    steps = torch.cat([loss[:, :1], loss[:, 1:] - loss[:, :-1]], 1)
    return (ordered.relu() * steps).sum(1)
