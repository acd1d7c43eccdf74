"""Logits and the truth that they are held against, in the one form that all losses are written for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edgeseg.errors import ShapeError
from edgeseg.train.distance import nearest_known, signed_distance

IGNORE = 255


@dataclass(frozen=True)
class Batch:
    """Binary: logits (n, 1, h, w) of the second class, truth (n, 1, h, w) float in 0..1, negative where it is not known.
    Classes: logits (n, c, h, w), truth (n, h, w) int64 class ids, 255 where it is not known. Logits are float32.

    class_weights  (c,), of two classes where it is binary; None weighs all alike

    Below, k is 1 where it is binary and else c.
    """

    logits: Tensor
    truth: Tensor
    class_weights: Tensor | None = None

    def __post_init__(self) -> None:
        n, c, h, w = self.logits.shape
        fits = self.truth.shape == (n, 1, h, w) and c == 1 if self.binary else self.truth.shape == (n, h, w) and c > 1
        if not fits:
            kind = "soft truth" if self.binary else "class ids"
            raise ShapeError(f"logits {tuple(self.logits.shape)} do not fit {kind} of shape {tuple(self.truth.shape)}")

    @property
    def binary(self) -> bool:
        return self.truth.is_floating_point()

    @cached_property
    def known(self) -> Tensor:
        """(n, 1, h, w) bool"""
        return self.truth >= 0 if self.binary else (self.truth != IGNORE)[:, None]

    @cached_property
    def target(self) -> Tensor:
        """(n, k, h, w) float in 0..1, the share of each class in each pixel; 0 where it is not known"""
        if self.binary:
            return self.truth * self.known
        ids = torch.where(self.truth == IGNORE, 0, self.truth)
        return torch.zeros_like(self.logits).scatter_(1, ids[:, None], self.known.float())

    @cached_property
    def probability(self) -> Tensor:
        """(n, k, h, w) in 0..1; 0 where the truth is not known"""
        return (self.logits.sigmoid() if self.binary else self.logits.softmax(1)) * self.known

    @cached_property
    def weights(self) -> Tensor:
        """(n, 1, h, w): the class weight of each pixel; 0 where it is not known. Soft truth mixes the two weights."""
        if self.class_weights is None:
            return self.known.float()
        weights = self.class_weights.to(self.logits)
        if self.binary:
            return (weights[0] + (weights[1] - weights[0]) * self.target) * self.known
        return weights[torch.where(self.known, self.truth[:, None], 0)] * self.known

    @cached_property
    def filled(self) -> list[npt.NDArray[np.uint8]]:
        """n times (h, w) class ids, decided at 0.5; every unknown pixel has those of the nearest known one."""
        ids = (self.truth[:, 0] >= 0.5).byte() if self.binary else self.truth.byte()
        known = self.known[:, 0].cpu().numpy()
        return [nearest_known(i, k) for i, k in zip(ids.cpu().numpy(), known, strict=True)]

    @cached_property
    def distance(self) -> Tensor:
        """(n, k, h, w) signed distance to the border of each class, as a share of the diagonal; see `distances_of`."""
        return self.distances_of(self.filled)

    def distances_of(self, maps: list[npt.NDArray[np.uint8]]) -> Tensor:
        """(n, k, h, w) of n class-id maps: negative inside; 0 where a picture has no border of that class."""
        channels = [1] if self.binary else list(range(self.logits.shape[1]))
        planes = [[signed_distance(ids == c) for c in channels] for ids in maps]
        diagonal = float(np.hypot(*self.logits.shape[2:]))
        return torch.from_numpy(np.array(planes, np.float32)).to(self.logits.device) / diagonal
