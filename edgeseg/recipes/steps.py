"""What a recipe can do to a network: one class for each kind of step, whose fields are its options.

A new kind is a class and a row of STEPS here, and a row of FORMS in `shape.py` where it changes the form of the network, or of
WORK in `work.py` where it trains or writes files.
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
from edgeseg.models.hints import parse_hints
from edgeseg.train.losses import parse

ORIGINAL = "original"  # the float network that the recipe began with, as a teacher
NO_TEACHER = "none"

Stage = Literal["float", "int8", "files"]
STAGES: tuple[Stage, ...] = ("float", "int8", "files")  # a recipe goes through them in this order


@dataclass(frozen=True)
class Step:
    """A step of any kind. UsageError for options that cannot be right."""

    kind: ClassVar[str]
    stage: ClassVar[Stage]
    saves: ClassVar[bool] = False  # multiply-adds, as many as `macs` or the budget says

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

    kind, stage, saves = "prune", "float", True
    macs: float | None = None
    importance: Importance = "taylor"
    scope: Scope = "global"
    per_mac: bool | None = None
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
class Substitute(Step):
    """`edgeseg.compress.substitute.substitute`: layers in cheaper forms, those first that save most MACs for what they lose.

    macs       at the end; up to 1 a share of those before. Without it, what the budget asks for, or all of `layers`
    layers     only these (paths or globs)
    judged_by  what a layer loses: "accuracy" on some training pictures, or the "error" of its outputs, which is quicker
    pictures   for training, on which the forms are fitted and judged
    """

    stage, saves = "float", True
    macs: float | None = None
    layers: tuple[str, ...] = ()
    judged_by: Literal["accuracy", "error"] = "accuracy"
    pictures: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.macs == 0:
            raise UsageError(f"{self.kind} takes macs > 0, got 0")


@dataclass(frozen=True)
class Separable(Substitute):
    """Dense k x k convolutions as depthwise and pointwise ones; with so many kernels for each input channel."""

    kind = "separable"
    multipliers: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class LowRank(Substitute):
    """Pointwise convolutions as two of low rank, which keep so much of the outputs' power."""

    kind = "low_rank"
    energies: tuple[float, ...] = (0.95, 0.9, 0.8)


@dataclass(frozen=True)
class Decoder(Step):
    """`edgeseg.compress.decoder.with_steps`: steps of so many channels behind features that are trained, fresh ones or wider
    ones than there were, and a wider `context` where it is given. It costs multiply-adds, so what was pruned before it must
    leave room for them.
    """

    kind, stage = "decoder", "float"
    channels: tuple[int, ...] = (32, 24, 16, 8)
    context: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.channels or min(self.channels) < 1:
            raise UsageError(f"a decoder takes channels from 1 up, got {list(self.channels)}")
        if self.context is not None and self.context < 1:
            raise UsageError(f"a decoder's context has channels from 1 up, got {self.context}")

    @property
    def title(self) -> str:
        return f"decoder ({', '.join(map(str, self.channels))})"


@dataclass(frozen=True)
class Training(Step):
    """What both kinds of training have.

    teacher  whose answers are learned beside the truth: "original", "none", a trained model or a checkpoint
    share    of the time that there is for all training steps
    """

    epochs: int = 20
    teacher: str = ORIGINAL
    weight: float = 1.0  # of the teacher's answers beside the truth
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
    """`edgeseg.train.loop.train` from the weights that there are.

    growing        pictures are small first, of scenes a part, and of the full size last; else of the full size at once
    batch          32 if not given, and of classes, whose pictures are large, 8; accumulate  batches to a step of the optimizer
    average        of the weights, per step; schedule  how the learning rate falls
    boundary       weight of the teacher's answers along outlines;  features  of what its layers give, `hints` being those that
                   are compared, as "LAYER" or "STUDENT=TEACHER"
    loss           an expression as of `edgeseg train --loss`; that which the model was trained with if not given
    class_weights  "none", or after the pixels "enet" or "median"; those that the model was trained with if not given
    """

    kind, stage = "finetune", "float"
    growing: bool = False
    batch: int | None = None
    accumulate: int = 1
    learning_rate: float = 2e-3
    average: float = 0.998
    schedule: Literal["cosine", "poly"] = "cosine"
    precision: Literal["bf16", "float32"] = "bf16"
    boundary: float = 0.0
    features: float = 0.0
    hints: tuple[str, ...] = ()
    loss: str = ""
    class_weights: Literal["", "none", "enet", "median"] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss:
            parse(self.loss)
        if self.teacher == NO_TEACHER and (self.boundary or self.features):
            raise UsageError("boundary and features are the teacher's, but there is none; leave them out, or name one")
        parse_hints(self.hints)

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
    weight: float = 10.0

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
    max_miou_drop: float | None = None  # points
    # Whether the fewest layers are left in float with which these are reached; None: where a drop is given.
    mixed: bool | None = None
    force: bool = False

    @property
    def title(self) -> str:
        return f"export ({self.precision} {', '.join(self.formats)})"


STEPS: dict[str, type[Step]] = {step.kind: step for step in (Prune, Separable, LowRank, Decoder, Finetune, Qat, Export)}
