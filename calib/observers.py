"""Observers: from the values that a tensor takes on calibration pictures to its int8 range.

    minmax          everything that was seen; one outlier costs all others their precision
    moving-average  the least and greatest value of each picture, averaged (PT2E's own default, Jacob et al. 2018)
    percentile      all but the outermost part of the values
    mse             the range with the least mean squared error (rounding and clipping together)
    entropy         the range whose quantised distribution loses the least information (Kullback-Leibler, Migacz 2017)

All of them look at the same collection, so that pictures are run once and the choice is made afterwards
(`edgeseg.calib.calibrate`): the ends of what was seen, their average over pictures, and a histogram that doubles its
range whenever a value falls outside. A tensor may have tens of millions of values over all pictures; the histogram holds
8,192 numbers, and counts a sample of every picture, for counting all took longer than the network itself.
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
Range = tuple[float, float]  # low, high

BINS = 8192  # 16 for each level of a tensor that is never negative, as Migacz has them
LEVELS = 256
PERCENTILE = 99.995
CANDIDATES = 64  # that `mse` and `entropy` try for either end
SAMPLE = 2**14  # values of a tensor that a picture adds to the histogram; its ends are exact
AVERAGING = 0.01  # the weight of the newest picture, as in PT2E
LEAST_SCALE = 2.0**-20  # of a tensor that is always zero


class HistogramObserver(ObserverBase):  # type: ignore[misc]
    """Collects the values of a tensor; `policy` says which range to keep of what was seen."""

    policy = "minmax"

    def __init__(self, dtype: torch.dtype = torch.int8, qscheme: torch.qscheme = torch.per_tensor_affine, **_: Any) -> None:
        super().__init__(dtype, False)
        self.quant_min, self.quant_max = -128, 127
        self.qscheme = qscheme
        self.chosen: Range | None = None  # fixed from outside; the policy is asked where it is None
        self.clear()

    def clear(self) -> None:
        """Forget what was seen and chosen."""
        self.chosen = None
        self.counts: Histogram = np.zeros(BINS)
        self.reach = 0.0  # the histogram covers -reach..reach
        self.least, self.greatest = np.inf, -np.inf
        self.average: Range | None = None
        self.pending: Range | None = None  # ends of the picture that several tensors of this range belong to
        self.by_picture = False
        self.peaks: Tensor | None = None  # (channels,), the greatest value of each where `by_channel`
        self.by_channel = False

    def forward(self, x: Tensor) -> Tensor:
        """Count `x` of any shape; returns it unchanged."""
        values = x.detach().float()
        if not values.numel():
            return x
        least, greatest = (float(v) for v in torch.aminmax(values))
        self.least, self.greatest = min(self.least, least), max(self.greatest, greatest)
        self.pending = (min(least, self.pending[0]), max(greatest, self.pending[1])) if self.pending else (least, greatest)
        if not self.by_picture:
            self.end_picture()
        if self.by_channel:
            peaks = values.amax((0, 2, 3))
            self.peaks = peaks if self.peaks is None else torch.maximum(self.peaks, peaks)
        extreme = max(-least, greatest)
        if extreme > self.reach:
            self._grow(extreme)
        if self.reach > 0:
            flat = values.reshape(-1)
            step = max(1, flat.numel() // SAMPLE) | 1  # odd: rows and columns are powers of two
            # zero is exactly the lower edge of bin BINS // 2; torch.histc takes three times as long
            places = (flat[::step] * (BINS / 2 / self.reach) + BINS // 2).to(torch.int64).clamp_(0, BINS - 1)
            self.counts += step * torch.bincount(places, minlength=BINS).numpy()
        return x

    def end_picture(self) -> None:
        """Add the ends of a picture to their average. Each tensor counts as a picture of its own unless `by_picture`."""
        if self.pending is None:
            return
        if self.average is None:
            self.average = self.pending
        else:
            (low, high), (least, greatest) = self.average, self.pending
            self.average = low + AVERAGING * (least - low), high + AVERAGING * (greatest - high)
        self.pending = None

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

    def range(self, policy: str | None = None) -> Range:
        """(low, high) that `policy`, a key of `POLICIES`, keeps of what was seen; the observer's own if not given."""
        if self.greatest < self.least:
            raise RuntimeError("an observer has seen no values; run the prepared graph on calibration pictures")
        return POLICIES[policy or self.policy](self)

    def calculate_qparams(self, **_: Any) -> tuple[Tensor, Tensor]:
        """(scale, zero point). Zero is always exact: padding is zero, and so is what a ReLU cuts."""
        scale, zero_point = self.scale()
        return torch.tensor([scale], dtype=torch.float32), torch.tensor([zero_point], dtype=torch.int64)

    def scale(self) -> tuple[float, int]:
        """(scale, zero point) of the range that was chosen, or else is the policy's."""
        ends = self.chosen or self.range()
        if self.qscheme == torch.per_tensor_symmetric:
            return max(abs(ends[0]), abs(ends[1]), 127 * LEAST_SCALE) / 127, 0
        return scale_of(ends)

    @property
    def centres(self) -> Histogram:
        """Of the bins."""
        width = 2 * self.reach / BINS
        return np.asarray(-self.reach + width * (np.arange(BINS) + 0.5))

    def search(self, cost: Callable[[float, float], float]) -> Range:
        """The range of least `cost`: first the upper end is drawn in, from all that was seen to a 64th, then the lower."""
        shares = np.linspace(1.0, 1 / CANDIDATES, CANDIDATES)
        high = min((self.greatest * share for share in shares), key=lambda end: cost(self.least, end))
        low = min((self.least * share for share in shares), key=lambda end: cost(end, high))
        return float(low), float(high)


def scale_of(ends: Range) -> tuple[float, int]:
    """(scale, zero point) of int8 for low..high, widened to hold zero."""
    low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    scale = max((high - low) / (LEVELS - 1), LEAST_SCALE)
    return scale, int(np.clip(round(-128 - low / scale), -128, 127))


def everything(seen: HistogramObserver) -> Range:
    """The ends of what was seen."""
    return seen.least, seen.greatest


def averaged(seen: HistogramObserver) -> Range:
    """The moving average of the ends of each picture."""
    assert seen.average is not None
    return seen.average


def inner_part(seen: HistogramObserver) -> Range:
    """All but the outermost (100 - PERCENTILE) % of the values on either side."""
    total = seen.counts.sum()
    if not total:
        return seen.least, seen.greatest
    share = np.cumsum(seen.counts) / total
    outside = 1 - PERCENTILE / 100
    low = seen.centres[int(np.searchsorted(share, outside))]
    high = seen.centres[min(int(np.searchsorted(share, 1 - outside)), BINS - 1)]
    return max(float(low), seen.least), min(float(high), seen.greatest)


def least_squares(seen: HistogramObserver) -> Range:
    """The range with the least mean squared error."""
    return _searched(seen, seen.counts, squared_error)


def least_divergence(seen: HistogramObserver) -> Range:
    """The range after which the distribution of values has changed the least."""
    counts = seen.counts.copy()
    counts[BINS // 2 - 1 : BINS // 2 + 1] = 0  # what a ReLU cut is exact in every range, and would outweigh all else
    return _searched(seen, counts, divergence)


def _searched(seen: HistogramObserver, counts: Histogram, cost: Callable[[Histogram, Histogram, float, float], float]) -> Range:
    places = np.flatnonzero(counts)
    if not len(places):
        return seen.least, seen.greatest
    part = slice(places[0], places[-1] + 1)
    centres, counts = seen.centres[part], counts[part]
    return seen.search(lambda low, high: cost(centres, counts, low, high))


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
    bins that were not empty; ranges with fewer bins than levels are no candidates, for there rounding would seem to be free.
    It counts how many values are clipped and not how far: a logarithmic normal distribution is cut at a fifth of its
    greatest value. That is the published criterion, and why it rarely wins here.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / (LEVELS - 1), LEAST_SCALE)
    level = np.clip(np.rint((values - low) / scale), 0, LEVELS - 1).astype(np.int64)
    inside = (values >= low) & (values <= high)
    if inside.sum() < LEVELS or not counts[inside].any():
        return np.inf
    inside &= counts > 0
    reference = np.where(inside, counts, 0.0)
    places = np.flatnonzero(inside)
    reference[places[0]] += counts[: places[0]].sum()
    reference[places[-1]] += counts[places[-1] + 1 :].sum()
    mass = np.bincount(level[inside], weights=counts[inside], minlength=LEVELS)
    bins = np.bincount(level[inside], minlength=LEVELS)
    approximation = mass[level[inside]] / bins[level[inside]]
    p, q = reference[inside] / reference.sum(), approximation / approximation.sum()
    return float((p * np.log(p / q)).sum())


POLICIES: dict[str, Callable[[HistogramObserver], Range]] = {
    "minmax": everything,
    "moving-average": averaged,
    "percentile": inner_part,
    "mse": least_squares,
    "entropy": least_divergence,
}


class MinMax(HistogramObserver):
    """Everything that was seen."""


class MovingAverage(HistogramObserver):
    """The ends of each picture, averaged."""

    policy = "moving-average"


class Percentile(HistogramObserver):
    """All but the outermost values."""

    policy = "percentile"


class MSE(HistogramObserver):
    """The range with the least mean squared error."""

    policy = "mse"


class Entropy(HistogramObserver):
    """The range after which the distribution of values has changed the least."""

    policy = "entropy"


OBSERVERS: dict[str, type[HistogramObserver]] = {
    kind.policy: kind for kind in (MinMax, MovingAverage, Percentile, MSE, Entropy)
}
