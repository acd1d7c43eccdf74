"""Observers: from the values that a tensor takes on calibration pictures to its int8 range.

    minmax      everything that was seen; one outlier costs all others their precision
    percentile  all but the outermost part of the values
    mse         the range with the least mean squared error (rounding and clipping together)
    entropy     the range whose quantised distribution loses the least information (Kullback-Leibler, Migacz 2017)

All of them look at one histogram, which doubles its range whenever a value falls outside. A tensor may have tens of millions
of values over all pictures; the histogram holds 4,096 numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchao.quantization.pt2e.observer import ObserverBase

Histogram = npt.NDArray[np.float64]

BINS = 4096
LEVELS = 256
PERCENTILE = 99.995
CANDIDATES = 64  # that `mse` and `entropy` try for either end
LEAST_SCALE = 2.0**-20  # of a tensor that is always zero


class HistogramObserver(ObserverBase):  # type: ignore[misc]
    """Counts the values of a tensor; a subclass says which range to keep of what was seen."""

    def __init__(self, dtype: torch.dtype = torch.int8, **_: Any) -> None:
        super().__init__(dtype, False)
        self.quant_min, self.quant_max = -128, 127
        self.qscheme = torch.per_tensor_affine
        self.counts: Histogram = np.zeros(BINS)
        self.reach = 0.0  # the histogram covers -reach..reach
        self.least, self.greatest = np.inf, -np.inf

    def forward(self, x: Tensor) -> Tensor:
        """Count `x` of any shape; returns it unchanged."""
        values = x.detach().float()
        if not values.numel():
            return x
        least, greatest = (float(v) for v in torch.aminmax(values))
        self.least, self.greatest = min(self.least, least), max(self.greatest, greatest)
        extreme = max(-least, greatest)
        if extreme > self.reach:
            self._grow(extreme)
        if self.reach > 0:
            self.counts += torch.histc(values, BINS, -self.reach, self.reach).numpy()
        return x

    def _grow(self, extreme: float) -> None:
        if self.reach == 0:
            zeros, self.counts = self.counts.sum(), np.zeros(BINS)
            self.reach = extreme
            self.counts[BINS // 2] = zeros
        while self.reach < extreme:  # twice as far: neighbouring bins merge and move inwards
            merged = self.counts.reshape(BINS // 2, 2).sum(1)
            self.counts = np.zeros(BINS)
            self.counts[BINS // 4 : 3 * BINS // 4] = merged
            self.reach *= 2

    def range(self) -> tuple[float, float]:
        """(low, high) to keep; the ends of what was seen, unless a subclass knows better."""
        return self.least, self.greatest

    def calculate_qparams(self, **_: Any) -> tuple[Tensor, Tensor]:
        """(scale, zero point). Zero is always exact: padding is zero, and so is what a ReLU cuts."""
        if self.greatest < self.least:
            raise RuntimeError("an observer has seen no values; run the prepared graph on calibration pictures")
        low, high = self.range()
        low, high = min(low, 0.0), max(high, 0.0)
        scale = max((high - low) / (LEVELS - 1), LEAST_SCALE)
        zero_point = int(np.clip(round(self.quant_min - low / scale), self.quant_min, self.quant_max))
        return torch.tensor([scale], dtype=torch.float32), torch.tensor([zero_point], dtype=torch.int64)

    @property
    def centres(self) -> Histogram:
        """Of the bins."""
        width = 2 * self.reach / BINS
        return np.asarray(-self.reach + width * (np.arange(BINS) + 0.5))

    def search(self, cost: Callable[[float, float], float]) -> tuple[float, float]:
        """The range of least `cost`: first the upper end is drawn in, from all that was seen to a 64th, then the lower."""
        shares = np.linspace(1.0, 1 / CANDIDATES, CANDIDATES)
        high = min((self.greatest * share for share in shares), key=lambda end: cost(self.least, end))
        low = min((self.least * share for share in shares), key=lambda end: cost(end, high))
        return float(low), float(high)


class MinMax(HistogramObserver):
    """Everything that was seen."""


class Percentile(HistogramObserver):
    """All but the outermost (100 - PERCENTILE) % of the values on either side."""

    def range(self) -> tuple[float, float]:
        total = self.counts.sum()
        if not total:
            return self.least, self.greatest
        share = np.cumsum(self.counts) / total
        outside = 1 - PERCENTILE / 100
        low = self.centres[int(np.searchsorted(share, outside))]
        high = self.centres[min(int(np.searchsorted(share, 1 - outside)), BINS - 1)]
        return max(float(low), self.least), min(float(high), self.greatest)


class MSE(HistogramObserver):
    """The range with the least mean squared error."""

    def range(self) -> tuple[float, float]:
        if not self.counts.any():
            return self.least, self.greatest
        centres = self.centres
        return self.search(lambda low, high: squared_error(centres, self.counts, low, high))


class Entropy(HistogramObserver):
    """The range after which the distribution of values has changed the least."""

    def range(self) -> tuple[float, float]:
        if not self.counts.any():
            return self.least, self.greatest
        counts = self.counts.copy()
        counts[BINS // 2 - 1 : BINS // 2 + 1] = 0  # what a ReLU cut is exact in every range, and would outweigh all else
        centres = self.centres
        return self.search(lambda low, high: divergence(centres, counts, low, high))


def squared_error(values: Histogram, counts: Histogram, low: float, high: float) -> float:
    """Summed over `counts` of each of `values`, when low..high is quantised to 256 levels and the rest clipped."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / (LEVELS - 1), LEAST_SCALE)
    zero = round(-low / scale)
    kept = (np.clip(np.rint(values / scale) + zero, 0, LEVELS - 1) - zero) * scale
    return float((counts * (values - kept) ** 2).sum())


def divergence(values: Histogram, counts: Histogram, low: float, high: float) -> float:
    """Kullback-Leibler divergence (nats) of the quantised distribution from the one that was seen.

    As in Migacz 2017: clipped values count at the ends of the reference; each level spreads its count evenly over the
    bins that were not empty.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / (LEVELS - 1), LEAST_SCALE)
    level = np.clip(np.rint((values - low) / scale), 0, LEVELS - 1).astype(np.int64)
    inside = (values >= low) & (values <= high) & (counts > 0)
    if not inside.any():
        return np.inf
    reference = np.where(inside, counts, 0.0)
    places = np.flatnonzero(inside)
    reference[places[0]] += counts[: places[0]].sum()
    reference[places[-1]] += counts[places[-1] + 1 :].sum()
    mass = np.bincount(level[inside], weights=counts[inside], minlength=LEVELS)
    bins = np.bincount(level[inside], minlength=LEVELS)
    approximation = mass[level[inside]] / bins[level[inside]]
    p, q = reference[inside] / reference.sum(), approximation / approximation.sum()
    return float((p * np.log(p / q)).sum())


OBSERVERS: dict[str, Callable[..., HistogramObserver]] = {
    "minmax": MinMax,
    "percentile": Percentile,
    "mse": MSE,
    "entropy": Entropy,
}
