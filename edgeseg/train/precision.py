"""Average precision of a person's probabilities, over all pixels of all images, in memory that does not grow."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 4096  # of the probability; pixels that share one share a rank


class AveragePrecision:
    """Counts pixels by probability and truth. The area under the curve of precision over recall, by steps:
    sum of (R_k - R_(k-1)) P_k over falling thresholds, without interpolation.
    """

    def __init__(self) -> None:
        self._counts = np.zeros((2, BINS), np.int64)  # [truth, bin]

    def add(self, probability: npt.NDArray[Any], truth: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]) -> None:
        """Count an image: probability of the class in 0..1, whether it is the class, whether that is known; all (h, w)."""
        bins = np.minimum(probability[known] * BINS, BINS - 1).astype(np.int64)
        self._counts += np.bincount(truth[known] * np.int64(BINS) + bins, minlength=2 * BINS).reshape(2, BINS)

    def result(self) -> float | None:
        """In 0..1; None where no pixel is of the class."""
        false, true = self._counts[:, ::-1].cumsum(1)  # found at thresholds from high to low
        if not true[-1]:
            return None
        found = true + false
        precision = true / np.maximum(found, 1)
        recall = true / true[-1]
        return float((np.diff(recall, prepend=0) * precision).sum())
