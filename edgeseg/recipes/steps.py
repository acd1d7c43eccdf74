"""What a recipe can do to a network: one class for each kind of step, whose fields are its options.

A new kind is a class and a row here, a row in `dry.py` (what becomes of the network, before anything is trained) and a row
in `work.py` (how it is done).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from edgeseg.compress.importance import Importance
from edgeseg.compress.prune import Scope
from edgeseg.errors import UsageError
from edgeseg.export.choices import Format, Io, Precision, Target

ORIGINAL = "original"  # the float network that the recipe began with, as a teacher
NO_TEACHER = "none"

Stage = Literal["float", "int8", "files"]
STAGES: tuple[Stage, ...] = ("float", "int8", "files")  # a recipe goes through them in this order


@dataclass(frozen=True)
class Step:
    """A step of any kind. UsageError for options that cannot be right."""

    kind: ClassVar[str]
    stage: ClassVar[Stage]

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{field.name} must be a number from 0 up, got {value}")
            if type(value) is int and value < 1:
                raise UsageError(f"{field.name} must be at least 1, got {value}")

    @property
    def title(self) -> str:
        """The kind and what is most worth knowing of the options."""
        return self.kind

    @property
    def trains(self) -> bool:
        return False


@dataclass(frozen=True)
class Prune(Step):
    """`edgeseg.compress.prune.prune`: channels are removed.

    macs     at the end; up to 1 a share of those before. Without it, what the budget asks for; several such steps share that
    batches  of 8 pictures, from which the importance "taylor" is taken
    """

    kind, stage = "prune", "float"
    macs: float | None = None
    importance: Importance = "taylor"
    scope: Scope = "global"
    per_mac: bool = True
    round_to: int = 8
    floor: float = 0.12
    protected: tuple[str, ...] = ()
    rounds: int = 4
    batches: int = 48

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.floor > 1 or self.macs == 0:
            raise UsageError(f"prune takes macs > 0 and a floor from 0 to 1, got {self.macs} and {self.floor}")

    @property
    def title(self) -> str:
        return f"prune ({self.importance})"


@dataclass(frozen=True)
class Training(Step):
    """What both kinds of training have.

    teacher  whose answers are learned beside the truth: "original", "none", a trained model or a checkpoint
    share    of the time that there is for all training steps
    """

    teacher: str = ORIGINAL
    temperature: float = 2.0
    share: float = 1.0

    @property
    def trains(self) -> bool:
        return True

    @property
    def taught(self) -> str:
        """As in ", from the original"."""
        return "" if self.teacher == NO_TEACHER else f", from {'the ' if self.teacher == ORIGINAL else ''}{self.teacher}"


@dataclass(frozen=True)
class Finetune(Training):
    """`edgeseg.train.loop.train` from the weights that there are, on pictures of the full size."""

    kind, stage = "finetune", "float"
    epochs: int = 20
    batch: int = 32
    learning_rate: float = 2e-3
    average: float = 0.998
    weight: float = 1.0  # of the teacher's answers beside the truth

    @property
    def title(self) -> str:
        return f"finetune ({self.epochs} epochs{self.taught})"


@dataclass(frozen=True)
class Qat(Training):
    """`edgeseg.compress.qat.fine_tune`: trained with int8 imitated; the ranges go into the checkpoint."""

    kind, stage = "qat", "int8"
    epochs: int = 10
    batch: int = 16
    learning_rate: float = 0.02  # in steps of the int8 grid
    weight: float = 10.0  # of the teacher's answers beside the truth

    @property
    def title(self) -> str:
        return f"qat ({self.epochs} epochs{self.taught})"


@dataclass(frozen=True)
class Export(Step):
    """`edgeseg.export.files.export`: files that are proven to agree with the network."""

    kind, stage = "export", "files"
    formats: tuple[Format, ...] = ("tflite", "onnx")
    precision: Precision = "int8"
    io: Io = "int8"
    target: Target = "x86"
    observer: str = "auto"
    corrections: bool = True
    pictures: int = 64  # that ranges are measured on
    min_agreement: float = 0.98
    max_miou_drop: float | None = None  # points; where it is given, layers are left in float until it is reached
    force: bool = False

    @property
    def title(self) -> str:
        return f"export ({self.precision} {', '.join(self.formats)})"


STEPS: dict[str, type[Step]] = {step.kind: step for step in (Prune, Finetune, Qat, Export)}
