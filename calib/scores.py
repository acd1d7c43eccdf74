"""How far two answers of a network are apart: classes, mean IoU, signal to quantisation noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edgeseg.calib.frames import VOID

Ids = npt.NDArray[np.int32]
EQUAL_DB = 200.0  # what is said of the noise where two tensors are the same, bit for bit


def class_ids(logits: npt.NDArray[np.float32], size: tuple[int, int]) -> Ids:
    """(h', w', c) logits -> (h, w) class ids, enlarged first; one channel is the logit of class 1."""
    large = cv2.resize(logits, size[::-1], interpolation=cv2.INTER_LINEAR).reshape(*size, logits.shape[2])
    return (large[..., 0] > 0).astype(np.int32) if logits.shape[2] == 1 else large.argmax(axis=2).astype(np.int32)


def truth_at(truth: npt.NDArray[np.uint8], size: tuple[int, int]) -> Ids:
    """True classes at the size of the network's input. (h, w)"""
    return cv2.resize(truth, size[::-1], interpolation=cv2.INTER_NEAREST).astype(np.int32)


def count(confusion: npt.NDArray[np.int64], truth: Ids, ids: Ids) -> None:
    """Add (truth, prediction) pairs to a (classes, classes) matrix; void and unknown ids are left out."""
    classes = len(confusion)
    known = (truth != VOID) & (truth < classes)
    confusion += np.bincount(truth[known] * classes + ids[known], minlength=classes * classes).reshape(classes, classes)


def mean_iou(confusion: npt.NDArray[np.int64]) -> float:
    """Over the classes that occur in truth or prediction."""
    hit = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hit
    return float((hit[union > 0] / union[union > 0]).mean()) if union.any() else 1.0


def decibels(signal: float, noise: float) -> float:
    """10 log10 of signal over noise, both sums of squares; at most EQUAL_DB, which is also said where there is no noise."""
    if not noise:
        return EQUAL_DB
    return min(10 * math.log10(signal / noise), EQUAL_DB) if signal else -EQUAL_DB


@dataclass(frozen=True)
class Score:
    """What rounding did to the answers on some pictures."""

    agreement: float  # share of pixels that keep the class which the network in float gives
    miou_delta: float  # mIoU against the truth, less that of the network in float; without truth: against the network, less 1
    sqnr_db: float  # of the logits


class Tally:
    """Adds up a Score, picture by picture."""

    def __init__(self, classes: int) -> None:
        self.of_subject, self.of_float, self.between = (np.zeros((classes, classes), np.int64) for _ in range(3))
        self.signal = self.noise = 0.0
        self.has_truth = True

    def add(self, expected: Ids, got: Ids, truth: Ids | None) -> None:
        """Classes of the network in float, of the subject, and the true ones; all (h, w)."""
        count(self.between, expected, got)
        self.has_truth &= truth is not None
        if truth is not None:
            count(self.of_float, truth, expected)
            count(self.of_subject, truth, got)

    def score(self) -> Score:
        delta = mean_iou(self.of_subject) - mean_iou(self.of_float) if self.has_truth else mean_iou(self.between) - 1
        return Score(float(np.trace(self.between) / max(1, self.between.sum())), delta, decibels(self.signal, self.noise))
