"""Judging a network while it is trained, on the pictures that are held back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edgeseg.models.checkpoint import ModelCard
from edgeseg.spec import nearest_framing
from edgeseg.train.data import Frame
from edgeseg.train.metrics import IGNORE, mean
from edgeseg.train.samples import to_tensors
from edgeseg.train.task import enlarge
from edgeseg.train.truth import ClassIds

Confusion = npt.NDArray[np.int64]  # [truth, prediction]


@dataclass(frozen=True)
class Held:
    """A picture that is held back, with its truth as class ids of the network (h, w), 255 where unknown."""

    frame: Frame
    truth: ClassIds
    source: str


@torch.no_grad()
def validate(network: Callable[[Tensor], Tensor], held: Sequence[Held], card: ModelCard) -> dict[str, float]:
    """IoU over all pixels; pictures are stretched to the size of the card that is nearest to their shape.

    Two classes: the IoU of the second, over all pictures and of each source ("iou", "iou/<source>"). More: their mean, and of
    each class ("miou", "iou/<class>").
    """
    n = len(card.classes)
    counts: dict[str, Confusion] = {}
    for item in held:
        size = nearest_framing((card.size, *card.framings), item.truth.shape)
        small = np.asarray(cv2.resize(item.frame, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        logits = enlarge(network(to_tensors(small, None)[0][None]), item.truth.shape)[0]
        ids = ((logits[0] > 0) if n == 2 else logits.argmax(0)).numpy().astype(np.int64)
        known = item.truth != IGNORE
        confusion = np.bincount(item.truth[known] * np.int64(n) + ids[known], minlength=n * n).reshape(n, n)
        for key in ("iou", f"iou/{item.source}"):
            counts[key] = counts.get(key, np.zeros((n, n), np.int64)) + confusion
    if not counts:
        return {}
    if n == 2:
        of_person = {key: iou(confusion)[1] for key, confusion in counts.items()}
        return {key: value for key, value in of_person.items() if value is not None}
    by_class = iou(counts["iou"])
    scores = {"miou": mean(by_class)} | {f"iou/{name}": value for name, value in zip(card.classes, by_class, strict=True)}
    return {key: value for key, value in scores.items() if value is not None}


def iou(confusion: Confusion) -> list[float | None]:
    """Of every class, from a matrix [truth, prediction]; None for a class that neither has."""
    hit, union = confusion.diagonal(), confusion.sum(0) + confusion.sum(1) - confusion.diagonal()
    return [float(h / u) if u else None for h, u in zip(hit, union, strict=True)]
