"""Distillation: what a teacher's logits say beyond the class (Hinton, Vinyals & Dean 2015, arXiv 1503.02531).

A network's answers to a picture enlarged, and to the picture and its mirror image together, are better than its answer to the
picture: so it can teach itself, too (Radosavovic et al. 2018, data distillation, arXiv 1712.04440).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.errors import ModelError, UsageError
from edgeseg.models import MODELS, SegmentationNetwork
from edgeseg.models.band import boundary_distillation
from edgeseg.models.checkpoint import load_model
from edgeseg.models.hints import Hints, pairs


@dataclass(frozen=True)
class Teacher:
    """A trained network whose answers another one learns beside the truth, on every pixel, labelled or not.

    boundary  weight of `band.boundary_distillation`;  features  of `hints.Hints`
    layers    student's layer -> own one, of those features; if there are none, those of `hints.LAYERS`
    scale     at which it sees the picture, of the student's
    mirrored  it answers with the mean over the picture and its mirror image
    """

    name: str
    network: SegmentationNetwork  # in evaluation mode
    classes: tuple[str, ...]
    weights_sha256: str
    weight: float = 1.0  # of the distillation beside the task's loss
    temperature: float = 2.0
    boundary: float = 0.0
    features: float = 0.0
    layers: Mapping[str, str] = field(default_factory=dict)
    scale: float = 1.0
    mirrored: bool = False

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise UsageError(f"a teacher sees pictures at a scale above 0, got {self.scale:g}")
        if self.features and (self.scale != 1 or self.mirrored):
            raise UsageError(
                "features are compared of the same picture: leave them out, or the teacher's scale and mirror image"
            )

    @property
    def how(self) -> str:
        """As in "weight 1, temperature 2, boundary 0.5"."""
        parts = {"weight": self.weight, "temperature": self.temperature, "boundary": self.boundary, "features": self.features}
        views = [*([f"scale {self.scale:g}"] if self.scale != 1 else []), *(["mirrored"] if self.mirrored else [])]
        told = [f"{name} {value:g}" for name, value in parts.items() if value or name in ("weight", "temperature")]
        return ", ".join([*told, *views, *(f"{own}={other}" for own, other in self.layers.items())])

    def check(self, classes: tuple[str, ...]) -> None:
        """ModelError where it cannot teach a network of `classes`."""
        if self.classes != classes:
            raise ModelError(
                f"the teacher {self.name} knows {', '.join(self.classes)}, not {', '.join(classes)}; choose another"
            )

    def loss(self, image: Tensor, logits: Tensor) -> Tensor:
        """Weighted distillation of logits (n, c, h', w') that a student gave for `image` (n, 3, h, w); a scalar."""
        wanted = self.logits(image)
        loss = self.weight * distillation(logits, wanted, self.temperature)
        if self.boundary:
            loss = loss + self.boundary * boundary_distillation(logits, wanted, self.temperature)
        return loss

    def hints(self, student: nn.Module) -> Hints | None:
        """What compares features with those of `student`; None where they have no weight. ModelError for a layer that one of
        them does not have, UsageError where layers would have to be named.
        """
        return Hints(student, self.network, self.layers or pairs(student, self.network)) if self.features else None

    @torch.no_grad()
    def logits(self, image: Tensor) -> Tensor:
        """For `image` (n, 3, h, w), at `scale` and stretched where the teacher's strides do not fit into it; float32."""
        divisor = self.network.size_divisor
        size = tuple(max(divisor, round(s * self.scale / divisor) * divisor) for s in image.shape[-2:])
        if size != image.shape[-2:]:
            image = F.interpolate(image, size=size, mode="bilinear", align_corners=False)
        image = image.contiguous(memory_format=torch.channels_last)
        logits = self._answer(image)
        return (logits + self._answer(image.flip(-1)).flip(-1)) / 2 if self.mirrored else logits

    def _answer(self, image: Tensor) -> Tensor:
        with torch.autocast(image.device.type, torch.bfloat16):
            logits: Tensor = self.network(image)
        return logits.float()


def load_teacher(
    name: str,
    weight: float = 1.0,
    temperature: float = 2.0,
    *,
    boundary: float = 0.0,
    features: float = 0.0,
    layers: Mapping[str, str] | None = None,
    scale: float = 1.0,
    mirrored: bool = False,
) -> Teacher:
    """A trained model or a checkpoint as a teacher; ModelError where there is none of that name, or it is not trained."""
    if name in MODELS:
        raise ModelError(f"the teacher {name} has fresh weights and nothing to teach; give a trained model or a checkpoint")
    model = load_model(name)
    network = model.network.to(memory_format=torch.channels_last).requires_grad_(False)  # type: ignore[call-overload]
    return Teacher(
        name,
        network,
        model.card.classes,
        model.weights_sha256,
        weight,
        temperature,
        boundary,
        features,
        layers or {},
        scale,
        mirrored,
    )


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
