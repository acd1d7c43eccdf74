"""Losses that weigh an error by how far it is from the border. Distances are shares of the picture's diagonal, so that a
weight in an expression means the same at every size; they are made anew for each batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgeseg.errors import UsageError
from edgeseg.train.losses.batch import Batch


@dataclass(frozen=True)
class Boundary:
    """Mean over the known pixels of the signed distance to the true border times p - t (Kervadec et al. 2019, equation 5,
    with the constant that they leave out: it is 0 at the truth and never negative).

    The gradient of a single pixel is at most a half of that of the cross entropy: weights about 1 suit it, beside a loss of
    another kind.
    """

    def __call__(self, batch: Batch) -> Tensor:
        return _mean(batch.distance * (batch.probability - batch.target), batch)


@dataclass(frozen=True)
class Hausdorff:
    """Mean over the known pixels of (p - t)^2 (d_t^alpha + d_p^alpha), d being the distances to the true and to the predicted
    border (Karimi & Salcudean 2019, equation 8). Distances are below 1: weights of 10 and more suit it.
    """

    alpha: float = 2.0

    def __post_init__(self) -> None:
        if self.alpha <= 0:
            raise UsageError(f"hausdorff needs alpha above 0, got {self.alpha:g}")

    def __call__(self, batch: Batch) -> Tensor:
        logits = batch.logits.detach()
        decided = (logits[:, 0] > 0).byte() if batch.binary else logits.argmax(1).byte()
        predicted = batch.distances_of(list(np.asarray(decided.cpu())))
        weights = batch.distance.abs() ** self.alpha + predicted.abs() ** self.alpha
        return _mean((batch.probability - batch.target) ** 2 * weights, batch)


def _mean(values: Tensor, batch: Batch) -> Tensor:
    """Of the sums over classes, over the known pixels; `values` (n, k, h, w) are 0 elsewhere."""
    return values.sum() / torch.count_nonzero(batch.known).clamp(min=1)
