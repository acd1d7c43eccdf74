"""How well predicted class ids match the truth: IoU, pixel accuracy, F1 and the boundary F-measure, over a set of images.

All but `boundary_f` come from one confusion matrix summed over all pixels of all images. What cannot be known is None,
never nan, 0 or 1: a class that neither the truth nor the predictions hold has no IoU, and the means leave it out. So an
image with nobody in it, on which nobody is found, adds only right background pixels; it cannot raise the person's IoU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeseg.errors import DataError, ShapeError, UsageError

IGNORE = 255  # "not labelled", in Cityscapes, VOC and our own folders
TOLERANCE = 0.008  # share of the image diagonal, as DAVIS has it (Perazzi et al. 2016)
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)  # a pixel and its four neighbours

ClassIds = npt.NDArray[Any]  # (h, w) integers or booleans
Mask = npt.NDArray[np.bool_]  # (h, w)


class SegmentationMetrics:
    """Accumulates images; `result()` at any time.

    classes    names, in the order of the ids
    positive   the class that f1 and boundary_f speak of; None takes the second of two classes, and of more than two
               classes the mean
    ignore     truth with these ids is not judged. One of them may be a class of the model ("void"): then it has no IoU,
               and predicting it on a labelled pixel is a miss
    tolerance  of the boundary, as a share of the image diagonal
    """

    def __init__(
        self,
        classes: Sequence[str],
        *,
        positive: int | None = None,
        ignore: Sequence[int] = (IGNORE,),
        tolerance: float = TOLERANCE,
    ) -> None:
        if len(classes) < 2 or len(set(classes)) != len(classes):
            raise UsageError(f"metrics need two or more classes with different names, got {', '.join(classes) or 'none'}")
        if positive is not None and not 0 <= positive < len(classes):
            raise UsageError(f"the positive class must be 0 to {len(classes) - 1}, got {positive}")
        self.classes = tuple(classes)
        self.ignore = tuple(ignore)
        self.judged = [i for i in range(len(classes)) if i not in self.ignore]
        self.positive = 1 if positive is None and len(classes) == 2 else positive
        self.tolerance = tolerance
        self.images = 0
        self.confusion = np.zeros((len(classes), len(classes)), np.int64)  # [truth, prediction]
        self._boundaries: list[float] = []

    def add(self, prediction: ClassIds, truth: ClassIds) -> None:
        """Count one image; both (h, w) class ids of the same size.

        Raises ShapeError where the sizes differ, DataError for truth that is neither a class nor ignored.
        """
        if prediction.shape != truth.shape or truth.ndim != 2:
            raise ShapeError(f"prediction {prediction.shape} and truth {truth.shape} must be of one (height, width)")
        n = len(self.classes)
        known = ~np.isin(truth, self.ignore)
        t, p = truth[known].astype(np.int64), prediction[known].astype(np.int64)
        for name, ids in (("truth", t), ("prediction", p)):
            if ids.size and not 0 <= ids.min() <= ids.max() < n:
                raise DataError(f"the {name} has class ids {ids.min()} to {ids.max()}, but the classes are 0 to {n - 1}")
        self.confusion += np.bincount(t * n + p, minlength=n * n).reshape(n, n)
        self.images += 1
        judged = self.judged if self.positive is None else [self.positive]
        values = [boundary_f(prediction == c, truth == c, known, self.tolerance) for c in judged]
        value = mean(values)
        if value is not None:
            self._boundaries.append(value)

    def result(self) -> dict[str, Any]:
        """The keys of `edgeseg eval --json`; shares in 0..1 or None.

        iou             per class: TP / (TP + FP + FN)
        miou            mean of those
        fwiou           their mean weighted by the class's share of the true pixels
        pixel_accuracy  right pixels / labelled pixels
        f1              2 TP / (2 TP + FP + FN) of the positive class, else the mean over classes (Dice)
        boundary_f      mean over images of `boundary_f`, of the positive class, else of the mean over classes present
        """
        hits = self.confusion.diagonal()
        true, predicted = self.confusion.sum(1), self.confusion.sum(0)
        iou = [_ratio(hits[c], true[c] + predicted[c] - hits[c]) for c in self.judged]
        f1 = {c: _ratio(2 * hits[c], true[c] + predicted[c]) for c in self.judged}
        weighted = sum(int(true[c]) * (x or 0.0) for c, x in zip(self.judged, iou, strict=True))
        return {
            "images": self.images,
            "classes": [self.classes[c] for c in self.judged],
            "iou": {self.classes[c]: x for c, x in zip(self.judged, iou, strict=True)},
            "miou": mean(iou),
            "fwiou": _ratio(weighted, true.sum()),
            "pixel_accuracy": _ratio(hits.sum(), true.sum()),
            "f1": mean(list(f1.values())) if self.positive is None else f1.get(self.positive),
            "boundary_f": mean(self._boundaries),
        }


def boundary_f(prediction: Mask, truth: Mask, known: Mask | None = None, tolerance: float = TOLERANCE) -> float | None:
    """F-measure of the boundaries of two masks (h, w) (Csurka et al. 2013; the DAVIS benchmark's F).

    Precision is the share of the prediction's boundary pixels that lie within `tolerance` of a true boundary pixel, recall
    the reverse; the distance is Euclidean and at least one pixel. A boundary pixel is one of the mask with a neighbour
    outside it; the image's edge is no boundary, nor is the edge of what is not `known`.

    None where neither has a boundary (an empty prediction on an empty truth, say): there is nothing to judge. 0 where
    only one has.
    """
    if known is None:
        known = np.ones_like(truth, bool)
    a, b = _boundary(prediction, known), _boundary(truth, known)
    if not a.any() and not b.any():
        return None
    if not a.any() or not b.any():
        return 0.0
    reach = math.ceil(tolerance * math.hypot(*truth.shape))
    precision = float((_distance_to(b)[a] <= reach).mean())
    recall = float((_distance_to(a)[b] <= reach).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _boundary(mask: Mask, known: Mask) -> Mask:
    beside_outside: Mask = cv2.dilate((~mask & known).astype(np.uint8), CROSS).astype(bool)
    return mask & known & beside_outside


def _distance_to(boundary: Mask) -> npt.NDArray[np.float32]:
    """Of every pixel to the nearest pixel of `boundary`, in pixels."""
    return cv2.distanceTransform((~boundary).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(np.float32)


def _ratio(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None


def mean(values: Sequence[float | None]) -> float | None:
    """Of those that are known; None of none."""
    numbers = [v for v in values if v is not None]
    return sum(numbers) / len(numbers) if numbers else None
