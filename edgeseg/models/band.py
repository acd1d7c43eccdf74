"""Distillation along the boundary: logits are imitated where the teacher draws the outline, and nowhere else.

Most pixels lie inside something, where a student soon agrees with its teacher; what a small network loses is the outline.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def boundary_distillation(logits: Tensor, teacher: Tensor, temperature: float = 2.0, radius: int = 3) -> Tensor:
    """Mean over the teacher's `boundary_band` of T^2 * KL(teacher || student); a scalar, 0 where there is no boundary.

    logits (n, c, h, w); teacher (n, c, h', w'), enlarged to (h, w) where it is of another size. One channel is the logit of
    the second of two classes, several are one class each. T is the temperature that both are softened by.
    """
    if teacher.shape[-2:] != logits.shape[-2:]:
        teacher = F.interpolate(teacher, size=logits.shape[-2:], mode="bilinear", align_corners=False)
    teacher = teacher.detach()
    band = boundary_band(teacher, radius)
    each = divergence(logits / temperature, teacher / temperature)
    return temperature**2 * (each * band).sum() / band.sum().clamp(min=1)


def boundary_band(logits: Tensor, radius: int = 3) -> Tensor:
    """logits (n, c, h, w) -> (n, 1, h, w): 1 where the square of 2 * `radius` + 1 pixels around holds two classes, else 0."""
    ids = (logits > 0 if logits.shape[1] == 1 else logits.argmax(1, keepdim=True)).float()
    window = 2 * radius + 1
    highest = F.max_pool2d(ids, window, 1, radius)
    lowest = -F.max_pool2d(-ids, window, 1, radius)
    return (highest > lowest).float()


def divergence(logits: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher || student) of every pixel: (n, c, h, w) twice -> (n, 1, h, w)."""
    if logits.shape[1] == 1:  # the other class has the logit 0
        logits, teacher = (torch.cat([torch.zeros_like(x), x], 1) for x in (logits, teacher))
    student, wanted = logits.log_softmax(1), teacher.log_softmax(1)
    return (wanted.exp() * (wanted - student)).sum(1, keepdim=True)
