"""Losses that judge a whole class at once, over all pixels of the batch: Dice, Jaccard, Tversky.

Over the batch, not picture by picture, so that a picture with nobody in it does no harm. Two classes: of the second alone, and
1 is added on both sides of the ratio, so that nobody found where nobody is costs nothing. Several: the mean over those that
the batch holds.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from edgeseg.errors import UsageError
from edgeseg.train.losses.batch import Batch

SPACE = (0, 2, 3)  # the axes of a batch besides that of the classes


@dataclass(frozen=True)
class Dice:
    """1 - soft Dice, 2 p t / (p + t) (Milletari et al. 2016)."""

    def __call__(self, batch: Batch) -> Tensor:
        hit, both = (batch.probability * batch.target).sum(SPACE), (batch.probability + batch.target).sum(SPACE)
        return _one_minus(2 * hit, both, batch)


@dataclass(frozen=True)
class Jaccard:
    """1 - soft IoU, p t / (p + t - p t)."""

    def __call__(self, batch: Batch) -> Tensor:
        hit, both = (batch.probability * batch.target).sum(SPACE), (batch.probability + batch.target).sum(SPACE)
        return _one_minus(hit, both - hit, batch)


@dataclass(frozen=True)
class Tversky:
    """1 - TP / (TP + `fp` FP + `fn` FN) (Salehi et al. 2017): a loss of recall costs more than one of precision.

    `fp` = `fn` = 1 is Jaccard, 0.5 is Dice but for the 1 that is added.
    """

    fp: float = 0.3
    fn: float = 0.7

    def __post_init__(self) -> None:
        if self.fp + self.fn <= 0:
            raise UsageError("tversky needs fp or fn above 0")

    def __call__(self, batch: Batch) -> Tensor:
        return _misses(batch, self.fp, self.fn).mean()


@dataclass(frozen=True)
class FocalTversky:
    """Tversky of each class to the power of 1 / `gamma`: above 1, a class that is nearly right still pulls
    (Abraham & Khan 2019, with their 4/3).
    """

    fp: float = 0.3
    fn: float = 0.7
    gamma: float = 4 / 3

    def __post_init__(self) -> None:
        if self.fp + self.fn <= 0 or self.gamma <= 0:
            raise UsageError("focal_tversky needs fp or fn, and gamma, above 0")

    def __call__(self, batch: Batch) -> Tensor:
        # The gradient of a root has no bound at 0.
        return (_misses(batch, self.fp, self.fn).clamp(min=1e-6) ** (1 / self.gamma)).mean()


def _misses(batch: Batch, fp: float, fn: float) -> Tensor:
    p, t = batch.probability, batch.target
    hit = (p * t).sum(SPACE)
    return _each_one_minus(hit, hit + fp * (p.sum(SPACE) - hit) + fn * (t.sum(SPACE) - hit), batch)


def _one_minus(part: Tensor, whole: Tensor, batch: Batch) -> Tensor:
    return _each_one_minus(part, whole, batch).mean()


def _each_one_minus(part: Tensor, whole: Tensor, batch: Batch) -> Tensor:
    """1 - part / whole of every class that is judged: part and whole (k,), the result (k or less,), never empty."""
    if batch.binary:
        return 1 - (part + 1) / (whole + 1)
    present = batch.target.sum(SPACE) > 0
    if not present.any():
        return part[:1] * 0  # nothing is known: no loss, and a gradient of 0
    return 1 - (part / whole.clamp(min=1e-6))[present]
