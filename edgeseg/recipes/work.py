"""How each kind of step is done: from a checkpoint to the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgeseg.calib.frames import from_folder
from edgeseg.compress.prune import pruned_card
from edgeseg.errors import DataError
from edgeseg.export.calibrated import CalibrationOptions
from edgeseg.export.choices import Choices
from edgeseg.export.files import Accuracy, Exported
from edgeseg.export.files import export as export_files
from edgeseg.export.quiet import quiet
from edgeseg.models.checkpoint import Model, ModelCard, load_checkpoint
from edgeseg.models.distil import Teacher, load_teacher
from edgeseg.models.layers import SegmentationNetwork
from edgeseg.recipes.judge import judge, judge_files
from edgeseg.recipes.shape import Aim, pruned
from edgeseg.recipes.steps import NO_TEACHER, ORIGINAL, Export, Finetune, Prune, Qat, Step, Training
from edgeseg.train.loop import train
from edgeseg.train.material import Folders, Material
from edgeseg.train.run import SCENES
from edgeseg.train.samples import Augmentation, Pictures
from edgeseg.train.schedule import Schedule
from edgeseg.train.task import Task

BATCH = 8  # pictures that "taylor" sees at once: many small batches say more than few large ones
Size = tuple[int, int]


@dataclass(frozen=True)
class Job:
    """What a step works with."""

    model: Model  # as the step before left it, with the size and framings of the result in its card
    checkpoint: Path  # of that
    original: Path
    folder: Path  # for what the step itself has to keep while it runs; an interrupted run left some there, perhaps
    material: Material
    folders: Folders
    aim: Aim
    minutes: float | None  # for this step
    seed: int
    note: str  # for the history of the weights
    tell: Callable[[str], None]

    @property
    def sizes(self) -> tuple[Size, ...]:
        return (self.model.card.size, *self.model.card.framings)

    def card(self, **changes: Any) -> ModelCard:
        """Of the result: with a line more in its history."""
        card = dataclasses.replace(self.model.card, data=self.material.note, **changes)
        return dataclasses.replace(card, training="\n".join(filter(None, [card.training, self.note])))


@dataclass(frozen=True)
class Made:
    """What a step leaves: a network, its card, and its validation scores."""

    network: SegmentationNetwork
    card: ModelCard
    scores: dict[str, float]
    files: tuple[dict[str, Any], ...] = ()


def do_prune(step: Prune, job: Job) -> Made:
    card = job.model.card
    task = Task(card.classes, loss_text=card.loss, class_weights=card.class_weights)
    batches = taylor_batches(step, job) if step.importance == "taylor" else []
    result = pruned(step, job.model.network, card.size, job.aim, batches=batches, loss=task.loss, seed=job.seed)
    change = f"{result.macs_before / 1e6:.1f} to {result.macs / 1e6:.1f} MMAC"
    made = pruned_card(job.card(), result.network)
    made = dataclasses.replace(made, training=f"{made.training}; {change}")
    job.tell(change)
    network = result.network.requires_grad_(True)
    return Made(network, made, judge(Model(network, made, ""), job.material.held))


def taylor_batches(step: Prune, job: Job) -> list[tuple[torch.Tensor, Any]]:
    """Training pictures, evenly over all sources, with their truth."""
    known = [s for s in job.material.samples if (s.mask if job.material.person else s.ids) is not None]
    chosen = known[:: max(1, len(known) // (BATCH * step.batches))]
    pictures = Pictures(chosen, [], Augmentation() if job.material.person else SCENES, job.seed)
    return list(pictures.batches(list(job.sizes), BATCH))[: step.batches]


def do_finetune(step: Finetune, job: Job) -> Made:
    schedule = Schedule(
        epochs=step.epochs,
        minutes=job.minutes,
        batch=step.batch,
        learning_rate=step.learning_rate,
        average=step.average,
        augmentation=Augmentation() if job.material.person else SCENES,
        framings=job.sizes,
        sizes=((0.0, 1.0),),
        seed=job.seed,
    )
    train(
        job.card(ranges={}),
        job.material.samples,
        job.material.held,
        job.material.rooms,
        job.folder,
        schedule,
        auxiliary=job.material.auxiliary,
        initial=job.checkpoint,
        teacher=teacher_of(step, job),
        resume=(job.folder / "state.pt").is_file(),
        tell=job.tell,
    )
    return _trained(job)


def do_qat(step: Qat, job: Job) -> Made:
    with quiet():  # torchao's talk of what else could be installed
        from edgeseg.compress.qat import Plan
        from edgeseg.train.qat import train_for_int8
    plan = Plan(
        epochs=step.epochs,
        minutes=job.minutes,
        learning_rate=step.learning_rate,
        distil=0.0 if step.teacher == NO_TEACHER else step.weight,
        temperature=step.temperature,
    )
    train_for_int8(
        str(job.checkpoint),
        job.folders,
        job.folder,
        plan,
        teacher=None if step.teacher == NO_TEACHER else _teacher_name(step, job),
        size=job.model.card.size,
        batch=step.batch,
        seed=job.seed,
        resume=(job.folder / "state.pt").is_file(),
        tell=job.tell,
    )
    return _trained(job)


def do_export(step: Export, job: Job) -> Made:
    """The network stays as it is; its files go to the folder of its checkpoint."""
    card, out = job.model.card, job.checkpoint.parent
    choices = Choices(step.precision, step.io, step.target)
    calibration = CalibrationOptions(step.observer, step.corrections)
    accuracy = Accuracy(step.min_agreement, step.max_miou_drop, mixed=step.max_miou_drop is not None, force=step.force)
    pictures = from_folder(job.folders.data[0], step.pictures)
    written: list[Exported] = []
    with one_thread():  # on small networks more threads cost more than they bring
        for size in job.sizes:
            written += export_files(
                job.model, pictures, out,
                formats=step.formats, choices=choices, size=size, calibration=calibration, accuracy=accuracy, say=job.tell,
            )  # fmt: skip
    scores = {
        form: judge_files({f.spec.size: f.path for f in written if f.format == form}, card, job.material.held)
        for form in step.formats
    }
    rows = tuple(_file_row(file, scores[file.format]) for file in written)
    worst = min(scores.values(), key=lambda of: next(iter(of.values()), 0.0))
    return Made(job.model.network, card, worst, rows)


WORK: dict[type[Step], Callable[[Any, Job], Made]] = {
    Prune: do_prune,
    Finetune: do_finetune,
    Qat: do_qat,
    Export: do_export,
}


def teacher_of(step: Training, job: Job) -> Teacher | None:
    """Loaded; DataError for one that knows other classes."""
    if step.teacher == NO_TEACHER:
        return None
    teacher = load_teacher(_teacher_name(step, job), step.weight, step.temperature)  # type: ignore[attr-defined]
    teacher.check(job.model.card.classes)
    return teacher


def check_classes(model: str, card: ModelCard, material: Material) -> None:
    """DataError where the data are of other classes than the model."""
    if card.classes != material.classes:
        known, got = ", ".join(card.classes), ", ".join(material.classes)
        raise DataError(f"{model} knows {known}, the data {got}; give data of its own")


@contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _teacher_name(step: Training, job: Job) -> str:
    return str(job.original) if step.teacher == ORIGINAL else step.teacher


def _trained(job: Job) -> Made:
    """What a training loop left in its folder."""
    done = load_checkpoint(job.folder / "last.safetensors")
    own = job.model.card
    card = dataclasses.replace(done.card, name=own.name, framings=own.framings, training=job.card().training)
    return Made(done.network, card, card.accuracy)


def _file_row(file: Exported, scores: dict[str, float]) -> dict[str, Any]:
    return {
        "path": str(file.path), "format": file.format, "precision": file.spec.precision, "size_hw": list(file.spec.size),
        "size_bytes": file.size_bytes, "agreement": round(file.parity.agreement, 5), "scores": scores,
        "float_layers": list(file.float_layers),
    }  # fmt: skip
