"""Distillation: what a teacher's logits say beyond the class (Hinton, Vinyals & Dean 2015, arXiv 1503.02531)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def distillation(logits: Tensor, teacher: Tensor, temperature: float = 2.0) -> Tensor:
    """Mean over all pixels of T^2 * KL(teacher || student), both softened by the temperature T; a scalar.

    logits (n, c, h, w); teacher (n, c, h', w'), enlarged to (h, w) where it is of another size. One channel is the logit of
    the second of two classes, several are one class each. T^2 keeps the gradient's size whatever the temperature is.
    """
    if teacher.shape[-2:] != logits.shape[-2:]:
        teacher = F.interpolate(teacher, size=logits.shape[-2:], mode="bilinear", align_corners=False)
    student, teacher = logits / temperature, teacher.detach() / temperature
    if logits.shape[1] == 1:
        wanted = teacher.sigmoid()
        least = F.binary_cross_entropy_with_logits(teacher, wanted)  # the entropy of the teacher
        return temperature**2 * (F.binary_cross_entropy_with_logits(student, wanted) - least)
    per_pixel = F.kl_div(student.log_softmax(1), teacher.log_softmax(1), reduction="none", log_target=True).sum(1)
    return temperature**2 * per_pixel.mean()
