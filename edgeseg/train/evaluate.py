"""Runs anything that maps a frame to class ids over a folder of truth: a network, or the file that was made from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeseg.errors import DataError
from edgeseg.train.data import Frame
from edgeseg.train.metrics import SegmentationMetrics
from edgeseg.train.truth import TruthFolder

Ids = npt.NDArray[Any]  # (h, w) class ids
Probability = npt.NDArray[Any]  # (h, w) of the person, in 0..1
# (h, w, 3) uint8 BGR -> class ids at the frame's size, alone or with the person's probability
Predict = Callable[[Frame], Ids | tuple[Ids, Probability | None]]
MEANS = ("miou", "fwiou", "pixel_accuracy", "mean_accuracy", "f1", "average_precision", "boundary_f")
SHORT = {"average_precision": "AP"}


def evaluate(
    predict: Predict,
    truth: TruthFolder,
    person_class: int | None,
    *,
    limit: int | None = None,
    on_image: Callable[[], object] | None = None,
) -> dict[str, Any]:
    """`SegmentationMetrics.result()` of `predict` over the first `limit` pictures of `truth`.

    Where the truth knows the person only, every class but `person_class` is background.
    """
    positive = 1 if truth.binary else person_class if len(truth.classes) == 2 else None
    metrics = SegmentationMetrics(truth.classes, positive=positive, scored=1 if truth.binary else person_class)
    for frame, ids in truth.load(limit):
        answer = predict(frame)
        predicted, probability = answer if isinstance(answer, tuple) else (answer, None)
        metrics.add((predicted == person_class).astype(np.uint8) if truth.binary else predicted, ids, probability)
        if on_image:
            on_image()
    if not metrics.images:
        raise DataError("there is nothing to evaluate on: no pictures")
    return metrics.result()


def to_table(result: dict[str, Any]) -> str:
    """For a terminal: IoU by class, then the means. What cannot be known is "-"."""
    rows = [(f"IoU {name}", value) for name, value in result["iou"].items()]
    rows += [(SHORT.get(key, key), result.get(key)) for key in MEANS]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {'-' if value is None else f'{value:.4f}'}" for name, value in rows]
    pixels = [(key, result.get(key)) for key in ("hausdorff", "hausdorff_95")]
    lines += [f"{name:<{width}}  {'-' if value is None else f'{value:.1f} px'}" for name, value in pixels]
    return "\n".join([f"{result['images']} images", *lines])
