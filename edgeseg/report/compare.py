"""Is one faster than the other? A ratio with its interval, or "no difference"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95
# One file opened twice differs by a percent or so, in every round: where its weights and buffers happen to lie in memory.
LEAST = 1.02


@dataclass(frozen=True)
class Ratio:
    """How many times faster the subject is than its reference: 2 is half the time."""

    value: float
    low: float
    high: float

    @property
    def differs(self) -> bool:
        return self.low > LEAST or self.high < 1 / LEAST

    def __str__(self) -> str:
        if not self.differs:
            return "no difference"
        return f"{self.value:.2f}x ({self.low:.2f} to {self.high:.2f})"


def speedup(reference: Sequence[Sequence[float]], subject: Sequence[Sequence[float]]) -> Ratio | None:
    """Ratio of the times of two subjects that were measured in the same rounds (`latency.Timing.rounds`).

    Each round gives one ratio, median time of the reference / median time of the subject, so that whatever slowed the
    machine in that round cancels. The value is their median; the interval is the percentile bootstrap of that median (95 %,
    2000 resamples of the rounds with a fixed seed; Efron & Tibshirani 1993, chapter 13). Where it comes
    within 2 % of 1 there is no difference (`LEAST`). Rounds are resampled, not runs: runs of one round are not independent.

    None with fewer than 5 rounds in common: too few to say anything.
    """
    ratios = np.array([np.median(r) / np.median(s) for r, s in zip(reference, subject, strict=False)])
    if len(ratios) < 5:
        return None
    resampled = np.random.default_rng(0).choice(ratios, (RESAMPLES, len(ratios)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.median(resampled, axis=1), [tail, 1 - tail])
    return Ratio(float(np.median(ratios)), float(low), float(high))
