"""How well predicted class ids match the truth: IoU, accuracy, F1, outlines and average precision, over a set of images.

All but those of outlines and of probabilities come from one confusion matrix summed over all pixels of all images. What
cannot be known is None, never nan, 0 or 1: a class that neither the truth nor the predictions hold has no IoU, and the means
leave it out. So an image with nobody in it, on which nobody is found, adds only right background pixels; it cannot raise the
person's IoU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeseg.errors import DataError, ShapeError, UsageError
from edgeseg.train.boundaries import TOLERANCE, Outline, bridge, compare_outlines
from edgeseg.train.precision import AveragePrecision

IGNORE = 255  # "not labelled", in Cityscapes, VOC and our own folders

ClassIds = npt.NDArray[Any]  # (h, w) integers or booleans
Probability = npt.NDArray[Any]  # (h, w) in 0..1


class SegmentationMetrics:
    """Accumulates images; `result()` at any time.

    classes    names, in the order of the ids
    positive   the class that f1 and those of outlines speak of; None takes the second of two classes, and of
               more than two classes the mean
    ignore     truth with these ids is not judged. One of them may be a class of the model ("void"): then it has no IoU,
               and predicting it on a labelled pixel is a miss
    scored     the class whose probabilities are added, for average precision; None takes the positive one
    tolerance  of the boundary, as a share of the image diagonal
    """

    def __init__(
        self,
        classes: Sequence[str],
        *,
        positive: int | None = None,
        scored: int | None = None,
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
        self.scored = self.positive if scored is None else scored
        self.tolerance = tolerance
        self.images = 0
        self.confusion = np.zeros((len(classes), len(classes)), np.int64)  # [truth, prediction]
        self._outlines: list[Outline] = []  # of each image
        self._precision = AveragePrecision()

    def add(self, prediction: ClassIds, truth: ClassIds, probability: Probability | None = None) -> None:
        """Count one image; both (h, w) class ids of the same size, and if there is one, the scored class's probability.

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
        if probability is not None and self.scored is not None:
            self._precision.add(probability, truth == self.scored, known)
        # Between two ids that are judged, the outline may itself be unlabelled: see `boundaries`.
        ids, near = bridge(truth, known, self.tolerance)
        judged = self.judged if self.positive is None else [self.positive]
        outlines = [compare_outlines(prediction == c, ids == c, near, self.tolerance) for c in judged]
        present = [outline for outline in outlines if outline is not None]
        if present:
            self._outlines.append(Outline(*(float(v) for v in np.mean(present, 0))))

    def result(self) -> dict[str, Any]:
        """The keys of `edgeseg eval --json`; shares in 0..1 or None.

        iou             per class: TP / (TP + FP + FN)
        miou            mean of those
        fwiou           their mean weighted by the class's share of the true pixels
        pixel_accuracy  right pixels / labelled pixels
        f1              2 TP / (2 TP + FP + FN) of the positive class, else the mean over classes (Dice)
        boundary_f      mean over images of `boundary_f`, of the positive class, else of the mean over classes present
        mean_accuracy   mean over classes of right pixels / pixels of the class
        f1_by_class     per class: 2 TP / (2 TP + FP + FN)
        hausdorff       mean over images of the Hausdorff distance in pixels, of the classes that boundary_f speaks of;
                        hausdorff_95 of its 95th percentile. An outline that is missed, or seen where there is none,
                        counts as the image's diagonal
        average_precision  of the scored class's pixels by their probability; None without probabilities
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
            "boundary_f": mean([o.f for o in self._outlines]),
            "mean_accuracy": mean([_ratio(hits[c], true[c]) for c in self.judged]),
            "f1_by_class": {self.classes[c]: f1[c] for c in self.judged},
            "hausdorff": mean([o.hausdorff for o in self._outlines]),
            "hausdorff_95": mean([o.hausdorff_95 for o in self._outlines]),
            "average_precision": self._precision.result(),
        }


def _ratio(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None


def mean(values: Sequence[float | None]) -> float | None:
    """Of those that are known; None of none."""
    numbers = [v for v in values if v is not None]
    return sum(numbers) / len(numbers) if numbers else None
